/*
 * Field ownership. The first byte chooses: a client's FieldsV1 text, or three texts cut by NUL —
 * a live object, a configuration of one manager, one of another — through a type. What is written
 * reads back as the same set; applying the same a second time changes nothing; nobody owns
 * what is not there after everybody has applied nothing.
 */
#include "api/managed/managed.h"
#include "api/managed/merge.h"
#include "api/managed/walk.h"
#include "api/patch/patch.h"
#include "api/types.h"
#include "base/own.h"
#include "fuzz/fuzz.h"
#include "proto/json.h"

static void sets(struct arena *a, struct slice text) {
    struct fields x, y;
    OWN(buf_done) struct buf one = {0}, two = {0};
    if (fields_parse(a, text, false, &x, NULL) < 0) return;
    fields_write(&one, &x);
    FUZZ_ASSERT(fields_parse(a, buf_view(&one), true, &y, NULL) == 0);
    FUZZ_ASSERT(fields_equal(&x, &y));
    fields_write(&two, &y);
    FUZZ_ASSERT(slice_eq(buf_view(&one), buf_view(&two)));
    struct fields none = fields_difference(a, &x, &y), all = fields_union(a, &x, &y);
    FUZZ_ASSERT(fields_empty(&none) && fields_equal(&all, &x));
    all = fields_intersection(a, &x, &y);
    FUZZ_ASSERT(fields_equal(&all, &x));
    none = fields_cut(a, &x, &y);
    FUZZ_ASSERT(fields_empty(&none));
}

static struct slice encoded(struct arena *a, const struct api_type *t, const void *obj) {
    OWN(buf_done) struct buf b = {0};
    api_encode(&b, t, obj);
    return slice_from(arena_copy(a, b.p, b.n), b.n);
}

struct state {
    struct slice json;
    managed_list entries;
};

static bool apply(struct arena *a, const struct api_type *t, const char *manager, struct slice text,
                  struct state *s) {
    OWN(json_decref_p) json_t *config = NULL, *live = NULL, *merged = NULL;
    OWN(buf_done) struct buf b = {0};
    struct managed_apply m = {.w = {.a = a,
                                    .shape = shape_of_type(t),
                                    .manager = manager,
                                    .api_version = "v1",
                                    .now = "2026-01-01T00:00:00Z",
                                    .empty = encoded(a, t, api_new(a, t)),
                                    .before = s->json},
                              .was = &s->entries,
                              .force = true};
    struct managed after = {0};
    struct managed_conflict_list conflicts;
    void *obj;
    if (json_parse(text, &config, NULL) < 0 || !json_is_object(config)) return false;
    if (s->json.n) FUZZ_ASSERT(json_parse(s->json, &live, NULL) == 0);
    if (managed_merge(&m, live, config, &merged, NULL) < 0) return false;
    json_canonical(&b, merged);
    if (api_decode(a, t, buf_view(&b), NULL, &obj, NULL) < 0) return false;
    s->json = encoded(a, t, obj);
    FUZZ_ASSERT(managed_applied(&m, s->json, &after, &conflicts) == 0);
    managed_stamp(&after, m.w.now);
    s->entries = after.entries;
    return true;
}

/* Is what was applied there under the keys it was applied under? Not so where an item lacks a key
 * that is always written: {"protocol":"UDP"} becomes {"port":0,"protocol":"UDP"}, which the server
 * refuses as invalid, and here would be another item. */
static bool is_held(struct arena *a, const struct api_type *t, struct slice config,
                    struct slice json) {
    struct fields want, have;
    if (fields_of_config(a, shape_of_type(t), FIELDS_ALL, config, &want, NULL) < 0 ||
        fields_of_config(a, shape_of_type(t), FIELDS_ALL, json, &have, NULL) < 0)
        return true;
    struct fields gone = fields_difference(a, &want, &have);
    return fields_empty(&gone);
}

static void objects(struct arena *a, const struct api_type *t, struct slice text) {
    struct slice part[3];
    struct state s = {0};
    void *obj;
    for (int i = 0; i < 3; i++)
        if (!slice_cut(&text, 0, &part[i])) part[i] = SLICE("{}");
    if (part[0].n && api_decode(a, t, part[0], NULL, &obj, NULL) == 0) s.json = encoded(a, t, obj);
    if (!apply(a, t, "one", part[1], &s)) return;
    if (!is_held(a, t, part[1], s.json)) return;
    struct state first = s;
    FUZZ_ASSERT(apply(a, t, "one", part[1], &s));
    FUZZ_ASSERT(slice_eq(first.json, s.json) && managed_same(&first.entries, &s.entries));
    apply(a, t, "two", part[2], &s);
    apply(a, t, "one", SLICE("{}"), &s);
    apply(a, t, "two", SLICE("{}"), &s);
    for (size_t i = 0; i < s.entries.n; i++)
        FUZZ_ASSERT(!str_eq(s.entries.v[i].operation, "Apply"));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 2) return 0;
    static const struct api_type *const types[] = {&core_v1_pod_type, &core_v1_config_map_type,
                                                   &apps_v1_deployment_type, &core_v1_service_type,
                                                   &core_v1_node_type};
    OWN(arena_free_p) struct arena *a = arena_new();
    if (data[0] == '{')
        sets(a, slice_from(data, size));
    else
        objects(a, types[data[0] % ARRAY_LEN(types)], slice_from(data + 1, size - 1));
    return 0;
}
