#include <string.h>

#include "base/log.h"
#include "base/own.h"
#include "base/test.h"
#include "client/engine.h"
#include "controllers/common.h"
#include "sim/check.h"

/* ---- what it promises of itself ---- */

TEST(sim_repeats_a_seed_to_the_byte) {
    struct sim_outcome one, two;
    log_setup("test", LOG_LEVEL_ERROR);
    OWN(free_p) char *wrong = check_seed(7, NULL, NULL, false, &one);
    OWN(free_p) char *again = check_seed(7, NULL, NULL, false, &two);
    assert_null(wrong);
    assert_null(again);
    assert_int_equal(one.hash, two.hash);
    assert_int_equal(one.events, two.events);
    assert_true(one.faults > 0 && one.writes > 100);
    outcome_done(&one);
    outcome_done(&two);
    OWN(free_p) char *other = check_seed(8, NULL, NULL, false, &two);
    assert_null(other);
    assert_int_not_equal(one.hash, two.hash);
    outcome_done(&two);
}

/* ---- the oracles see seeded bugs ---- */

enum { SEEDS = 40 };

/* Runs plans of a controller until one objects with these words; fails when none does. */
static void caught(const char *controller, const struct reconciler *const *list, size_t n,
                   unsigned bugs, const char *words) {
    log_setup("test", LOG_LEVEL_ERROR);
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        OWN(free_p) char *wrong = check_with_bugs(seed, controller, list, n, bugs);
        if (wrong && strstr(wrong, words)) return;
    }
    fail_msg("no plan objects to the bug with '%s'", words);
}

static struct reconciler doubled;
static const struct reconciler *real;

/* All reconcilers, that one replaced by `doubled`. NULL reconcile: left out. */
static const struct reconciler **with_double(const char *name,
                                             int (*reconcile)(const struct world *, const char *,
                                                              struct plan *, struct err *),
                                             size_t *ret_n) {
    const struct reconciler **list = reconcilers(ret_n);
    for (size_t i = 0; i < *ret_n; i++) {
        if (!str_eq(list[i]->name, name)) continue;
        real = list[i];
        doubled = *list[i];
        doubled.reconcile = reconcile;
        list[i] = &doubled;
        if (reconcile) return list;
        list[i] = list[--*ret_n];
        return list;
    }
    fail_msg("no reconciler %s", name);
    return NULL;
}

TEST(sim_sees_garbage_that_nobody_collects) {
    size_t n;
    OWN(free_p) const struct reconciler **list = with_double("garbage", NULL, &n);
    caught("garbage", list, n, 0, "garbage");
}

/* Every look at a ReplicaSet changes it. */
static int restless(const struct world *w, const char *key, struct plan *p, struct err *err) {
    const char *ns, *name;
    key_split(plan_arena(p), key, &ns, &name);
    const struct api_object *o = world_get(w, "ReplicaSet", ns, name);
    if (o) {
        const char *patch =
            arena_printf(plan_arena(p), "{\"metadata\":{\"annotations\":{\"seen\":\"%s\"}}}",
                         now_text(plan_arena(p), w));
        plan_patch(p, o, "", "application/merge-patch+json", slice_of(patch));
    }
    return real->reconcile(w, key, p, err);
}

TEST(sim_sees_a_controller_that_writes_whenever_it_looks) {
    size_t n;
    OWN(free_p) const struct reconciler **list = with_double("replicaset", restless, &n);
    caught("replicaset", list, n, 0, "writes");
}

/* A pod too many is made of each ReplicaSet that is complete. */
static int generous(const struct world *w, const char *key, struct plan *p, struct err *err) {
    const char *ns, *name;
    key_split(plan_arena(p), key, &ns, &name);
    const struct apps_v1_replica_set *set = (const void *)world_get(w, "ReplicaSet", ns, name);
    int r = real->reconcile(w, key, p, err);
    if (r || !set || plan_count_of(p, PLAN_CREATE, "Pod") == 0) return r;
    plan_create(p, plan_find(p, PLAN_CREATE, "Pod", 0)->object);
    return 0;
}

TEST(sim_sees_a_replicaset_that_makes_too_many) {
    size_t n;
    OWN(free_p) const struct reconciler **list = with_double("replicaset", generous, &n);
    caught("replicaset", list, n, 0, "has made");
}

/* Counts what has succeeded twice. */
static int counts_twice(const struct world *w, const char *key, struct plan *p, struct err *err) {
    int r = real->reconcile(w, key, p, err);
    for (size_t i = 0; !r && i < plan_count(p); i++) {
        const struct plan_step *s = plan_at(p, i);
        struct batch_v1_job *job = (void *)(uintptr_t)s->object;
        if (s->op == PLAN_UPDATE_STATUS && job->status.succeeded) job->status.succeeded *= 2;
    }
    return r;
}

TEST(sim_sees_a_job_that_counts_a_pod_twice) {
    size_t n;
    OWN(free_p) const struct reconciler **list = with_double("job", counts_twice, &n);
    caught("job", list, n, 0, "counts");
}

/* All the new ones at once, whatever the strategy says. */
static int hasty(const struct world *w, const char *key, struct plan *p, struct err *err) {
    int r = real->reconcile(w, key, p, err);
    for (size_t i = 0; !r && i < plan_count(p); i++) {
        const struct plan_step *s = plan_at(p, i);
        if (s->op != PLAN_CREATE || !str_eq(s->kind->kind, "ReplicaSet")) continue;
        ((struct apps_v1_replica_set *)(void *)(uintptr_t)s->object)->spec.replicas =
            int_new(plan_arena(p), 12);
    }
    return r;
}

TEST(sim_sees_a_deployment_that_ignores_its_strategy) {
    size_t n;
    OWN(free_p) const struct reconciler **list = with_double("deployment", hasty, &n);
    caught("deployment", list, n, 0, "orders");
}

/* Whatever is on its way out is removed at once, wherever it still runs. */
static int impatient(const struct world *w, const char *key, struct plan *p, struct err *err) {
    const struct api_object *o;
    size_t at = 0;
    while ((o = world_next(w, "Pod", NULL, &at)))
        if (o->metadata.deletion_timestamp) plan_delete_grace(p, o, NULL, 0);
    return real->reconcile(w, key, p, err);
}

TEST(sim_sees_two_pods_of_one_identity) {
    size_t n;
    OWN(free_p) const struct reconciler **list = with_double("statefulset", impatient, &n);
    caught("statefulset", list, n, 0, "identity");
}

/* Without the revision of its own write, the engine acts on a view from before. */
TEST(sim_sees_controllers_that_do_not_wait_for_their_own_writes) {
    caught("replicaset", NULL, 0, SIM_BUG_NO_REVISION, "has made");
}

TEST(sim_sees_watches_that_leave_events_out) { caught("deployment", NULL, 0, SIM_BUG_SKIP, ""); }

TEST(sim_sees_evictions_beyond_a_budget) {
    caught("disruption", NULL, 0, SIM_BUG_EVICT, "eviction leaves");
}
