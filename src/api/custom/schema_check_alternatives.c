/* What a schema says inside allOf, anyOf, oneOf and not (KEP-1111): it restricts values and does
 * not make shapes, and what it names is named outside too. */
#include "api/custom/schema_check.h"
#include "api/values/names.h"
#include "base/own.h"

static const char *type_of(const struct value *v) {
    return str_or(value_text(value_gets(v, "type")), "");
}

/* What an alternative may not say: it restricts values and does not make shapes. */
static void check_alternative_words(struct schema_checker *c, const struct value *v,
                                    bool types_allowed) {
    static const struct {
        const char *key, *why;
    } words[] = {
        {"type", "must be empty to be structural"},
        {"additionalProperties", "must be undefined to be structural"},
        {"default", "must be undefined to be structural"},
        {"title", "must be empty to be structural"},
        {"description", "must be empty to be structural"},
        {"nullable", "must be false to be structural"},
        {"x-kubernetes-preserve-unknown-fields", "must be false to be structural"},
        {"x-kubernetes-embedded-resource", "must be false to be structural"},
        {"x-kubernetes-int-or-string", "must be false to be structural"},
        {"x-kubernetes-list-map-keys", "must be empty to be structural"},
        {"x-kubernetes-list-type", "must be undefined to be structural"},
        {"x-kubernetes-map-type", "must be undefined to be structural"},
        {"x-kubernetes-validations", "must be empty to be structural"},
    };
    for (size_t i = types_allowed; i < ARRAY_LEN(words); i++)
        if (!schema_check_empty(value_gets(v, words[i].key)))
            cause_forbidden(c->causes, schema_check_at(c, words[i].key), words[i].why);
    if (value_gets(value_gets(v, "properties"), "metadata"))
        cause_forbidden(c->causes, schema_check_at(c, "properties[metadata]"),
                        "must not be specified in a nested context");
}

static void check_alternative(struct schema_checker *c, const struct value *v, bool int_or_string);

/* {"type": "integer"}, {"type": "string"} */
static bool is_int_or_string(const struct value *list) {
    if (!value_is(list, VALUE_ARRAY) || list->items.n != 2) return false;
    for (size_t i = 0; i < 2; i++)
        if (!value_is(&list->items.v[i], VALUE_OBJECT) || list->items.v[i].members.n != 1)
            return false;
    return str_eq(type_of(&list->items.v[0]), "integer") &&
           str_eq(type_of(&list->items.v[1]), "string");
}

static void check_alternatives(struct schema_checker *c, const struct value *v,
                               bool int_or_string) {
    static const char *const lists[] = {"allOf", "anyOf", "oneOf"};
    for (size_t l = 0; l < ARRAY_LEN(lists); l++) {
        const struct value *list = value_gets(v, lists[l]);
        bool types = int_or_string && l == 1 && is_int_or_string(list);
        for (size_t i = 0; value_is(list, VALUE_ARRAY) && i < list->items.n; i++) {
            size_t back = value_path_field(&c->path, slice_of(lists[l]));
            value_path_index(&c->path, i);
            bool first_all = int_or_string && l == 0 && i == 0 &&
                             is_int_or_string(value_gets(&list->items.v[i], "anyOf"));
            schema_check_unsupported(c, &list->items.v[i]);
            check_alternative_words(c, &list->items.v[i], types);
            check_alternative(c, &list->items.v[i], first_all);
            value_path_back(&c->path, back);
        }
    }
    const struct value *not_ = value_gets(v, "not");
    if (!not_) return;
    size_t back = value_path_field(&c->path, SLICE("not"));
    schema_check_unsupported(c, not_);
    check_alternative_words(c, not_, false);
    check_alternative(c, not_, false);
    value_path_back(&c->path, back);
}

static void check_alternative_child(struct schema_checker *c, const struct value *v) {
    schema_check_unsupported(c, v);
    check_alternative_words(c, v, false);
    check_alternative(c, v, false);
}

static void check_alternative(struct schema_checker *c, const struct value *v, bool int_or_string) {
    check_alternatives(c, v, int_or_string);
    const struct value *items = value_gets(v, "items"), *properties = value_gets(v, "properties");
    if (value_is(items, VALUE_OBJECT)) {
        size_t back = value_path_field(&c->path, SLICE("items"));
        check_alternative_child(c, items);
        value_path_back(&c->path, back);
    }
    for (size_t i = 0; value_is(properties, VALUE_OBJECT) && i < properties->members.n; i++) {
        size_t back = value_path_field(&c->path, SLICE("properties"));
        value_path_key(&c->path, properties->members.v[i].key);
        check_alternative_child(c, &properties->members.v[i].value);
        value_path_back(&c->path, back);
    }
}

/* ---- completeness: what an alternative names is named outside ---- */

static void complete(struct schema_checker *c, const struct value *outer, const char *outer_path,
                     const struct value *v);

static void complete_alternatives(struct schema_checker *c, const struct value *outer,
                                  const char *outer_path, const struct value *v) {
    static const char *const lists[] = {"allOf", "anyOf", "oneOf"};
    for (size_t l = 0; l < ARRAY_LEN(lists); l++) {
        const struct value *list = value_gets(v, lists[l]);
        for (size_t i = 0; value_is(list, VALUE_ARRAY) && i < list->items.n; i++) {
            size_t back = value_path_field(&c->path, slice_of(lists[l]));
            value_path_index(&c->path, i);
            complete(c, outer, outer_path, &list->items.v[i]);
            value_path_back(&c->path, back);
        }
    }
    if (!value_gets(v, "not")) return;
    size_t back = value_path_field(&c->path, SLICE("not"));
    complete(c, outer, outer_path, value_gets(v, "not"));
    value_path_back(&c->path, back);
}

static void complete_child(struct schema_checker *c, const struct value *outer,
                           const char *outer_path, const struct value *v) {
    if (outer)
        complete(c, outer, outer_path, v);
    else
        cause_required(
            c->causes, outer_path,
            arena_printf(c->causes->a, "because it is defined in %s", schema_check_at(c, NULL)));
}

static void complete(struct schema_checker *c, const struct value *outer, const char *outer_path,
                     const struct value *v) {
    struct arena *a = c->causes->a;
    const struct value *items = value_gets(v, "items"), *properties = value_gets(v, "properties");
    complete_alternatives(c, outer, outer_path, v);
    if (value_is(items, VALUE_OBJECT)) {
        size_t back = value_path_field(&c->path, SLICE("items"));
        complete_child(c, value_gets(outer, "items"), arena_printf(a, "%s.items", outer_path),
                       items);
        value_path_back(&c->path, back);
    }
    for (size_t i = 0; value_is(properties, VALUE_OBJECT) && i < properties->members.n; i++) {
        struct slice name = properties->members.v[i].key;
        size_t back = value_path_field(&c->path, SLICE("properties"));
        value_path_key(&c->path, name);
        complete_child(c, value_get(value_gets(outer, "properties"), name),
                       arena_printf(a, "%s.properties[%s]", outer_path, name.p),
                       &properties->members.v[i].value);
        value_path_back(&c->path, back);
    }
}

void schema_check_alternatives(struct schema_checker *c, const struct value *v) {
    check_alternatives(c, v, value_true(value_gets(v, "x-kubernetes-int-or-string")));
    complete_alternatives(c, v, arena_str(c->causes->a, schema_check_at(c, NULL)), v);
}
