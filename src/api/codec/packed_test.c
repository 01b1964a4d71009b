/* The packed form of single objects, and what several of them share. That it keeps every field of
 * every type is shown by codec_test.c. */
#include "api/codec/packed.h"

#include <stdio.h>
#include <stdlib.h>

#include "api/types.h"
#include "base/own.h"
#include "base/test.h"

static struct slab slab;

struct kept {
    char *bytes, *room;
    struct api_part **parts;
    size_t n_parts;
    const struct core_v1_pod *pod;
};

static struct kept keep(struct api_pool *pool, const char *json) {
    OWN(arena_free_p) struct arena *a = arena_new();
    struct api_packed packed = {0};
    struct kept k;
    void *obj;
    assert_int_equal(api_decode(a, &core_v1_pod_type, slice_of(json), NULL, &obj, NULL), 0);
    api_pack(pool, &core_v1_pod_type, obj, &packed);
    k.bytes = malloc(packed.bytes.n);
    k.room = calloc(1, packed.room_bytes);
    assert_true(k.bytes && k.room);
    memcpy(k.bytes, packed.bytes.p, packed.bytes.n);
    k.parts = packed.parts.v;
    k.n_parts = packed.parts.n;
    buf_done(&packed.bytes);
    k.pod = api_unpack(&core_v1_pod_type, k.bytes, k.parts, k.room);
    assert_true(api_equal(&core_v1_pod_type, obj, k.pod));
    return k;
}

static void drop(struct api_pool *pool, struct kept *k) {
    for (size_t i = 0; i < k->n_parts; i++) api_part_unref(pool, k->parts[i]);
    free(k->parts);
    free(k->bytes);
    free(k->room);
}

static struct kept keep_numbered(struct api_pool *pool, unsigned i) {
    char json[700];
    snprintf(json, sizeof json,
             "{\"metadata\":{\"name\":\"p%u\",\"labels\":{\"app\":\"a rather long label\","
             "\"x\":\"y\"}},\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"registry/image:"
             "tag\"}],\"nodeName\":\"n%u\"},\"status\":{\"conditions\":[{\"type\":\"Ready\","
             "\"status\":\"True\",\"lastTransitionTime\":\"2026-01-01T00:00:00Z\"}]}}",
             i, i);
    return keep(pool, json);
}

TEST(equal_parts_are_kept_once) {
    struct api_pool *pool = api_pool_new(&slab);
    enum { PODS = 200 };
    struct kept k[PODS];
    for (unsigned i = 0; i < PODS; i++) k[i] = keep_numbered(pool, i);
    assert_int_equal(api_pool_count(pool), 2); /* labels and containers; no conditions */
    assert_ptr_equal(k[0].pod->spec.containers.v[0].image, k[7].pod->spec.containers.v[0].image);
    assert_string_equal(k[7].pod->metadata.name, "p7");
    assert_string_equal(k[199].pod->spec.node_name, "n199");
    for (unsigned i = 0; i < PODS; i++) drop(pool, &k[i]);
    assert_int_equal(api_pool_count(pool), 0);
    api_pool_free(pool);
}

TEST(parts_come_and_go_in_any_order) {
    struct api_pool *pool = api_pool_new(&slab);
    enum { PODS = 500 };
    struct kept k[PODS];
    char json[200];
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < PODS; i++) {
            snprintf(json, sizeof json,
                     "{\"metadata\":{\"labels\":{\"app\":\"of its own, number %u\"}}}", i % 250);
            k[i] = keep(pool, json);
        }
        assert_int_equal(api_pool_count(pool), 250);
        for (unsigned i = 0; i < PODS; i++) {
            unsigned now = i * 77 % PODS;
            const struct str_map *labels = &k[now].pod->metadata.labels;
            char text[40];
            snprintf(text, sizeof text, "of its own, number %u", now % 250);
            assert_string_equal(str_map_get(labels, "app"), text);
            drop(pool, &k[now]);
        }
        assert_int_equal(api_pool_count(pool), 0);
    }
    api_pool_free(pool);
}

TEST(small_parts_are_not_shared) {
    struct api_pool *pool = api_pool_new(&slab);
    struct kept k = keep(pool, "{\"metadata\":{\"labels\":{\"a\":\"b\"}}}");
    assert_int_equal(k.n_parts, 0);
    drop(pool, &k);
    api_pool_free(pool);
}

TEST(absent_and_zero_stay_apart) {
    struct api_pool *pool = api_pool_new(&slab);
    struct kept k = keep(pool, "{\"metadata\":{\"generation\":-5,\"deletionGracePeriodSeconds\":0},"
                               "\"spec\":{\"priority\":-2147483648,\"hostIPC\":true,"
                               "\"securityContext\":{}}}");
    assert_int_equal(k.pod->metadata.generation, -5);
    assert_non_null(k.pod->metadata.deletion_grace_period_seconds);
    assert_int_equal(*k.pod->spec.priority, INT32_MIN);
    assert_true(k.pod->spec.host_ipc && !k.pod->spec.host_pid);
    assert_non_null(k.pod->spec.security_context);
    assert_null(k.pod->spec.termination_grace_period_seconds);
    drop(pool, &k);
    api_pool_free(pool);
}
