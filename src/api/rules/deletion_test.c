#include "api/rules/deletion.h"
#include "api/rules/pods.h"
#include "base/own.h"
#include "base/test.h"

static const char now[] = "2026-01-02T03:04:05Z";
static const int64_t now_ns = 1767323045000000000;

static const struct api_kind *kind_of(const char *name) {
    return api_kind_by_name(str_eq(name, "Deployment") ? "apps" : "", "v1", name);
}

static enum deletion_outcome apply(struct arena *a, const char *kind, void *o, int64_t grace_s,
                                   enum propagation policy) {
    const struct deletion d = {.grace_s = grace_s, .policy = policy};
    return deletion_apply(a, kind_of(kind), o, &d, now_ns);
}

static struct core_v1_pod bound(struct arena *a, int64_t own_grace_s) {
    struct core_v1_pod p = {.metadata.name = "p", .spec.node_name = "n1"};
    p.spec.termination_grace_period_seconds = arena_copy(a, &own_grace_s, sizeof own_grace_s);
    return p;
}

TEST(pod_that_runs_gets_its_grace) {
    static const struct {
        int64_t own_s, asked_s, expected_s; /* 0: it goes at once */
    } cases[] = {{40, -1, 40}, {40, 5, 5}, {40, 0, 0}, {-7, -1, 1}};
    OWN(arena_free_p) struct arena *a = arena_new();
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct core_v1_pod p = bound(a, cases[i].own_s);
        enum deletion_outcome o = apply(a, "Pod", &p, cases[i].asked_s, PROPAGATE_DEFAULT);
        assert_int_equal(o, cases[i].expected_s ? DELETION_LATER : DELETION_NOW);
        if (o == DELETION_LATER)
            assert_int_equal(*p.metadata.deletion_grace_period_seconds, cases[i].expected_s);
    }
}

TEST(pod_of_which_nothing_runs_goes_at_once) {
    OWN(arena_free_p) struct arena *a = arena_new();
    struct core_v1_pod waits = bound(a, 40), done = bound(a, 40);
    waits.spec.node_name = NULL;
    done.status.phase = "Succeeded";
    assert_int_equal(apply(a, "Pod", &waits, -1, PROPAGATE_DEFAULT), DELETION_NOW);
    assert_int_equal(apply(a, "Pod", &done, -1, PROPAGATE_DEFAULT), DELETION_NOW);
}

TEST(second_deletion_may_only_shorten_the_grace) {
    OWN(arena_free_p) struct arena *a = arena_new();
    struct core_v1_pod p = bound(a, 40);
    apply(a, "Pod", &p, 40, PROPAGATE_DEFAULT);
    assert_string_equal(p.metadata.deletion_timestamp, "2026-01-02T03:04:45Z");
    assert_int_equal(apply(a, "Pod", &p, 50, PROPAGATE_DEFAULT), DELETION_NOTHING);
    assert_int_equal(apply(a, "Pod", &p, -1, PROPAGATE_DEFAULT), DELETION_NOTHING);
    assert_int_equal(apply(a, "Pod", &p, 10, PROPAGATE_DEFAULT), DELETION_LATER);
    assert_string_equal(p.metadata.deletion_timestamp, "2026-01-02T03:04:15Z");
    assert_int_equal(apply(a, "Pod", &p, 0, PROPAGATE_DEFAULT), DELETION_NOW);
}

TEST(propagation_is_a_finalizer) {
    OWN(arena_free_p) struct arena *a = arena_new();
    struct apps_v1_deployment d = {.metadata.name = "d"};
    assert_int_equal(apply(a, "Deployment", &d, -1, PROPAGATE_FOREGROUND), DELETION_LATER);
    assert_string_equal(d.metadata.finalizers.v[0], "foregroundDeletion");
    assert_string_equal(d.metadata.deletion_timestamp, now);
    assert_int_equal(d.metadata.generation, 1);
    assert_int_equal(apply(a, "Deployment", &d, -1, PROPAGATE_FOREGROUND), DELETION_NOTHING);
    assert_int_equal(apply(a, "Deployment", &d, -1, PROPAGATE_BACKGROUND), DELETION_NOW);
    assert_int_equal(d.metadata.generation, 1);
}

TEST(one_more_finalizer_is_set_by_the_first_deletion_only) {
    OWN(arena_free_p) struct arena *a = arena_new();
    const struct deletion how = {.grace_s = -1, .finalizer = "example.com/clean"};
    struct apps_v1_deployment d = {.metadata.name = "d"};
    assert_int_equal(deletion_apply(a, kind_of("Deployment"), (void *)&d, &how, now_ns),
                     DELETION_LATER);
    assert_true(str_list_has(&d.metadata.finalizers, "example.com/clean"));
    d.metadata.finalizers = (struct str_list){0};
    assert_int_equal(deletion_apply(a, kind_of("Deployment"), (void *)&d, &how, now_ns),
                     DELETION_NOW);
}

TEST(deletion_is_over_when_nothing_is_waited_for) {
    OWN(arena_free_p) struct arena *a = arena_new();
    struct core_v1_namespace n = {.metadata.name = "n"};
    const struct api_object *o = (const void *)&n;
    *ARENA_PUSH(a, &n.spec.finalizers) = "kubernetes";
    assert_false(deletion_is_complete(kind_of("Namespace"), o));
    assert_int_equal(apply(a, "Namespace", &n, -1, PROPAGATE_DEFAULT), DELETION_LATER);
    assert_string_equal(n.status.phase, "Terminating");
    assert_false(deletion_is_complete(kind_of("Namespace"), o));
    n.spec.finalizers.n = 0;
    assert_true(deletion_is_complete(kind_of("Namespace"), o));
    int64_t left_s = 3;
    n.metadata.deletion_grace_period_seconds = &left_s;
    assert_false(deletion_is_complete(kind_of("Namespace"), o));
}

TEST(some_kinds_answer_their_deletion_with_the_object) {
    assert_true(deletion_answers_object(kind_of("Pod")));
    assert_false(deletion_answers_object(kind_of("ConfigMap")));
    assert_false(deletion_answers_object(kind_of("Deployment")));
}

TEST(eviction_is_free_for_pods_that_are_not_ready) {
    OWN(arena_free_p) struct arena *a = arena_new();
    struct core_v1_pod p = {0};
    struct policy_v1_pod_disruption_budget b = {0};
    b.status.desired_healthy = 2;
    b.status.current_healthy = 1;
    assert_false(eviction_is_free(&p, &b));
    b.status.current_healthy = 2;
    assert_true(eviction_is_free(&p, &b));
    b.status.current_healthy = 1;
    b.spec.unhealthy_pod_eviction_policy = "AlwaysAllow";
    assert_true(eviction_is_free(&p, &b));
    pod_condition_set(a, &p, "Ready", "True", NULL, NULL, now);
    assert_false(eviction_is_free(&p, &b));
}
