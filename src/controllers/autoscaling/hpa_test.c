#include <stdio.h>
#include <string.h>

#include "controllers/autoscaling/fixture.h"

/* ---- a Deployment of some pods and its autoscaler ---- */

static const char *key = "default/web";

static struct world *cluster(int pods) {
    struct world *w = world_test_new();
    add_web(w, pods);
    for (int i = 0; i < pods; i++) add_web_pod(w, i, "\"cpu\":\"100m\"", true);
    return w;
}

static void add_hpa(struct world *w, const char *name, const char *spec) {
    char json[1500];
    snprintf(json, sizeof json,
             "{\"apiVersion\":\"autoscaling/v2\",\"kind\":\"HorizontalPodAutoscaler\",\"metadata\":"
             "{\"name\":\"%s\",\"namespace\":\"default\",\"generation\":3},\"spec\":{"
             "\"scaleTargetRef\":{\"apiVersion\":\"apps/v1\",\"kind\":\"Deployment\",\"name\":"
             "\"web\"},%s}}",
             name, spec);
    world_add_json(w, json);
}

#define CPU50                                                                                      \
    "\"metrics\":[{\"type\":\"Resource\",\"resource\":{\"name\":\"cpu\",\"target\":{\"type\":"     \
    "\"Utilization\",\"averageUtilization\":50}}}]"
#define FAST_DOWN ",\"behavior\":{\"scaleDown\":{\"stabilizationWindowSeconds\":0}}"

static void no_metrics(struct world *w, const char *path, enum err_reason reason,
                       const char *text) {
    struct err err;
    err_set(&err, reason, "%s", text);
    world_set_fact(w, path, world_now_ns(w), SLICE(""), &err);
}

static const hpa_object *hpa(const struct world *w, const char *name) {
    return (const void *)world_get(w, "HorizontalPodAutoscaler", "default", name);
}

static void assert_condition(const struct world *w, const char *name, const char *type,
                             const char *status, const char *reason) {
    const hpa_object *h = hpa(w, name);
    for (size_t i = 0; i < h->status.conditions.n; i++) {
        if (!str_eq(h->status.conditions.v[i].type, type)) continue;
        assert_string_equal(h->status.conditions.v[i].status, status);
        assert_string_equal(h->status.conditions.v[i].reason, reason);
        return;
    }
    fail_msg("no condition %s", type);
}

/* Runs once; what it wants the target to have, −1: no change. The target gets it. */
static int decide_and_scale(struct world *w) {
    struct err err = {.text = ""};
    OWN(plan_free_p) struct plan *p = plan_of(w, "horizontalpodautoscaler", key);
    const struct plan_step *s = plan_find(p, PLAN_PATCH, NULL, 0);
    int n = -1;
    if (s) {
        assert_string_equal(s->subresource, "scale");
        assert_int_equal(sscanf(s->body.p, "{\"spec\":{\"replicas\":%d}}", &n), 1);
    }
    if (world_apply(w, p, &err) < 0) fail_msg("%s", err.text);
    return n;
}

static void pods_follow(struct world *w, int had, int want) {
    for (int i = had; i < want; i++) add_web_pod(w, i, "\"cpu\":\"100m\"", true);
    for (int i = want; i < had; i++) {
        char name[20];
        snprintf(name, sizeof name, "web-%d", i);
        world_remove(w, world_kind(w, "Pod"), "default", name);
    }
}

TEST(an_autoscaler_follows_the_load) {
    struct world *w = cluster(1);
    add_hpa(w, "web", "\"minReplicas\":1,\"maxReplicas\":10," CPU50 FAST_DOWN);
    {
        OWN(plan_free_p) struct plan *p = plan_of(w, "horizontalpodautoscaler", key);
        uint64_t period;
        assert_string_equal(plan_want_at(p, 0, &period), METRICS_PODS_PATH);
        assert_int_equal(plan_count(p), 0); /* nothing to say before the first answer */
    }
    web_uses(w, 1, "200m", "64Mi"); /* 200 % of the request; 50 % wanted */
    assert_int_equal(decide_and_scale(w), 4);
    assert_condition(w, "web", "AbleToScale", "True", "SucceededRescale");
    assert_condition(w, "web", "ScalingActive", "True", "ValidMetricFound");
    assert_condition(w, "web", "ScalingLimited", "False", "DesiredWithinRange");
    assert_int_equal(hpa(w, "web")->status.desired_replicas, 4);
    assert_int_equal(hpa(w, "web")->status.current_replicas, 1);
    assert_int_equal(*hpa(w, "web")->status.observed_generation, 3);
    assert_non_null(hpa(w, "web")->status.last_scale_time);
    assert_int_equal(
        *hpa(w, "web")->status.current_metrics.v[0].resource->current.average_utilization, 200);
    pods_follow(w, 1, 4);
    pass_ms(w, 1000);
    web_uses(w, 4, "52m", "64Mi"); /* within the tolerance */
    assert_int_equal(decide_and_scale(w), -1);
    assert_condition(w, "web", "AbleToScale", "True", "ReadyForNewScale");
    assert_rests(w, "horizontalpodautoscaler", key);
    pass_ms(w, 1000);
    web_uses(w, 4, "1m", "64Mi");
    assert_int_equal(decide_and_scale(w), 1);
    world_free(w);
}

TEST(replicas_change_no_faster_than_the_rules_allow) {
    struct world *w = cluster(2);
    add_hpa(w, "web",
            "\"maxReplicas\":50," CPU50
            ",\"behavior\":{\"scaleUp\":{\"policies\":[{\"type\":\"Pods\",\"value\":3,"
            "\"periodSeconds\":60},{\"type\":\"Percent\",\"value\":50,\"periodSeconds\":60}],"
            "\"selectPolicy\":\"Max\"},\"scaleDown\":{\"stabilizationWindowSeconds\":0,"
            "\"policies\":[{\"type\":\"Pods\",\"value\":1,\"periodSeconds\":30}]}}");
    web_uses(w, 2, "1000m", "64Mi");
    assert_int_equal(decide_and_scale(w), 5); /* 2 + 3 */
    assert_condition(w, "web", "ScalingLimited", "True", "ScaleUpLimit");
    pods_follow(w, 2, 5);
    pass_ms(w, 30000);
    web_uses(w, 5, "1000m", "64Mi");
    assert_int_equal(decide_and_scale(w), -1); /* the minute is not over */
    pass_ms(w, 31000);
    web_uses(w, 5, "1000m", "64Mi");
    assert_int_equal(decide_and_scale(w), 8); /* the larger of 5 + 3 and 5 · 1.5 */
    pods_follow(w, 5, 8);
    pass_ms(w, 61000);
    web_uses(w, 8, "0", "64Mi");
    assert_int_equal(decide_and_scale(w), 7);
    assert_condition(w, "web", "ScalingLimited", "True", "ScaleDownLimit");
    world_free(w);
}

TEST(the_number_falls_only_after_the_window_and_never_below_the_least) {
    struct world *w = cluster(4);
    add_hpa(w, "web", "\"minReplicas\":2,\"maxReplicas\":8," CPU50);
    web_uses(w, 4, "0", "64Mi");
    assert_int_equal(decide_and_scale(w), -1);
    assert_condition(w, "web", "AbleToScale", "True", "ScaleDownStabilized");
    for (int s = 0; s < 290; s += 10) {
        pass_ms(w, 10000);
        web_uses(w, 4, "0", "64Mi");
        assert_int_equal(decide_and_scale(w), -1);
    }
    pass_ms(w, 12000);
    web_uses(w, 4, "0", "64Mi");
    assert_int_equal(decide_and_scale(w), 2);
    assert_condition(w, "web", "ScalingLimited", "True", "TooFewReplicas");
    world_free(w);
}

TEST(bounds_count_without_figures) {
    struct world *w = cluster(4);
    add_hpa(w, "web", "\"minReplicas\":1,\"maxReplicas\":3," CPU50);
    no_metrics(w, METRICS_PODS_PATH, ERR_UNAVAILABLE, "down");
    assert_int_equal(decide_and_scale(w), 3);
    world_free(w);
    w = cluster(0);
    add_hpa(w, "web", "\"minReplicas\":1,\"maxReplicas\":3," CPU50);
    assert_int_equal(decide_and_scale(w), -1);
    assert_condition(w, "web", "ScalingActive", "False", "ScalingDisabled");
    world_free(w);
}

static const char *event_of(const struct plan *p, const char *reason) {
    const struct plan_step *s;
    for (size_t i = 0; (s = plan_find(p, PLAN_EVENT, NULL, i)); i++)
        if (str_eq(s->reason, reason)) return s->message;
    return NULL;
}

TEST(figures_that_fail_are_told_once) {
    struct world *w = cluster(1);
    struct err err = {.text = ""};
    add_hpa(w, "web", "\"maxReplicas\":3," CPU50);
    no_metrics(w, METRICS_PODS_PATH, ERR_NOT_FOUND,
               "the server could not find the requested resource");
    OWN(plan_free_p) struct plan *p = plan_of(w, "horizontalpodautoscaler", key);
#define WHY                                                                                        \
    "failed to get cpu utilization: unable to get metrics for resource cpu: unable to fetch "      \
    "metrics from resource metrics API: the server could not find the requested resource"
    assert_string_equal(event_of(p, "FailedGetResourceMetric"), WHY);
    assert_string_equal(event_of(p, "FailedComputeMetricsReplicas"),
                        "invalid metrics (1 invalid out of 1), first error is: failed to get cpu "
                        "resource metric value: " WHY);
    assert_true(world_apply(w, p, &err) > 0);
    assert_condition(w, "web", "ScalingActive", "False", "FailedGetResourceMetric");
    OWN(plan_free_p) struct plan *again = plan_of(w, "horizontalpodautoscaler", key);
    assert_int_equal(plan_count(again), 0);
    world_free(w);
}

TEST(a_container_that_asks_for_nothing_has_no_utilization) {
    struct world *w = world_test_new();
    add_web(w, 1);
    add_web_pod(w, 0, "\"memory\":\"64Mi\"", true);
    add_hpa(w, "web", "\"maxReplicas\":3," CPU50);
    web_uses(w, 1, "10m", "64Mi");
    OWN(plan_free_p) struct plan *p = plan_of(w, "horizontalpodautoscaler", key);
    assert_string_equal(event_of(p, "FailedGetResourceMetric"),
                        "failed to get cpu utilization: missing request for cpu in container c of "
                        "Pod web-0");
    world_free(w);
}

TEST(two_autoscalers_of_the_same_pods_are_told_and_do_nothing) {
    struct world *w = cluster(1);
    add_hpa(w, "web", "\"maxReplicas\":9," CPU50);
    add_hpa(w, "other", "\"maxReplicas\":5," CPU50);
    web_uses(w, 1, "400m", "64Mi");
    OWN(plan_free_p) struct plan *p = plan_of(w, "horizontalpodautoscaler", key);
    assert_string_equal(event_of(p, "AmbiguousSelector"),
                        "pods by selector app=web are controlled by multiple HPAs: [{other "
                        "default} {web default}]");
    assert_null(plan_find(p, PLAN_PATCH, NULL, 0));
    world_free(w);
}

TEST(a_target_that_is_not_there_is_told) {
    struct world *w = world_test_new();
    add_hpa(w, "web", "\"maxReplicas\":9," CPU50);
    OWN(plan_free_p) struct plan *p = plan_of(w, "horizontalpodautoscaler", key);
    uint64_t ms;
    assert_string_equal(event_of(p, "FailedGetScale"), "deployments/scale.apps \"web\" not found");
    assert_true(plan_requeue_ms(p, &ms) && ms >= 1000);
    world_free(w);
}

/* ---- figures from elsewhere ---- */

#define QUEUE_PATH "/apis/external.metrics.k8s.io/v1beta1/namespaces/default/queue"
#define QUEUE(target)                                                                              \
    "\"minReplicas\":0,\"maxReplicas\":9,\"metrics\":[{\"type\":\"External\",\"external\":{"       \
    "\"metric\":{\"name\":\"queue\"},\"target\":{" target "}}}]" FAST_DOWN

static void queue_is(struct world *w, const char *value) {
    char json[300];
    snprintf(json, sizeof json, "{\"items\":[{\"metricName\":\"queue\",\"value\":\"%s\"}]}", value);
    world_set_fact(w, QUEUE_PATH, world_now_ns(w), slice_of(json), NULL);
}

TEST(an_external_figure_scales_to_zero_and_back) {
    struct world *w = cluster(2);
    add_hpa(w, "web", QUEUE("\"type\":\"AverageValue\",\"averageValue\":\"10\""));
    queue_is(w, "35");
    assert_int_equal(decide_and_scale(w), 4);
    pods_follow(w, 2, 4);
    world_free(w);
    w = cluster(2);
    add_hpa(w, "web", QUEUE("\"type\":\"AverageValue\",\"averageValue\":\"10\""));
    queue_is(w, "0");
    assert_int_equal(decide_and_scale(w), 0);
    world_free(w);
    w = cluster(0);
    add_hpa(w, "web", QUEUE("\"type\":\"Value\",\"value\":\"10\""));
    queue_is(w, "25");
    assert_int_equal(decide_and_scale(w), 3);
    world_free(w);
}

TEST(what_is_no_number_counts_as_missing) {
    struct world *w = cluster(2);
    add_hpa(w, "web", QUEUE("\"type\":\"Value\",\"value\":\"10\""));
    queue_is(w, "NaN");
    assert_int_equal(decide_and_scale(w), -1);
    assert_condition(w, "web", "ScalingActive", "False", "FailedGetExternalMetric");
    assert_rests(w, "horizontalpodautoscaler", key);
    world_free(w);
}

TEST(pods_and_objects_have_custom_figures) {
    struct world *w = cluster(2);
    add_hpa(w, "web",
            "\"maxReplicas\":9,\"metrics\":[{\"type\":\"Pods\",\"pods\":{\"metric\":{\"name\":"
            "\"rps\",\"selector\":{\"matchLabels\":{\"verb\":\"GET\"}}},\"target\":{\"type\":"
            "\"AverageValue\",\"averageValue\":\"10\"}}},{\"type\":\"Object\",\"object\":{"
            "\"metric\":{\"name\":\"hits\"},\"describedObject\":{\"apiVersion\":"
            "\"networking.k8s.io/v1\",\"kind\":\"Ingress\",\"name\":\"main\"},\"target\":{\"type\":"
            "\"Value\",\"value\":\"100\"}}}]");
#define CUSTOM(version) "/apis/custom.metrics.k8s.io/" version "/namespaces/default"
#define PODS_REST "/pods/*/rps?labelSelector=app%3Dweb&metricLabelSelector=verb%3DGET"
    OWN(plan_free_p) struct plan *p = plan_of(w, "horizontalpodautoscaler", key);
    uint64_t ms;
    assert_string_equal(plan_want_at(p, 0, &ms), CUSTOM("v1beta1") PODS_REST);
    assert_string_equal(plan_want_at(p, 1, &ms),
                        CUSTOM("v1beta1") "/ingresses.networking.k8s.io/main/hits");
    no_metrics(w, CUSTOM("v1beta1") PODS_REST, ERR_NOT_FOUND, "no such version");
    world_set_fact(w, CUSTOM("v1beta2") PODS_REST, world_now_ns(w),
                   SLICE("{\"items\":[{\"describedObject\":{\"name\":\"web-0\"},\"value\":\"30\"},"
                         "{\"describedObject\":{\"name\":\"web-1\"},\"value\":\"10\"}]}"),
                   NULL);
    world_set_fact(w, CUSTOM("v1beta1") "/ingresses.networking.k8s.io/main/hits", world_now_ns(w),
                   SLICE("{\"items\":[{\"value\":\"150\"}]}"), NULL);
    assert_int_equal(decide_and_scale(w), 4); /* 2 · 20/10; the other: 2 · 1.5 */
    world_free(w);
}

TEST(a_target_of_any_kind_is_scaled_by_its_subresource) {
    struct world *w = world_test_new();
    for (int i = 0; i < 2; i++) add_web_pod(w, i, "\"cpu\":\"100m\"", true);
    static const struct api_kind toy = {.group = "example.com",
                                        .version = "v1",
                                        .kind = "Toy",
                                        .plural = "toys",
                                        .flags = API_NAMESPACED,
                                        .type = &core_v1_config_map_type,
                                        .store_prefix = "/toys.example.com/",
                                        .api_version = "example.com/v1",
                                        .singular = "toy",
                                        .list_kind = "ToyList"};
    api_kind_add(&toy);
    world_add_json(w, "{\"apiVersion\":\"autoscaling/v2\",\"kind\":\"HorizontalPodAutoscaler\","
                      "\"metadata\":{\"name\":\"web\",\"namespace\":\"default\"},\"spec\":{"
                      "\"scaleTargetRef\":{\"apiVersion\":\"example.com/v1\",\"kind\":\"Toy\","
                      "\"name\":\"t\"},\"maxReplicas\":9," CPU50 "}}");
    web_uses(w, 2, "100m", "64Mi");
    OWN(plan_free_p) struct plan *p = plan_of(w, "horizontalpodautoscaler", key);
    uint64_t ms;
    const char *path = "/apis/example.com/v1/namespaces/default/toys/t/scale";
    assert_string_equal(plan_want_at(p, 0, &ms), path);
    assert_int_equal(plan_count(p), 0);
    world_set_fact(w, path, world_now_ns(w),
                   SLICE("{\"kind\":\"Scale\",\"spec\":{\"replicas\":2},\"status\":{\"replicas\":2,"
                         "\"selector\":\"app=web\"}}"),
                   NULL);
    OWN(plan_free_p) struct plan *q = plan_of(w, "horizontalpodautoscaler", key);
    const struct plan_step *s = plan_find(q, PLAN_PATCH, "Toy", 0);
    assert_non_null(s);
    assert_string_equal(s->subresource, "scale");
    assert_string_equal(arena_strn(plan_arena(q), s->body), "{\"spec\":{\"replicas\":4}}");
    api_kind_remove(&toy);
    world_free(w);
}

TEST(a_number_that_cannot_be_written_is_told) {
    struct world *w = cluster(1);
    add_hpa(w, "web", "\"maxReplicas\":9," CPU50);
    web_uses(w, 1, "400m", "64Mi");
    struct err err;
    OWN(plan_free_p) struct plan *p = plan_new();
    plan_set_last_failure(p, "admission says no");
    size_t n;
    OWN(free_p) const struct reconciler **list = reconcilers(&n);
    for (size_t i = 0; i < n; i++)
        if (str_eq(list[i]->name, "horizontalpodautoscaler"))
            assert_int_equal(list[i]->reconcile(w, key, p, &err), 0);
    const struct plan_step *patch = plan_find(p, PLAN_PATCH, NULL, 0);
    const struct plan_step *status = plan_find(p, PLAN_UPDATE_STATUS, NULL, 0);
    assert_true(status && patch && status < patch);
    const hpa_object *h = (const void *)status->object;
    assert_string_equal(h->status.conditions.v[0].reason, "FailedUpdateScale");
    assert_string_equal(patch->report_failed, "FailedRescale");
    world_free(w);
}

/* ---- pods that are starting, ending, or have no figures ---- */

static int32_t ask(const char *states, int64_t target, int64_t milli) {
    OWN(arena_free_p) struct arena *a = arena_new();
    struct hpa_pods pods = {0};
    size_t n = strlen(states);
    struct hpa_figure *f = ARENA_ARRAY(a, struct hpa_figure, n);
    int64_t now = 1767225600000000000;
    for (size_t i = 0; i < n; i++) {
        struct core_v1_pod *pod = ARENA_NEW(a, struct core_v1_pod);
        pod->status.phase = states[i] == 'p' ? "Pending" : "Running";
        if (states[i] == 'd') pod->metadata.deletion_timestamp = "2026-01-01T00:00:00Z";
        *ARENA_PUSH(a, &pods) = pod;
        f[i] = (struct hpa_figure){states[i] == 'r' || states[i] == 'd', milli, now, 0, 100};
    }
    struct hpa_question q = {&pods, f, false, true, target, (int32_t)n, now};
    struct hpa_answer answer;
    const char *error;
    return hpa_replicas_by_pods(a, &q, &answer, &error) < 0 ? -1 : answer.replicas;
}

TEST(doubtful_pods_only_slow_a_change_down) {
    assert_int_equal(ask("rrr", 50, 100), 6);
    assert_int_equal(ask("rrrp", 50, 100), 6);  /* (2 · 3 + 0) / 4 · 4 */
    assert_int_equal(ask("rpp", 50, 100), 3);   /* as idle they ask for 2: not downwards */
    assert_int_equal(ask("rrm", 50, 40), 3);    /* the missing one may be busy */
    assert_int_equal(ask("rrrrd", 50, 100), 8); /* what ends does not count */
    assert_int_equal(ask("ppp", 50, 100), -1);
    assert_int_equal(ask("", 50, 100), -1);
}

/* ---- without `behavior`: as upstream, which looks every 15 seconds ---- */

/* Load for which so many pods are wanted, whatever their number now. */
static int decide_with_load_of(struct world *w, int pods, int wanted) {
    char cpu[20];
    snprintf(cpu, sizeof cpu, "%dm", wanted * 50 / pods);
    web_uses(w, pods, cpu, "64Mi");
    int n = decide_and_scale(w);
    if (n >= 0) pods_follow(w, pods, n);
    return n;
}

TEST(without_behavior_the_number_at_most_doubles_or_becomes_four_in_a_period) {
    struct world *w = cluster(1);
    add_hpa(w, "web", "\"minReplicas\":1,\"maxReplicas\":50," CPU50);
    assert_int_equal(decide_with_load_of(w, 1, 20), 4); /* not 1 + 4 */
    assert_condition(w, "web", "ScalingLimited", "True", "ScaleUpLimit");
    pass_ms(w, 5000);
    assert_int_equal(decide_with_load_of(w, 4, 20), -1); /* the period is not over */
    pass_ms(w, 9999);
    assert_int_equal(decide_with_load_of(w, 4, 20), -1);
    pass_ms(w, 1);
    assert_int_equal(decide_with_load_of(w, 4, 20), 8);
    pass_ms(w, 15000);
    assert_int_equal(decide_with_load_of(w, 8, 24), 16);
    pass_ms(w, 15000);
    assert_int_equal(decide_with_load_of(w, 16, 24), 24);
    assert_condition(w, "web", "ScalingLimited", "False", "DesiredWithinRange");
    world_free(w);
}

TEST(with_an_empty_behavior_the_number_doubles_or_grows_by_four) {
    struct world *w = cluster(1);
    add_hpa(w, "web", "\"minReplicas\":1,\"maxReplicas\":50," CPU50 ",\"behavior\":{}");
    assert_int_equal(decide_with_load_of(w, 1, 20), 5);
    pass_ms(w, 15000);
    assert_int_equal(decide_with_load_of(w, 5, 20), 10);
    pass_ms(w, 15000);
    assert_int_equal(decide_with_load_of(w, 10, 20), 20);
    world_free(w);
}

TEST(without_behavior_all_may_go_at_once_after_five_minutes) {
    struct world *w = cluster(16);
    add_hpa(w, "web", "\"minReplicas\":1,\"maxReplicas\":50," CPU50);
    assert_int_equal(decide_with_load_of(w, 16, 0), -1);
    assert_condition(w, "web", "AbleToScale", "True", "ScaleDownStabilized");
    pass_ms(w, 299000);
    assert_int_equal(decide_with_load_of(w, 16, 0), -1);
    pass_ms(w, 1000);
    assert_int_equal(decide_with_load_of(w, 16, 0), 1);
    assert_condition(w, "web", "ScalingLimited", "True", "TooFewReplicas");
    world_free(w);
}

TEST(without_behavior_the_highest_advice_of_five_minutes_counts) {
    struct world *w = cluster(2);
    add_hpa(w, "web", "\"minReplicas\":1,\"maxReplicas\":50," CPU50);
    assert_int_equal(decide_with_load_of(w, 2, 16), 4);
    pass_ms(w, 20000);
    assert_int_equal(decide_with_load_of(w, 4, 6), 8); /* 16 was advised a moment ago */
    assert_condition(w, "web", "AbleToScale", "True", "SucceededRescale");
    world_free(w);
}
