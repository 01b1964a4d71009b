#include "sim/plan.h"

#include <stdlib.h>

#include "base/own.h"

enum { SCENARIOS_MAX = 4, FIRST_ACTION_US = 5 * SIM_SECOND_US };

extern const struct scenario *const __start_atoll_scenarios[] __attribute__((weak));
extern const struct scenario *const __stop_atoll_scenarios[] __attribute__((weak));

static int by_name(const void *x, const void *y) {
    return strcmp((*(const struct scenario *const *)x)->name,
                  (*(const struct scenario *const *)y)->name);
}

const struct scenario *const *scenarios(size_t *ret_n) {
    static const struct scenario *sorted[64];
    size_t n = (size_t)(__stop_atoll_scenarios - __start_atoll_scenarios);
    if (n > ARRAY_LEN(sorted)) abort();
    if (!sorted[0]) {
        for (size_t i = 0; i < n; i++) sorted[i] = __start_atoll_scenarios[i];
        qsort(sorted, n, sizeof *sorted, by_name);
    }
    *ret_n = n;
    return sorted;
}

bool scenario_covers(const struct scenario *c, const char *controller) {
    struct slice rest = slice_of(c->controllers), one;
    while (slice_cut(&rest, ' ', &one))
        if (slice_is(one, controller)) return true;
    return false;
}

/* ---- actions ---- */

uint64_t draw(struct sim_plan *p, uint64_t low, uint64_t high) {
    return low + random_below(&p->random, high - low + 1);
}

bool draw_one_in(struct sim_plan *p, uint64_t n) { return random_one_in(&p->random, n); }

void act_wait(struct sim_plan *p, uint64_t seconds) {
    p->at_us += (seconds ? seconds : draw(p, 5, 60)) * SIM_SECOND_US;
}

static struct sim_action *act(struct sim_plan *p, enum sim_action_type type) {
    vec_push(&p->actions,
             (struct sim_action){
                 .type = type, .at_us = p->at_us, .ns = p->ns, .sequence = (unsigned)p->actions.n});
    p->end_us = MAX_OF(p->end_us, p->at_us);
    return &p->actions.v[p->actions.n - 1];
}

void act_create(struct sim_plan *p, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    const char *json = arena_vprintf(p->a, fmt, ap);
    va_end(ap);
    act(p, ACT_CREATE)->json = json;
}

void act_create_owned(struct sim_plan *p, const char *owner, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    const char *json = arena_vprintf(p->a, fmt, ap);
    va_end(ap);
    struct sim_action *x = act(p, ACT_CREATE);
    x->json = json;
    x->owner = arena_str(p->a, owner);
}

void act_patch(struct sim_plan *p, const char *group, const char *kind, const char *name,
               const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    const char *json = arena_vprintf(p->a, fmt, ap);
    va_end(ap);
    struct sim_action *x = act(p, ACT_PATCH);
    x->group = group;
    x->kind = kind;
    x->name = arena_str(p->a, name);
    x->json = json;
}

void act_delete(struct sim_plan *p, const char *group, const char *kind, const char *name,
                enum propagation policy) {
    struct sim_action *x = act(p, ACT_DELETE);
    x->group = group;
    x->kind = kind;
    x->name = arena_str(p->a, name);
    x->policy = policy;
}

void act_evict(struct sim_plan *p, const char *pod) {
    act(p, ACT_EVICT)->name = arena_str(p->a, pod);
}

const char *pod_template(struct sim_plan *p, const char *app, unsigned image, const char *extra) {
    return arena_printf(
        p->a,
        "{\"metadata\":{\"labels\":{\"app\":\"%s\"}},\"spec\":{%s\"containers\":[{\"name\":\"c\","
        "\"image\":\"image:%u\",\"resources\":{\"requests\":{\"cpu\":\"100m\",\"memory\":\"64Mi\"}}"
        "}]}}",
        app, extra, image);
}

/* ---- the user at work ---- */

struct doing {
    const struct sim_action *x;
};

static bool set_owner(struct sim *s, struct arena *a, const struct sim_action *x,
                      struct api_object *o) {
    struct slice rest = slice_of(x->owner), group, kind;
    slice_cut(&rest, '/', &group);
    slice_cut(&rest, '/', &kind);
    struct sim_resource *r = store_resource_of(s, arena_strn(a, group), arena_strn(a, kind));
    struct sim_object *owner = r ? store_get(r, x->ns, arena_strn(a, rest)) : NULL;
    if (!owner) return false;
    const struct api_object *known = store_decode(a, owner);
    *ARENA_PUSH(a, &o->metadata.owner_references) =
        (struct meta_v1_owner_reference){.api_version = r->kind->api_version,
                                         .kind = r->kind->kind,
                                         .name = known->metadata.name,
                                         .uid = known->metadata.uid};
    return true;
}

static int create(struct sim *s, const struct sim_action *x, struct err *err) {
    OWN(arena_free_p) struct arena *a = arena_new();
    size_t n;
    struct api_object *head, *o;
    int r = api_object_decode(a, api_kinds(&n)[0], slice_of(x->json), &head, err);
    if (r < 0) return r;
    const struct api_kind *k = api_kind_by_api_version(head->api_version, head->kind);
    if (!k) return err_set(err, ERR_INVALID, "no such kind");
    r = api_object_decode(a, k, slice_of(x->json), &o, err);
    if (r < 0) return r;
    if (k->flags & API_NAMESPACED && str_empty(o->metadata.namespace))
        o->metadata.namespace = x->ns;
    if (x->owner && !set_owner(s, a, x, o))
        return err_set(err, ERR_NOT_FOUND, "the owner %s is not there", x->owner);
    return api_put_new(s, a, o, err) ? 0 : -1;
}

static int evict(struct sim *s, const struct sim_action *x, struct err *err) {
    size_t n;
    OWN(free_p) struct sim_object **list = store_list(store_resource_of(s, "", "Pod"), &n);
    for (size_t i = 0; i < n; i++)
        if (str_eq(list[i]->ns, x->ns) && str_starts(list[i]->name, x->name))
            return api_evict(s, x->ns, list[i]->name, &(struct sim_delete){.grace_s = -1}, err);
    return 0;
}

static void do_it(struct sim *s, void *user) {
    const struct sim_action *x = ((struct doing *)user)->x;
    struct err err = {0};
    struct sim_resource *r = x->kind ? store_resource_of(s, x->group, x->kind) : NULL;
    const char *ns = r && r->kind->flags & API_NAMESPACED ? x->ns : NULL;
    int rc = 0;
    switch (x->type) {
    case ACT_CREATE: rc = create(s, x, &err); break;
    case ACT_PATCH: rc = api_patch_json(s, r->kind, ns, x->name, "", x->json, &err); break;
    case ACT_EVICT: rc = evict(s, x, &err); break;
    case ACT_DELETE:
        rc = api_remove(s, r->kind, ns, x->name,
                        &(struct sim_delete){.grace_s = -1, .policy = x->policy}, NULL, &err);
        break;
    }
    sim_say(s, "user: %s %s %s/%s %s: %s", "", str_or(x->kind, "create"), x->ns,
            str_or(x->name, ""), str_or(x->json, ""), rc < 0 ? err.text : "done");
    free(user);
    /* A Job may have been removed when its time to live was over, a pod with its node; an account
     * may not have been made yet. */
    bool theirs =
        str_eq(x->kind, "Job") || str_eq(x->kind, "ServiceAccount") || str_eq(x->kind, "Pod");
    bool expected = err.reason == ERR_TOO_MANY_REQUESTS || (err.reason == ERR_NOT_FOUND && theirs);
    if (rc < 0 && !expected)
        sim_violation(s, "the plan is wrong: %s: %s", str_or(x->json, str_or(x->name, "")),
                      err.text);
}

void plan_begin(struct sim *s, const struct sim_plan *p) {
    for (size_t i = 0; i < p->actions.n; i++) {
        struct doing *d = malloc(sizeof *d);
        if (!d) abort();
        d->x = &p->actions.v[i];
        /* One microsecond apart at least: the order of a user's writes is his. */
        sim_after_owned(s, d->x->at_us + d->x->sequence - s->now_us, do_it, d);
    }
}

/* ---- drawing ---- */

static void build(struct sim_plan *p, const struct scenario *c) {
    char ns[32];
    snprintf(ns, sizeof ns, "s%zu", p->scenarios.n);
    p->ns = arena_str(p->a, ns);
    p->at_us = FIRST_ACTION_US;
    act_create(p, "{\"apiVersion\":\"v1\",\"kind\":\"Namespace\",\"metadata\":{\"name\":\"%s\"}}",
               p->ns);
    act_wait(p, 1);
    vec_push(&p->scenarios, c);
    c->build(p);
}

static const struct scenario *find(struct slice name) {
    size_t n;
    const struct scenario *const *all = scenarios(&n);
    for (size_t i = 0; i < n; i++)
        if (slice_is(name, all[i]->name)) return all[i];
    return NULL;
}

static size_t choose_named(const char *names, const struct scenario **ret, size_t max) {
    struct slice rest = slice_of(names), one;
    size_t n = 0;
    while (n < max && slice_cut(&rest, '+', &one))
        if (!(ret[n++] = find(one))) return 0;
    return n;
}

static size_t choose(struct sim_random *r, uint64_t seed, const char *controller,
                     const struct scenario **ret) {
    size_t n, n_fit = 0;
    const struct scenario *const *all = scenarios(&n);
    const struct scenario *fit[64];
    for (size_t i = 0; i < n; i++)
        if (!controller || scenario_covers(all[i], controller)) fit[n_fit++] = all[i];
    if (!n_fit) return 0;
    size_t chosen = 0, want = 2 + random_below(r, SCENARIOS_MAX - 1);
    ret[chosen++] = fit[seed % n_fit];
    while (chosen < want) ret[chosen++] = all[random_below(r, n)];
    return chosen;
}

struct sim_plan *plan_draw(uint64_t seed, const char *controller, const char *names) {
    const struct scenario *chosen[16];
    struct sim_random r = {seed ^ 0x63686f6f};
    size_t n = names ? choose_named(names, chosen, ARRAY_LEN(chosen))
                     : choose(&r, seed, controller, chosen);
    if (!n) return NULL;
    struct sim_plan *p = calloc(1, sizeof *p);
    if (!p) abort();
    p->a = arena_new();
    p->random.state = seed ^ 0x706c616e;
    random_next(&p->random);
    p->n_nodes = (unsigned)draw(p, 3, 8);
    p->cpus = 16;
    for (size_t i = 0; i < n; i++) {
        p->random.state = (seed << 8) + i;
        random_next(&p->random);
        build(p, chosen[i]);
    }
    return p;
}

void plan_drop(struct sim_plan *p) {
    if (!p) return;
    arena_free(p->a);
    vec_done(&p->actions);
    vec_done(&p->scenarios);
    free(p);
}
