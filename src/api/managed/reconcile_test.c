#include "api/managed/reconcile.h"

#include "api/custom/custom.h"
#include "api/managed/managed.h"
#include "base/own.h"
#include "base/test.h"

#define WITH_ARENA OWN(arena_free_p) struct arena *a = arena_new()

/* JSON with ' for ". */
static struct slice json(struct arena *a, const char *text) {
    char *copy = arena_str(a, text);
    for (char *p = copy; *p; p++)
        if (*p == '\'') *p = '"';
    return slice_of(copy);
}

/* Objects whose spec.p has this schema. */
static struct shape shape_of(struct arena *a, const char *p) {
    struct custom_version *v = ARENA_NEW(a, struct custom_version);
    struct value value = {0};
    struct schema *s = NULL;
    struct err err = {0};
    const char *whole =
        arena_printf(a,
                     "{'type':'object','properties':{'spec':{'type':'object','properties':{"
                     "'p':%s,'other':{'type':'string'}}}}}",
                     p);
    if (value_parse(a, json(a, whole), "", NULL, &value, &err) < 0 ||
        schema_build(a, &value, &s, &err) < 0)
        fail_msg("%s: %s", whole, err.text);
    v->schema = s;
    v->kind.custom = v;
    return custom_shape(&v->kind);
}

static struct fields set_of(struct arena *a, const char *text) {
    struct fields f;
    struct err err = {0};
    if (fields_parse(a, json(a, text), false, &f, &err) < 0) fail_msg("%s: %s", text, err.text);
    return f;
}

static const char *text_of(struct arena *a, const struct fields *f) {
    OWN(buf_done) struct buf b = {0};
    fields_write(&b, f);
    for (size_t i = 0; i < b.n; i++)
        if (b.p[i] == '"') b.p[i] = '\'';
    return arena_strn(a, buf_view(&b));
}

#define KEYED                                                                                      \
    "{'type':'array','x-kubernetes-list-type':'map','x-kubernetes-list-map-keys':['n'],"           \
    "'items':{'type':'object','properties':{'n':{'type':'string'},'v':{'type':'integer'}}}}"
#define ATOMIC_LIST                                                                                \
    "{'type':'array','x-kubernetes-list-type':'atomic','items':{'type':'object',"                  \
    "'properties':{'n':{'type':'string'},'v':{'type':'integer'}}}}"
#define SET "{'type':'array','x-kubernetes-list-type':'set','items':{'type':'string'}}"
#define ATOMIC_SET "{'type':'array','items':{'type':'string'}}"
#define MAP "{'type':'object','additionalProperties':{'type':'string'}}"
#define ATOMIC_MAP                                                                                 \
    "{'type':'object','x-kubernetes-map-type':'atomic','additionalProperties':{'type':'string'}}"
#define STRUCT                                                                                     \
    "{'type':'object','properties':{'x':{'type':'string'},'y':{'type':'object','properties':"      \
    "{'z':{'type':'string'}}}}}"
#define ATOMIC_STRUCT                                                                              \
    "{'type':'object','x-kubernetes-map-type':'atomic','properties':{'x':{'type':'string'},"       \
    "'y':{'type':'object','properties':{'z':{'type':'string'}}}}}"

TEST(sets_follow_a_schema_that_has_changed) {
    WITH_ARENA;
    static const char items[] = "{'spec':{'other':'o','p':[{'n':'a','v':1},{'n':'b'}]}}";
    static const char keys[] = "{'f:spec':{'f:p':{'.':{},'k:{\\'n\\':\\'a\\'}':{'.':{},'f:n':{},"
                               "'f:v':{}},'k:{\\'n\\':\\'b\\'}':{'.':{},'f:n':{}}}}}";
    static const char one_key[] = "{'f:spec':{'f:p':{'k:{\\'n\\':\\'b\\'}':{'.':{},'f:n':{}}}}}";
    static const char whole[] = "{'f:spec':{'f:p':{}}}";
    static const char values[] = "{'f:spec':{'f:p':{'.':{},'v:\\'a\\'':{},'v:\\'b\\'':{}}}}";
    static const char members[] = "{'f:spec':{'f:p':{'.':{},'f:a':{},'f:b':{}}}}";
    static const char parts[] = "{'f:spec':{'f:p':{'.':{},'f:x':{},'f:y':{'f:z':{}}}}}";
    static const struct {
        const char *schema, *live, *was, *is;
    } cases[] = {
        {ATOMIC_LIST, items, keys, whole},
        {ATOMIC_LIST, items, one_key, whole},
        {ATOMIC_LIST, items, whole, whole},
        {KEYED, items, whole, keys},
        {KEYED, items, keys, keys},
        {KEYED, items, one_key, one_key},
        {KEYED, "{'spec':{}}", whole, whole},
        {SET, "{'spec':{'p':['a','b']}}", whole, values},
        {ATOMIC_SET, "{'spec':{'p':['a','b']}}", values, whole},
        {MAP, "{'spec':{'p':{'a':'1','b':'2'}}}", whole, members},
        {ATOMIC_MAP, "{'spec':{'p':{'a':'1','b':'2'}}}", members, whole},
        {STRUCT, "{'spec':{'p':{'x':'1','y':{'z':'2'}}}}", whole, parts},
        {ATOMIC_STRUCT, "{'spec':{'p':{'x':'1','y':{'z':'2'}}}}", parts, whole},
        /* who has nothing of the part gets nothing of it */
        {KEYED, items, "{'f:spec':{'f:other':{}}}", "{'f:spec':{'f:other':{}}}"},
        /* what the schema no longer has, and metadata, are left alone */
        {KEYED, items, "{'f:gone':{},'f:metadata':{'f:labels':{}}}",
         "{'f:gone':{},'f:metadata':{'f:labels':{}}}"},
        {"{'type':'object','x-kubernetes-preserve-unknown-fields':true}",
         "{'spec':{'p':{'a':{'b':1}}}}", whole, whole},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct reconcile r = {
            .a = a, .shape = shape_of(a, cases[i].schema), .live = json(a, cases[i].live)};
        struct fields was = set_of(a, cases[i].was), is, again;
        bool changed = fields_reconcile(&r, &was, &is);
        const char *got = text_of(a, &is);
        if (!str_eq(got, cases[i].is)) fail_msg("case %zu: %s", i, got);
        assert_int_equal(changed, !str_eq(cases[i].was, cases[i].is));
        assert_false(fields_reconcile(&r, &is, &again));
        assert_true(fields_equal(&is, &again));
    }
}

static managed_entry entry(struct arena *a, const char *manager, const char *set) {
    return (managed_entry){.manager = manager,
                           .operation = "Apply",
                           .api_version = "g/v1",
                           .time = "2026-01-01T00:00:00Z",
                           .fields_type = "FieldsV1",
                           .fields_v1 = json(a, set)};
}

/* An ordinary write to a map that is atomic now takes all of it. */
TEST(a_write_takes_what_is_atomic_now_from_who_had_a_part_of_it) {
    WITH_ARENA;
    managed_entry was[] = {entry(a, "one", "{'f:spec':{'f:other':{},'f:p':{'f:a':{}}}}")};
    managed_list before = {was, 1};
    struct managed_write w = {.a = a,
                              .shape = shape_of(a, ATOMIC_MAP),
                              .reconcile = true,
                              .manager = "two",
                              .api_version = "g/v1",
                              .now = "2026-01-02T00:00:00Z",
                              .empty = SLICE("{}"),
                              .before = json(a, "{'spec':{'other':'o','p':{'a':'1'}}}")};
    struct managed m;
    managed_update(&w, &before, json(a, "{'spec':{'other':'o','p':{'a':'1','b':'2'}}}"), &m);
    assert_int_equal(m.entries.n, 2);
    assert_true(slice_eq(m.entries.v[0].fields_v1, json(a, "{'f:spec':{'f:other':{}}}")));
    assert_true(slice_eq(m.entries.v[1].fields_v1, json(a, "{'f:spec':{'f:p':{}}}")));
}
