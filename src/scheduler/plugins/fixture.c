#include "scheduler/plugins/fixture.h"

#include <stdlib.h>

#include "scheduler/snapshot/sources.h"

static struct api_object *decoded(struct arena *a, const char *api_version, const char *kind,
                                  const char *json, const struct api_keep *keep) {
    void *o = NULL;
    struct err err;
    const struct api_kind *k = api_kind_by_api_version(api_version, kind);
    struct api_decode_opts opts = {.keep = keep};
    if (!k || api_decode(a, k->type, slice_of(json), &opts, &o, &err) < 0)
        fail_msg("%s: %s", kind, k ? err.text : "no such kind");
    return o;
}

void given(struct snapshot *s, const char *json) {
    OWN(arena_free_p) struct arena *a = arena_new();
    struct api_object *head =
        decoded(a, "v1", "ConfigMap", json, NULL); /* has the same beginning */
    for (const struct sched_source *source = sched_sources; source->kind; source++)
        if (str_eq(source->kind, head->kind)) {
            source->put(s, decoded(a, head->api_version, head->kind, json, source->keep));
            return;
        }
    assert_string_equal(head->kind, "Node");
    snapshot_put_node(s, (struct core_v1_node *)decoded(a, "v1", "Node", json, NULL));
}

void given_node(struct snapshot *s, const char *name, const char *labels, const char *more) {
    OWN(arena_free_p) struct arena *a = arena_new();
    given(s, arena_printf(a,
                          "{\"apiVersion\":\"v1\",\"kind\":\"Node\",\"metadata\":{\"name\":\"%s\","
                          "\"labels\":{%s\"kubernetes.io/hostname\":\"%s\"}},\"status\":{"
                          "\"allocatable\":{\"cpu\":\"4\",\"memory\":\"8Gi\",\"pods\":\"9\"}}%s}",
                          name, labels, name, more));
}

void given_pod(struct snapshot *s, const char *uid, const char *json, const char *node) {
    OWN(arena_free_p) struct arena *a = arena_new();
    struct api_object *o = decoded(a, "v1", "Pod", json, NULL);
    o->metadata.uid = uid;
    snapshot_add_pod(s, (struct core_v1_pod *)o, node);
}

void expect_placed(struct snapshot *s, const char *json, const char *want) {
    OWN(arena_free_p) struct arena *a = arena_new();
    struct api_object *o = decoded(a, "v1", "Pod", json, NULL);
    o->metadata.uid = "new";
    struct sched_result r = sched_place(a, s, (struct core_v1_pod *)o);
    assert_string_equal(r.node ? r.node : r.message, want);
}

static struct sched_profiles *profiles;

void given_profiles(struct snapshot *s, const char *yaml) {
    struct sched_profiles *fresh = NULL;
    struct err err;
    if (sched_profiles_parse(slice_of(yaml), &fresh, &err) < 0)
        fail_msg("%s: %s", err.field, err.text);
    snapshot_use_profiles(s, fresh);
    sched_profiles_free(profiles);
    profiles = fresh;
}

void expect_wrong(const char *yaml, const char *want) {
    OWN(arena_free_p) struct arena *a = arena_new();
    struct sched_profiles *fresh = NULL;
    struct err err = {0};
    assert_true(sched_profiles_parse(slice_of(yaml), &fresh, &err) < 0);
    assert_string_equal(arena_printf(a, "%s: %s", err.field, err.text), want);
}

void fixture_done(struct snapshot *s) {
    snapshot_done(s);
    sched_profiles_free(profiles);
    profiles = NULL;
}
