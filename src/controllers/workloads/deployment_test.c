#include <stdio.h>
#include <string.h>

#include "api/rules/pods.h"
#include "controllers/fixture.h"
#include "controllers/workloads/rollout.h"

static const char key[] = "default/web";

static void add_deployment(struct world *w, int replicas, const char *strategy) {
    char json[900];
    snprintf(json, sizeof json,
             "{\"apiVersion\":\"apps/v1\",\"kind\":\"Deployment\",\"metadata\":{\"name\":\"web\","
             "\"namespace\":\"default\",\"generation\":1},\"spec\":{\"replicas\":%d,\"selector\":{"
             "\"matchLabels\":{\"app\":\"web\"}},\"strategy\":%s,\"template\":{\"metadata\":{"
             "\"labels\":{\"app\":\"web\"}},\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":"
             "\"one\"}]}}}}",
             replicas, strategy);
    world_add_json(w, json);
}

static const struct apps_v1_deployment *get(const struct world *w) {
    return (const struct apps_v1_deployment *)world_get(w, "Deployment", "default", "web");
}

static struct apps_v1_deployment *change(struct world *w, struct arena **ret_a) {
    struct apps_v1_deployment *d =
        (struct apps_v1_deployment *)edit((const struct api_object *)get(w), ret_a);
    d->metadata.generation++;
    return d;
}

static void set_image(struct world *w, const char *image) {
    struct arena *a;
    struct apps_v1_deployment *d = change(w, &a);
    d->spec.template.spec.containers.v[0].image = arena_str(a, image);
    edit_done(w, a, (struct api_object *)d);
}

static void set_replicas(struct world *w, int32_t n) {
    struct arena *a;
    struct apps_v1_deployment *d = change(w, &a);
    *d->spec.replicas = n;
    edit_done(w, a, (struct api_object *)d);
}

static void set_paused(struct world *w, bool paused) {
    struct arena *a;
    struct apps_v1_deployment *d = change(w, &a);
    d->spec.paused = paused;
    edit_done(w, a, (struct api_object *)d);
}

/* ---- the other parts of a cluster, in any order ---- */

struct cluster {
    struct world *w;
    uint32_t seed;
    int32_t most, least; /* what the invariants allow; least −1: not checked */
};

static uint32_t next_random(struct cluster *c) {
    c->seed ^= c->seed << 13;
    c->seed ^= c->seed >> 17;
    c->seed ^= c->seed << 5;
    return c->seed;
}

static const struct api_object *pick(struct cluster *c, const char *kind) {
    size_t n = world_count(c->w, kind), at = 0;
    const struct api_object *o = NULL;
    for (size_t i = n ? next_random(c) % n + 1 : 0; i > 0; i--)
        o = world_next(c->w, kind, "default", &at);
    return o;
}

static void check(const struct cluster *c) {
    int32_t pods = 0, available = 0;
    const struct api_object *o;
    for (size_t at = 0; (o = world_next(c->w, "Pod", "default", &at));) {
        pods += pod_is_active((const struct core_v1_pod *)o);
        available += pod_is_ready((const struct core_v1_pod *)o);
    }
    if (pods > c->most) fail_msg("%d pods, at most %d are allowed", pods, c->most);
    if (available < c->least) fail_msg("%d available, at least %d are due", available, c->least);
}

static int reconcile_set(struct cluster *c, const struct api_object *rs) {
    char name[300];
    snprintf(name, sizeof name, "default/%s", rs->metadata.name);
    return run(c->w, "replicaset", name);
}

static void act(struct cluster *c) {
    const struct api_object *o;
    switch (next_random(c) % 3) {
    case 0: run(c->w, "deployment", key); break;
    case 1:
        if ((o = pick(c, "ReplicaSet"))) reconcile_set(c, o);
        break;
    default:
        if ((o = pick(c, "Pod")) && !pod_is_ready((const struct core_v1_pod *)o))
            pod_runs(c->w, o, true);
    }
}

static bool at_rest(struct cluster *c) {
    const struct api_object *o;
    size_t at = 0;
    if (run(c->w, "deployment", key)) return false;
    while ((o = world_next(c->w, "ReplicaSet", "default", &at)))
        if (reconcile_set(c, o)) return false;
    for (at = 0; (o = world_next(c->w, "Pod", "default", &at));)
        if (!pod_is_ready((const struct core_v1_pod *)o)) return false;
    return true;
}

/* Lets everybody act in a random order until nobody has anything to do. */
static void converge(struct cluster *c) {
    for (int i = 0; i < 20000; i++) {
        act(c);
        check(c);
        if (i % 50 == 49 && at_rest(c)) {
            check(c);
            assert_rests(c->w, "deployment", key);
            return;
        }
    }
    fail_msg("no rest after 20000 steps (seed %u)", c->seed);
}

/* Reconcilers, and so this world, do not see the images of pods: those of their sets. */
static size_t pods_of_image(const struct world *w, const char *image) {
    size_t n = 0;
    const struct api_object *o;
    for (size_t at = 0; (o = world_next(w, "Pod", "default", &at));) {
        const struct meta_v1_owner_reference *owner = api_controller_of(o);
        const struct apps_v1_replica_set *rs =
            owner ? (const struct apps_v1_replica_set *)world_get(w, "ReplicaSet", "default",
                                                                  owner->name)
                  : NULL;
        n += rs && str_eq(rs->spec.template.spec.containers.v[0].image, image);
    }
    return n;
}

static const char *condition_of(const struct apps_v1_deployment *d, const char *type,
                                const char **ret_reason) {
    for (size_t i = 0; i < d->status.conditions.n; i++)
        if (str_eq(d->status.conditions.v[i].type, type)) {
            if (ret_reason) *ret_reason = d->status.conditions.v[i].reason;
            return d->status.conditions.v[i].status;
        }
    return NULL;
}

TEST(a_rolling_update_keeps_its_promises_in_every_order) {
    static const struct {
        int replicas, surge, unavailable;
        const char *text;
    } cases[] = {
        {1, 1, 0,
         "{\"type\":\"RollingUpdate\",\"rollingUpdate\":{\"maxSurge\":1,"
         "\"maxUnavailable\":0}}"},
        {5, 0, 2,
         "{\"type\":\"RollingUpdate\",\"rollingUpdate\":{\"maxSurge\":0,"
         "\"maxUnavailable\":2}}"},
        {10, 3, 2, "{\"type\":\"RollingUpdate\"}"}, /* 25% up and down */
        {4, 4, 0,
         "{\"type\":\"RollingUpdate\",\"rollingUpdate\":{\"maxSurge\":\"100%\","
         "\"maxUnavailable\":\"0%\"}}"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        for (uint32_t seed = 1; seed <= 12; seed++) {
            struct world *w = world_test_new();
            int32_t n = cases[i].replicas;
            struct cluster c = {w, seed * 2654435761u, n, -1};
            add_deployment(w, n, cases[i].text);
            converge(&c);
            c.most = n + cases[i].surge;
            c.least = n - cases[i].unavailable;
            set_image(w, "two");
            for (int early = 0; early < 30; early++) act(&c), check(&c);
            set_image(w, "three"); /* in the middle of the rollout */
            converge(&c);
            assert_int_equal(pods_of_image(w, "three"), n);
            assert_int_equal(world_count(w, "Pod"), n);
            const struct apps_v1_deployment *d = get(w);
            const char *reason = NULL;
            assert_string_equal(condition_of(d, "Progressing", &reason), "True");
            assert_string_equal(reason, "NewReplicaSetAvailable");
            assert_string_equal(condition_of(d, "Available", NULL), "True");
            assert_int_equal(d->status.updated_replicas, n);
            assert_int_equal(d->status.unavailable_replicas, 0);
            assert_int_equal(d->status.observed_generation, d->metadata.generation);
            world_free(w);
        }
}

static const char *history_of(struct world *w, const char *set) {
    return str_map_get(&set_get(w, set)->metadata.annotations,
                       "deployment.kubernetes.io/revision-history");
}

TEST(a_rollback_takes_the_old_set_with_a_new_revision) {
    struct world *w = world_test_new();
    struct cluster c = {w, 7, 100, -1};
    add_deployment(w, 2, "{\"type\":\"RollingUpdate\"}");
    converge(&c);
    size_t at = 0;
    char first[100];
    snprintf(first, sizeof first, "%s", world_next(w, "ReplicaSet", "default", &at)->metadata.name);
    set_image(w, "two");
    converge(&c);
    assert_string_equal(
        str_map_get(&get(w)->metadata.annotations, "deployment.kubernetes.io/revision"), "2");
    set_image(w, "one");
    converge(&c);
    assert_int_equal(world_count(w, "ReplicaSet"), 2);
    assert_int_equal(*set_get(w, first)->spec.replicas, 2);
    assert_string_equal(
        str_map_get(&set_get(w, first)->metadata.annotations, "deployment.kubernetes.io/revision"),
        "3");
    assert_string_equal(
        str_map_get(&get(w)->metadata.annotations, "deployment.kubernetes.io/revision"), "3");
    assert_string_equal(history_of(w, first), "1");
    set_image(w, "two");
    converge(&c);
    set_image(w, "one");
    converge(&c);
    assert_string_equal(history_of(w, first), "1,3");
    world_free(w);
}

TEST(recreate_waits_until_the_last_old_pod_is_gone) {
    struct world *w = world_test_new();
    struct cluster c = {w, 3, 3, -1};
    add_deployment(w, 3, "{\"type\":\"Recreate\"}");
    converge(&c);
    /* One pod takes its time to end. */
    struct arena *a;
    size_t at = 0;
    struct api_object *o = edit(world_next(w, "Pod", "default", &at), &a);
    char slow[100];
    snprintf(slow, sizeof slow, "%s", o->metadata.name);
    o->metadata.deletion_timestamp = "2026-01-01T00:00:00Z";
    edit_done(w, a, o);
    set_image(w, "two");
    for (int i = 0; i < 200; i++) act(&c);
    assert_int_equal(pods_of_image(w, "two"), 0);
    assert_int_equal(world_count(w, "Pod"), 1);
    assert_string_equal(condition_of(get(w), "Available", NULL), "False");
    world_remove(w, world_kind(w, "Pod"), "default", slow);
    converge(&c);
    assert_string_equal(condition_of(get(w), "Available", NULL), "True");
    assert_int_equal(pods_of_image(w, "two"), 3);
    assert_int_equal(world_count(w, "Pod"), 3);
    world_free(w);
}

TEST(a_paused_deployment_scales_but_does_not_roll) {
    struct world *w = world_test_new();
    struct cluster c = {w, 11, 100, -1};
    const char *reason = NULL;
    add_deployment(w, 2, "{\"type\":\"RollingUpdate\"}");
    converge(&c);
    set_image(w, "two");
    converge(&c); /* an old set of no pods does not count */
    set_paused(w, true);
    set_image(w, "three");
    converge(&c);
    assert_int_equal(pods_of_image(w, "two"), 2);
    assert_string_equal(condition_of(get(w), "Progressing", &reason), "Unknown");
    assert_string_equal(reason, "DeploymentPaused");
    set_replicas(w, 5);
    converge(&c);
    assert_int_equal(pods_of_image(w, "two"), 5);
    assert_int_equal(world_count(w, "Pod"), 5);
    set_paused(w, false);
    converge(&c);
    assert_int_equal(pods_of_image(w, "three"), 5);
    assert_string_equal(condition_of(get(w), "Progressing", &reason), "True");
    world_free(w);
}

TEST(scaling_in_the_middle_of_a_paused_rollout_is_shared) {
    struct rollout_set old = {.replicas = 6};
    struct rollout r = {
        .replicas = 18, .surge = 3, .current = {.replicas = 3}, .old = &old, .n_old = 1};
    rollout_scale(&r);
    assert_int_equal(old.want, 14);
    assert_int_equal(r.current.want, 7);
    r.replicas = 0;
    rollout_scale(&r);
    assert_int_equal(old.want + r.current.want, 0);
}

TEST(shares_of_a_scaling_are_rounded_and_add_up) {
    struct rollout_set old = {.replicas = 8};
    struct rollout r = {
        .replicas = 30, .surge = 3, .current = {.replicas = 5}, .old = &old, .n_old = 1};
    rollout_scale(&r);
    assert_int_equal(old.want, 20);
    assert_int_equal(r.current.want, 13);
}

/* Everything but the node goes on. */
static void no_pod_starts(struct world *w) {
    for (int i = 0; i < 12; i++) {
        const struct api_object *o;
        run(w, "deployment", key);
        for (size_t at = 0; (o = world_next(w, "ReplicaSet", "default", &at));) {
            OWN(buf_done) struct buf set = {0};
            buf_printf(&set, "default/%s", o->metadata.name);
            run(w, "replicaset", set.p);
        }
    }
}

TEST(a_rolling_update_that_is_stuck_is_scaled_in_proportion) {
    struct world *w = world_test_new();
    struct cluster c = {w, 10, 100, -1};
    add_deployment(w, 10,
                   "{\"type\":\"RollingUpdate\",\"rollingUpdate\":{\"maxSurge\":3,"
                   "\"maxUnavailable\":2}}");
    converge(&c);
    set_image(w, "two");
    no_pod_starts(w);
    set_replicas(w, 30);
    no_pod_starts(w);
    assert_int_equal(pods_of_image(w, "one"), 20);
    assert_int_equal(pods_of_image(w, "two"), 13);
    world_free(w);
}

TEST(history_is_kept_up_to_its_limit) {
    struct world *w = world_test_new();
    struct cluster c = {w, 5, 100, -1};
    add_deployment(w, 1, "{\"type\":\"RollingUpdate\"}");
    struct arena *a;
    struct apps_v1_deployment *d = change(w, &a);
    d->spec.revision_history_limit = int_new(a, 2);
    edit_done(w, a, (struct api_object *)d);
    char image[8];
    for (int i = 0; i < 6; i++) {
        snprintf(image, sizeof image, "v%d", i);
        set_image(w, image);
        converge(&c);
    }
    assert_int_equal(world_count(w, "ReplicaSet"), 3);
    const struct api_object *o;
    for (size_t at = 0; (o = world_next(w, "ReplicaSet", "default", &at));) {
        const char *revision =
            str_map_get(&o->metadata.annotations, "deployment.kubernetes.io/revision");
        assert_true(str_eq(revision, "4") || str_eq(revision, "5") || str_eq(revision, "6"));
    }
    world_free(w);
}

TEST(a_deployment_adopts_the_set_that_it_left_behind) {
    struct world *w = world_test_new();
    struct cluster c = {w, 9, 100, -1};
    add_deployment(w, 2, "{\"type\":\"RollingUpdate\"}");
    converge(&c);
    /* As `kubectl delete --cascade=orphan`, and the same again. */
    size_t at = 0;
    struct arena *a;
    struct api_object *rs = edit(world_next(w, "ReplicaSet", "default", &at), &a);
    rs->metadata.owner_references.n = 0;
    edit_done(w, a, rs);
    world_remove(w, world_kind(w, "Deployment"), "default", "web");
    add_deployment(w, 3, "{\"type\":\"RollingUpdate\"}");
    converge(&c);
    assert_int_equal(world_count(w, "ReplicaSet"), 1);
    assert_int_equal(world_count(w, "Pod"), 3);
    assert_null(get(w)->status.collision_count);
    /* A set whose labels do not match any more is let go. */
    at = 0;
    rs = edit(world_next(w, "ReplicaSet", "default", &at), &a);
    str_map_set(a, &rs->metadata.labels, "app", "other");
    edit_done(w, a, rs);
    run(w, "deployment", key);
    at = 0;
    assert_null(api_controller_of(world_next(w, "ReplicaSet", "default", &at)));
    world_free(w);
}

TEST(a_name_that_is_taken_is_counted_as_a_collision) {
    struct world *w = world_test_new();
    struct cluster c = {w, 13, 100, -1};
    add_deployment(w, 1, "{\"type\":\"RollingUpdate\"}");
    OWN(arena_free_p) struct arena *t = arena_new();
    world_add_json(
        w, arena_printf(t,
                        "{\"apiVersion\":\"apps/v1\",\"kind\":\"ReplicaSet\",\"metadata\":{"
                        "\"name\":\"web-%s\",\"namespace\":\"default\"},\"spec\":{\"replicas\":0,"
                        "\"selector\":{\"matchLabels\":{\"a\":\"b\"}}}}",
                        template_hash(t, &get(w)->spec.template, NULL)));
    converge(&c);
    assert_int_equal(*get(w)->status.collision_count, 1);
    assert_int_equal(world_count(w, "ReplicaSet"), 2);
    assert_int_equal(world_count(w, "Pod"), 1);
    world_free(w);
}

TEST(a_rollout_that_stands_still_is_told_after_its_deadline) {
    struct world *w = world_test_new();
    const char *reason = NULL;
    add_deployment(w, 1, "{\"type\":\"RollingUpdate\"}");
    settle(w, "deployment", key);
    OWN(plan_free_p) struct plan *p = plan_of(w, "deployment", key);
    uint64_t ms = 0;
    assert_true(plan_requeue_ms(p, &ms));
    assert_int_equal(ms, 600000);
    pass_ms(w, 600000);
    settle(w, "deployment", key);
    assert_string_equal(condition_of(get(w), "Progressing", &reason), "False");
    assert_string_equal(reason, "ProgressDeadlineExceeded");
    world_free(w);
}

TEST(what_keeps_a_set_from_its_pods_is_told_by_the_deployment) {
    struct world *w = world_test_new();
    const char *reason = NULL;
    add_deployment(w, 1, "{\"type\":\"RollingUpdate\"}");
    settle(w, "deployment", key);
    size_t at = 0;
    struct arena *a;
    struct apps_v1_replica_set *rs =
        (struct apps_v1_replica_set *)edit(world_next(w, "ReplicaSet", "default", &at), &a);
    *ARENA_PUSH(a, &rs->status.conditions) =
        (struct apps_v1_replica_set_condition){.type = "ReplicaFailure",
                                               .status = "True",
                                               .reason = "FailedCreate",
                                               .message = "exceeded quota"};
    edit_done(w, a, (struct api_object *)rs);
    settle(w, "deployment", key);
    assert_string_equal(condition_of(get(w), "ReplicaFailure", &reason), "True");
    assert_string_equal(reason, "FailedCreate");
    at = 0;
    rs = (struct apps_v1_replica_set *)edit(world_next(w, "ReplicaSet", "default", &at), &a);
    rs->status.conditions.n = 0;
    edit_done(w, a, (struct api_object *)rs);
    settle(w, "deployment", key);
    assert_null(condition_of(get(w), "ReplicaFailure", NULL));
    world_free(w);
}

TEST(a_set_that_cannot_be_made_is_told) {
    struct world *w = world_test_new();
    struct err err = {0};
    const char *reason = NULL;
    add_deployment(w, 1, "{\"type\":\"RollingUpdate\"}");
    OWN(plan_free_p) struct plan *p = plan_after(w, "deployment", key, "forbidden by policy");
    assert_int_equal(plan_at(p, 0)->op, PLAN_UPDATE_STATUS); /* not behind what fails again */
    const struct plan_step *made = plan_find(p, PLAN_CREATE, "ReplicaSet", 0);
    assert_string_equal(made->report_failed, "ReplicaSetCreateError");
    world_apply(w, p, &err);
    assert_string_equal(condition_of(get(w), "Progressing", &reason), "False");
    assert_string_equal(reason, "ReplicaSetCreateError");
    settle(w, "deployment", key);
    assert_string_equal(condition_of(get(w), "Progressing", &reason), "True");
    world_free(w);
}

TEST(limits_of_a_rollout_round_as_kubernetes_does) {
    int32_t surge, unavailable;
    rollout_limits(NULL, NULL, 10, &surge, &unavailable);
    assert_int_equal(surge, 3);
    assert_int_equal(unavailable, 2);
    struct int_or_string zero = {.kind = IOS_INT}, percent = {.kind = IOS_STRING, .s = "10%"};
    rollout_limits(&zero, &percent, 5, &surge, &unavailable);
    assert_int_equal(surge, 0);
    assert_int_equal(unavailable, 1); /* both zero would never move */
}
