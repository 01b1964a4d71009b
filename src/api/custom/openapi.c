#include "api/custom/openapi.h"

#include "base/own.h"

void custom_openapi_name(struct buf *b, const struct api_kind *k, const char *kind) {
    const char *end = k->group + strlen(k->group);
    while (end > k->group) { /* the group's labels, last one first */
        const char *from = memrchr(k->group, '.', (size_t)(end - k->group));
        from = from ? from + 1 : k->group;
        buf_append(b, from, (size_t)(end - from));
        buf_char(b, '.');
        end = from > k->group ? from - 1 : from;
    }
    buf_printf(b, "%s.%s", k->version, kind);
}

/* What version 2 of OpenAPI, or kubectl's reader of it, does not know (upstream's
 * ToStructuralOpenAPIV2). */
static void reduce(struct arena *a, struct value *v);

static void drop(struct value *v, const char *key) {
    for (size_t i = v->members.n; i-- > 0;)
        if (slice_is(v->members.v[i].key, key)) value_remove(v, i);
}

static void reduce_children(struct arena *a, struct value *v) {
    struct value *properties = value_gets(v, "properties"),
                 *more = value_gets(v, "additionalProperties"), *items = value_gets(v, "items"),
                 *required = value_gets(v, "required");
    for (size_t i = 0; value_is(properties, VALUE_OBJECT) && i < properties->members.n; i++) {
        struct value_member *m = &properties->members.v[i];
        bool nullable = value_true(value_gets(&m->value, "nullable"));
        for (size_t k = 0; nullable && value_is(required, VALUE_ARRAY) && k < required->items.n;
             k++)
            if (slice_eq(required->items.v[k].text, m->key)) {
                for (size_t j = k + 1; j < required->items.n; j++)
                    required->items.v[j - 1] = required->items.v[j];
                required->items.n--;
            }
        reduce(a, &m->value);
    }
    if (value_is(required, VALUE_ARRAY) && !required->items.n) drop(v, "required");
    more = value_gets(v, "additionalProperties");
    if (value_is(more, VALUE_OBJECT)) reduce(a, more);
    items = value_gets(v, "items");
    if (value_is(items, VALUE_OBJECT)) reduce(a, items);
}

static void reduce(struct arena *a, struct value *v) {
    static const char *const unknown[] = {"allOf", "anyOf", "oneOf", "not",
                                          "x-kubernetes-validations"};
    if (!value_is(v, VALUE_OBJECT)) return;
    for (size_t i = 0; i < ARRAY_LEN(unknown); i++) drop(v, unknown[i]);
    bool preserve = value_true(value_gets(v, "x-kubernetes-preserve-unknown-fields"));
    if (value_true(value_gets(v, "nullable"))) {
        drop(v, "nullable");
        drop(v, "type");
        drop(v, "items");
        drop(v, "properties");
    }
    if (preserve) {
        drop(v, "items");
        drop(v, "properties");
        if (str_eq(value_text(value_gets(v, "type")), "object")) drop(v, "type");
    }
    if (str_eq(value_text(value_gets(v, "type")), "array") && !value_gets(v, "items"))
        drop(v, "type");
    reduce_children(a, v);
}

/* int-or-string has no type of its own; apiVersion and kind are said by the server. */
static void add_identity(struct arena *a, enum openapi_version v, struct value *root) {
    OWN(buf_done) struct buf b = {0};
    struct value identity;
    static const char wrap[] = "\"allOf\":[{", close[] = "}]";
    buf_str(&b,
            "{\"apiVersion\":{\"description\":\"APIVersion defines the versioned schema of this "
            "representation of an object.\",\"type\":\"string\"},\"kind\":{\"description\":"
            "\"Kind is a string value representing the REST resource this object represents.\","
            "\"type\":\"string\"},\"metadata\":{\"description\":\"Standard object's metadata.\",");
    if (v == OPENAPI_V3) buf_str(&b, wrap);
    openapi_ref(&b, v, OPENAPI_META "ObjectMeta");
    if (v == OPENAPI_V3) buf_str(&b, close);
    buf_str(&b, "}}");
    if (value_parse(a, buf_view(&b), "", NULL, &identity, NULL) < 0) return;
    if (!value_is(value_gets(root, "properties"), VALUE_OBJECT))
        value_set(a, root, SLICE("properties"), &(struct value){.kind = VALUE_OBJECT});
    struct value *properties = value_gets(root, "properties");
    for (size_t i = 0; i < identity.members.n; i++)
        value_set(a, properties, identity.members.v[i].key, &identity.members.v[i].value);
}

void custom_openapi_schema(struct buf *b, enum openapi_version v, const struct api_kind *k) {
    OWN(arena_free_p) struct arena *a = arena_new();
    OWN(buf_done) struct buf gvk = {0};
    struct value root = {.kind = VALUE_OBJECT}, list;
    const struct custom_version *c = k->custom;
    bool open = c->schema && c->schema->flags & SCHEMA_PRESERVE;
    if (c->schema_json) value_parse(a, slice_of(c->schema_json), "", NULL, &root, NULL);
    if (v == OPENAPI_V2 && open) { /* kubectl takes every property for all there are */
        struct value object = {.kind = VALUE_STRING, .text = SLICE("object")};
        root = (struct value){.kind = VALUE_OBJECT};
        value_set(a, &root, SLICE("type"), &object);
    } else {
        if (v == OPENAPI_V2) reduce(a, &root);
        add_identity(a, v, &root);
    }
    buf_char(&gvk, '[');
    openapi_gvk(&gvk, k, k->kind);
    buf_char(&gvk, ']');
    if (value_parse(a, buf_view(&gvk), "", NULL, &list, NULL) == 0)
        value_set(a, &root, SLICE("x-kubernetes-group-version-kind"), &list);
    buf_char(b, '"');
    custom_openapi_name(b, k, k->kind);
    buf_str(b, "\":");
    value_encode(b, &root);
}
