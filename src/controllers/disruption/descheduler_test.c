#include <stdio.h>
#include <string.h>

#include "base/times.h"
#include "controllers/disruption/descheduler_score.h"
#include "controllers/fixture.h"

static const char key[] = "d";
typedef struct descheduling_v1alpha1_descheduler_policy policy;

static void add_policy(struct world *w, const char *strategies, const char *more) {
    char json[1200];
    struct err none = {.reason = ERR_NOT_FOUND, .text = "not found"};
    world_set_fact(w, SCHEDULER_CONFIGURATION_PATH, world_now_ns(w), (struct slice){0}, &none);
    snprintf(json, sizeof json,
             "{\"apiVersion\":\"descheduling.atoll.dev/v1alpha1\",\"kind\":\"DeschedulerPolicy\","
             "\"metadata\":{\"name\":\"d\",\"generation\":1},\"spec\":{\"strategies\":{%s}%s}}",
             strategies, more);
    world_add_json(w, json);
}

static const struct descheduling_v1alpha1_descheduler_policy_status *
status_of(const struct world *w) {
    return &((const policy *)world_get(w, "DeschedulerPolicy", NULL, "d"))->status;
}

/* 4 CPU, 8 GiB, 20 pods. */
static void add_node(struct world *w, const char *name, const char *labels, const char *taints) {
    char json[1000];
    snprintf(json, sizeof json,
             "{\"apiVersion\":\"v1\",\"kind\":\"Node\",\"metadata\":{\"name\":\"%s\",\"labels\":{"
             "\"host\":\"%s\"%s}},\"spec\":{\"taints\":[%s]},\"status\":{\"allocatable\":{\"cpu\":"
             "\"4\",\"memory\":\"8Gi\",\"pods\":\"20\"},\"conditions\":[{\"type\":\"Ready\","
             "\"status\":\"True\"}]}}",
             name, name, labels, taints);
    world_add_json(w, json);
}

/* Of the ReplicaSet OWNER, with the label app=OWNER, two hours old. */
static void add_pod(struct world *w, const char *name, const char *node, const char *owner,
                    const char *cpu, const char *spec) {
    char json[2000];
    snprintf(json, sizeof json,
             "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"%s\",\"namespace\":"
             "\"default\",\"labels\":{\"app\":\"%s\"},\"creationTimestamp\":"
             "\"2025-12-31T22:00:00Z\",\"ownerReferences\":[{\"apiVersion\":\"apps/v1\",\"kind\":"
             "\"ReplicaSet\",\"name\":\"%s\",\"uid\":\"u-%s\",\"controller\":true}]},\"spec\":{"
             "\"nodeName\":\"%s\",\"containers\":[{\"name\":\"c\",\"resources\":{\"requests\":{"
             "\"cpu\":\"%s\",\"memory\":\"64Mi\"}}}]%s},\"status\":{\"phase\":\"Running\","
             "\"conditions\":[{\"type\":\"Ready\",\"status\":\"True\"}]}}",
             name, owner, owner, owner, node, cpu, spec);
    world_add_json(w, json);
}

/* Names of the pods that the next pass evicts, each followed by a space. */
static const char *evicted(const struct world *w) {
    static char text[2000];
    OWN(plan_free_p) struct plan *p = plan_of(w, "descheduler", key);
    size_t n = 0;
    text[0] = 0;
    for (size_t i = 0; i < plan_count_of(p, PLAN_EVICT, "Pod"); i++)
        n += (size_t)snprintf(text + n, sizeof text - n, "%s ",
                              plan_find(p, PLAN_EVICT, "Pod", i)->name);
    return text;
}

static void assert_held(const struct world *w, const char *why) {
    if (!strstr(str_or(status_of(w)->message, ""), why))
        fail_msg("%s, not %s", str_or(status_of(w)->message, "no message"), why);
}

/* What the owner and the scheduler do after an eviction. */
static void comes_back(struct world *w, const char *name, const char *node, const char *owner) {
    char json[1000], now[TIME_TEXT_MAX];
    time_format(now, world_now_ns(w));
    snprintf(json, sizeof json,
             "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"%s\",\"namespace\":"
             "\"default\",\"labels\":{\"app\":\"%s\"},\"creationTimestamp\":\"%s\","
             "\"ownerReferences\":[{\"apiVersion\":\"apps/v1\",\"kind\":\"ReplicaSet\",\"name\":"
             "\"%s\",\"uid\":\"u-%s\",\"controller\":true}]},\"spec\":{\"nodeName\":\"%s\","
             "\"nodeSelector\":{\"disk\":\"ssd\"},\"containers\":[]},\"status\":{\"phase\":"
             "\"Running\"}}",
             name, owner, now, owner, owner, node);
    world_add_json(w, json);
}

TEST(a_pod_whose_node_affinity_fails_moves) {
    struct world *w = world_test_new();
    add_node(w, "n1", "", "");
    add_node(w, "n2", ",\"disk\":\"ssd\"", "");
    add_pod(w, "wrong", "n1", "a", "1", ",\"nodeSelector\":{\"disk\":\"ssd\"}");
    add_pod(w, "right", "n2", "b", "1", ",\"nodeSelector\":{\"disk\":\"ssd\"}");
    add_policy(w, "\"nodeAffinity\":{}", "");
    assert_string_equal(evicted(w), "wrong ");
    OWN(plan_free_p) struct plan *p = plan_of(w, "descheduler", key);
    const struct plan_step *s = plan_find(p, PLAN_EVICT, "Pod", 0);
    assert_string_equal(s->report_done_text,
                        "evicted from node n1 by nodeAffinity: its node affinity does not match "
                        "its node; node n2 suits it");
    settle(w, "descheduler", key);
    assert_null(pod_get(w, "wrong"));
    assert_int_equal(status_of(w)->evictions, 1);
    assert_int_equal(status_of(w)->total_evictions, 1);
    assert_int_equal(status_of(w)->observed_generation, 1);
    world_free(w);
}

TEST(a_strategy_that_is_not_named_is_off) {
    struct world *w = world_test_new();
    add_node(w, "n1", "", "");
    add_node(w, "n2", ",\"disk\":\"ssd\"", "");
    add_pod(w, "wrong", "n1", "a", "1", ",\"nodeSelector\":{\"disk\":\"ssd\"}");
    add_policy(w, "\"nodeTaints\":{}", "");
    assert_string_equal(evicted(w), "");
    world_free(w);
}

TEST(a_pod_that_fits_nowhere_stays) {
    struct world *w = world_test_new();
    add_node(w, "n1", "", "");
    add_node(w, "n2", ",\"disk\":\"ssd\"", "");
    add_pod(w, "wrong", "n1", "a", "2", ",\"nodeSelector\":{\"disk\":\"ssd\"}");
    add_pod(w, "full", "n2", "b", "3", "");
    add_policy(w, "\"nodeAffinity\":{}", "");
    assert_string_equal(evicted(w), "");
    settle(w, "descheduler", key);
    assert_held(w, "1 since they fit nowhere");
    assert_int_equal(status_of(w)->candidates, 1);
    world_free(w);
}

TEST(a_dry_run_only_tells) {
    struct world *w = world_test_new();
    add_node(w, "n1", "", "");
    add_node(w, "n2", ",\"disk\":\"ssd\"", "");
    add_pod(w, "wrong", "n1", "a", "1", ",\"nodeSelector\":{\"disk\":\"ssd\"}");
    add_policy(w, "\"nodeAffinity\":{}", ",\"dryRun\":true");
    OWN(plan_free_p) struct plan *p = plan_of(w, "descheduler", key);
    assert_int_equal(plan_count_of(p, PLAN_EVICT, NULL), 0);
    assert_string_equal(plan_find(p, PLAN_EVENT, "Pod", 0)->reason, "DescheduleDryRun");
    settle(w, "descheduler", key);
    assert_int_equal(status_of(w)->evictions, 1);
    assert_int_equal(status_of(w)->total_evictions, 0);
    world_free(w);
}

TEST(a_suspended_policy_does_nothing) {
    struct world *w = world_test_new();
    add_node(w, "n1", "", "");
    add_node(w, "n2", ",\"disk\":\"ssd\"", "");
    add_pod(w, "wrong", "n1", "a", "1", ",\"nodeSelector\":{\"disk\":\"ssd\"}");
    add_policy(w, "\"nodeAffinity\":{}", ",\"suspend\":true");
    assert_rests(w, "descheduler", key);
    world_free(w);
}

TEST(passes_have_their_time) {
    struct world *w = world_test_new();
    add_node(w, "n1", "", "");
    add_policy(w, "\"nodeAffinity\":{}", ",\"intervalSeconds\":60");
    settle(w, "descheduler", key);
    pass_ms(w, 20 * 1000);
    OWN(plan_free_p) struct plan *p = plan_of(w, "descheduler", key);
    uint64_t after_ms;
    assert_int_equal(plan_count(p), 0);
    assert_true(plan_requeue_ms(p, &after_ms) && after_ms == 40000);
    pass_ms(w, 40 * 1000);
    assert_int_equal(run(w, "descheduler", key), 0); /* nothing new */
    pass_ms(w, 30 * 1000);
    OWN(plan_free_p) struct plan *later = plan_of(w, "descheduler", key);
    assert_true(plan_requeue_ms(later, &after_ms) && after_ms == 30000);
    world_free(w);
}

TEST(taints_that_came_later_move_pods) {
    struct world *w = world_test_new();
    add_node(w, "n1", "", "{\"key\":\"gpu\",\"effect\":\"NoSchedule\"}");
    add_node(w, "n2", "", "");
    add_node(w, "n3", "",
             "{\"key\":\"node.kubernetes.io/unschedulable\",\"effect\":\"NoSchedule\"}");
    add_pod(w, "plain", "n1", "a", "1", "");
    add_pod(w, "tolerant", "n1", "b", "1",
            ",\"tolerations\":[{\"key\":\"gpu\",\"operator\":\"Exists\"}]");
    add_pod(w, "cordoned", "n3", "c", "1", "");
    add_policy(w, "\"nodeTaints\":{}", "");
    assert_string_equal(evicted(w), "plain ");
    world_free(w);
}

#define APART(app)                                                                                 \
    ",\"affinity\":{\"podAntiAffinity\":{\"requiredDuringSchedulingIgnoredDuringExecution\":[{"    \
    "\"topologyKey\":\"host\",\"labelSelector\":{\"matchLabels\":{\"app\":\"" app "\"}}}]}}"
#define TOGETHER(app)                                                                              \
    ",\"affinity\":{\"podAffinity\":{\"requiredDuringSchedulingIgnoredDuringExecution\":[{"        \
    "\"topologyKey\":\"host\",\"labelSelector\":{\"matchLabels\":{\"app\":\"" app "\"}}}]}}"

TEST(anti_affinity_moves_the_lesser_pod) {
    struct world *w = world_test_new();
    add_node(w, "n1", "", "");
    add_node(w, "n2", "", "");
    add_pod(w, "keeper", "n1", "a", "1", APART("b") ",\"priority\":100");
    add_pod(w, "kept-off", "n1", "b", "1", ",\"priority\":1");
    add_policy(w, "\"podAntiAffinity\":{}", "");
    assert_string_equal(evicted(w), "kept-off ");
    world_free(w);
}

TEST(anti_affinity_that_no_node_can_satisfy_moves_nobody) {
    struct world *w = world_test_new();
    add_node(w, "n1", "", "");
    add_node(w, "n2", "", "");
    add_pod(w, "x", "n1", "a", "1", APART("a"));
    add_pod(w, "y", "n1", "a", "1", APART("a"));
    add_pod(w, "z", "n2", "a", "1", APART("a"));
    add_policy(w, "\"podAntiAffinity\":{}", "");
    assert_string_equal(evicted(w), "");
    world_free(w);
}

TEST(affinity_that_does_not_hold_any_more_moves_pods) {
    struct world *w = world_test_new();
    add_node(w, "n1", "", "");
    add_node(w, "n2", "", "");
    add_pod(w, "server", "n2", "server", "1", "");
    add_pod(w, "far", "n1", "a", "1", TOGETHER("server"));
    add_pod(w, "near", "n2", "b", "1", TOGETHER("server"));
    add_policy(w, "\"podAffinity\":{}", "");
    assert_string_equal(evicted(w), "far ");
    world_free(w);
}

#define SPREAD                                                                                     \
    ",\"topologySpreadConstraints\":[{\"maxSkew\":1,\"topologyKey\":\"zone\","                     \
    "\"whenUnsatisfiable\":\"DoNotSchedule\",\"labelSelector\":{\"matchLabels\":{\"app\":\"a\"}}}" \
    "]"

TEST(a_spread_that_became_uneven_is_mended) {
    struct world *w = world_test_new();
    add_node(w, "n1", ",\"zone\":\"x\"", "");
    add_node(w, "n2", ",\"zone\":\"y\"", "");
    add_pod(w, "p1", "n1", "a", "500m", SPREAD);
    add_pod(w, "p2", "n1", "a", "500m", SPREAD);
    add_policy(w, "\"topologySpread\":{}", ",\"cooldownSeconds\":0");
    assert_string_equal(evicted(w), "p1 ");
    add_pod(w, "p3", "n2", "a", "500m", SPREAD);
    assert_string_equal(evicted(w), ""); /* two and one: no more than maxSkew */
    world_free(w);
}

TEST(duplicates_move_to_nodes_with_fewer) {
    struct world *w = world_test_new();
    add_node(w, "n1", "", "");
    add_node(w, "n2", "", "");
    add_pod(w, "p1", "n1", "a", "500m", "");
    add_pod(w, "p2", "n1", "a", "500m", "");
    add_pod(w, "q1", "n1", "b", "500m", "");
    add_pod(w, "r1", "n1", "c", "100m", "");
    add_pod(w, "r2", "n1", "c", "100m", "");
    add_pod(w, "r3", "n2", "c", "100m", "");
    add_policy(w, "\"duplicates\":{}", "");
    assert_string_equal(evicted(w), "p2 ");
    world_free(w);
}

TEST(a_duplicate_that_would_come_back_stays) {
    struct world *w = world_test_new();
    add_node(w, "n1", "", "");
    add_node(w, "n2", "", "");
    add_pod(w, "p1", "n1", "a", "100m", "");
    add_pod(w, "p2", "n1", "a", "100m", "");
    add_pod(w, "big", "n2", "b", "3", "");
    add_policy(w, "\"duplicates\":{}", "");
    settle(w, "descheduler", key);
    assert_held(w, "1 since they would come back to their node");
    world_free(w);
}

#define LEVELS                                                                                     \
    "\"lowNodeUtilization\":{\"thresholds\":{\"cpu\":20,\"pods\":20},"                             \
    "\"targetThresholds\":{\"cpu\":50,\"pods\":50}}"

TEST(full_nodes_give_to_nearly_empty_ones_until_they_are_not_full) {
    struct world *w = world_test_new();
    add_node(w, "n1", "", "");
    add_node(w, "n2", "", "");
    add_pod(w, "p1", "n1", "a", "1", ",\"priority\":9");
    add_pod(w, "p2", "n1", "b", "1", "");
    add_pod(w, "p3", "n1", "c", "500m", ",\"priority\":5");
    add_pod(w, "p4", "n1", "d", "500m", ",\"priority\":1");
    add_policy(w, LEVELS, "");
    assert_string_equal(evicted(w), "p2 ");
    world_free(w);
}

TEST(nothing_moves_when_no_node_is_nearly_empty) {
    struct world *w = world_test_new();
    add_node(w, "n1", "", "");
    add_node(w, "n2", "", "");
    add_pod(w, "p1", "n1", "a", "3", "");
    add_pod(w, "p2", "n2", "b", "1", "");
    add_policy(w, LEVELS, "");
    assert_string_equal(evicted(w), "");
    world_free(w);
}

TEST(a_node_does_not_become_full_by_what_it_is_given) {
    struct world *w = world_test_new();
    add_node(w, "n1", "", "");
    add_node(w, "n2", "", "");
    add_pod(w, "big", "n1", "a", "3", "");
    add_policy(w, LEVELS, "");
    assert_string_equal(evicted(w), "");
    world_free(w);
}

static void restarts(struct world *w, const char *name, int32_t n) {
    struct arena *a;
    struct core_v1_pod *p =
        (struct core_v1_pod *)edit((const struct api_object *)pod_get(w, name), &a);
    struct core_v1_container_status *s = ARENA_PUSH(a, &p->status.container_statuses);
    *s = (struct core_v1_container_status){.name = "c", .restart_count = n};
    edit_done(w, a, (struct api_object *)p);
}

TEST(pods_that_restart_too_often_try_another_node) {
    struct world *w = world_test_new();
    add_node(w, "n1", "", "");
    add_node(w, "n2", "", "");
    add_pod(w, "bad", "n1", "a", "1", "");
    add_pod(w, "fair", "n1", "b", "1", "");
    restarts(w, "bad", 7);
    restarts(w, "fair", 2);
    add_policy(w, "\"tooManyRestarts\":{\"podRestartThreshold\":5}", "");
    assert_string_equal(evicted(w), "bad ");
    world_free(w);
}

TEST(pods_that_are_too_old_go_when_another_node_is_better) {
    struct world *w = world_test_new();
    add_node(w, "n1", "", "");
    add_node(w, "n2", "", "");
    add_pod(w, "old", "n1", "a", "1", "");
    add_pod(w, "other", "n1", "b", "1", "");
    add_policy(w, "\"podLifeTime\":{\"maxPodLifeTimeSeconds\":3600}", "");
    /* Once one has moved, both nodes are alike, and the other would come back. */
    assert_string_equal(evicted(w), "old ");
    /* A scheduler that fills nodes would put it where it is. */
    static const char most[] =
        "{\"data\":{\"x\":\"{kind: KubeSchedulerConfiguration, profiles: [{schedulerName: "
        "default-scheduler, pluginConfig: [{name: NodeResourcesFit, args: {scoringStrategy: {type: "
        "MostAllocated}}}]}]}\"}}";
    world_set_fact(w, SCHEDULER_CONFIGURATION_PATH, world_now_ns(w), slice_of(most), NULL);
    assert_string_equal(evicted(w), "");
    world_free(w);
}

/* ---- limits ---- */

static void add_wrong(struct world *w, int n) {
    add_node(w, "n1", "", "");
    add_node(w, "n2", ",\"disk\":\"ssd\"", "");
    for (int i = 0; i < n; i++) {
        char name[16], owner[16];
        snprintf(name, sizeof name, "p%d", i);
        snprintf(owner, sizeof owner, "o%d", i);
        add_pod(w, name, "n1", owner, "100m", ",\"nodeSelector\":{\"disk\":\"ssd\"}");
    }
}

TEST(limits_bound_a_pass) {
    struct world *w = world_test_new();
    add_wrong(w, 6);
    add_policy(w, "\"nodeAffinity\":{}", ",\"maxEvictionsPerPass\":4,\"maxEvictionsPerNode\":2");
    assert_int_equal(strlen(evicted(w)), 2 * 3);
    settle(w, "descheduler", key);
    assert_held(w, "4 by the limits of a pass");
    world_free(w);
}

TEST(one_pod_of_each_controller_at_a_time) {
    struct world *w = world_test_new();
    add_wrong(w, 1);
    add_pod(w, "q", "n1", "o0", "100m", ",\"nodeSelector\":{\"disk\":\"ssd\"}");
    add_policy(w, "\"nodeAffinity\":{}", ",\"intervalSeconds\":60");
    assert_string_equal(evicted(w), "p0 ");
    settle(w, "descheduler", key);
    pass_ms(w, 61 * 1000);
    assert_string_equal(evicted(w), "");
    pass_ms(w, 600 * 1000);
    assert_string_equal(evicted(w), "q ");
    world_free(w);
}

TEST(budgets_are_kept) {
    struct world *w = world_test_new();
    add_wrong(w, 3);
    add_policy(w, "\"nodeAffinity\":{}", "");
    const char *budgets[] = {"{\"app\":\"o0\"}", "{\"app\":\"o1\"}"};
    for (int i = 0; i < 2; i++) {
        char json[500];
        snprintf(json, sizeof json,
                 "{\"apiVersion\":\"policy/v1\",\"kind\":\"PodDisruptionBudget\",\"metadata\":{"
                 "\"name\":\"b%d\",\"namespace\":\"default\",\"generation\":1},\"spec\":{"
                 "\"selector\":{\"matchLabels\":%s}},\"status\":{\"observedGeneration\":1,"
                 "\"disruptionsAllowed\":%d}}",
                 i, budgets[i], i);
        world_add_json(w, json);
    }
    assert_string_equal(evicted(w), "p1 p2 ");
    settle(w, "descheduler", key);
    assert_held(w, "1 by disruption budgets");
    assert_non_null(pod_get(w, "p0"));
    world_free(w);
}

TEST(pods_without_a_controller_and_of_daemon_sets_stay) {
    struct world *w = world_test_new();
    struct arena *a;
    add_wrong(w, 3);
    struct api_object *o = edit((const struct api_object *)pod_get(w, "p0"), &a);
    o->metadata.owner_references.n = 0;
    edit_done(w, a, o);
    o = edit((const struct api_object *)pod_get(w, "p1"), &a);
    o->metadata.owner_references.v[0].kind = "DaemonSet";
    edit_done(w, a, o);
    add_policy(w, "\"nodeAffinity\":{}", "");
    assert_string_equal(evicted(w), "p2 ");
    world_free(w);
}

TEST(young_important_and_local_pods_stay) {
    struct world *w = world_test_new();
    struct arena *a;
    add_wrong(w, 1);
    add_pod(w, "young", "n1", "y", "1", ",\"nodeSelector\":{\"disk\":\"ssd\"}");
    struct api_object *o = edit((const struct api_object *)pod_get(w, "young"), &a);
    o->metadata.creation_timestamp = "2025-12-31T23:59:30Z";
    edit_done(w, a, o);
    add_pod(w, "vital", "n1", "v", "1",
            ",\"nodeSelector\":{\"disk\":\"ssd\"},\"priority\":2000000000");
    add_pod(w, "local", "n1", "l", "1",
            ",\"nodeSelector\":{\"disk\":\"ssd\"},\"volumes\":[{\"name\":\"v\",\"emptyDir\":{}}]");
    add_policy(w, "\"nodeAffinity\":{}", "");
    assert_string_equal(evicted(w), "p0 ");
    add_policy(w, "\"nodeAffinity\":{}", ",\"evictLocalStorage\":true");
    assert_string_equal(evicted(w), "local p0 ");
    world_free(w);
}

TEST(selectors_narrow_a_policy) {
    struct world *w = world_test_new();
    add_wrong(w, 3);
    add_policy(w, "\"nodeAffinity\":{}", ",\"podSelector\":{\"matchLabels\":{\"app\":\"o1\"}}");
    assert_string_equal(evicted(w), "p1 ");
    add_policy(w, "\"nodeAffinity\":{}", ",\"nodeSelector\":{\"matchLabels\":{\"host\":\"n2\"}}");
    assert_string_equal(evicted(w), "");
    add_policy(w, "\"nodeAffinity\":{}", ",\"namespaceSelector\":{\"matchLabels\":{\"a\":\"b\"}}");
    assert_string_equal(evicted(w), "");
    world_free(w);
}

TEST(a_pod_that_came_back_is_not_evicted_again) {
    struct world *w = world_test_new();
    add_wrong(w, 1);
    add_policy(w, "\"nodeAffinity\":{}", ",\"intervalSeconds\":60,\"cooldownSeconds\":0");
    settle(w, "descheduler", key);
    assert_null(pod_get(w, "p0"));
    pass_ms(w, 5000);
    comes_back(w, "p0-again", "n1", "o0");
    pass_ms(w, 3600 * 1000);
    assert_string_equal(evicted(w), "");
    settle(w, "descheduler", key);
    assert_held(w, "1 since they came back to their node");
    pass_ms(w, 24 * 3600 * 1000);
    assert_string_equal(evicted(w), "p0-again ");
    world_free(w);
}

TEST(volumes_hold_pods_where_they_reach) {
    struct world *w = world_test_new();
    add_wrong(w, 1);
    add_pod(w, "bound", "n1", "b", "1",
            ",\"nodeSelector\":{\"disk\":\"ssd\"},\"volumes\":[{\"name\":\"v\","
            "\"persistentVolumeClaim\":{\"claimName\":\"c\"}}]");
    world_add_json(w,
                   "{\"apiVersion\":\"v1\",\"kind\":\"PersistentVolumeClaim\",\"metadata\":{"
                   "\"name\":\"c\",\"namespace\":\"default\"},\"spec\":{\"volumeName\":\"pv\"}}");
    world_add_json(w, "{\"apiVersion\":\"v1\",\"kind\":\"PersistentVolume\",\"metadata\":{"
                      "\"name\":\"pv\"},\"spec\":{\"nodeAffinity\":{\"required\":{"
                      "\"nodeSelectorTerms\":[{\"matchExpressions\":[{\"key\":\"host\","
                      "\"operator\":\"In\",\"values\":[\"n1\"]}]}]}}}}");
    add_policy(w, "\"nodeAffinity\":{}", "");
    assert_string_equal(evicted(w), "p0 ");
    world_free(w);
}
