/*
 * The rules that a schema of a CustomResourceDefinition keeps (KEP-1111, "structural schemas"):
 * what is not supported, where a type must stand, what may not be said inside alternatives, and
 * that everything said there is also said outside.
 */
#include "api/custom/schema_check.h"
#include "api/kinds/kinds.h"

enum level { LEVEL_ROOT, LEVEL_ITEM, LEVEL_FIELD };

const char *schema_check_at(struct schema_checker *c, const char *member) {
    if (!member) return value_path_text(&c->path);
    return path_of(c->causes, "%s.%s", value_path_text(&c->path), member);
}

bool schema_check_empty(const struct value *v) {
    if (!v || v->kind == VALUE_NULL) return true;
    if (v->kind == VALUE_STRING) return v->text.n == 0;
    if (v->kind == VALUE_BOOL) return !v->boolean;
    if (v->kind == VALUE_ARRAY) return v->items.n == 0;
    return v->kind == VALUE_OBJECT && v->members.n == 0;
}

static const char *type_of(const struct value *v) {
    return str_or(value_text(value_gets(v, "type")), "");
}

/* ---- what is told about every schema, alternatives included ---- */

void schema_check_unsupported(struct schema_checker *c, const struct value *v) {
    static const struct {
        const char *key, *why;
    } forbidden[] = {
        {"id", "id is not supported"},
        {"additionalItems", "additionalItems is not supported"},
        {"patternProperties", "patternProperties is not supported"},
        {"definitions", "definitions is not supported"},
        {"dependencies", "dependencies is not supported"},
        {"$ref", "$ref is not supported"},
        {"uniqueItems",
         "uniqueItems cannot be set to true since the runtime complexity becomes quadratic"},
    };
    static const char *const types[] = {"array",  "boolean", "integer",
                                        "number", "object",  "string"};
    for (size_t i = 0; i < ARRAY_LEN(forbidden); i++)
        if (!schema_check_empty(value_gets(v, forbidden[i].key)))
            cause_forbidden(c->causes, schema_check_at(c, forbidden[i].key), forbidden[i].why);
    const char *type = type_of(v);
    bool known = !*type;
    for (size_t i = 0; i < ARRAY_LEN(types); i++) known = known || str_eq(type, types[i]);
    if (str_eq(type, "null"))
        cause_forbidden(c->causes, schema_check_at(c, "type"),
                        "type cannot be set to null, use nullable as an alternative");
    else if (!known)
        cause_not_supported(c->causes, schema_check_at(c, "type"), type, types, ARRAY_LEN(types));
    if (value_is(value_gets(v, "items"), VALUE_ARRAY))
        cause_forbidden(c->causes, schema_check_at(c, "items"),
                        "items must be a schema object and not an array");
    const char *pattern = value_text(value_gets(v, "pattern"));
    struct regex *compiled;
    struct err err;
    if (!str_empty(pattern) && regex_compile(c->causes->a, slice_of(pattern), &compiled, &err) < 0)
        cause_invalid(c->causes, schema_check_at(c, "pattern"), pattern,
                      arena_printf(c->causes->a,
                                   "must be a valid regular expression, but isn't: error parsing "
                                   "regexp: %s",
                                   err.text));
}

static void check_needed_type(struct schema_checker *c, const struct value *v, const char *wanted,
                              const char *why) {
    const char *type = type_of(v);
    if (str_eq(type, wanted)) return;
    if (*type)
        cause_invalid(c->causes, schema_check_at(c, "type"), type, why);
    else
        cause_required(c->causes, schema_check_at(c, "type"), why);
}

static void check_map_key(struct schema_checker *c, const struct value *items, const char *key) {
    const struct value *p = value_get(value_gets(items, "properties"), slice_of(key));
    struct arena *a = c->causes->a;
    if (!p) {
        cause_invalid(c->causes, schema_check_at(c, "x-kubernetes-list-map-keys"), key,
                      "entries must all be names of item properties");
        return;
    }
    const char *place = arena_printf(a, "items.properties[%s]", key);
    if (str_eq(type_of(p), "array") || str_eq(type_of(p), "object"))
        cause_invalid(c->causes, schema_check_at(c, arena_printf(a, "%s.type", place)), type_of(p),
                      "must be a scalar type if parent array's x-kubernetes-list-type is map");
    bool required = false;
    const struct value *list = value_gets(items, "required");
    for (size_t i = 0; value_is(list, VALUE_ARRAY) && i < list->items.n; i++)
        required = required || str_eq(value_text(&list->items.v[i]), key);
    if (!required && !value_gets(p, "default"))
        cause_required(c->causes, schema_check_at(c, arena_printf(a, "%s.default", place)),
                       "this property is in x-kubernetes-list-map-keys, so it must have a default "
                       "or be a required property");
    if (value_true(value_gets(p, "nullable")))
        cause_forbidden(c->causes, schema_check_at(c, arena_printf(a, "%s.nullable", place)),
                        "this property is in x-kubernetes-list-map-keys, so it cannot be nullable");
}

static void check_list_map(struct schema_checker *c, const struct value *v) {
    const struct value *keys = value_gets(v, "x-kubernetes-list-map-keys"),
                       *items = value_gets(v, "items");
    if (schema_check_empty(keys))
        cause_required(c->causes, schema_check_at(c, "x-kubernetes-list-map-keys"),
                       "must not be empty if x-kubernetes-list-type is map");
    if (!value_is(items, VALUE_OBJECT)) {
        cause_required(c->causes, schema_check_at(c, "items"),
                       "must have a schema if x-kubernetes-list-type is map");
        return;
    }
    if (!str_eq(type_of(items), "object")) {
        cause_invalid(c->causes, schema_check_at(c, "items.type"), type_of(items),
                      "must be object if parent array's x-kubernetes-list-type is map");
        return;
    }
    OWN(map_done) struct map seen = {0};
    for (size_t i = 0; value_is(keys, VALUE_ARRAY) && i < keys->items.n; i++) {
        const char *key = str_or(value_text(&keys->items.v[i]), "");
        if (map_seen(&seen, slice_of(key)))
            cause_invalid(c->causes, schema_check_at(c, "x-kubernetes-list-map-keys"), key,
                          "must not contain duplicate entries");
        check_map_key(c, items, key);
    }
}

static void check_set_items(struct schema_checker *c, const struct value *items) {
    static const char why[] = "must be atomic as item of a list with x-kubernetes-list-type=set";
    const char *list = value_text(value_gets(items, "x-kubernetes-list-type"));
    const char *map = value_text(value_gets(items, "x-kubernetes-map-type"));
    if (str_eq(type_of(items), "array") && list && !str_eq(list, "atomic"))
        cause_invalid(c->causes, schema_check_at(c, "items.x-kubernetes-list-type"), list, why);
    if (str_eq(type_of(items), "object") && !str_eq(map, "atomic"))
        cause_invalid(c->causes, schema_check_at(c, "items.x-kubernetes-map-type"), map, why);
}

static void check_merge_types(struct schema_checker *c, const struct value *v) {
    static const char *const lists[] = {"atomic", "map", "set"};
    static const char *const maps[] = {"atomic", "granular"};
    const char *list = value_text(value_gets(v, "x-kubernetes-list-type"));
    const char *map = value_text(value_gets(v, "x-kubernetes-map-type"));
    const struct value *items = value_gets(v, "items");
    if (map)
        check_needed_type(c, v, "object", "must be object if x-kubernetes-map-type is specified");
    if (map && !str_eq(map, maps[0]) && !str_eq(map, maps[1]))
        cause_not_supported(c->causes, schema_check_at(c, "x-kubernetes-map-type"), map, maps, 2);
    if (list)
        check_needed_type(c, v, "array", "must be array if x-kubernetes-list-type is specified");
    if (list && !str_eq(list, "atomic") && !str_eq(list, "set") && !str_eq(list, "map"))
        cause_not_supported(c->causes, schema_check_at(c, "x-kubernetes-list-type"), list, lists,
                            3);
    if (!schema_check_empty(value_gets(v, "x-kubernetes-list-map-keys")) && !str_eq(list, "map")) {
        static const char why[] = "must be map if x-kubernetes-list-map-keys is non-empty";
        if (list)
            cause_invalid(c->causes, schema_check_at(c, "x-kubernetes-list-type"), list, why);
        else
            cause_required(c->causes, schema_check_at(c, "x-kubernetes-list-type"), why);
    }
    if (str_eq(list, "map")) check_list_map(c, v);
    if (str_eq(list, "set") && items) check_set_items(c, items);
    if ((str_eq(list, "set") || str_eq(list, "map")) && value_true(value_gets(items, "nullable")))
        cause_forbidden(c->causes, schema_check_at(c, "items.nullable"),
                        arena_printf(c->causes->a,
                                     "cannot be nullable when x-kubernetes-list-type is %s", list));
}

/* ---- the structural part ---- */

static void check_level(struct schema_checker *c, const struct value *v, enum level level) {
    static const char *const missing[] = {
        [LEVEL_ROOT] = "must not be empty at the root",
        [LEVEL_ITEM] = "must not be empty for specified array items",
        [LEVEL_FIELD] = "must not be empty for specified object fields"};
    const char *type = type_of(v);
    bool embedded = value_true(value_gets(v, "x-kubernetes-embedded-resource")),
         preserve = value_true(value_gets(v, "x-kubernetes-preserve-unknown-fields")),
         either = value_true(value_gets(v, "x-kubernetes-int-or-string"));
    if (embedded)
        check_needed_type(c, v, "object",
                          "must be object if x-kubernetes-embedded-resource is true");
    else if (!*type && !either && !preserve)
        cause_required(c->causes, schema_check_at(c, "type"), missing[level]);
    if (level == LEVEL_ROOT && *type && !str_eq(type, "object"))
        cause_invalid(c->causes, schema_check_at(c, "type"), type, "must be object at the root");
    if (str_eq(type, "array") && !value_gets(v, "items"))
        cause_required(c->causes, schema_check_at(c, "items"), "must be specified");
    if (either && preserve)
        cause_invalid_raw(c->causes, schema_check_at(c, "x-kubernetes-preserve-unknown-fields"),
                          "true", "must be false if x-kubernetes-int-or-string is true");
    if (either && embedded)
        cause_invalid_raw(c->causes, schema_check_at(c, "x-kubernetes-embedded-resource"), "true",
                          "must be false if x-kubernetes-int-or-string is true");
    if (embedded && !preserve && schema_check_empty(value_gets(v, "properties")))
        cause_required(c->causes, schema_check_at(c, "properties"),
                       "must not be empty if x-kubernetes-embedded-resource is true without "
                       "x-kubernetes-preserve-unknown-fields");
}

static void check_additional(struct schema_checker *c, const struct value *v, enum level level) {
    const struct value *more = value_gets(v, "additionalProperties");
    if (!more) return;
    bool open = value_true(more);
    if (!schema_check_empty(value_gets(v, "properties")) && !open)
        cause_forbidden(c->causes, schema_check_at(c, "additionalProperties"),
                        "additionalProperties and properties are mutual exclusive");
    if (level == LEVEL_ROOT)
        cause_forbidden(c->causes, schema_check_at(c, "additionalProperties"),
                        "must not be used at the root");
    if (value_true(value_gets(v, "x-kubernetes-embedded-resource")))
        cause_forbidden(c->causes, schema_check_at(c, "additionalProperties"),
                        "must not be used if x-kubernetes-embedded-resource is set");
}

/* At the root of a resource, embedded or not. */
static void check_identity_fields(struct schema_checker *c, const struct value *v,
                                  enum level level) {
    static const struct {
        const char *name, *type;
    } fields[] = {{"apiVersion", "string"}, {"kind", "string"}, {"metadata", "object"}};
    const struct value *properties = value_gets(v, "properties");
    struct arena *a = c->causes->a;
    for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
        const struct value *p = value_gets(properties, fields[i].name);
        if (p && !str_eq(type_of(p), fields[i].type))
            cause_invalid(
                c->causes,
                schema_check_at(c, arena_printf(a, "properties[%s].type", fields[i].name)),
                type_of(p), arena_printf(a, "must be %s", fields[i].type));
    }
    const struct value *metadata = value_gets(properties, "metadata");
    if (level != LEVEL_ROOT || !metadata) return;
    bool more = false;
    for (size_t i = 0; i < metadata->members.n; i++) {
        struct slice key = metadata->members.v[i].key;
        more = more || (!slice_is(key, "type") && !slice_is(key, "properties") &&
                        !slice_is(key, "default") && !slice_is(key, "description"));
    }
    const struct value *inner = value_gets(metadata, "properties");
    for (size_t i = 0; value_is(inner, VALUE_OBJECT) && i < inner->members.n; i++)
        more = more || (!slice_is(inner->members.v[i].key, "name") &&
                        !slice_is(inner->members.v[i].key, "generateName"));
    if (more)
        cause_forbidden(c->causes, schema_check_at(c, "properties[metadata]"),
                        "must not specify anything other than name and generateName, but metadata "
                        "is implicitly specified");
}

/* built NULL: defaults are not looked at. meta: below metadata, apiVersion or kind. */
static void check_default(struct schema_checker *c, const struct value *v,
                          const struct schema *built, const char *forbidden) {
    const struct value *d = value_gets(v, "default");
    if (!d) return;
    if (forbidden) {
        cause_forbidden(c->causes, schema_check_at(c, "default"),
                        arena_printf(c->causes->a, "must not be set %s", forbidden));
        return;
    }
    if (!built) return;
    OWN(arena_free_p) struct arena *a = arena_new();
    struct value pruned = value_copy(a, d);
    schema_prune(a, built, built->flags & SCHEMA_EMBEDDED, &pruned, "", NULL);
    OWN(buf_done) struct buf b = {0};
    if (!value_equal(&pruned, d)) {
        value_encode(&b, d);
        cause_invalid_raw(c->causes, schema_check_at(c, "default"), b.p,
                          "must not have unknown fields");
        return;
    }
    schema_validate_kubernetes(built, d, schema_check_at(c, "default"), c->causes);
    schema_validate(built, d, schema_check_at(c, "default"), c->causes);
}

static void check_structure(struct schema_checker *c, const struct value *v,
                            const struct schema *built, enum level level, const char *forbidden);

static void check_children(struct schema_checker *c, const struct value *v,
                           const struct schema *built, enum level level, const char *forbidden) {
    const struct value *items = value_gets(v, "items"), *properties = value_gets(v, "properties"),
                       *more = value_gets(v, "additionalProperties");
    size_t back;
    if (value_is(items, VALUE_OBJECT)) {
        back = value_path_field(&c->path, SLICE("items"));
        check_structure(c, items, built ? built->items : NULL, LEVEL_ITEM, forbidden);
        value_path_back(&c->path, back);
    }
    if (value_is(more, VALUE_OBJECT)) {
        back = value_path_field(&c->path, SLICE("additionalProperties"));
        check_structure(c, more, built ? built->additional : NULL, LEVEL_FIELD, forbidden);
        value_path_back(&c->path, back);
    }
    for (size_t i = 0; value_is(properties, VALUE_OBJECT) && i < properties->members.n; i++) {
        struct slice name = properties->members.v[i].key;
        bool meta = level == LEVEL_ROOT && (slice_is(name, "metadata") || slice_is(name, "kind") ||
                                            slice_is(name, "apiVersion"));
        back = value_path_field(&c->path, SLICE("properties"));
        value_path_key(&c->path, name);
        check_structure(c, &properties->members.v[i].value, schema_property(built, name),
                        LEVEL_FIELD,
                        meta ? arena_printf(c->causes->a, "in top-level %s", name.p) : forbidden);
        value_path_back(&c->path, back);
    }
}

static void check_structure(struct schema_checker *c, const struct value *v,
                            const struct schema *built, enum level level, const char *forbidden) {
    if (!value_is(v, VALUE_OBJECT)) {
        cause_invalid_raw(c->causes, schema_check_at(c, NULL), "null", "must be a schema");
        return;
    }
    const struct value *preserve = value_gets(v, "x-kubernetes-preserve-unknown-fields");
    if (value_is(preserve, VALUE_BOOL) && !preserve->boolean)
        cause_invalid_raw(c->causes, schema_check_at(c, "x-kubernetes-preserve-unknown-fields"),
                          "false", "must be true or undefined");
    schema_check_unsupported(c, v);
    check_merge_types(c, v);
    check_level(c, v, level);
    check_additional(c, v, level);
    if (level == LEVEL_ROOT || value_true(value_gets(v, "x-kubernetes-embedded-resource")))
        check_identity_fields(c, v, level);
    check_default(c, v, built, forbidden);
    schema_check_alternatives(c, v);
    check_children(c, v, built, level, forbidden);
}

static void check_root(struct schema_checker *c, const struct value *v, bool status) {
    static const char *const allowed[] = {"description",
                                          "type",
                                          "format",
                                          "title",
                                          "maximum",
                                          "exclusiveMaximum",
                                          "minimum",
                                          "exclusiveMinimum",
                                          "maxLength",
                                          "minLength",
                                          "pattern",
                                          "maxItems",
                                          "minItems",
                                          "uniqueItems",
                                          "multipleOf",
                                          "required",
                                          "items",
                                          "properties",
                                          "externalDocs",
                                          "example",
                                          "x-kubernetes-preserve-unknown-fields",
                                          "x-kubernetes-validations"};
    if (value_true(value_gets(v, "nullable")))
        cause_forbidden(c->causes, schema_check_at(c, "nullable"),
                        "nullable cannot be true at the root");
    for (size_t i = 0; status && i < v->members.n; i++) {
        bool known = schema_check_empty(&v->members.v[i].value);
        for (size_t k = 0; k < ARRAY_LEN(allowed); k++)
            known = known || slice_is(v->members.v[i].key, allowed[k]);
        if (known) continue;
        cause_invalid_raw(c->causes, schema_check_at(c, NULL), v->members.v[i].key.p,
                          "this field is not allowed at the root of the schema if the status "
                          "subresource is enabled");
    }
}

void schema_check(const struct value *json, const struct schema *built, bool status,
                  const char *path, struct api_causes *causes) {
    struct schema_checker c = {.causes = causes};
    buf_str(&c.path.text, path);
    if (value_is(json, VALUE_OBJECT)) check_root(&c, json, status);
    check_structure(&c, json, built, LEVEL_ROOT, NULL);
    buf_done(&c.path.text);
}
