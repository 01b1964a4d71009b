#include "api/vpa.h"

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

TEST(limits_change_in_proportion) {
    OWN(arena_free_p) struct arena *a = arena_new();
    const vpa_object *v = object(a);
    assert_string_equal(vpa_mode(v), "Auto");
    struct core_v1_container c = container(a, "main", "100m", "300m", "128Mi");
    assert_string_equal(vpa_apply(a, v, &c),
                        "cpu limit, cpu request, memory limit, memory request");
    assert_string_equal(str_map_get(&c.resources.requests, "cpu"), "1"); /* the most allowed */
    assert_string_equal(str_map_get(&c.resources.limits, "cpu"), "3");
    assert_string_equal(str_map_get(&c.resources.requests, "memory"), "256Mi");
    assert_string_equal(str_map_get(&c.resources.limits, "memory"), "256Mi");
    assert_null(vpa_apply(a, v, &c)); /* nothing is left to do */
}

TEST(policies_leave_things_alone) {
    OWN(arena_free_p) struct arena *a = arena_new();
    const vpa_object *v = object(a);
    struct core_v1_container c = container(a, "side", "100m", NULL, NULL);
    assert_null(vpa_apply(a, v, &c));
    c = container(a, "other", "100m", NULL, NULL);
    assert_null(vpa_apply(a, v, &c));
    c = container(a, "plain", "100m", NULL, "512Mi");
    assert_string_equal(vpa_apply(a, v, &c), "memory request");
    assert_string_equal(str_map_get(&c.resources.requests, "cpu"), "100m");
    assert_string_equal(str_map_get(&c.resources.requests, "memory"), "512Mi"); /* the limit */
    assert_string_equal(str_map_get(&c.resources.limits, "memory"), "512Mi");
}
