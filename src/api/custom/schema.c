/* JSONSchemaProps → struct schema. */
#include "api/custom/schema.h"

#include <stdlib.h>

#include "base/own.h"

const char *const schema_type_names[] = {
    [SCHEMA_ANY] = "",           [SCHEMA_OBJECT] = "object",   [SCHEMA_ARRAY] = "array",
    [SCHEMA_STRING] = "string",  [SCHEMA_INTEGER] = "integer", [SCHEMA_NUMBER] = "number",
    [SCHEMA_BOOLEAN] = "boolean"};

struct builder {
    struct arena *a;
    struct err *err;
};

static struct schema *build(struct builder *b, const struct value *json);

static enum schema_type type_of(const struct value *v) {
    for (size_t i = 1; i <= SCHEMA_BOOLEAN; i++)
        if (str_eq(value_text(v), schema_type_names[i])) return (enum schema_type)i;
    return SCHEMA_ANY;
}

static const char *text_of(struct builder *b, const struct value *json, const char *key) {
    const struct value *v = value_gets(json, key);
    return value_is(v, VALUE_STRING) && v->text.n ? arena_strn(b->a, v->text) : NULL;
}

static void strings(struct builder *b, const struct value *list, struct str_list *ret) {
    for (size_t i = 0; value_is(list, VALUE_ARRAY) && i < list->items.n; i++)
        if (value_is(&list->items.v[i], VALUE_STRING))
            *ARENA_PUSH(b->a, ret) = arena_strn(b->a, list->items.v[i].text);
}

/* ---- limits ---- */

static struct schema_limits *limits(struct builder *b, struct schema *s) {
    if (s->limits) return s->limits;
    s->limits = ARENA_NEW(b->a, struct schema_limits);
    *s->limits = (struct schema_limits){.min_length = -1,
                                        .max_length = -1,
                                        .min_items = -1,
                                        .max_items = -1,
                                        .min_properties = -1,
                                        .max_properties = -1};
    return s->limits;
}

static void take_number(struct builder *b, struct schema *s, const struct value *json,
                        const char *key, size_t offset, unsigned flag) {
    const struct value *v = value_gets(json, key);
    if (!value_is(v, VALUE_INT) && !value_is(v, VALUE_DOUBLE)) return;
    struct schema_limits *l = limits(b, s);
    *(double *)(void *)((char *)l + offset) = value_number(v);
    l->has |= flag;
}

static void take_count(struct builder *b, struct schema *s, const struct value *json,
                       const char *key, size_t offset) {
    int64_t n;
    if (!value_integer(value_gets(json, key), &n) || n < 0) return;
    *(int64_t *)(void *)((char *)limits(b, s) + offset) = n;
}

static void take_flag(struct builder *b, struct schema *s, const struct value *json,
                      const char *key, unsigned flag) {
    if (value_true(value_gets(json, key))) limits(b, s)->has |= flag;
}

static void take_numbers(struct builder *b, struct schema *s, const struct value *json) {
    static const struct {
        const char *key;
        size_t offset;
        unsigned flag;
    } numbers[] = {
        {"minimum", offsetof(struct schema_limits, minimum), LIMITS_MINIMUM},
        {"maximum", offsetof(struct schema_limits, maximum), LIMITS_MAXIMUM},
        {"multipleOf", offsetof(struct schema_limits, multiple_of), LIMITS_MULTIPLE_OF},
    };
    static const struct {
        const char *key;
        size_t offset;
    } counts[] = {
        {"minLength", offsetof(struct schema_limits, min_length)},
        {"maxLength", offsetof(struct schema_limits, max_length)},
        {"minItems", offsetof(struct schema_limits, min_items)},
        {"maxItems", offsetof(struct schema_limits, max_items)},
        {"minProperties", offsetof(struct schema_limits, min_properties)},
        {"maxProperties", offsetof(struct schema_limits, max_properties)},
    };
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
        take_number(b, s, json, numbers[i].key, numbers[i].offset, numbers[i].flag);
    for (size_t i = 0; i < ARRAY_LEN(counts); i++)
        take_count(b, s, json, counts[i].key, counts[i].offset);
    take_flag(b, s, json, "exclusiveMinimum", LIMITS_MIN_EXCLUSIVE);
    take_flag(b, s, json, "exclusiveMaximum", LIMITS_MAX_EXCLUSIVE);
    take_flag(b, s, json, "uniqueItems", LIMITS_UNIQUE);
}

static int take_pattern(struct builder *b, struct schema *s, const struct value *json) {
    const char *text = text_of(b, json, "pattern");
    if (!text) return 0;
    struct schema_limits *l = limits(b, s);
    l->pattern_text = text;
    return regex_compile(b->a, slice_of(text), &l->pattern, b->err);
}

static bool take_list(struct builder *b, const struct value *list, struct schema ***ret_v,
                      size_t *ret_n) {
    struct {
        struct schema **v;
        size_t n;
    } out = {0};
    for (size_t i = 0; value_is(list, VALUE_ARRAY) && i < list->items.n; i++) {
        struct schema *s = build(b, &list->items.v[i]);
        if (!s) return false;
        *ARENA_PUSH(b->a, &out) = s;
    }
    *ret_v = out.v;
    *ret_n = out.n;
    return true;
}

static bool take_junctors(struct builder *b, struct schema *s, const struct value *json) {
    const struct value *all = value_gets(json, "allOf"), *any = value_gets(json, "anyOf"),
                       *one = value_gets(json, "oneOf"), *not_ = value_gets(json, "not");
    if (!all && !any && !one && !not_) return true;
    struct schema_limits *l = limits(b, s);
    if (not_ && !(l->not_ = build(b, not_))) return false;
    return take_list(b, all, &l->all_of.v, &l->all_of.n) &&
           take_list(b, any, &l->any_of.v, &l->any_of.n) &&
           take_list(b, one, &l->one_of.v, &l->one_of.n);
}

static void take_enum(struct builder *b, struct schema *s, const struct value *json) {
    const struct value *v = value_gets(json, "enum");
    if (!value_is(v, VALUE_ARRAY) || !v->items.n) return;
    limits(b, s)->enums = value_copy(b->a, v).items;
}

/* ---- shape ---- */

static bool take_properties(struct builder *b, struct schema *s, const struct value *json) {
    const struct value *v = value_gets(json, "properties");
    for (size_t i = 0; value_is(v, VALUE_OBJECT) && i < v->members.n; i++) {
        struct schema *child = build(b, &v->members.v[i].value);
        if (!child) return false;
        struct schema_property *p = ARENA_PUSH(b->a, &s->properties);
        p->name = slice_from(arena_strn(b->a, v->members.v[i].key), v->members.v[i].key.n);
        p->schema = child;
    }
    return true;
}

static bool take_children(struct builder *b, struct schema *s, const struct value *json) {
    const struct value *items = value_gets(json, "items"),
                       *more = value_gets(json, "additionalProperties");
    if (value_is(items, VALUE_OBJECT) && !(s->items = build(b, items))) return false;
    if (value_is(more, VALUE_OBJECT) && !(s->additional = build(b, more))) return false;
    if (value_is(more, VALUE_BOOL))
        s->flags |= more->boolean ? SCHEMA_ADDITIONAL_ANY : SCHEMA_ADDITIONAL_NONE;
    return take_properties(b, s, json);
}

static int by_text(const void *x, const void *y) {
    return strcmp(*(const char *const *)x, *(const char *const *)y);
}

static const char *const *sorted(struct builder *b, const struct str_list *l) {
    const char **v = ARENA_ARRAY(b->a, const char *, l->n + 1);
    for (size_t i = 0; i < l->n; i++) v[i] = l->v[i];
    qsort(v, l->n, sizeof *v, by_text);
    return v;
}

static void take_extensions(struct builder *b, struct schema *s, const struct value *json) {
    static const struct {
        const char *key;
        unsigned flag;
    } flags[] = {
        {"nullable", SCHEMA_NULLABLE},
        {"x-kubernetes-preserve-unknown-fields", SCHEMA_PRESERVE},
        {"x-kubernetes-embedded-resource", SCHEMA_EMBEDDED},
        {"x-kubernetes-int-or-string", SCHEMA_INT_OR_STRING},
    };
    for (size_t i = 0; i < ARRAY_LEN(flags); i++)
        if (value_true(value_gets(json, flags[i].key))) s->flags |= flags[i].flag;
    const char *list = value_text(value_gets(json, "x-kubernetes-list-type"));
    const char *map = value_text(value_gets(json, "x-kubernetes-map-type"));
    if (str_eq(list, "atomic") || str_eq(map, "atomic")) s->flags |= SCHEMA_ATOMIC;
    if (str_eq(list, "set")) s->flags |= SCHEMA_SET;
    if (str_eq(list, "map")) s->flags |= SCHEMA_LIST_MAP;
    strings(b, value_gets(json, "x-kubernetes-list-map-keys"), &s->list_keys);
    s->sorted_keys = sorted(b, &s->list_keys);
    strings(b, value_gets(json, "required"), &s->required);
}

static void take_rules(struct builder *b, struct schema *s, const struct value *json) {
    const struct value *list = value_gets(json, "x-kubernetes-validations");
    for (size_t i = 0; value_is(list, VALUE_ARRAY) && i < list->items.n; i++) {
        const struct value *v = &list->items.v[i];
        *ARENA_PUSH(b->a, &s->rules) =
            (struct schema_rule){.rule = str_or(text_of(b, v, "rule"), ""),
                                 .message = text_of(b, v, "message"),
                                 .message_expression = text_of(b, v, "messageExpression"),
                                 .reason = text_of(b, v, "reason"),
                                 .field_path = text_of(b, v, "fieldPath"),
                                 .optional_old_self = value_true(value_gets(v, "optionalOldSelf"))};
    }
    if (s->rules.n) s->flags |= SCHEMA_HAS_RULES;
}

static void inherit(struct schema *s) {
    const unsigned up = SCHEMA_HAS_DEFAULTS | SCHEMA_HAS_RULES;
    for (size_t i = 0; i < s->properties.n; i++) s->flags |= s->properties.v[i].schema->flags & up;
    if (s->items) s->flags |= s->items->flags & up;
    if (s->additional) s->flags |= s->additional->flags & up;
}

static struct schema *build(struct builder *b, const struct value *json) {
    struct schema *s = ARENA_NEW(b->a, struct schema);
    s->type = type_of(value_gets(json, "type"));
    take_extensions(b, s, json);
    take_numbers(b, s, json);
    take_enum(b, s, json);
    take_rules(b, s, json);
    const struct value *d = value_gets(json, "default");
    if (d) {
        struct value *copy = ARENA_NEW(b->a, struct value);
        *copy = value_copy(b->a, d);
        s->default_ = copy;
        s->flags |= SCHEMA_HAS_DEFAULTS;
    }
    const char *format = text_of(b, json, "format");
    if (format) limits(b, s)->format = format;
    if (take_pattern(b, s, json) < 0 || !take_junctors(b, s, json) || !take_children(b, s, json))
        return NULL;
    inherit(s);
    return s;
}

int schema_build(struct arena *a, const struct value *json, struct schema **ret, struct err *err) {
    struct err own = {0};
    struct builder b = {a, err ? err : &own};
    struct schema *s = build(&b, json);
    if (!s) return err_code(ERR_INVALID);
    *ret = s;
    return 0;
}

const struct schema *schema_property(const struct schema *s, struct slice name) {
    size_t low = 0, high = s ? s->properties.n : 0;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        struct slice at = s->properties.v[mid].name;
        int c = memcmp(at.p, name.p, MIN_OF(at.n, name.n));
        if (!c) c = (at.n > name.n) - (at.n < name.n);
        if (!c) return s->properties.v[mid].schema;
        if (c < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return NULL;
}

const struct schema *schema_member(const struct schema *s, struct slice name) {
    const struct schema *p = schema_property(s, name);
    return p || !s ? p : s->additional;
}
