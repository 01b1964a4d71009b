#include <stdio.h>
#include <string.h>

#include "api/values/quantity.h"
#include "controllers/autoscaling/fixture.h"
#include "controllers/autoscaling/vpa.h"

static const char *key = "default/v";

static void add_target(struct world *w, int pods, const char *requests) {
    add_web(w, pods);
    for (int i = 0; i < pods; i++) add_web_pod(w, i, requests, true);
}

static void add_vpa(struct world *w, const char *more) {
    char json[900];
    snprintf(json, sizeof json,
             "{\"apiVersion\":\"autoscaling.k8s.io/v1\",\"kind\":\"VerticalPodAutoscaler\","
             "\"metadata\":{\"name\":\"v\",\"namespace\":\"default\"},\"spec\":{\"targetRef\":{"
             "\"apiVersion\":\"apps/v1\",\"kind\":\"Deployment\",\"name\":\"web\"}%s}}",
             more);
    world_add_json(w, json);
}

static const vpa_object *vpa(const struct world *w) {
    return (const void *)world_get(w, "VerticalPodAutoscaler", "default", "v");
}

static const struct autoscaling_v1_recommended_container_resources *
recommended(const struct world *w) {
    const struct autoscaling_v1_recommended_pod_resources *r = vpa(w)->status.recommendation;
    assert_non_null(r);
    assert_int_equal(r->container_recommendations.n, 1);
    return &r->container_recommendations.v[0];
}

static bool near(const char *quantity, const char *want) {
    double x = (double)quantity_milli(quantity), y = (double)quantity_milli(want);
    return x >= y * 0.95 && x <= y * 1.15;
}

static void look_for_minutes(struct world *w, int minutes, const char *cpu, const char *memory) {
    for (int i = 0; i < minutes * 4; i++) {
        pass_ms(w, VPA_SAMPLE_S * 1000);
        web_uses(w, 2, cpu, memory);
        run(w, "verticalpodautoscaler", key);
    }
}

TEST(a_recommendation_follows_what_is_used) {
    struct world *w = world_test_new();
    add_target(w, 2, "\"cpu\":\"100m\",\"memory\":\"64Mi\"");
    add_vpa(w, "");
    {
        OWN(plan_free_p) struct plan *p = plan_of(w, "verticalpodautoscaler", key);
        uint64_t ms;
        assert_string_equal(plan_want_at(p, 0, &ms), METRICS_PODS_PATH);
        assert_int_equal(plan_count(p), 0);
    }
    web_uses(w, 2, "400m", "600Mi");
    run(w, "verticalpodautoscaler", key);
    assert_true(near(str_map_get(&recommended(w)->target, "cpu"), "460m")); /* with 15 % more */
    assert_true(near(str_map_get(&recommended(w)->target, "memory"), "690Mi"));
    assert_string_equal(vpa(w)->status.conditions.v[0].type, "RecommendationProvided");
    assert_string_equal(vpa(w)->status.conditions.v[0].status, "True");
    assert_rests(w, "verticalpodautoscaler", key);
    int64_t upper = quantity_milli(str_map_get(&recommended(w)->upper_bound, "cpu"));
    look_for_minutes(w, 60, "400m", "600Mi");
    assert_true(quantity_milli(str_map_get(&recommended(w)->upper_bound, "cpu")) < upper);
    assert_true(quantity_cmp(str_map_get(&recommended(w)->lower_bound, "cpu"), "400m") > 0);
    assert_true(quantity_cmp(str_map_get(&recommended(w)->lower_bound, "cpu"),
                             str_map_get(&recommended(w)->target, "cpu")) <= 0);
    /* An hour of more use moves the ninth tenth. */
    look_for_minutes(w, 60, "800m", "600Mi");
    assert_true(near(str_map_get(&recommended(w)->target, "cpu"), "920m"));
    world_free(w);
}

TEST(checkpoints_bring_what_was_seen_over_a_restart) {
    struct world *w = world_test_new(), *after = world_test_new();
    add_target(w, 2, "\"cpu\":\"100m\"");
    add_vpa(w, "");
    look_for_minutes(w, 120, "500m", "300Mi");
    const struct api_object *o = world_get(w, "VerticalPodAutoscalerCheckpoint", "default", "v-c");
    const struct autoscaling_v1_vertical_pod_autoscaler_checkpoint *c = (const void *)o;
    assert_non_null(c);
    assert_string_equal(c->status.version, "v3");
    assert_string_equal(c->spec.vpa_object_name, "v");
    assert_true(c->status.total_samples_count > 900);
    assert_string_equal(o->metadata.owner_references.v[0].name, "v");
    add_target(after, 2, "\"cpu\":\"100m\"");
    add_vpa(after, "");
    world_add(after, o);
    world_set_now(after, world_now_ns(w));
    pass_ms(after, 20000);
    web_uses(after, 2, "10m", "10Mi"); /* just started again */
    run(after, "verticalpodautoscaler", key);
    assert_true(near(str_map_get(&recommended(after)->target, "cpu"), "575m"));
    assert_true(near(str_map_get(&recommended(after)->target, "memory"), "345Mi"));
    world_free(w);
    world_free(after);
}

TEST(a_container_killed_for_memory_is_given_more) {
    struct world *w = world_test_new();
    add_target(w, 2, "\"memory\":\"300Mi\"");
    add_vpa(w, "");
    web_uses(w, 2, "10m", "290Mi");
    run(w, "verticalpodautoscaler", key);
    struct arena *a;
    struct core_v1_pod *p = (struct core_v1_pod *)edit(world_get(w, "Pod", "default", "web-0"), &a);
    struct core_v1_container_state_terminated *t =
        ARENA_NEW(a, struct core_v1_container_state_terminated);
    t->reason = "OOMKilled";
    t->finished_at = now_text(a, w);
    p->status.container_statuses.v[0].last_state.terminated = t;
    edit_done(w, a, (struct api_object *)p);
    look_for_minutes(w, 2, "10m", "290Mi");
    assert_true(near(str_map_get(&recommended(w)->target, "memory"), "460Mi")); /* 400 · 1.15 */
    world_free(w);
}

TEST(policies_bound_what_is_recommended) {
    struct world *w = world_test_new();
    add_target(w, 2, "\"cpu\":\"100m\"");
    add_vpa(w,
            ",\"resourcePolicy\":{\"containerPolicies\":[{\"containerName\":\"c\",\"minAllowed\":{"
            "\"cpu\":\"2\"},\"controlledResources\":[\"cpu\"]}]}");
    web_uses(w, 2, "100m", "300Mi");
    run(w, "verticalpodautoscaler", key);
    assert_string_equal(str_map_get(&recommended(w)->target, "cpu"), "2");
    assert_string_equal(str_map_get(&recommended(w)->lower_bound, "cpu"), "2");
    assert_true(near(str_map_get(&recommended(w)->uncapped_target, "cpu"), "115m"));
    assert_null(str_map_get(&recommended(w)->target, "memory"));
    world_free(w);
}

TEST(what_is_not_there_is_told) {
    struct world *w = world_test_new();
    add_vpa(w, "");
    web_uses(w, 0, "", "");
    run(w, "verticalpodautoscaler", key);
    assert_string_equal(vpa(w)->status.conditions.v[0].type, "ConfigUnsupported");
    assert_string_equal(vpa(w)->status.conditions.v[0].message,
                        "Cannot read targetRef. Reason: deployments/scale.apps \"web\" not found");
    assert_rests(w, "verticalpodautoscaler", key);
    add_target(w, 0, "");
    run(w, "verticalpodautoscaler", key);
    bool matched = true;
    for (size_t i = 0; i < vpa(w)->status.conditions.n; i++)
        matched &= !str_eq(vpa(w)->status.conditions.v[i].type, "NoPodsMatched");
    assert_false(matched);
    assert_int_equal(vpa(w)->status.conditions.n, 2);
    world_free(w);
}

/* ---- the updater ---- */

#define FAR                                                                                        \
    ",\"resourcePolicy\":{\"containerPolicies\":[{\"containerName\":\"*\",\"minAllowed\":{"        \
    "\"cpu\":\"2\"}}]}"

static struct world *far_from_recommended(int pods, const char *policy) {
    struct world *w = world_test_new();
    OWN(buf_done) struct buf more = {0};
    buf_printf(&more, "%s%s", policy, FAR);
    add_target(w, pods, "\"cpu\":\"100m\",\"memory\":\"1Gi\"");
    add_vpa(w, more.p);
    web_uses(w, pods, "100m", "300Mi");
    run(w, "verticalpodautoscaler", key);
    return w;
}

TEST(a_pod_that_asks_for_too_little_is_evicted) {
    struct world *w = far_from_recommended(3, ",\"updatePolicy\":{\"updateMode\":\"Recreate\"}");
    OWN(plan_free_p) struct plan *p = plan_of(w, "vpa-updater", key);
    assert_int_equal(plan_count_of(p, PLAN_REQUEST, NULL), 1); /* one at a time */
    const struct plan_step *s = plan_at(p, 0);
    assert_string_equal(s->path, "/api/v1/namespaces/default/pods/web-0/eviction");
    assert_non_null(strstr(s->body.p, "\"uid\":\"u-0\""));
    world_free(w);
}

TEST(too_few_pods_are_left_alone) {
    struct world *w = far_from_recommended(1, ",\"updatePolicy\":{\"updateMode\":\"Recreate\"}");
    OWN(plan_free_p) struct plan *p = plan_of(w, "vpa-updater", key);
    assert_int_equal(plan_count(p), 0);
    world_free(w);
    w = far_from_recommended(1,
                             ",\"updatePolicy\":{\"updateMode\":\"Recreate\",\"minReplicas\":1}");
    OWN(plan_free_p) struct plan *q = plan_of(w, "vpa-updater", key);
    assert_int_equal(plan_count_of(q, PLAN_REQUEST, NULL), 1);
    world_free(w);
}

TEST(requirements_and_modes_keep_pods_where_they_are) {
    static const char *const policies[] = {
        ",\"updatePolicy\":{\"updateMode\":\"Off\"}",
        ",\"updatePolicy\":{\"updateMode\":\"Initial\"}",
        (",\"updatePolicy\":{\"updateMode\":\"Recreate\",\"evictionRequirements\":[{\"resources\":["
         "\"cpu\"],\"changeRequirement\":\"TargetLowerThanRequests\"}]}")};
    for (size_t i = 0; i < ARRAY_LEN(policies); i++) {
        struct world *w = far_from_recommended(3, policies[i]);
        OWN(plan_free_p) struct plan *p = plan_of(w, "vpa-updater", key);
        assert_int_equal(plan_count(p), 0);
        world_free(w);
    }
}

TEST(pods_are_changed_where_they_run_if_that_is_wanted) {
    struct world *w =
        far_from_recommended(2, ",\"updatePolicy\":{\"updateMode\":\"InPlaceOrRecreate\"}");
    OWN(plan_free_p) struct plan *p = plan_of(w, "vpa-updater", key);
    assert_int_equal(plan_count_of(p, PLAN_PATCH, "Pod"), 2);
    const struct plan_step *s = plan_find(p, PLAN_PATCH, "Pod", 0);
    assert_string_equal(s->subresource, "resize");
    assert_non_null(strstr(s->body.p, "\"name\":\"c\",\"resources\":{\"requests\":{\"cpu\":\"2\""));
    world_free(w);
}

TEST(a_limit_range_of_the_namespace_caps_what_pods_are_given) {
    struct world *w =
        far_from_recommended(2, ",\"updatePolicy\":{\"updateMode\":\"InPlaceOrRecreate\"}");
    world_add_json(w, "{\"apiVersion\":\"v1\",\"kind\":\"LimitRange\",\"metadata\":{\"name\":\"l\","
                      "\"namespace\":\"default\"},\"spec\":{\"limits\":[{\"type\":\"Container\","
                      "\"default\":{\"memory\":\"2Gi\"},\"max\":{\"memory\":\"512Mi\"}}]}}");
    OWN(plan_free_p) struct plan *p = plan_of(w, "vpa-updater", key);
    const struct plan_step *s = plan_find(p, PLAN_PATCH, "Pod", 0);
    assert_non_null(s);
    assert_non_null(strstr(s->body.p, "\"memory\":\"256Mi\""));
    world_free(w);
}
