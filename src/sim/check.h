/* One plan, run once: undisturbed, or with the faults that a seed draws. */
#pragma once

#include "sim/plan.h"

struct reconciler;

struct sim_outcome {
    char *violation;  /* NULL: none. malloc'd */
    struct buf state; /* normal form of the end */
    uint64_t hash, events, writes, faults, requests;
    unsigned drawn; /* kinds of faults, bits */
    uint64_t virtual_us;
};
void outcome_done(struct sim_outcome *o);

struct sim_run {
    uint64_t seed;
    const struct sim_plan *plan;
    bool disturbed, verbose;
    unsigned bugs;                        /* of the simulated API */
    const struct reconciler *const *list; /* NULL: all that are linked in */
    size_t n;
};
/* Both runs of a seed, compared. *ret_disturbed (may be NULL) is the caller's to end; names: see
 * plan_draw. Returns what
 * is wrong, malloc'd, or NULL. */
char *check_seed(uint64_t seed, const char *controller, const char *names, bool verbose,
                 struct sim_outcome *ret_disturbed);
/* For tests of the oracles: of the same seed, with bugs. */
char *check_with_bugs(uint64_t seed, const char *controller, const struct reconciler *const *list,
                      size_t n, unsigned bugs);

/* A cluster without faults, for measuring: so many nodes, Deployments of 100 pods each, one of them
 * rolled out every half hour. Returns what is wrong, malloc'd, or NULL. */
struct sim_speed {
    uint64_t events, writes, virtual_us, cpu_ns;
    size_t running;
};
char *run_speed(unsigned nodes, unsigned pods, unsigned virtual_s, struct sim_speed *ret);
