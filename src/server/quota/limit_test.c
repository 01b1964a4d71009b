#include "api/registry.h"
#include "base/own.h"
#include "base/test.h"
#include "server/quota/limit_rules.h"

static void *decode(struct arena *a, const char *plural, const char *json) {
    struct api_object *o;
    struct err err;
    if (api_object_decode(a, api_kind_by_plural("", "v1", plural), slice_of(json), &o, &err) < 0)
        fail_msg("%s", err.text);
    return o;
}

static const struct core_v1_limit_range_spec *limits(struct arena *a, const char *items) {
    struct core_v1_limit_range *l =
        decode(a, "limitranges", arena_printf(a, "{\"spec\":{\"limits\":[%s]}}", items));
    return &l->spec;
}

#define CONTAINER(resources) "{\"name\":\"c\",\"resources\":{" resources "}}"

static const char *refusal(const char *items, const char *containers) {
    static struct arena *a;
    arena_free(a);
    a = arena_new();
    struct core_v1_pod *p =
        decode(a, "pods", arena_printf(a, "{\"spec\":{\"containers\":[%s]}}", containers));
    return str_or(limit_refuses_pod(a, limits(a, items), &p->spec), "");
}

TEST(limit_range_bounds) {
    static const char min[] = "{\"type\":\"Container\",\"min\":{\"cpu\":\"100m\"}}";
    assert_string_equal(refusal(min, CONTAINER("")),
                        "minimum cpu usage per Container is 100m.  No request is specified");
    assert_string_equal(refusal(min, CONTAINER("\"requests\":{\"cpu\":\"50m\"}")),
                        "minimum cpu usage per Container is 100m, but request is 50m");
    assert_string_equal(refusal(min, CONTAINER("\"requests\":{\"cpu\":\"0.1\"}")), "");
    static const char max[] = "{\"type\":\"Container\",\"max\":{\"memory\":\"1Gi\"}}";
    assert_string_equal(refusal(max, CONTAINER("\"limits\":{\"memory\":\"1536Mi\"}")),
                        "maximum memory usage per Container is 1Gi, but limit is 1536Mi");
    assert_string_equal(refusal(max, CONTAINER("\"requests\":{\"memory\":\"2Gi\"}")),
                        "maximum memory usage per Container is 1Gi.  No limit is specified");
    static const char ratio[] = "{\"type\":\"Container\",\"maxLimitRequestRatio\":{\"cpu\":\"2\"}}";
    assert_string_equal(
        refusal(ratio, CONTAINER("\"requests\":{\"cpu\":\"1\"},\"limits\":{\"cpu\":\"3\"}")),
        "cpu max limit to request ratio per Container is 2, but provided ratio is 3.000000");
    static const char pod[] = "{\"type\":\"Pod\",\"max\":{\"cpu\":\"1\"}}";
    assert_string_equal(refusal(pod, "{\"name\":\"a\",\"resources\":{\"limits\":{\"cpu\":\"600m\"}}"
                                     "},{\"name\":\"b\",\"resources\":{\"limits\":{\"cpu\":"
                                     "\"600m\"}}}"),
                        "maximum cpu usage per Pod is 1, but limit is 1200m");
    assert_string_equal(
        refusal("{\"type\":\"Container\",\"min\":{\"cpu\":\"1\",\"memory\":\"1Gi\"}}",
                CONTAINER("")),
        "[minimum cpu usage per Container is 1.  No request is specified, minimum "
        "memory usage per Container is 1Gi.  No request is specified]");
}

TEST(limit_range_defaults) {
    struct arena *a = arena_new();
    struct core_v1_pod *p = decode(
        a, "pods",
        "{\"spec\":{\"containers\":[{\"name\":\"c\",\"resources\":{\"requests\":{\"cpu\":\"1\"}}}],"
        "\"initContainers\":[{\"name\":\"i\"}]}}");
    limit_defaults(a,
                   limits(a, "{\"type\":\"Container\",\"default\":{\"cpu\":\"2\"},"
                             "\"defaultRequest\":{\"cpu\":\"500m\",\"memory\":\"1Gi\"}}"),
                   p);
    assert_string_equal(str_map_get(&p->metadata.annotations, "kubernetes.io/limit-ranger"),
                        "LimitRanger plugin set: memory request for container c; cpu limit for "
                        "container c; cpu, memory request for init container i; cpu limit for init "
                        "container i");
    assert_string_equal(str_map_get(&p->spec.containers.v[0].resources.requests, "cpu"), "1");
    assert_string_equal(str_map_get(&p->spec.init_containers.v[0].resources.limits, "cpu"), "2");
    arena_free(a);
}

TEST(limit_range_claims) {
    struct arena *a = arena_new();
    struct core_v1_persistent_volume_claim *c =
        decode(a, "persistentvolumeclaims",
               "{\"spec\":{\"resources\":{\"requests\":{\"storage\":\"3Gi\"}}}}");
    assert_string_equal(
        limit_refuses_claim(a,
                            limits(a, "{\"type\":\"PersistentVolumeClaim\",\"max\":{"
                                      "\"storage\":\"2Gi\"}}"),
                            &c->spec),
        "maximum storage usage per PersistentVolumeClaim is 2Gi, but request is 3Gi");
    arena_free(a);
}
