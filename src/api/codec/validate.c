/*
 * Validation by table: required, enum, range, length, pattern, format, uniqueness, immutability.
 * Rules that look at several fields are in kinds/<kind>.c.
 */
#include <regex.h>
#include <stdio.h>
#include <string.h>

#include <arpa/inet.h>

#include "api/table.h"
#include "api/values/names.h"
#include "base/limits.h"
#include "base/map.h"
#include "base/own.h"

struct validator {
    struct api_causes *causes;
    struct buf path;
};

static void validate_object(struct validator *v, const struct api_type *t, const void *obj,
                            const void *old);

/* ---- formats of strings ---- */

static const int name_rules[] = {
    [API_FORMAT_DNS1123LABEL] = NAME_DNS_LABEL,
    [API_FORMAT_DNS1123SUBDOMAIN] = NAME_DNS_SUBDOMAIN,
    [API_FORMAT_DNS1035LABEL] = NAME_DNS_1035_LABEL,
    [API_FORMAT_PATHSEGMENT] = NAME_PATH_SEGMENT,
    [API_FORMAT_LABELKEY] = NAME_QUALIFIED,
    [API_FORMAT_QUALIFIEDNAME] = NAME_QUALIFIED,
    [API_FORMAT_CONFIGKEY] = NAME_CONFIG_KEY,
    [API_FORMAT_PORTNAME] = NAME_PORT,
    [API_FORMAT_PORT] = NAME_PORT,
    [API_FORMAT_ENVNAME] = NAME_ENV,
};

static void validate_ip(struct validator *v, const char *text) {
    unsigned char address[16];
    if (inet_pton(AF_INET, text, address) == 1 || inet_pton(AF_INET6, text, address) == 1) return;
    cause_invalid(v->causes, v->path.p, text,
                  "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)");
}

static void validate_text(struct validator *v, const struct api_rule *rule, const char *text) {
    const char *path = v->path.p;
    bool known = rule->n_enums == 0;
    for (unsigned i = 0; i < rule->n_enums && !known; i++) known = str_eq(rule->enums[i], text);
    if (!known) cause_not_supported(v->causes, path, text, rule->enums, rule->n_enums);
    if (str_empty(text)) return;
    if (rule->max_length && strlen(text) > rule->max_length) {
        char why[64];
        snprintf(why, sizeof why, "may not be more than %u bytes", rule->max_length);
        cause_invalid(v->causes, path, text, why);
    }
    if (rule->format == API_FORMAT_IP)
        validate_ip(v, text);
    else if (rule->format != API_FORMAT_NONE)
        name_validate(v->causes, path, (enum name_rule)name_rules[rule->format], text);
    regex_t pattern;
    if (rule->pattern && regcomp(&pattern, rule->pattern, REG_EXTENDED | REG_NOSUB) == 0) {
        if (regexec(&pattern, text, 0, NULL, 0) != 0)
            cause_invalid(v->causes, path, text,
                          arena_printf(v->causes->a, "must match '%s'", rule->pattern));
        regfree(&pattern);
    }
}

static void validate_number(struct validator *v, const struct api_rule *rule, int64_t value) {
    char why[96];
    if (rule->has_min && rule->has_max && (value < rule->min || value > rule->max))
        snprintf(why, sizeof why, "must be between %lld and %lld, inclusive", (long long)rule->min,
                 (long long)rule->max);
    else if (rule->has_min && value < rule->min)
        snprintf(why, sizeof why,
                 rule->min == 1 ? "must be greater than 0"
                                : "must be greater than or equal to %lld",
                 (long long)rule->min);
    else if (rule->has_max && value > rule->max)
        snprintf(why, sizeof why, "must be less than or equal to %lld", (long long)rule->max);
    else
        return;
    cause_invalid_int(v->causes, v->path.p, value, why);
}

static void validate_port(struct validator *v, const struct api_rule *rule,
                          const struct int_or_string *p) {
    static const struct api_rule range = {.has_min = true, .min = 1, .has_max = true, .max = 65535};
    if (rule->format != API_FORMAT_PORT || p->kind == IOS_NONE) return;
    if (p->kind == IOS_INT)
        validate_number(v, &range, p->i);
    else
        name_validate(v->causes, v->path.p, NAME_PORT, p->s ? p->s : "");
}

/* A value that is there. */
static void validate_rule(struct validator *v, const struct api_field *f, const void *place) {
    switch ((enum api_form)f->form) {
    case API_INT32: validate_number(v, f->rule, *(const int32_t *)place); return;
    case API_INT64: validate_number(v, f->rule, *(const int64_t *)place); return;
    case API_INT_OR_STRING: validate_port(v, f->rule, place); return;
    case API_STRING:
    case API_BYTES:
    case API_QUANTITY:
    case API_TIME:
    case API_MICROTIME:
    case API_DURATION: validate_text(v, f->rule, *(const char *const *)place); return;
    case API_BOOL:
    case API_DOUBLE:
    case API_RAW:
    case API_OBJECT: return;
    }
}

/* No printf: this is on the way of every write. */
static void push_key(struct validator *v, const char *key) {
    buf_char(&v->path, '[');
    buf_str(&v->path, key);
    buf_char(&v->path, ']');
}

static void validate_map_rule(struct validator *v, const struct api_rule *rule,
                              const struct str_map *map) {
    if (rule->format == API_FORMAT_LABELS)
        labels_validate(v->causes, v->path.p, map);
    else if (rule->format == API_FORMAT_ANNOTATIONS)
        annotations_validate(v->causes, v->path.p, map);
    else if (rule->format == API_FORMAT_CONFIGKEYS)
        for (size_t i = 0; i < map->n; i++) {
            size_t n = v->path.n;
            push_key(v, map->v[i].key);
            name_validate(v->causes, v->path.p, NAME_CONFIG_KEY, map->v[i].key);
            v->path.n = n;
            v->path.p[n] = 0;
        }
}

/* ---- presence, uniqueness, immutability ---- */

/* Whether a single value is there; *place then is the value itself. */
static bool present(const struct api_field *f, const void **place) {
    const void *p = *place;
    switch ((enum api_form)f->form) {
    case API_INT_OR_STRING: return ((const struct int_or_string *)p)->kind != IOS_NONE;
    case API_RAW: return ((const struct slice *)p)->p != NULL;
    case API_OBJECT:
    case API_BOOL:
    case API_INT32:
    case API_INT64:
    case API_DOUBLE:
        if (f->flags & API_POINTER) return (*place = *(void *const *)p) != NULL;
        if (f->form == API_INT32) return *(const int32_t *)p != 0;
        if (f->form == API_INT64) return *(const int64_t *)p != 0;
        return true;
    default: {
        const char *s = *(const char *const *)p;
        return f->flags & API_POINTER ? s != NULL : !str_empty(s);
    }
    }
}

static void validate_unique(struct validator *v, const struct api_field *f,
                            const struct api_list *list) {
    const char *key = f->list_keys ? f->list_keys[0] : f->merge_key;
    const struct api_field *k = key ? api_field_find(f->type, slice_of(key), NULL) : NULL;
    if (list->n < 2 || !k || k->form != API_STRING) return;
    OWN(map_done) struct map seen = {0};
    size_t n = v->path.n;
    for (size_t i = 0; i < list->n; i++) {
        const void *element = (const char *)list->v + i * f->type->size;
        const char *name = *(const char *const *)api_at_const(element, k);
        if (str_empty(name) || !map_put(&seen, slice_of(name), (void *)element)) continue;
        buf_printf(&v->path, "[%zu].%s", i, key);
        cause_duplicate(v->causes, v->path.p, name);
        v->path.n = n;
        v->path.p[n] = 0;
    }
}

static void validate_immutable(struct validator *v, const struct api_type *t,
                               const struct api_field *f, const void *obj, const void *old) {
    struct api_field one = *f;
    one.offset = 0;
    const struct api_type single = {
        .name = t->name, .size = t->size, .fields = &one, .n_fields = 1};
    if (api_equal(&single, api_at_const(obj, f), api_at_const(old, f))) return;
    OWN(buf_done) struct buf b = {0};
    api_encode(&b, &single, api_at_const(obj, f));
    size_t head = f->name_n + 4u; /* {"name": */
    if (b.n > head)
        cause_invalid_raw(v->causes, v->path.p,
                          arena_strn(v->causes->a, slice_from(b.p + head, b.n - head - 1)),
                          "field is immutable");
    else
        cause_invalid_raw(v->causes, v->path.p, "null", "field is immutable");
}

/* Amounts by resource: whoever counts looks for each name in lists of others. */
static bool is_amounts(const struct api_field *f) {
    return f->shape == API_MAP && f->form == API_QUANTITY;
}

static void validate_elements(struct validator *v, const struct api_field *f,
                              const struct api_list *list) {
    size_t size = api_element_size(f), n = v->path.n;
    for (size_t i = 0; i < list->n; i++) {
        const char *element = (const char *)list->v + i * size;
        if (f->shape == API_LIST)
            buf_printf(&v->path, "[%zu]", i);
        else
            push_key(v, *(const char *const *)element);
        if (f->shape == API_MAP) element += API_PAIR_VALUE;
        if (f->type)
            validate_object(v, f->type, element, NULL);
        else
            validate_rule(v, f, element);
        v->path.n = n;
        v->path.p[n] = 0;
    }
}

static void validate_one(struct validator *v, const struct api_field *f, const void *place,
                         const void *old) {
    if (!present(f, &place)) {
        if (f->flags & API_REQUIRED) cause_required(v->causes, v->path.p, NULL);
        return;
    }
    if (f->rule) validate_rule(v, f, place);
    if (!f->type || !(f->type->flags & API_TYPE_RULES)) return;
    if (old && !present(f, &old)) old = NULL;
    validate_object(v, f->type, place, old);
}

static void validate_field(struct validator *v, const struct api_type *t, const struct api_field *f,
                           const void *obj, const void *old) {
    const void *place = api_at_const(obj, f);
    const struct api_list *list = place;
    if (old && (f->flags & API_IMMUTABLE)) validate_immutable(v, t, f, obj, old);
    if (f->shape == API_ONE) {
        validate_one(v, f, place, old ? api_at_const(old, f) : NULL);
        return;
    }
    if (list->n == 0 && (f->flags & API_REQUIRED)) cause_required(v->causes, v->path.p, NULL);
    if (f->flags & API_UNIQUE) validate_unique(v, f, list);
    if (is_amounts(f) && list->n > LIMIT_RESOURCES)
        cause_too_many(v->causes, v->path.p, list->n, LIMIT_RESOURCES);
    bool whole = f->rule && (f->rule->format == API_FORMAT_LABELS ||
                             f->rule->format == API_FORMAT_ANNOTATIONS ||
                             f->rule->format == API_FORMAT_CONFIGKEYS);
    if (whole)
        validate_map_rule(v, f->rule, place);
    else if (f->shape != API_MAP_OF_LISTS &&
             (f->rule || (f->type && f->type->flags & API_TYPE_RULES)))
        validate_elements(v, f, list);
}

static void validate_object(struct validator *v, const struct api_type *t, const void *obj,
                            const void *old) {
    if (!(t->flags & API_TYPE_RULES)) return;
    size_t n = v->path.n;
    for (unsigned i = 0; i < t->n_fields; i++) {
        const struct api_field *f = &t->fields[i];
        if (!f->rule && !(f->flags & (API_REQUIRED | API_IMMUTABLE | API_UNIQUE)) &&
            !is_amounts(f) && !(f->type && f->type->flags & API_TYPE_RULES))
            continue;
        if (n) buf_char(&v->path, '.');
        buf_append(&v->path, f->name, f->name_n);
        validate_field(v, t, f, obj, old);
        v->path.n = n;
        v->path.p[n] = 0;
    }
}

void api_validate(const struct api_type *t, const void *obj, const void *old, const char *path,
                  struct api_causes *causes) {
    struct validator v = {.causes = causes, .path = buf_take()};
    buf_reserve(&v.path, 256);
    buf_str(&v.path, path ? path : "");
    validate_object(&v, t, obj, old);
    buf_give(&v.path);
}

void api_validate_unchanged(const struct api_type *t, const void *obj, const void *old,
                            const char *const *fields, const char *path,
                            struct api_causes *causes) {
    struct validator v = {.causes = causes};
    for (; *fields; fields++) {
        const struct api_field *f = api_field_find(t, slice_of(*fields), NULL);
        if (!f) continue;
        buf_clear(&v.path);
        buf_printf(&v.path, "%s%s%s", path, *path ? "." : "", f->name);
        validate_immutable(&v, t, f, obj, old);
    }
    buf_done(&v.path);
}
