#include "api/rules/vpa.h"

#include "api/registry.h"
#include "base/own.h"
#include "base/test.h"

static const char text[] =
    "{\"apiVersion\":\"autoscaling.k8s.io/v1\",\"kind\":\"VerticalPodAutoscaler\",\"metadata\":{"
    "\"name\":\"v\"},\"spec\":{\"targetRef\":{\"kind\":\"Deployment\",\"name\":\"d\"},"
    "\"resourcePolicy\":{\"containerPolicies\":[{\"containerName\":\"*\",\"maxAllowed\":{\"cpu\":"
    "\"1\"}},{\"containerName\":\"side\",\"mode\":\"Off\"},{\"containerName\":\"plain\","
    "\"controlledValues\":\"RequestsOnly\",\"controlledResources\":[\"memory\"]}]}},\"status\":{"
    "\"recommendation\":{\"containerRecommendations\":[{\"containerName\":\"main\",\"target\":{"
    "\"cpu\":\"2\",\"memory\":\"256Mi\"}},{\"containerName\":\"side\",\"target\":{\"cpu\":"
    "\"5m\"}},{\"containerName\":\"plain\",\"target\":{\"cpu\":\"5m\",\"memory\":\"1Gi\"}}]}}}";

static const vpa_object *object(struct arena *a) {
    struct api_object *o;
    struct err err;
    const struct api_kind *k =
        api_kind_by_name("autoscaling.k8s.io", "v1", "VerticalPodAutoscaler");
    assert_int_equal(api_object_decode(a, k, slice_of(text), &o, &err), 0);
    return (const void *)o;
}

static struct core_v1_container container(struct arena *a, const char *name, const char *cpu,
                                          const char *cpu_limit, const char *memory_limit) {
    struct core_v1_container c = {.name = name};
    if (cpu) str_map_set(a, &c.resources.requests, "cpu", cpu);
    if (cpu_limit) str_map_set(a, &c.resources.limits, "cpu", cpu_limit);
    if (memory_limit) str_map_set(a, &c.resources.limits, "memory", memory_limit);
    return c;
}

static const char *apply(struct arena *a, const vpa_object *v, const struct vpa_bounds *b,
                         struct core_v1_container *c) {
    struct core_v1_container_list one = {c, 1};
    return vpa_apply(a, v, vpa_for_pod(a, v, b, &one), c);
}

static const struct vpa_bounds unbounded;

TEST(limits_change_in_proportion) {
    OWN(arena_free_p) struct arena *a = arena_new();
    const vpa_object *v = object(a);
    assert_string_equal(vpa_mode(v), "Auto");
    struct core_v1_container c = container(a, "main", "100m", "300m", "128Mi");
    assert_string_equal(apply(a, v, &unbounded, &c),
                        "cpu limit, cpu request, memory limit, memory request");
    assert_string_equal(str_map_get(&c.resources.requests, "cpu"), "1"); /* the most allowed */
    assert_string_equal(str_map_get(&c.resources.limits, "cpu"), "3");
    assert_string_equal(str_map_get(&c.resources.requests, "memory"), "256Mi");
    assert_string_equal(str_map_get(&c.resources.limits, "memory"), "256Mi");
    assert_null(apply(a, v, &unbounded, &c)); /* nothing is left to do */
}

TEST(policies_leave_things_alone) {
    OWN(arena_free_p) struct arena *a = arena_new();
    const vpa_object *v = object(a);
    struct core_v1_container c = container(a, "side", "100m", NULL, NULL);
    assert_null(apply(a, v, &unbounded, &c));
    c = container(a, "other", "100m", NULL, NULL);
    assert_null(apply(a, v, &unbounded, &c));
    c = container(a, "plain", "100m", NULL, "512Mi");
    assert_string_equal(apply(a, v, &unbounded, &c), "memory request");
    assert_string_equal(str_map_get(&c.resources.requests, "cpu"), "100m");
    assert_string_equal(str_map_get(&c.resources.requests, "memory"), "512Mi"); /* the limit */
    assert_string_equal(str_map_get(&c.resources.limits, "memory"), "512Mi");
}

/* ---- LimitRanges ---- */

static struct vpa_bounds bounds(struct arena *a, const char *items) {
    struct vpa_bounds b = {0};
    void *spec = NULL;
    struct err err;
    const char *json = arena_printf(a, "{\"limits\":[%s]}", items);
    assert_int_equal(
        api_decode(a, &core_v1_limit_range_spec_type, slice_of(json), NULL, &spec, &err), 0);
    vpa_bounds_add(a, &b, spec);
    return b;
}

TEST(a_limit_range_bounds_requests_by_the_limits_beside_them) {
    OWN(arena_free_p) struct arena *a = arena_new();
    const vpa_object *v = object(a); /* main: 2 cores, at most 1; 256Mi */
    struct vpa_bounds b =
        bounds(a, "{\"type\":\"Container\",\"max\":{\"cpu\":\"1200m\",\"memory\":"
                  "\"100Mi\"}},{\"type\":\"Container\",\"max\":{\"cpu\":\"900m\"}}");
    struct core_v1_container c = container(a, "main", "100m", "300m", "128Mi");
    apply(a, v, &b, &c);
    assert_string_equal(str_map_get(&c.resources.limits, "cpu"), "900m"); /* the strictest */
    assert_string_equal(str_map_get(&c.resources.requests, "cpu"), "300m");
    assert_string_equal(str_map_get(&c.resources.limits, "memory"), "100Mi");
    assert_string_equal(str_map_get(&c.resources.requests, "memory"), "100Mi");
    c = container(a, "main", "100m", NULL, NULL); /* without limits nothing can exceed them */
    apply(a, v, &b, &c);
    assert_string_equal(str_map_get(&c.resources.requests, "cpu"), "1");
    assert_string_equal(str_map_get(&c.resources.requests, "memory"), "256Mi");
}

TEST(a_default_limit_is_a_limit) {
    OWN(arena_free_p) struct arena *a = arena_new();
    const vpa_object *v = object(a);
    struct vpa_bounds b = bounds(a, "{\"type\":\"Container\",\"max\":{\"cpu\":\"500m\"},"
                                    "\"default\":{\"cpu\":\"200m\"}}");
    struct core_v1_container c = container(a, "main", "100m", NULL, NULL);
    apply(a, v, &b, &c);
    assert_string_equal(str_map_get(&c.resources.requests, "cpu"), "250m");
}

TEST(a_limit_range_has_a_least_and_policies_go_before_it) {
    OWN(arena_free_p) struct arena *a = arena_new();
    const vpa_object *v = object(a);
    struct vpa_bounds b =
        bounds(a, "{\"type\":\"Container\",\"min\":{\"cpu\":\"4\",\"memory\":\"1Gi\"}}");
    struct core_v1_container c = container(a, "main", "100m", "100m", "128Mi");
    apply(a, v, &b, &c);
    assert_string_equal(str_map_get(&c.resources.requests, "cpu"), "1"); /* maxAllowed */
    assert_string_equal(str_map_get(&c.resources.requests, "memory"), "1Gi");
}

TEST(a_limit_range_of_pods_bounds_the_sum) {
    OWN(arena_free_p) struct arena *a = arena_new();
    const vpa_object *v = object(a); /* main 1 core and plain 1Gi, main 256Mi */
    struct vpa_bounds b =
        bounds(a, "{\"type\":\"Pod\",\"max\":{\"cpu\":\"500m\",\"memory\":\"640Mi\"}}");
    struct core_v1_container two[] = {container(a, "main", "100m", "100m", "128Mi"),
                                      container(a, "plain", NULL, NULL, "512Mi")};
    struct core_v1_container_list l = {two, 2};
    const struct autoscaling_v1_recommended_container_resources *r = vpa_for_pod(a, v, &b, &l);
    assert_string_equal(str_map_get(&r[0].target, "cpu"), "500m");
    assert_string_equal(str_map_get(&r[0].target, "memory"), "128Mi"); /* half of both */
    assert_string_equal(str_map_get(&r[1].target, "memory"), "512Mi");
}
