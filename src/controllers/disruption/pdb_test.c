#include <stdio.h>

#include "api/rules/pods.h"
#include "base/times.h"
#include "controllers/fixture.h"

static const char key[] = "default/b";
typedef struct policy_v1_pod_disruption_budget budget;

static void add_budget(struct world *w, const char *rules) {
    char json[800];
    snprintf(json, sizeof json,
             "{\"apiVersion\":\"policy/v1\",\"kind\":\"PodDisruptionBudget\",\"metadata\":{"
             "\"name\":\"b\",\"namespace\":\"default\",\"generation\":1},\"spec\":{%s,"
             "\"selector\":{\"matchLabels\":{\"app\":\"web\"}}}}",
             rules);
    world_add_json(w, json);
}

/* Pods of "web" named p0, p1, … that are ready; owner is JSON or "". */
static void add_pods(struct world *w, const char *prefix, int n, const char *owner) {
    for (int i = 0; i < n; i++) {
        char json[800];
        snprintf(json, sizeof json,
                 "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"%s%d\","
                 "\"namespace\":\"default\",\"labels\":{\"app\":\"web\"}%s},\"spec\":{"
                 "\"containers\":[{\"name\":\"c\",\"image\":\"i\"}]}}",
                 prefix, i, owner);
        pod_runs(w, world_add_json(w, json), true);
    }
}

#define OWNED(kind, version, name)                                                                 \
    ",\"ownerReferences\":[{\"apiVersion\":\"" version "\",\"kind\":\"" kind "\",\"name\":\"" name \
    "\",\"uid\":\"u-" name "\",\"controller\":true}]"

static void add_owner(struct world *w, const char *version, const char *kind, const char *name,
                      int replicas, const char *owner) {
    char json[800];
    snprintf(json, sizeof json,
             "{\"apiVersion\":\"%s\",\"kind\":\"%s\",\"metadata\":{\"name\":\"%s\",\"namespace\":"
             "\"default\",\"uid\":\"u-%s\"%s},\"spec\":{\"replicas\":%d}}",
             version, kind, name, name, owner, replicas);
    world_add_json(w, json);
}

static const budget *get(const struct world *w) {
    return (const budget *)world_get(w, "PodDisruptionBudget", "default", "b");
}

static const struct meta_v1_condition *condition(const struct world *w) {
    const budget *b = get(w);
    for (size_t i = 0; i < b->status.conditions.n; i++)
        if (str_eq(b->status.conditions.v[i].type, "DisruptionAllowed"))
            return &b->status.conditions.v[i];
    fail_msg("no condition DisruptionAllowed");
    return NULL;
}

static void check(struct world *w, int32_t allowed, int32_t healthy, int32_t desired,
                  int32_t expected) {
    settle(w, "disruption", key);
    const struct policy_v1_pod_disruption_budget_status *s = &get(w)->status;
    if (s->disruptions_allowed != allowed || s->current_healthy != healthy ||
        s->desired_healthy != desired || s->expected_pods != expected)
        fail_msg("allowed %d healthy %d desired %d expected %d, not %d %d %d %d",
                 s->disruptions_allowed, s->current_healthy, s->desired_healthy, s->expected_pods,
                 allowed, healthy, desired, expected);
    assert_int_equal(s->observed_generation, 1);
    assert_string_equal(condition(w)->status, allowed ? "True" : "False");
    assert_string_equal(condition(w)->reason, allowed ? "SufficientPods" : "InsufficientPods");
}

TEST(a_budget_without_pods_allows_nothing) {
    struct world *w = world_test_new();
    add_budget(w, "\"minAvailable\":0");
    check(w, 0, 0, 0, 0);
    world_free(w);
}

TEST(a_budget_by_number_counts_its_pods) {
    struct world *w = world_test_new();
    add_budget(w, "\"minAvailable\":2");
    add_pods(w, "p", 3, "");
    check(w, 1, 3, 2, 3);
    pod_runs(w, (const struct api_object *)pod_get(w, "p0"), false);
    check(w, 0, 2, 2, 3);
    pod_runs(w, (const struct api_object *)pod_get(w, "p1"), false);
    check(w, 0, 1, 2, 3);
    world_free(w);
}

TEST(a_percentage_is_of_what_the_controllers_want) {
    struct world *w = world_test_new();
    add_budget(w, "\"minAvailable\":\"51%\"");
    add_owner(w, "apps/v1", "Deployment", "dep", 10, "");
    add_owner(w, "apps/v1", "ReplicaSet", "old", 4, OWNED("Deployment", "apps/v1", "dep"));
    add_owner(w, "apps/v1", "ReplicaSet", "new", 6, OWNED("Deployment", "apps/v1", "dep"));
    add_owner(w, "apps/v1", "StatefulSet", "db", 3, "");
    add_owner(w, "v1", "ReplicationController", "rc", 2, "");
    add_pods(w, "old-", 4, OWNED("ReplicaSet", "apps/v1", "old"));
    add_pods(w, "new-", 3, OWNED("ReplicaSet", "apps/v1", "new"));
    add_pods(w, "db-", 3, OWNED("StatefulSet", "apps/v1", "db"));
    add_pods(w, "rc-", 1, OWNED("ReplicationController", "v1", "rc"));
    check(w, 3, 11, 8, 15);
    world_free(w);
}

TEST(max_unavailable_rounds_up) {
    struct world *w = world_test_new();
    add_budget(w, "\"maxUnavailable\":\"10%\"");
    add_owner(w, "apps/v1", "ReplicaSet", "rs", 7, "");
    add_pods(w, "p", 7, OWNED("ReplicaSet", "apps/v1", "rs"));
    check(w, 1, 7, 6, 7);
    world_free(w);
}

TEST(max_unavailable_is_of_replicas_that_have_not_come_too) {
    struct world *w = world_test_new();
    add_budget(w, "\"maxUnavailable\":1");
    add_owner(w, "apps/v1", "ReplicaSet", "rs", 5, "");
    add_pods(w, "p", 3, OWNED("ReplicaSet", "apps/v1", "rs"));
    check(w, 0, 3, 4, 5);
    world_free(w);
}

TEST(pods_without_a_controller_count_for_nothing_in_a_percentage) {
    struct world *w = world_test_new();
    add_budget(w, "\"maxUnavailable\":\"50%\"");
    add_pods(w, "p", 3, "");
    OWN(plan_free_p) struct plan *p = plan_of(w, "disruption", key);
    assert_true(plan_find(p, PLAN_EVENT, NULL, 0) != NULL);
    assert_string_equal(plan_find(p, PLAN_EVENT, NULL, 0)->reason, "UnmanagedPods");
    check(w, 0, 3, 0, 0);
    world_free(w);
}

TEST(what_cannot_be_counted_forbids_evictions) {
    struct world *w = world_test_new();
    add_budget(w, "\"minAvailable\":\"50%\"");
    add_pods(w, "p", 2, OWNED("ReplicaSet", "apps/v1", "gone"));
    settle(w, "disruption", key);
    assert_int_equal(get(w)->status.disruptions_allowed, 0);
    assert_string_equal(condition(w)->reason, "SyncFailed");
    assert_string_equal(condition(w)->message, "found no controllers for pod \"p0\"");
    add_owner(w, "apps/v1", "ReplicaSet", "gone", 2, "");
    check(w, 1, 2, 1, 2);
    world_free(w);
}

TEST(a_job_has_no_scale) {
    struct world *w = world_test_new();
    add_budget(w, "\"minAvailable\":\"50%\"");
    add_pods(w, "p", 2, OWNED("Job", "batch/v1", "j"));
    settle(w, "disruption", key);
    assert_string_equal(condition(w)->message,
                        "jobs.batch does not implement the scale subresource");
    world_free(w);
}

TEST(the_scale_of_other_kinds_is_asked_for) {
    static struct api_kind things = {.group = "example.com",
                                     .version = "v1",
                                     .kind = "Thing",
                                     .plural = "things",
                                     .api_version = "example.com/v1",
                                     .flags = API_NAMESPACED};
    static const char path[] = "/apis/example.com/v1/namespaces/default/things/t/scale";
    struct world *w = world_test_new();
    uint64_t period_ms;
    things.type = api_kind_by_name("", "v1", "ConfigMap")->type;
    api_kind_add(&things);
    add_budget(w, "\"minAvailable\":\"50%\"");
    add_pods(w, "p", 3, OWNED("Thing", "example.com/v1", "t"));
    OWN(plan_free_p) struct plan *p = plan_of(w, "disruption", key);
    assert_int_equal(plan_count(p), 0);
    assert_string_equal(plan_want_at(p, 0, &period_ms), path);
    world_set_fact(w, path, world_now_ns(w),
                   SLICE("{\"metadata\":{\"uid\":\"u-t\"},\"spec\":{\"replicas\":4}}"), NULL);
    check(w, 1, 3, 2, 4);
    struct err err;
    err_set(&err, ERR_NOT_FOUND, "things.example.com \"t\" not found");
    world_set_fact(w, path, world_now_ns(w), SLICE(""), &err);
    settle(w, "disruption", key);
    assert_int_equal(get(w)->status.disruptions_allowed, 0);
    assert_string_equal(condition(w)->message, "things.example.com \"t\" not found");
    api_kind_remove(&things);
    world_free(w);
}

static void grant(struct world *w, const char *pod) {
    struct arena *a;
    budget *b = (budget *)edit((const struct api_object *)get(w), &a);
    b->status.disruptions_allowed--;
    str_map_set(a, &b->status.disrupted_pods, pod, now_text(a, w));
    edit_done(w, a, (struct api_object *)b);
}

TEST(a_granted_eviction_counts_until_the_pod_goes) {
    struct world *w = world_test_new();
    add_budget(w, "\"minAvailable\":2");
    add_pods(w, "p", 4, "");
    check(w, 2, 4, 2, 4);
    grant(w, "p1");
    check(w, 1, 3, 2, 4);
    assert_int_equal(get(w)->status.disrupted_pods.n, 1);
    world_remove(w, api_kind_by_name("", "v1", "Pod"), "default", "p1");
    check(w, 1, 3, 2, 3);
    assert_int_equal(get(w)->status.disrupted_pods.n, 0);
    world_free(w);
}

TEST(a_granted_eviction_that_never_comes_expires) {
    struct world *w = world_test_new();
    add_budget(w, "\"minAvailable\":2");
    add_pods(w, "p", 3, "");
    check(w, 1, 3, 2, 3);
    pass_ms(w, 1000);
    grant(w, "p1");
    check(w, 0, 2, 2, 3);
    OWN(plan_free_p) struct plan *p = plan_of(w, "disruption", key);
    uint64_t after_ms;
    assert_true(plan_requeue_ms(p, &after_ms));
    assert_int_equal(after_ms, 120000);
    pass_ms(w, 121000);
    check(w, 1, 3, 2, 3);
    world_free(w);
}

TEST(a_later_pod_of_the_same_name_was_not_evicted) {
    struct world *w = world_test_new();
    add_budget(w, "\"minAvailable\":2");
    add_pods(w, "p", 3, "");
    check(w, 1, 3, 2, 3);
    pass_ms(w, 1000);
    grant(w, "p0");
    world_remove(w, api_kind_by_name("", "v1", "Pod"), "default", "p0");
    pass_ms(w, 2000);
    add_pods(w, "p", 1, "");
    check(w, 1, 3, 2, 3);
    world_free(w);
}

TEST(the_condition_keeps_its_time_while_nothing_changes) {
    struct world *w = world_test_new();
    add_budget(w, "\"minAvailable\":1");
    add_pods(w, "p", 2, "");
    check(w, 1, 2, 1, 2);
    char since[TIME_TEXT_MAX];
    snprintf(since, sizeof since, "%s", condition(w)->last_transition_time);
    pass_ms(w, 5000);
    add_pods(w, "q", 1, "");
    check(w, 2, 3, 1, 3);
    assert_string_equal(condition(w)->last_transition_time, since);
    world_free(w);
}
