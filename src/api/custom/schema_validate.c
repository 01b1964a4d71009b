/*
 * Values against a schema, in the words of upstream's OpenAPI validator: `spec.replicas in body
 * should be less than or equal to 10`. Alternatives (anyOf, oneOf, not) are tried with causes of
 * their own; how often a value may be looked at is bounded, since alternatives multiply.
 */
#include <math.h>
#include <stdio.h>

#include "api/custom/schema.h"
#include "api/values/names.h"
#include "base/limits.h"
#include "base/map.h"
#include "base/own.h"

enum { VISITS_MAX = 2 * 1000 * 1000 };

struct checker {
    struct value_path path;
    struct api_causes *causes;
    size_t visits;
};

static void check(struct checker *c, const struct schema *s, const struct value *v);

static const char *path(const struct checker *c) { return value_path_text(&c->path); }

/* ---- how Go prints values ---- */

static void put_go(struct buf *b, const struct value *v) {
    switch (v->kind) {
    case VALUE_NULL: buf_str(b, "interface {}(nil)"); return;
    case VALUE_OBJECT:
        buf_str(b, "map[string]interface {}{");
        for (size_t i = 0; i < v->members.n; i++) {
            if (i) buf_str(b, ", ");
            buf_json_str(b, v->members.v[i].key);
            buf_char(b, ':');
            put_go(b, &v->members.v[i].value);
        }
        buf_char(b, '}');
        return;
    case VALUE_ARRAY:
        buf_str(b, "[]interface {}{");
        for (size_t i = 0; i < v->items.n; i++) {
            if (i) buf_str(b, ", ");
            put_go(b, &v->items.v[i]);
        }
        buf_char(b, '}');
        return;
    default: value_encode(b, v);
    }
}

static const char *go_text(struct checker *c, const struct value *v) {
    OWN(buf_done) struct buf b = {0};
    put_go(&b, v);
    enum { LONGEST = 1024 };
    return arena_strn(c->causes->a, slice_from(b.p, MIN_OF(b.n, (size_t)LONGEST)));
}

static const char *number_text(struct checker *c, double d) {
    OWN(buf_done) struct buf b = {0};
    struct value v = {.kind = VALUE_DOUBLE, .number = d};
    if (d == trunc(d) && fabs(d) < 9e15)
        v = (struct value){.kind = VALUE_INT, .integer = (int64_t)d};
    value_encode(&b, &v);
    return arena_strn(c->causes->a, buf_view(&b));
}

/* `Invalid value: V: PATH in body WHAT` */
static void invalid(struct checker *c, const struct value *v, const char *what) {
    cause_printf(c->causes, "FieldValueInvalid", path(c), "Invalid value: %s: %s in body %s",
                 go_text(c, v), path(c), what);
}

/* ---- type ---- */

static const char *type_name(const struct value *v) {
    static const char *const names[] = {
        [VALUE_NULL] = "null",     [VALUE_BOOL] = "boolean",  [VALUE_INT] = "integer",
        [VALUE_DOUBLE] = "number", [VALUE_STRING] = "string", [VALUE_ARRAY] = "array",
        [VALUE_OBJECT] = "object"};
    return names[v->kind];
}

static bool type_fits(const struct schema *s, const struct value *v) {
    int64_t whole;
    if (s->flags & SCHEMA_INT_OR_STRING) return v->kind == VALUE_STRING || value_integer(v, &whole);
    switch (s->type) {
    case SCHEMA_ANY: return true;
    case SCHEMA_OBJECT: return v->kind == VALUE_OBJECT;
    case SCHEMA_ARRAY: return v->kind == VALUE_ARRAY;
    case SCHEMA_STRING: return v->kind == VALUE_STRING;
    case SCHEMA_BOOLEAN: return v->kind == VALUE_BOOL;
    case SCHEMA_INTEGER: return value_integer(v, &whole);
    case SCHEMA_NUMBER: return v->kind == VALUE_INT || v->kind == VALUE_DOUBLE;
    }
    return false;
}

static void type_invalid(struct checker *c, const char *wanted, const char *got) {
    cause_printf(c->causes, "FieldValueTypeInvalid", path(c),
                 "Invalid value: \"%s\": %s in body must be of type %s: \"%s\"", got, path(c),
                 wanted, got);
}

static bool check_type(struct checker *c, const struct schema *s, const struct value *v) {
    bool any = s->type == SCHEMA_ANY && !(s->flags & SCHEMA_INT_OR_STRING);
    if (v->kind == VALUE_NULL && (any || s->flags & SCHEMA_NULLABLE)) return true;
    if (v->kind != VALUE_NULL && type_fits(s, v)) return true;
    type_invalid(c, s->flags & SCHEMA_INT_OR_STRING ? "integer,string" : schema_type_names[s->type],
                 type_name(v));
    return false;
}

/* ---- limits by kind ---- */

static size_t runes(struct slice s) {
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++) n += ((unsigned char)s.p[i] & 0xc0) != 0x80;
    return n;
}

static void check_string(struct checker *c, const struct schema_limits *l, const struct value *v) {
    struct arena *a = c->causes->a;
    size_t n = runes(v->text);
    if (l->max_length >= 0 && n > (size_t)l->max_length)
        cause_printf(c->causes, "FieldValueTooLong", path(c),
                     "Too long: may not be more than %lld bytes", (long long)l->max_length);
    if (l->min_length >= 0 && n < (size_t)l->min_length)
        invalid(c, v,
                arena_printf(a, "should be at least %lld chars long", (long long)l->min_length));
    if (l->pattern && !regex_matches(l->pattern, v->text))
        invalid(c, v, arena_printf(a, "should match '%s'", l->pattern_text));
    if (l->format && !schema_format_valid(l->format, v->text))
        cause_printf(c->causes, "FieldValueTypeInvalid", path(c),
                     "Invalid value: %s: %s in body must be of type %s: %s", go_text(c, v), path(c),
                     l->format, go_text(c, v));
}

static void check_number(struct checker *c, const struct schema_limits *l, const struct value *v) {
    struct arena *a = c->causes->a;
    double d = value_number(v);
    bool no_max = l->has & LIMITS_MAX_EXCLUSIVE, no_min = l->has & LIMITS_MIN_EXCLUSIVE;
    if (l->has & LIMITS_MAXIMUM && (no_max ? d >= l->maximum : d > l->maximum))
        invalid(c, v,
                arena_printf(a, "should be less than %s%s", no_max ? "" : "or equal to ",
                             number_text(c, l->maximum)));
    if (l->has & LIMITS_MINIMUM && (no_min ? d <= l->minimum : d < l->minimum))
        invalid(c, v,
                arena_printf(a, "should be greater than %s%s", no_min ? "" : "or equal to ",
                             number_text(c, l->minimum)));
    if (l->has & LIMITS_MULTIPLE_OF && l->multiple_of > 0) {
        double times = d / l->multiple_of;
        if (fabs(times - round(times)) > 1e-9 * fmax(1, fabs(times)))
            invalid(c, v,
                    arena_printf(a, "should be a multiple of %s", number_text(c, l->multiple_of)));
    }
    bool is_int32 = str_eq(l->format, "int32");
    if (is_int32 && (d > INT32_MAX || d < INT32_MIN))
        invalid(c, v, "must be of type integer with format int32");
}

static void check_array(struct checker *c, const struct schema_limits *l, const struct value *v) {
    if (l->max_items >= 0 && v->items.n > (size_t)l->max_items)
        cause_too_many(c->causes, path(c), v->items.n, (size_t)l->max_items);
    if (l->min_items >= 0 && v->items.n < (size_t)l->min_items)
        cause_printf(c->causes, "FieldValueInvalid", path(c),
                     "Invalid value: %zu: %s in body should have at least %lld items", v->items.n,
                     path(c), (long long)l->min_items);
}

static void check_object(struct checker *c, const struct schema_limits *l, const struct value *v) {
    if (l->max_properties >= 0 && v->members.n > (size_t)l->max_properties)
        cause_too_many(c->causes, path(c), v->members.n, (size_t)l->max_properties);
    if (l->min_properties >= 0 && v->members.n < (size_t)l->min_properties)
        cause_printf(c->causes, "FieldValueInvalid", path(c),
                     "Invalid value: %zu: %s in body should have at least %lld properties",
                     v->members.n, path(c), (long long)l->min_properties);
}

static void check_enum(struct checker *c, const struct schema_limits *l, const struct value *v) {
    OWN(buf_done) struct buf b = {0};
    for (size_t i = 0; i < l->enums.n; i++) {
        if (value_equal(&l->enums.v[i], v)) return;
        buf_str(&b, i ? ", " : "");
        if (l->enums.v[i].kind == VALUE_STRING) {
            value_encode(&b, &l->enums.v[i]);
        } else {
            OWN(buf_done) struct buf one = {0};
            value_encode(&one, &l->enums.v[i]);
            buf_json_str(&b, buf_view(&one));
        }
    }
    if (l->enums.n)
        cause_printf(c->causes, "FieldValueNotSupported", path(c),
                     "Unsupported value: %s: supported values: %s", go_text(c, v), b.p);
}

/* ---- alternatives ---- */

/* The causes of one alternative, apart from the others'. */
static struct api_causes attempt(struct checker *c, const struct schema *s, const struct value *v) {
    struct api_causes *outer = c->causes, own = {.a = outer->a};
    c->causes = &own;
    check(c, s, v);
    c->causes = outer;
    return own;
}

static void composite(struct checker *c, const char *what) {
    cause_printf(c->causes, "FieldValueInvalid", "<nil>", "Invalid value: \"\": \"%s\" %s", path(c),
                 what);
}

static void merge(struct checker *c, const struct api_causes *from) {
    for (size_t i = 0; i < from->n && c->causes->n < LIMIT_CAUSES; i++)
        *ARENA_PUSH(c->causes->a, c->causes) = from->v[i];
}

/* How many alternatives hold; *best gets the causes of the one that nearly does. */
static size_t count_valid(struct checker *c, struct schema *const *v, size_t n,
                          const struct value *value, bool first_only, struct api_causes *best) {
    size_t valid = 0;
    for (size_t i = 0; i < n; i++) {
        struct api_causes one = attempt(c, v[i], value);
        if (!one.n && (++valid, first_only)) return valid;
        if (one.n && (!best->n || one.n < best->n)) *best = one;
    }
    return valid;
}

static void check_alternatives(struct checker *c, const struct schema_limits *l,
                               const struct value *v) {
    struct api_causes best = {0};
    if (l->any_of.n && !count_valid(c, l->any_of.v, l->any_of.n, v, true, &best)) {
        composite(c, "must validate at least one schema (anyOf)");
        merge(c, &best);
    }
    best = (struct api_causes){0};
    size_t valid = count_valid(c, l->one_of.v, l->one_of.n, v, false, &best);
    if (l->one_of.n && valid != 1) {
        composite(c, valid ? arena_printf(c->causes->a,
                                          "must validate one and only one schema (oneOf). Found "
                                          "%zu valid alternatives",
                                          valid)
                           : "must validate one and only one schema (oneOf). Found none valid");
        if (!valid) merge(c, &best);
    }
    size_t all = 0;
    for (size_t i = 0; i < l->all_of.n; i++) {
        struct api_causes one = attempt(c, l->all_of.v[i], v);
        all += !one.n;
        merge(c, &one);
    }
    if (all != l->all_of.n)
        composite(c, all ? "must validate all the schemas (allOf)"
                         : "must validate all the schemas (allOf). None validated");
    if (l->not_) {
        struct api_causes one = attempt(c, l->not_, v);
        if (!one.n) composite(c, "must not validate the schema (not)");
    }
}

/* ---- members ---- */

static void check_required(struct checker *c, const struct schema *s, const struct value *v) {
    for (size_t i = 0; i < s->required.n; i++) {
        if (value_gets(v, s->required.v[i])) continue;
        size_t back = value_path_field(&c->path, slice_of(s->required.v[i]));
        cause_required(c->causes, path(c), NULL);
        value_path_back(&c->path, back);
    }
}

static void check_members(struct checker *c, const struct schema *s, const struct value *v) {
    for (size_t i = 0; i < v->members.n; i++) {
        const struct value_member *m = &v->members.v[i];
        const struct schema *child = schema_member(s, m->key);
        if (!child && !(s->flags & SCHEMA_ADDITIONAL_NONE)) continue;
        if (!child) {
            cause_printf(c->causes, "FieldValueInvalid", path(c),
                         "Invalid value: \"\": %s.%s in body is a forbidden property", path(c),
                         m->key.p);
            continue;
        }
        size_t back = value_path_field(&c->path, m->key);
        check(c, child, &m->value);
        value_path_back(&c->path, back);
    }
    check_required(c, s, v);
}

static void check_limits(struct checker *c, const struct schema_limits *l, const struct value *v) {
    check_alternatives(c, l, v);
    if (v->kind == VALUE_STRING) check_string(c, l, v);
    if (v->kind == VALUE_INT || v->kind == VALUE_DOUBLE) check_number(c, l, v);
    if (v->kind == VALUE_ARRAY) check_array(c, l, v);
    check_enum(c, l, v);
    if (v->kind == VALUE_OBJECT) check_object(c, l, v);
}

static void check(struct checker *c, const struct schema *s, const struct value *v) {
    if (++c->visits > VISITS_MAX) {
        if (c->visits == VISITS_MAX + 1)
            cause_printf(c->causes, "FieldValueInvalid", path(c),
                         "Invalid value: the schema's alternatives take too long to check");
        return;
    }
    bool fits = check_type(c, s, v);
    if (v->kind == VALUE_NULL) {
        if (fits && s->limits && s->limits->enums.n) check_enum(c, s->limits, v);
        return;
    }
    if (s->limits) check_limits(c, s->limits, v);
    if (v->kind == VALUE_OBJECT) check_members(c, s, v);
    for (size_t i = 0; v->kind == VALUE_ARRAY && s->items && i < v->items.n; i++) {
        size_t back = value_path_index(&c->path, i);
        check(c, s->items, &v->items.v[i]);
        value_path_back(&c->path, back);
    }
}

void schema_validate(const struct schema *s, const struct value *v, const char *at,
                     struct api_causes *causes) {
    struct checker c = {.causes = causes};
    buf_str(&c.path.text, at);
    check(&c, s, v);
    buf_done(&c.path.text);
}

/* ---- lists that are sets or maps; embedded resources ---- */

static void list_key(struct buf *b, const struct schema *s, const struct value *v, bool go) {
    if (!(s->flags & SCHEMA_LIST_MAP)) {
        go ? put_go(b, v) : value_encode(b, v);
        return;
    }
    bool first = true;
    buf_str(b, go ? "map[string]interface {}{" : "{");
    for (size_t i = 0; i < s->list_keys.n; i++) {
        const struct value *key = value_gets(v, s->list_keys.v[i]);
        if (!key) continue;
        if (!first) buf_str(b, go ? ", " : ",");
        first = false;
        buf_json_str(b, slice_of(s->list_keys.v[i]));
        buf_char(b, ':');
        go ? put_go(b, key) : value_encode(b, key);
    }
    buf_char(b, '}');
}

static void check_unique(struct checker *c, const struct schema *s, const struct value *v) {
    OWN(map_done) struct map seen = {0};
    for (size_t i = 0; i < v->items.n; i++) {
        OWN(buf_done) struct buf b = {0};
        size_t back = value_path_index(&c->path, i);
        const struct value *item = &v->items.v[i];
        if (s->flags & SCHEMA_LIST_MAP && item->kind != VALUE_OBJECT && item->kind != VALUE_NULL) {
            cause_invalid_raw(c->causes, path(c), go_text(c, item),
                              "must be an object for an array of list-type map");
            value_path_back(&c->path, back);
            return;
        }
        list_key(&b, s, item, false);
        if (map_put(&seen, buf_view(&b), c)) {
            buf_clear(&b);
            list_key(&b, s, item, true);
            cause_printf(c->causes, "FieldValueDuplicate", path(c), "Duplicate value: %s", b.p);
        }
        value_path_back(&c->path, back);
    }
}

static void check_embedded_text(struct checker *c, const struct value *v, const char *field) {
    const struct value *text = value_gets(v, field);
    size_t back = value_path_field(&c->path, slice_of(field));
    if (!text)
        cause_required(c->causes, path(c), "must not be empty");
    else if (text->kind != VALUE_STRING)
        cause_invalid_raw(c->causes, path(c), go_text(c, text), "must be a string");
    else if (!text->text.n)
        cause_invalid(c->causes, path(c), "", "must not be empty");
    value_path_back(&c->path, back);
}

static void check_embedded_metadata(struct checker *c, const struct value *v) {
    const struct value *meta = value_gets(v, "metadata");
    if (!meta) return;
    size_t back = value_path_field(&c->path, SLICE("metadata"));
    OWN(buf_done) struct buf b = {0};
    struct err err = {0};
    void *decoded;
    value_encode(&b, meta);
    if (api_decode(c->causes->a, &meta_v1_object_meta_type, buf_view(&b), NULL, &decoded, &err) < 0)
        cause_invalid_raw(c->causes, path(c), go_text(c, meta), err.text);
    else
        api_validate(&meta_v1_object_meta_type, decoded, NULL, path(c), c->causes);
    value_path_back(&c->path, back);
}

static void check_kubernetes(struct checker *c, const struct schema *s, const struct value *v) {
    if (v->kind == VALUE_ARRAY) {
        if (s->flags & (SCHEMA_SET | SCHEMA_LIST_MAP)) check_unique(c, s, v);
        for (size_t i = 0; s->items && i < v->items.n; i++) {
            size_t back = value_path_index(&c->path, i);
            check_kubernetes(c, s->items, &v->items.v[i]);
            value_path_back(&c->path, back);
        }
    }
    if (v->kind != VALUE_OBJECT) return;
    if (s->flags & SCHEMA_EMBEDDED) {
        check_embedded_text(c, v, "apiVersion");
        check_embedded_text(c, v, "kind");
        check_embedded_metadata(c, v);
    }
    for (size_t i = 0; i < v->members.n; i++) {
        const struct value_member *m = &v->members.v[i];
        const struct schema *named = schema_property(s, m->key),
                            *child = named ? named : s->additional;
        if (!child) continue;
        size_t back = named ? value_path_field(&c->path, m->key) : value_path_key(&c->path, m->key);
        check_kubernetes(c, child, &m->value);
        value_path_back(&c->path, back);
    }
}

void schema_validate_kubernetes(const struct schema *s, const struct value *v, const char *at,
                                struct api_causes *causes) {
    struct checker c = {.causes = causes};
    buf_str(&c.path.text, at);
    check_kubernetes(&c, s, v);
    buf_done(&c.path.text);
}
