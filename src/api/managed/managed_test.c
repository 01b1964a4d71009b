#include "api/managed/managed.h"

#include "api/managed/merge.h"
#include "api/patch/patch.h"
#include "api/registry.h"
#include "base/own.h"
#include "base/test.h"
#include "proto/json.h"

static const struct api_type *type_of(const char *api_version, const char *kind) {
    return api_kind_by_api_version(api_version, kind)->type;
}

static struct slice empty_of(struct arena *a, const struct api_type *t) {
    OWN(buf_done) struct buf b = {0};
    api_encode(&b, t, api_new(a, t));
    return slice_from(arena_copy(a, b.p, b.n), b.n);
}

/* Canonical JSON of any text of the type. */
static struct slice canonical(struct arena *a, const struct api_type *t, const char *json) {
    OWN(buf_done) struct buf b = {0};
    void *obj;
    struct err err;
    assert_int_equal(api_decode(a, t, slice_of(json), NULL, &obj, &err), 0);
    api_encode(&b, t, obj);
    return slice_from(arena_copy(a, b.p, b.n), b.n);
}

static const char *text_of(struct arena *a, const struct fields *f) {
    OWN(buf_done) struct buf b = {0};
    fields_write(&b, f);
    return arena_strn(a, buf_view(&b));
}

static struct fields set_of(struct arena *a, const char *json) {
    struct fields f;
    struct err err;
    assert_int_equal(fields_parse(a, slice_of(json), false, &f, &err), 0);
    return f;
}

#define WITH_ARENA OWN(arena_free_p) struct arena *a = arena_new()

/* ---- sets ---- */

TEST(a_set_reads_and_writes_what_upstream_writes) {
    WITH_ARENA;
    static const char text[] =
        "{\"f:metadata\":{\"f:annotations\":{\".\":{},\"f:a\":{}},\"f:finalizers\":"
        "{\"v:\\\"x/y\\\"\":{}}},\"f:spec\":{\"f:ports\":{"
        "\"k:{\\\"port\\\":80,\\\"protocol\\\":\\\"TCP\\\"}\":{\".\":{},\"f:port\":{}}}},"
        "\"i:3\":{}}";
    struct fields f = set_of(a, text);
    assert_string_equal(text_of(a, &f), text);
}

TEST(a_clients_set_is_brought_into_canonical_form) {
    WITH_ARENA;
    struct fields f = set_of(a, "{ \"f:b\" : {}, \"k:{ \\\"p\\\": 1, \\\"a\\\":\\\"\\u0078\\\"}\":"
                                "{}, \"f:a\\\"b\":{} }");
    assert_string_equal(text_of(a, &f),
                        "{\"f:a\\\"b\":{},\"f:b\":{},\"k:{\\\"a\\\":\\\"x\\\",\\\"p\\\":1}\":{}}");
}

TEST(what_is_no_set_is_refused) {
    WITH_ARENA;
    static const char *const bad[] = {"",
                                      "[]",
                                      "{\"x\":{}}",
                                      "{\"f:a\":1}",
                                      "{\"i:x\":{}}",
                                      "{\"k:1\":{}}",
                                      "{\"k:{}\":{}}",
                                      "{\"v:[\":{}}",
                                      "{\"f:a\":{}} x",
                                      "{\".\":1}"};
    struct fields f;
    struct err err;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_true(fields_parse(a, slice_of(bad[i]), false, &f, &err) < 0);
}

TEST(sets_are_joined_cut_and_compared) {
    WITH_ARENA;
    struct fields x = set_of(a, "{\"f:a\":{\".\":{},\"f:b\":{},\"f:c\":{}},\"f:z\":{}}");
    struct fields y = set_of(a, "{\"f:a\":{\"f:c\":{}},\"f:q\":{}}");
    struct fields place = set_of(a, "{\"f:a\":{}}");
    struct fields f = fields_union(a, &x, &y);
    assert_string_equal(text_of(a, &f),
                        "{\"f:a\":{\".\":{},\"f:b\":{},\"f:c\":{}},\"f:q\":{},\"f:z\":{}}");
    f = fields_intersection(a, &x, &y);
    assert_string_equal(text_of(a, &f), "{\"f:a\":{\"f:c\":{}}}");
    f = fields_difference(a, &x, &y);
    assert_string_equal(text_of(a, &f), "{\"f:a\":{\".\":{},\"f:b\":{}},\"f:z\":{}}");
    f = fields_difference(a, &x, &place);
    assert_string_equal(text_of(a, &f), "{\"f:a\":{\"f:b\":{},\"f:c\":{}},\"f:z\":{}}");
    f = fields_cut(a, &x, &place);
    assert_string_equal(text_of(a, &f), "{\"f:z\":{}}");
    f = fields_difference(a, &x, &x);
    assert_true(fields_empty(&f));
    assert_true(fields_equal(&x, &x) && !fields_equal(&x, &y));
}

static void append_path(void *user, struct slice path) {
    buf_slice(user, path);
    buf_char(user, ' ');
}

TEST(paths_read_as_upstream_prints_them) {
    WITH_ARENA;
    OWN(buf_done) struct buf b = {0};
    struct fields f = set_of(a, "{\"f:spec\":{\"f:ports\":{\"k:{\\\"containerPort\\\":80,"
                                "\\\"protocol\\\":\\\"TCP\\\"}\":{\".\":{},\"f:name\":{}}},"
                                "\"f:fin\":{\"v:\\\"x\\\"\":{}}}}");
    fields_paths(&f, append_path, &b);
    assert_string_equal(b.p, ".spec.fin[=\"x\"] "
                             ".spec.ports[containerPort=80,protocol=\"TCP\"] "
                             ".spec.ports[containerPort=80,protocol=\"TCP\"].name ");
}

/* ---- ordinary writes ---- */

static const char deployment[] =
    "{\"apiVersion\":\"apps/"
    "v1\",\"kind\":\"Deployment\",\"metadata\":{\"name\":\"x\",\"namespace\":"
    "\"d\",\"uid\":\"u\",\"labels\":{\"app\":\"x\"}},\"spec\":{\"replicas\":1,\"selector\":"
    "{\"matchLabels\":{\"app\":\"x\"}},\"strategy\":{\"type\":\"RollingUpdate\",\"rollingUpdate\":"
    "{\"maxSurge\":1}},\"template\":{\"metadata\":{\"labels\":{\"app\":\"x\"}},\"spec\":"
    "{\"containers\":[{\"name\":\"c\",\"image\":\"i\",\"resources\":{},\"ports\":[{"
    "\"containerPort\":80,\"protocol\":\"TCP\"}]}]}}},\"status\":{\"replicas\":1}}";

TEST(the_creator_owns_what_upstream_says_it_owns) {
    WITH_ARENA;
    const struct api_type *t = type_of("apps/v1", "Deployment");
    struct fields changed, removed;
    fields_compare(a, shape_of_type(t), FIELDS_MAIN, empty_of(a, t), canonical(a, t, deployment),
                   &changed, &removed);
    assert_string_equal(
        text_of(a, &changed),
        "{\"f:metadata\":{\"f:labels\":{\".\":{},\"f:app\":{}}},\"f:spec\":{\"f:replicas\":{},"
        "\"f:selector\":{},\"f:strategy\":{\"f:rollingUpdate\":{\".\":{},\"f:maxSurge\":{}},"
        "\"f:type\":{}},\"f:template\":{\"f:metadata\":{\"f:labels\":{\".\":{},\"f:app\":{}}},"
        "\"f:spec\":{\"f:containers\":{\"k:{\\\"name\\\":\\\"c\\\"}\":{\".\":{},\"f:image\":{},"
        "\"f:name\":{},\"f:ports\":{\".\":{},\"k:{\\\"containerPort\\\":80,\\\"protocol\\\":"
        "\\\"TCP\\\"}\":{\".\":{},\"f:containerPort\":{},\"f:protocol\":{}}},\"f:resources\":{}}"
        "}}}}}");
    assert_true(fields_empty(&removed));
}

static struct managed_write write_by(struct arena *a, const struct api_type *t, const char *manager,
                                     const char *before) {
    return (struct managed_write){.a = a,
                                  .shape = shape_of_type(t),
                                  .part = FIELDS_ALL,
                                  .manager = manager,
                                  .api_version = "v1",
                                  .now = "2026-01-01T00:00:00Z",
                                  .empty = empty_of(a, t),
                                  .before = before ? canonical(a, t, before) : SLICE("")};
}

/* manager operation fields, one line each. */
static const char *entries_text(struct arena *a, const managed_list *l) {
    OWN(buf_done) struct buf b = {0};
    for (size_t i = 0; i < l->n; i++)
        buf_printf(&b, "%s%s %s %.*s", i ? "\n" : "", l->v[i].manager, l->v[i].operation,
                   (int)l->v[i].fields_v1.n, l->v[i].fields_v1.p);
    return arena_strn(a, buf_view(&b));
}

static managed_list update(struct arena *a, const char *manager, const char *before,
                           const char *after, managed_list was) {
    const struct api_type *t = type_of("v1", "ConfigMap");
    struct managed_write w = write_by(a, t, manager, before);
    struct managed out;
    managed_update(&w, &was, canonical(a, t, after), &out);
    managed_stamp(&out, w.now);
    return out.entries;
}

static const managed_list none;

#define MAP_AB "{\"metadata\":{\"name\":\"m\"},\"data\":{\"a\":\"1\",\"b\":\"1\"}}"
#define MAP_AB2 "{\"metadata\":{\"name\":\"m\"},\"data\":{\"a\":\"1\",\"b\":\"2\"}}"
#define MAP_A "{\"metadata\":{\"name\":\"m\"},\"data\":{\"a\":\"1\"}}"

TEST(an_update_takes_the_fields_that_it_changes) {
    WITH_ARENA;
    managed_list l = update(a, "one", NULL, MAP_AB, none);
    assert_string_equal(entries_text(a, &l),
                        "one Update {\"f:data\":{\".\":{},\"f:a\":{},\"f:b\":{}}}");
    l = update(a, "two", MAP_AB, MAP_AB2, l);
    assert_string_equal(entries_text(a, &l), "one Update {\"f:data\":{\".\":{},\"f:a\":{}}}\n"
                                             "two Update {\"f:data\":{\"f:b\":{}}}");
}

TEST(what_is_removed_is_owned_by_nobody_and_who_has_nothing_vanishes) {
    WITH_ARENA;
    managed_list l = update(a, "one", NULL, MAP_AB, none);
    l = update(a, "two", MAP_AB, MAP_AB2, l);
    l = update(a, "three", MAP_AB2, MAP_A, l);
    assert_string_equal(entries_text(a, &l), "one Update {\"f:data\":{\".\":{},\"f:a\":{}}}");
    l = update(a, "three", MAP_A, "{\"metadata\":{\"name\":\"m\"}}", l);
    assert_int_equal(l.n, 0);
}

TEST(an_update_that_changes_nothing_changes_no_entry) {
    WITH_ARENA;
    managed_list l = update(a, "one", NULL, MAP_AB, none);
    managed_list after = update(a, "two", MAP_AB, MAP_AB, l);
    assert_true(managed_same(&l, &after));
    assert_ptr_equal(l.v, after.v);
}

TEST(who_was_not_tracked_is_not_tracked_by_an_update) {
    WITH_ARENA;
    managed_list l = update(a, "one", MAP_AB, MAP_A, none);
    assert_int_equal(l.n, 0);
}

TEST(the_eleventh_updater_pushes_old_ones_together) {
    WITH_ARENA;
    const char *before = NULL;
    managed_list l = none;
    for (int i = 0; i < 14; i++) {
        OWN(buf_done) struct buf b = {0};
        buf_str(&b, "{\"metadata\":{\"name\":\"m\"},\"data\":{");
        for (int j = 0; j <= i; j++) buf_printf(&b, "%s\"k%d\":\"\"", j ? "," : "", j);
        buf_str(&b, "}}");
        const char *after = arena_strn(a, buf_view(&b));
        l = update(a, arena_printf(a, "m%02d", i), before, after, l);
        before = after;
    }
    assert_int_equal(l.n, MANAGED_UPDATE_ENTRIES);
    size_t ancient = 0;
    for (size_t i = 0; i < l.n; i++) {
        if (!str_eq(l.v[i].manager, "ancient-changes")) continue;
        ancient++;
        struct fields f;
        assert_int_equal(fields_parse(a, l.v[i].fields_v1, true, &f, NULL), 0);
        assert_int_equal(f.v[0].n, 5);
    }
    assert_int_equal(ancient, 1);
}

TEST(entries_of_a_client_are_accepted_or_refused_as_a_whole) {
    WITH_ARENA;
    managed_list out;
    managed_entry e[] = {{.manager = "a",
                          .operation = "Update",
                          .api_version = "v1",
                          .fields_type = "FieldsV1",
                          .fields_v1 = SLICE("{ \"f:data\":{\"f:b\":{},\"f:a\":{}}}")}};
    managed_list sent = {e, 1};
    assert_int_equal(managed_accept(a, &sent, &out), 0);
    assert_string_equal(entries_text(a, &out), "a Update {\"f:data\":{\"f:a\":{},\"f:b\":{}}}");
    e[0].operation = "Create";
    assert_true(managed_accept(a, &sent, &out) < 0);
    e[0].operation = "Update";
    e[0].fields_v1 = SLICE("{\"data\":{}}");
    assert_true(managed_accept(a, &sent, &out) < 0);
    assert_false(managed_is_reset(&sent));
    e[0] = (managed_entry){0};
    assert_true(managed_is_reset(&sent));
    assert_false(managed_is_reset(&none));
}

TEST(more_entries_than_anybody_needs_are_refused) {
    WITH_ARENA;
    managed_list out,
        sent = {ARENA_ARRAY(a, managed_entry, MANAGED_SENT_ENTRIES + 1), MANAGED_SENT_ENTRIES + 1};
    for (size_t i = 0; i < sent.n; i++)
        sent.v[i] = (managed_entry){.manager = arena_printf(a, "m%zu", i),
                                    .operation = "Apply",
                                    .api_version = "v1",
                                    .fields_type = "FieldsV1",
                                    .fields_v1 = SLICE("{\"f:data\":{}}")};
    assert_true(managed_accept(a, &sent, &out) < 0);
    sent.n--;
    assert_int_equal(managed_accept(a, &sent, &out), 0);
    assert_int_equal(out.n, MANAGED_SENT_ENTRIES);
}

/* ---- apply ---- */

struct applied {
    const char *json;
    managed_list entries;
    struct managed_conflict_list conflicts;
    struct err err;
    int rc;
};

static struct applied apply_to(struct arena *a, const struct api_type *t, const char *manager,
                               const char *live, const managed_list *was, const char *config,
                               bool force) {
    struct applied out = {0};
    struct managed_apply m = {.w = write_by(a, t, manager, live), .was = was, .force = force};
    OWN(json_decref_p) json_t *before = NULL, *wanted = NULL, *merged = NULL;
    if (live) assert_int_equal(json_parse(m.w.before, &before, NULL), 0);
    assert_int_equal(json_parse(slice_of(config), &wanted, NULL), 0);
    out.rc = managed_merge(&m, before, wanted, &merged, &out.err);
    if (out.rc < 0) return out;
    OWN(free_p) char *text = json_dumps(merged, 0);
    struct slice after = canonical(a, t, text);
    out.json = arena_strn(a, after);
    struct managed managed = {0};
    out.rc = managed_applied(&m, after, &managed, &out.conflicts);
    if (out.rc < 0) return out;
    managed_stamp(&managed, m.w.now);
    out.entries = managed.entries;
    return out;
}

static struct applied apply_map(struct arena *a, const char *manager, const struct applied *live,
                                const char *config, bool force) {
    return apply_to(a, type_of("v1", "ConfigMap"), manager, live ? live->json : NULL,
                    live ? &live->entries : &none, config, force);
}

TEST(what_is_not_applied_any_more_goes_unless_somebody_else_has_it) {
    WITH_ARENA;
    struct applied o = apply_map(a, "one", NULL, MAP_AB, false);
    assert_string_equal(entries_text(a, &o.entries),
                        "one Apply {\"f:data\":{\"f:a\":{},\"f:b\":{}}}");
    struct applied shared = apply_map(a, "two", &o, MAP_A, false);
    assert_int_equal(shared.rc, 0);
    assert_string_equal(entries_text(a, &shared.entries),
                        "one Apply {\"f:data\":{\"f:a\":{},\"f:b\":{}}}\n"
                        "two Apply {\"f:data\":{\"f:a\":{}}}");
    o = apply_map(a, "one", &shared, "{\"metadata\":{\"name\":\"m\"}}", false);
    assert_non_null(strstr(o.json, "\"data\":{\"a\":\"1\"}"));
    assert_string_equal(entries_text(a, &o.entries), "two Apply {\"f:data\":{\"f:a\":{}}}");
    o = apply_map(a, "two", &o, "{\"metadata\":{\"name\":\"m\"}}", false);
    assert_null(strstr(o.json, "\"data\""));
    assert_int_equal(o.entries.n, 0);
}

TEST(other_values_conflict_unless_forced) {
    WITH_ARENA;
    struct applied o = apply_map(a, "one", NULL, MAP_AB, false);
    struct applied two = apply_map(a, "two", &o, MAP_AB2, false);
    assert_true(two.rc < 0);
    assert_int_equal(two.conflicts.n, 1);
    assert_string_equal(managed_conflicts_text(a, &two.conflicts),
                        "Apply failed with 1 conflict: conflict with \"one\": .data.b");
    two = apply_map(a, "two", &o, MAP_AB2, true);
    assert_int_equal(two.rc, 0);
    assert_non_null(strstr(two.json, "\"b\":\"2\""));
    assert_string_equal(entries_text(a, &two.entries),
                        "one Apply {\"f:data\":{\"f:a\":{}}}\n"
                        "two Apply {\"f:data\":{\"f:a\":{},\"f:b\":{}}}");
}

TEST(several_conflicts_are_listed_by_manager) {
    WITH_ARENA;
    managed_list l = update(a, "kubectl-edit", NULL, MAP_AB, none);
    struct applied live = {.json = MAP_AB, .entries = l};
    struct applied o = apply_map(
        a, "x", &live, "{\"metadata\":{\"name\":\"m\"},\"data\":{\"a\":\"9\",\"b\":\"9\"}}", false);
    assert_string_equal(managed_conflicts_text(a, &o.conflicts),
                        "Apply failed with 2 conflicts: conflicts with \"kubectl-edit\" using v1:"
                        "\n- .data.a\n- .data.b");
}

TEST(an_object_that_nobody_was_tracked_of_conflicts_with_before_first_apply) {
    WITH_ARENA;
    struct applied live = {.json = MAP_AB};
    struct applied o = apply_map(a, "x", &live, MAP_AB2, false);
    assert_string_equal(managed_conflicts_text(a, &o.conflicts),
                        "Apply failed with 1 conflict: conflict with \"before-first-apply\" using "
                        "v1: .data.b");
}

#define PODS(...)                                                                                  \
    "{\"metadata\":{\"name\":\"p\"},\"spec\":{\"containers\":[{\"name\":\"c\",\"ports\":"          \
    "[" __VA_ARGS__ "]}]}}"
#define PORT80 "{\"containerPort\":80,\"name\":\"web\"}"
#define PORT53 "{\"containerPort\":53,\"protocol\":\"UDP\"}"

TEST(items_with_several_keys_come_and_go_and_a_missing_key_has_its_default) {
    WITH_ARENA;
    const struct api_type *t = type_of("v1", "Pod");
    struct applied o = apply_to(a, t, "one", NULL, &none, PODS(PORT80 "," PORT53), false);
    assert_int_equal(o.rc, 0);
    assert_non_null(strstr(entries_text(a, &o.entries),
                           "k:{\\\"containerPort\\\":80,\\\"protocol\\\":\\\"TCP\\\"}"));
    o = apply_to(a, t, "one", o.json, &o.entries, PODS(PORT80), false);
    assert_non_null(strstr(o.json, "\"containerPort\":80"));
    assert_null(strstr(o.json, "\"containerPort\":53"));
}

TEST(items_of_others_keep_their_place_before_the_same_neighbour) {
    WITH_ARENA;
    const struct api_type *t = type_of("v1", "ConfigMap");
    static const char live[] = "{\"metadata\":{\"name\":\"m\",\"finalizers\":[\"a\",\"b\",\"c\"]}}";
    managed_list l = update(a, "other", NULL, live, none);
    struct applied o =
        apply_to(a, t, "one", live, &l,
                 "{\"metadata\":{\"name\":\"m\",\"finalizers\":[\"z\",\"c\",\"a\"]}}", false);
    assert_non_null(strstr(o.json, "\"finalizers\":[\"z\",\"c\",\"a\",\"b\"]"));
    assert_non_null(strstr(entries_text(a, &o.entries), "\"v:\\\"z\\\"\":{}"));
    o = apply_to(a, t, "one", o.json, &o.entries, "{\"metadata\":{\"name\":\"m\"}}", false);
    assert_non_null(strstr(o.json, "\"finalizers\":[\"c\",\"a\",\"b\"]"));
}

TEST(a_configuration_that_does_not_fit_says_where) {
    WITH_ARENA;
    static const struct {
        const char *json, *message;
    } cases[] = {
        {"{\"spec\":{\"foo\":1}}", ".spec.foo: field not declared in schema"},
        {PODS(PORT80 "," PORT80), ".spec.containers[name=\"c\"].ports: duplicate entries for key "
                                  "[containerPort=80,protocol=\"TCP\"]"},
        {"{\"spec\":{\"containers\":[{\"image\":\"x\"}]}}",
         ".spec.containers: element 0: associative list with keys has an element that omits key "
         "field \"name\" (and doesn't have default value)"},
        {"{\"spec\":{\"containers\":{}}}", ".spec.containers: expected list, got a map"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct applied o =
            apply_to(a, type_of("v1", "Pod"), "x", NULL, &none, cases[i].json, false);
        assert_true(o.rc < 0);
        assert_string_equal(o.err.text, cases[i].message);
    }
}

TEST(what_is_atomic_is_owned_and_replaced_as_a_whole) {
    WITH_ARENA;
    const struct api_type *t = type_of("v1", "Pod");
    struct applied o =
        apply_to(a, t, "one", NULL, &none,
                 "{\"spec\":{\"nodeSelector\":{\"a\":\"1\",\"b\":\"1\"},\"tolerations\":[{\"key\":"
                 "\"x\"}]}}",
                 false);
    assert_string_equal(entries_text(a, &o.entries),
                        "one Apply {\"f:spec\":{\"f:nodeSelector\":{},\"f:tolerations\":{}}}");
    o = apply_to(a, t, "one", o.json, &o.entries, "{\"spec\":{\"nodeSelector\":{\"c\":\"1\"}}}",
                 false);
    assert_non_null(strstr(o.json, "\"nodeSelector\":{\"c\":\"1\"}"));
    assert_null(strstr(o.json, "tolerations"));
}

TEST(lists_of_many_items_are_merged_fast) {
    WITH_ARENA;
    OWN(buf_done) struct buf b = {0};
    buf_str(&b, "{\"metadata\":{\"name\":\"m\",\"finalizers\":[");
    for (int i = 0; i < 20000; i++) buf_printf(&b, "%s\"x/%d\"", i ? "," : "", i * 7919 % 20000);
    buf_str(&b, "]}}");
    struct applied o = apply_map(a, "one", NULL, b.p, false);
    o = apply_map(a, "one", &o, "{\"metadata\":{\"name\":\"m\"}}", false);
    assert_int_equal(o.rc, 0);
    assert_null(strstr(o.json, "finalizers"));
}

TEST(keys_of_all_list_maps_are_sorted) {
    for (size_t i = 0; i < api_type_table_n; i++) {
        const struct api_type *t = api_type_table[i];
        for (unsigned j = 0; j < t->n_fields; j++) {
            const char *const *k = t->fields[j].list_keys;
            for (; k && k[0] && k[1]; k++) assert_true(strcmp(k[0], k[1]) < 0);
        }
    }
}
