#include "server/admission/vertical_autoscaler.h"

#include <stdlib.h>

#include "base/own.h"
#include "base/test.h"

static void row(struct api *api, const char *key, uint64_t revision, const char *json) {
    cache_row(&api->cache, slice_of(key), revision, slice_of(json));
}

/* A Deployment's ReplicaSet and what an autoscaler with that mode recommends for its container. */
static struct api *start(const char *mode, const char *limits) {
    struct api *api = calloc(1, sizeof *api);
    char vpa[1000], range[500];
    cache_init(&api->cache);
    snprintf(vpa, sizeof vpa,
             "{\"metadata\":{\"name\":\"v\",\"namespace\":\"a\"},\"spec\":{\"targetRef\":{"
             "\"apiVersion\":\"apps/v1\",\"kind\":\"Deployment\",\"name\":\"web\"},"
             "\"updatePolicy\":{\"updateMode\":\"%s\"}},\"status\":{\"recommendation\":{"
             "\"containerRecommendations\":[{\"containerName\":\"c\",\"target\":{\"cpu\":\"700m\","
             "\"memory\":\"1Gi\"}}]}}}",
             mode);
    snprintf(range, sizeof range,
             "{\"metadata\":{\"name\":\"l\",\"namespace\":\"a\"},\"spec\":{\"limits\":[%s]}}",
             limits);
    row(api, "/verticalpodautoscalers.autoscaling.k8s.io/a/v", 1, vpa);
    row(api, "/replicasets.apps/a/web-1", 2,
        "{\"metadata\":{\"name\":\"web-1\",\"namespace\":\"a\",\"ownerReferences\":[{"
        "\"apiVersion\":\"apps/v1\",\"kind\":\"Deployment\",\"name\":\"web\",\"uid\":\"d\","
        "\"controller\":true}]}}");
    row(api, "/limitranges.core/a/l", 3, range);
    cache_snapshot_end(&api->cache, 10, 0);
    return api;
}

static void stop(struct api *api) {
    cache_done(&api->cache);
    free(api);
}

/* The pod after admission; owner: JSON of its reference, "" for none. */
static const struct core_v1_pod *admitted(struct api *api, struct arena *a, const char *ns,
                                          const char *owner) {
    const struct api_kind *k = api_kind_by_plural("", "v1", "pods");
    struct api_object *o;
    struct err err;
    const char *json =
        arena_printf(a,
                     "{\"metadata\":{\"namespace\":\"%s\",\"ownerReferences\":[%s]},\"spec\":{"
                     "\"containers\":[{\"name\":\"c\",\"resources\":{\"requests\":{\"cpu\":"
                     "\"100m\"},\"limits\":{\"cpu\":\"200m\"}}},{\"name\":\"other\"}]}}",
                     ns, owner);
    assert_int_equal(api_object_decode(a, k, slice_of(json), &o, &err), 0);
    struct admission ad = {.api = api, .a = a, .kind = k, .object = o, .ns = ns, .name = ""};
    assert_int_equal(vertical_autoscaler_mutate(&ad), ADMISSION_OK);
    return (const struct core_v1_pod *)(void *)o;
}

#define OF_SET                                                                                     \
    "{\"apiVersion\":\"apps/v1\",\"kind\":\"ReplicaSet\",\"name\":\"web-1\",\"uid\":\"r\","        \
    "\"controller\":true}"

static const char *request(const struct core_v1_pod *p, const char *resource) {
    return str_or(str_map_get(&p->spec.containers.v[0].resources.requests, resource), "");
}

TEST(a_pod_asks_for_what_is_recommended_for_its_controllers_controller) {
    OWN(arena_free_p) struct arena *a = arena_new();
    struct api *api = start("Auto", "");
    const struct core_v1_pod *p = admitted(api, a, "a", OF_SET);
    assert_string_equal(request(p, "cpu"), "700m");
    assert_string_equal(request(p, "memory"), "1Gi");
    assert_string_equal(str_map_get(&p->spec.containers.v[0].resources.limits, "cpu"), "1400m");
    assert_int_equal(p->spec.containers.v[1].resources.requests.n, 0);
    assert_string_equal(str_map_get(&p->metadata.annotations, "vpaObservedContainers"), "c, other");
    assert_string_equal(str_map_get(&p->metadata.annotations, "vpaUpdates"),
                        "Pod resources updated by v: container 0: cpu limit, cpu request, memory "
                        "request");
    stop(api);
}

TEST(pods_of_nobody_of_others_and_with_mode_off_stay_as_they_are) {
    static const struct {
        const char *mode, *ns, *owner;
    } rows[] = {
        {"Auto", "a", ""},
        {"Auto", "b", OF_SET},
        {"Off", "a", OF_SET},
        {"Auto", "a",
         "{\"apiVersion\":\"batch/v1\",\"kind\":\"Deployment\",\"name\":\"web\",\"uid\":\"x\","
         "\"controller\":true}"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        OWN(arena_free_p) struct arena *a = arena_new();
        struct api *api = start(rows[i].mode, "");
        const struct core_v1_pod *p = admitted(api, a, rows[i].ns, rows[i].owner);
        assert_string_equal(request(p, "cpu"), "100m");
        assert_int_equal(p->metadata.annotations.n, 0);
        stop(api);
    }
}

TEST(what_a_limit_range_refuses_is_not_asked_for) {
    OWN(arena_free_p) struct arena *a = arena_new();
    struct api *api = start("Initial", "{\"type\":\"Container\",\"max\":{\"cpu\":\"1\",\"memory\":"
                                       "\"512Mi\"},\"default\":{\"memory\":\"512Mi\"}}");
    const struct core_v1_pod *p = admitted(api, a, "a", OF_SET);
    assert_string_equal(request(p, "cpu"), "500m"); /* its limit is twice that */
    assert_string_equal(str_map_get(&p->spec.containers.v[0].resources.limits, "cpu"), "1");
    assert_string_equal(request(p, "memory"), "512Mi");
    stop(api);
}
