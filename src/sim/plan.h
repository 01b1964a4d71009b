/*
 * What users do: a list of writes at certain times, drawn from a seed. The same seed gives the same
 * list, whatever else happens; a run of it without faults says how it must end.
 *
 * To add a scenario: one function that pushes actions for its own namespace, and one line
 *   SCENARIO(deployment, "deployment replicaset endpoints", build);
 */
#pragma once

#include "sim/api.h"

enum sim_action_type { ACT_CREATE, ACT_PATCH, ACT_DELETE, ACT_EVICT };
struct sim_action {
    enum sim_action_type type;
    uint64_t at_us;
    const char *group, *kind, *ns, *name;
    const char *json;        /* create: the object; patch: a merge patch */
    const char *owner;       /* create: "group/Kind/name" that it gets as owner; NULL: none */
    enum propagation policy; /* delete */
    unsigned sequence;
};

struct sim_plan {
    struct arena *a;
    struct sim_random random;
    const char *ns; /* of the scenario that is being built */
    uint64_t at_us; /* when its next action comes */
    VEC(struct sim_action) actions;
    uint64_t end_us;
    unsigned n_nodes, cpus;
    unsigned no_faults; /* bits of faults that would change how the plan ends */
    VEC(const struct scenario *) scenarios;
};

struct scenario {
    const char *name;
    const char *controllers; /* that it exercises, separated by spaces */
    void (*build)(struct sim_plan *p);
};

#define SCENARIO(sym, controllers_, build_)                                                        \
    static const struct scenario scenario_##sym = {#sym, controllers_, build_};                    \
    __attribute__((                                                                                \
        used, retain,                                                                              \
        section("atoll_scenarios"))) static const struct scenario *const scenario_p_##sym =        \
        &scenario_##sym

/* All, sorted by name. */
const struct scenario *const *scenarios(size_t *ret_n);
/* What to draw from: scenarios for that controller (NULL: any), or exactly those of `names`, in
 * their order, separated by '+' (NULL: drawn). Returns NULL when there is none. Each scenario is
 * built by chance of its own: the same one with the same seed is always the same. */
struct sim_plan *plan_draw(uint64_t seed, const char *controller, const char *names);
void plan_drop(struct sim_plan *p);
bool scenario_covers(const struct scenario *c, const char *controller);
/* Lets the actions happen at their times. */
void plan_begin(struct sim *s, const struct sim_plan *p);

/* ---- for scenarios ---- */

uint64_t draw(struct sim_plan *p, uint64_t low, uint64_t high); /* low … high */
bool draw_one_in(struct sim_plan *p, uint64_t n);
/* Time passes: 5 to 60 seconds when 0. */
void act_wait(struct sim_plan *p, uint64_t seconds);
void act_create(struct sim_plan *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void act_create_owned(struct sim_plan *p, const char *owner, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void act_patch(struct sim_plan *p, const char *group, const char *kind, const char *name,
               const char *fmt, ...) __attribute__((format(printf, 5, 6)));
void act_delete(struct sim_plan *p, const char *group, const char *kind, const char *name,
                enum propagation policy);
void act_evict(struct sim_plan *p, const char *pod); /* a prefix of its name will do */
/* A pod template with the label app=APP, as JSON; extra: more members of its spec, or "". */
const char *pod_template(struct sim_plan *p, const char *app, unsigned image, const char *extra);
