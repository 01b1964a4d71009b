/* What the snapshot is told besides pods and nodes: every kind is there, says whether it may help a
 * pod that waits, and goes without a trace. What is kept of objects, the tests of plugins show. */
#include "scheduler/snapshot/sources.h"

#include "base/own.h"
#include "base/test.h"

static struct api_object *decoded(struct arena *a, const struct sched_source *source,
                                  const char *json) {
    const struct api_kind *k = api_kind_by_name(source->group, source->version, source->kind);
    struct api_decode_opts opts = {.keep = source->keep};
    struct err err;
    void *o;
    assert_non_null(k);
    if (api_decode(a, k->type, slice_of(json), &opts, &o, &err) < 0)
        fail_msg("%s: %s", source->kind, err.text);
    return o;
}

static const struct {
    const char *kind, *json;
    bool helps;
} samples[] = {
    {"Namespace", "{\"metadata\":{\"name\":\"n\",\"labels\":{\"team\":\"t\"}}}", true},
    {"PersistentVolumeClaim", "{\"metadata\":{\"name\":\"n\",\"namespace\":\"d\"}}", true},
    {"PersistentVolume", "{\"metadata\":{\"name\":\"n\"}}", true},
    {"StorageClass", "{\"metadata\":{\"name\":\"n\"},\"provisioner\":\"p\"}", true},
    {"CSINode", "{\"metadata\":{\"name\":\"n\"}}", true},
    {"CSIDriver", "{\"metadata\":{\"name\":\"n\"}}", true},
    {"CSIStorageCapacity",
     "{\"metadata\":{\"name\":\"n\",\"namespace\":\"d\"},\"storageClassName\":\"c\"}", true},
    {"Service",
     "{\"metadata\":{\"name\":\"n\",\"namespace\":\"d\"},\"spec\":{\"selector\":{\"a\":\"b\"}}}",
     false},
    {"ReplicaSet", "{\"metadata\":{\"name\":\"n\",\"namespace\":\"d\"}}", false},
    {"StatefulSet", "{\"metadata\":{\"name\":\"n\",\"namespace\":\"d\"}}", false},
    {"ReplicationController", "{\"metadata\":{\"name\":\"n\",\"namespace\":\"d\"}}", false},
    {"ElasticQuota", "{\"metadata\":{\"name\":\"n\",\"namespace\":\"d\"}}", true},
    {"PodGroup", "{\"metadata\":{\"name\":\"n\",\"namespace\":\"d\"}}", true},
};

static size_t things(const struct snapshot *s) {
    const struct volumes *v = &s->volumes;
    return s->namespaces.n + v->claims.n + v->volumes.n + v->classes.n + v->csi_nodes.n +
           v->csi_drivers.n + v->capacities.n + (s->owners.version != 0);
}

TEST(sources_each_kind_is_told_and_says_whether_it_helps) {
    size_t n = 0;
    for (const struct sched_source *x = sched_sources; x->kind; x++, n++) {
        OWN(arena_free_p) struct arena *a = arena_new();
        struct snapshot s = {0};
        assert_true(n < ARRAY_LEN(samples));
        assert_string_equal(x->kind, samples[n].kind);
        assert_int_equal(x->put(&s, decoded(a, x, samples[n].json)), samples[n].helps);
        /* The core sees to the others itself, and to their going. */
        assert_int_equal(!x->remove, x->by_core);
        if (!x->by_core) {
            assert_int_equal(things(&s), 1);
            x->remove(&s, "d", "n");
            assert_int_equal(things(&s) - (s.owners.version != 0), 0);
        }
        snapshot_done(&s);
    }
    assert_int_equal(n, ARRAY_LEN(samples));
}

static const struct sched_source *source_of(const char *kind) {
    const struct sched_source *x = sched_sources;
    while (!str_eq(x->kind, kind)) x++;
    return x;
}

TEST(sources_a_namespace_helps_only_when_its_labels_change) {
    OWN(arena_free_p) struct arena *a = arena_new();
    const struct sched_source *x = source_of("Namespace");
    struct snapshot s = {0};
    const struct api_object *o = decoded(a, x, samples[0].json);
    assert_true(x->put(&s, o));
    assert_false(x->put(&s, o));
    assert_string_equal(str_map_get(snapshot_namespace(&s, "n"), "team"), "t");
    snapshot_done(&s);
}

TEST(sources_selectors_of_what_pods_belong_to_are_kept) {
    static const char pod_json[] =
        "{\"metadata\":{\"name\":\"p\",\"namespace\":\"d\",\"labels\":{\"a\":\"b\"}}}";
    OWN(arena_free_p) struct arena *a = arena_new();
    const struct sched_source *x = source_of("Service");
    struct snapshot s = {0};
    struct api_object *pod;
    assert_int_equal(
        api_object_decode(a, api_kind_by_name("", "v1", "Pod"), slice_of(pod_json), &pod, NULL), 0);
    x->put(&s, decoded(a, x,
                       "{\"metadata\":{\"name\":\"n\",\"namespace\":\"d\",\"labels\":{\"x\":"
                       "\"y\"}},\"spec\":{\"selector\":{\"a\":\"b\"},\"ports\":[{\"port\":80}]}}"));
    assert_non_null(owners_selector(a, &s.owners, (const struct core_v1_pod *)pod));
    x->remove(&s, "d", "n");
    assert_null(owners_selector(a, &s.owners, (const struct core_v1_pod *)pod));
    snapshot_done(&s);
}
