/*
 * JSON bytes → struct, in one pass over the text: no tree, strings copied once into the arena.
 * Unknown and duplicate fields are found on the way, with their path.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/codec/codec.h"
#include "api/types.h"
#include "api/values/quantity.h"
#include "base/limits.h"
#include "base/own.h"
#include "base/times.h"
#include "proto/json.h"

enum { FINDINGS_MAX = 100, FINDINGS_BYTES_MAX = 1 << 20 }; /* unknown and duplicate fields listed */

struct frame {
    const struct api_field *field; /* NULL: an unknown name or a map key, in key */
    struct slice key;
    size_t index;
    bool indexed;
};

struct decoder {
    struct json_reader r;
    struct arena *a;
    const char *go_struct; /* innermost type, for messages */
    enum api_unknown unknown;
    bool without_managers;
    const struct api_keep *keep;
    struct str_list findings;
    size_t finding_bytes; /* of those that were listed before, too */
    struct frame path[LIMIT_JSON_DEPTH + 2];
    unsigned depth;
    size_t memory_end; /* arena_used() may not pass this */
    struct err *err;
};

static int decode_object(struct decoder *d, const struct api_type *t, void *obj);

/* spec.containers[0].image; without indexes as Go's json names struct fields. */
static const char *path_text(struct decoder *d, bool indexes) {
    OWN(buf_done) struct buf b = {0};
    for (unsigned i = 0; i < d->depth; i++) {
        const struct frame *f = &d->path[i];
        if (b.n) buf_char(&b, '.');
        if (f->field)
            buf_append(&b, f->field->name, f->field->name_n);
        else
            buf_slice(&b, f->key);
        if (indexes && f->indexed) buf_printf(&b, "[%zu]", f->index);
    }
    return arena_strn(d->a, buf_view(&b));
}

static void finding(struct decoder *d, const char *what) {
    if (d->unknown == API_UNKNOWN_IGNORE || d->findings.n >= FINDINGS_MAX ||
        d->finding_bytes >= FINDINGS_BYTES_MAX)
        return;
    const char *text = arena_printf(d->a, "%s field \"%s\"", what, path_text(d, true));
    d->finding_bytes += strlen(text);
    for (size_t i = 0; i < d->findings.n; i++)
        if (strcmp(d->findings.v[i], text) == 0) return;
    *ARENA_PUSH(d->a, &d->findings) = text;
}

/* v1.PodSpec for io.k8s.api.core.v1.PodSpec. */
static const char *go_type_name(struct decoder *d, const struct api_type *t) {
    size_t dots = 0;
    const char *p = t->schema_name + strlen(t->schema_name);
    while (p > t->schema_name && (p[-1] != '.' || ++dots < 2)) p--;
    return arena_str(d->a, p);
}

static const char *go_type(struct decoder *d, const struct api_field *f, bool element) {
    static const char *const names[] = {"string",
                                        "[]uint8",
                                        "resource.Quantity",
                                        "v1.Time",
                                        "v1.MicroTime",
                                        "string",
                                        "bool",
                                        "int32",
                                        "int64",
                                        "float64",
                                        "intstr.IntOrString",
                                        "runtime.RawExtension",
                                        ""};
    const char *name = f->form == API_OBJECT ? go_type_name(d, f->type) : names[f->form];
    if (element || f->shape == API_ONE) return name;
    const char *prefix = f->shape == API_LIST  ? "[]"
                         : f->shape == API_MAP ? "map[string]"
                                               : "map[string][]";
    return arena_printf(d->a, "%s%s", prefix, name);
}

static int syntax(struct decoder *d) { return json_reader_error(&d->r, d->err); }

static int mismatch(struct decoder *d, const char *got, const char *want) {
    return err_field(d->err, ERR_BAD_REQUEST, path_text(d, true),
                     "json: cannot unmarshal %s into Go struct field %s.%s of type %s", got,
                     d->go_struct, path_text(d, false), want);
}

/* The next value is of a kind that f does not take. */
static int wrong_kind(struct decoder *d, const struct api_field *f, bool element) {
    enum json_kind kind = json_peek(&d->r);
    if (kind == JSON_KIND_INVALID || json_skip(&d->r) < 0) {
        json_skip(&d->r);
        return syntax(d);
    }
    return mismatch(d, json_kind_name(kind), go_type(d, f, element));
}

/* head "value" tail */
static int invalid(struct decoder *d, const char *head, const char *value, const char *tail) {
    return err_field(d->err, ERR_BAD_REQUEST, path_text(d, true), "%s\"%.100s\"%s", head, value,
                     tail);
}

/* Checks and canonical form of texts that are more than strings. */
static int canonical(struct decoder *d, enum api_form form, struct slice s, const char **ret) {
    int64_t wall_s, ns;
    char text[TIME_TEXT_MAX];
    const char *raw = arena_strn(d->a, s);
    switch (form) {
    case API_QUANTITY:
        *ret = quantity_canonical(d->a, raw);
        if (*ret) return 0;
        return err_field(d->err, ERR_BAD_REQUEST, path_text(d, true),
                         "quantities must match the regular expression "
                         "'^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'");
    case API_TIME:
    case API_MICROTIME:
        if (time_parse_parts(raw, &wall_s, &ns) < 0)
            return invalid(d, "parsing time ", raw,
                           " as \"2006-01-02T15:04:05Z07:00\": cannot parse");
        time_format_parts(text, wall_s, ns, form == API_MICROTIME);
        *ret = arena_str(d->a, text);
        return 0;
    case API_DURATION:
        *ret = duration_canonical(d->a, raw);
        return *ret ? 0 : invalid(d, "time: invalid duration ", raw, "");
    case API_BYTES: {
        OWN(buf_done) struct buf b = {0};
        if (buf_unbase64(&b, s) < 0) return invalid(d, "illegal base64 data: ", raw, "");
        *ret = raw;
        return 0;
    }
    default: *ret = raw; return 0;
    }
}

static int decode_text(struct decoder *d, const struct api_field *f, bool element,
                       const char **ret) {
    struct slice s;
    enum json_kind kind = json_peek(&d->r);
    if (kind == JSON_KIND_NUMBER && f->form == API_QUANTITY) { /* cpu: 2 is common */
        if (json_read_number(&d->r, &s) < 0) return syntax(d);
    } else if (kind != JSON_KIND_STRING) {
        return wrong_kind(d, f, element);
    } else if (json_read_string(&d->r, d->a, &s) < 0) {
        return syntax(d);
    }
    if (s.n == 0) {
        bool keep = element || f->shape != API_ONE || (f->flags & API_POINTER);
        if (f->form == API_QUANTITY) return canonical(d, API_QUANTITY, s, ret);
        *ret = keep && (f->form == API_STRING || f->form == API_BYTES) ? "" : NULL;
        return 0;
    }
    if (f->form == API_STRING) {
        *ret = arena_strn(d->a, s);
        return 0;
    }
    return canonical(d, (enum api_form)f->form, s, ret);
}

static int decode_integer(struct decoder *d, const struct api_field *f, bool element, int64_t min,
                          int64_t max, int64_t *ret) {
    struct slice s;
    char text[24], *end;
    if (json_peek(&d->r) != JSON_KIND_NUMBER) return wrong_kind(d, f, element);
    if (json_read_number(&d->r, &s) < 0) return syntax(d);
    if (s.n < sizeof text) {
        memcpy(text, s.p, s.n);
        text[s.n] = 0;
        errno = 0;
        long long v = strtoll(text, &end, 10);
        if (!*end && !errno && v >= min && v <= max) {
            *ret = v;
            return 0;
        }
    }
    return mismatch(d, arena_printf(d->a, "number %.*s", (int)MIN_OF(s.n, (size_t)40), s.p),
                    go_type(d, f, element));
}

static int decode_double(struct decoder *d, const struct api_field *f, double *ret) {
    struct slice s;
    if (json_peek(&d->r) != JSON_KIND_NUMBER) return wrong_kind(d, f, false);
    if (json_read_number(&d->r, &s) < 0) return syntax(d);
    *ret = strtod(arena_strn(d->a, s), NULL);
    return 0;
}

static int decode_int_or_string(struct decoder *d, const struct api_field *f,
                                struct int_or_string *ret) {
    struct slice s;
    int64_t v;
    if (json_peek(&d->r) == JSON_KIND_STRING) {
        if (json_read_string(&d->r, d->a, &s) < 0) return syntax(d);
        *ret = (struct int_or_string){.kind = IOS_STRING, .s = arena_strn(d->a, s)};
        return 0;
    }
    int rc = decode_integer(d, f, false, INT32_MIN, INT32_MAX, &v);
    if (rc == 0) *ret = (struct int_or_string){.kind = IOS_INT, .i = (int32_t)v};
    return rc;
}

static int decode_raw(struct decoder *d, struct slice *ret) {
    OWN(buf_done) struct buf b = {0};
    if (json_read_raw(&d->r, &b) < 0) return syntax(d);
    *ret = slice_from(arena_strn(d->a, buf_view(&b)), b.n);
    return 0;
}

/* One value at place, which is storage of the value itself (never a pointer to it). */
static int decode_value(struct decoder *d, const struct api_field *f, bool element, void *place) {
    int64_t v = 0;
    int rc;
    switch ((enum api_form)f->form) {
    case API_BOOL:
        if (json_peek(&d->r) != JSON_KIND_BOOL) return wrong_kind(d, f, element);
        return json_read_bool(&d->r, place) < 0 ? syntax(d) : 0;
    case API_INT32:
        rc = decode_integer(d, f, element, INT32_MIN, INT32_MAX, &v);
        if (rc == 0) *(int32_t *)place = (int32_t)v;
        return rc;
    case API_INT64:
        rc = decode_integer(d, f, element, INT64_MIN, INT64_MAX, &v);
        if (rc == 0) *(int64_t *)place = v;
        return rc;
    case API_DOUBLE: return decode_double(d, f, place);
    case API_INT_OR_STRING: return decode_int_or_string(d, f, place);
    case API_RAW: return decode_raw(d, place);
    case API_OBJECT:
        if (json_peek(&d->r) != JSON_KIND_OBJECT) return wrong_kind(d, f, element);
        return decode_object(d, f->type, place);
    default: return decode_text(d, f, element, place);
    }
}

/* Before a list of n elements grows: a few bytes of text may stand for a large struct. */
static int check_memory(struct decoder *d, size_t n, size_t size) {
    bool grows = (n & (n - 1)) == 0;
    if (!grows || arena_used(d->a) + 2 * n * size <= d->memory_end) return 0;
    return err_field(d->err, ERR_TOO_LARGE, path_text(d, true),
                     "the object takes more than %d bytes of memory", LIMIT_DECODE_BYTES);
}

/* What an empty list points to that is there: [] and absent differ for managedFields. */
static char nothing;

static const struct api_keep *keep_of(const struct decoder *d, const struct api_type *t) {
    for (const struct api_keep *k = d->keep; k && k->type; k++)
        if (k->type == t) return k;
    return NULL;
}

static bool names_field(const char *const *names, const struct api_field *f) {
    while (*names && strcmp(*names, f->name) != 0) names++;
    return *names;
}

/* Pointers, lists, maps and texts: that they are there; objects within: that something of them is.
 */
static bool is_there(const struct api_field *f, const void *place) {
    if (f->shape != API_ONE) return ((const struct api_list *)place)->n > 0;
    if (f->form != API_OBJECT || f->flags & API_POINTER) return *(const void *const *)place != NULL;
    for (size_t i = 0; i < f->type->size; i++)
        if (((const char *)place)[i]) return true;
    return false;
}

/* Whether an element has what makes it worth keeping. */
static bool worth_keeping(const struct api_keep *k, const void *element) {
    if (!k || !k->only_with) return true;
    for (unsigned i = 0; i < k->type->n_fields; i++) {
        const struct api_field *f = &k->type->fields[i];
        if (!names_field(k->only_with, f)) continue;
        if (is_there(f, api_at((void *)(uintptr_t)element, f))) return true;
    }
    return false;
}

static int decode_list(struct decoder *d, const struct api_field *f, size_t size,
                       struct api_list *list) {
    struct frame *at = &d->path[d->depth - 1];
    int rc;
    if (json_peek(&d->r) != JSON_KIND_ARRAY) return wrong_kind(d, f, false);
    if (json_array_begin(&d->r) < 0) return syntax(d);
    bool outer = at->indexed; /* inside map[string][]: the frame is the key's */
    at->indexed = true;
    at->index = 0;
    *list = (struct api_list){0};
    const struct api_keep *keep = f->form == API_OBJECT ? keep_of(d, f->type) : NULL;
    while ((rc = json_array_next(&d->r)) > 0) {
        if ((rc = check_memory(d, list->n, size)) < 0) return rc;
        list->v = arena_grow(d->a, list->v, list->n, size);
        void *place = (char *)list->v + list->n * size;
        memset(place, 0, size);
        list->n++;
        if (json_peek(&d->r) == JSON_KIND_NULL) {
            if (json_read_null(&d->r) < 0) return syntax(d);
            if (api_form_is_text((enum api_form)f->form)) *(const char **)place = "";
        } else if ((rc = decode_value(d, f, true, place)) < 0) {
            return rc;
        }
        if (!worth_keeping(keep, place)) list->n--;
        at->index++;
    }
    at->indexed = outer;
    if (rc == 0 && !list->n) list->v = &nothing;
    return rc < 0 ? syntax(d) : 0;
}

static void map_duplicate(void *user, const char *key) {
    struct decoder *d = user;
    d->path[d->depth++] = (struct frame){.key = slice_of(key)};
    finding(d, "duplicate");
    d->depth--;
}

static int decode_map(struct decoder *d, const struct api_field *f, struct api_list *map) {
    size_t size = api_element_size(f);
    struct slice key;
    int rc;
    if (json_peek(&d->r) != JSON_KIND_OBJECT) return wrong_kind(d, f, false);
    if (json_object_begin(&d->r) < 0) return syntax(d);
    *map = (struct api_list){0};
    while ((rc = json_object_next(&d->r, d->a, &key)) > 0) {
        if ((rc = check_memory(d, map->n, size)) < 0) return rc;
        map->v = arena_grow(d->a, map->v, map->n, size);
        char *pair = (char *)map->v + map->n * size;
        memset(pair, 0, size);
        map->n++;
        *(const char **)pair = arena_strn(d->a, key);
        d->path[d->depth++] = (struct frame){.key = key};
        if (json_peek(&d->r) == JSON_KIND_NULL) {
            rc = json_read_null(&d->r) < 0 ? syntax(d) : 0;
            if (f->shape == API_MAP && api_form_is_text((enum api_form)f->form))
                *(const char **)(pair + API_PAIR_VALUE) = f->form == API_QUANTITY ? "0" : "";
        } else if (f->shape == API_MAP) {
            rc = decode_value(d, f, true, pair + API_PAIR_VALUE);
        } else {
            rc = decode_list(d, f, sizeof(char *), (struct api_list *)(pair + API_PAIR_VALUE));
        }
        d->depth--;
        if (rc < 0) return rc;
    }
    if (rc < 0) return syntax(d);
    map_sort(d->a, map, size, map_duplicate, d);
    return 0;
}

static size_t pointed_size(const struct api_field *f) {
    return f->form == API_OBJECT                           ? f->type->size
           : f->form == API_BOOL                           ? sizeof(bool)
           : f->form == API_INT32                          ? sizeof(int32_t)
           : f->form == API_INT64 || f->form == API_DOUBLE ? sizeof(int64_t)
                                                           : 0;
}

static int decode_field(struct decoder *d, const struct api_field *f, void *obj) {
    void *place = api_at(obj, f);
    if (json_peek(&d->r) == JSON_KIND_NULL) return json_read_null(&d->r) < 0 ? syntax(d) : 0;
    if (d->without_managers && f->type == &meta_v1_managed_fields_entry_type)
        return json_skip(&d->r) < 0 ? syntax(d) : 0;
    if (f->shape == API_LIST) return decode_list(d, f, api_element_size(f), place);
    if (f->shape != API_ONE) return decode_map(d, f, place);
    if ((f->flags & API_POINTER) && pointed_size(f)) {
        void *value = arena_alloc(d->a, pointed_size(f));
        *(void **)place = value;
        place = value;
    }
    return decode_value(d, f, false, place);
}

/* A member that no field names, of a type that keeps those. */
static int decode_inline(struct decoder *d, struct slice key, struct buf *members) {
    if (members->n) buf_char(members, ',');
    buf_json_str(members, key);
    buf_char(members, ':');
    return json_read_raw(&d->r, members) < 0 ? syntax(d) : 0;
}

static void inline_done(struct decoder *d, const struct api_type *t, void *obj,
                        const struct buf *members) {
    for (unsigned i = 0; members->n && i < t->n_fields; i++)
        if (t->fields[i].flags & API_INLINE)
            *(struct slice *)api_at(obj, &t->fields[i]) =
                slice_from(arena_strn(d->a, buf_view(members)), members->n);
}

static int decode_members(struct decoder *d, const struct api_type *t, void *obj) {
    OWN(buf_done) struct buf members = {0};
    uint64_t few = 0, *seen = &few;
    if (t->n_fields > 64) seen = ARENA_ARRAY(d->a, uint64_t, t->n_fields / 64 + 1);
    struct slice key;
    unsigned hint = 0;
    int rc;
    const struct api_keep *keep = keep_of(d, t);
    while ((rc = json_object_next(&d->r, d->a, &key)) > 0) {
        const struct api_field *f = api_field_find(t, key, &hint);
        if (f && f->flags & API_INLINE) f = NULL;
        d->path[d->depth++] = (struct frame){.field = f, .key = key};
        if (f && keep && !names_field(keep->fields, f)) {
            rc = json_skip(&d->r) < 0 ? syntax(d) : 0;
        } else if (!f && t->flags & API_TYPE_INLINE) {
            rc = decode_inline(d, key, &members);
        } else if (!f) {
            finding(d, "unknown");
            rc = json_skip(&d->r) < 0 ? syntax(d) : 0;
        } else {
            size_t i = (size_t)(f - t->fields);
            if (seen[i / 64] >> (i % 64) & 1) finding(d, "duplicate");
            seen[i / 64] |= UINT64_C(1) << (i % 64);
            rc = decode_field(d, f, obj);
        }
        d->depth--;
        if (rc < 0) return rc;
    }
    if (members.n) inline_done(d, t, obj, &members);
    return rc < 0 ? syntax(d) : 0;
}

static int decode_object(struct decoder *d, const struct api_type *t, void *obj) {
    const char *outer = d->go_struct;
    if (json_object_begin(&d->r) < 0) return syntax(d);
    d->go_struct = t->name;
    int rc = decode_members(d, t, obj);
    d->go_struct = outer;
    return rc;
}

/* Upstream's wording of a request body that does not decode. */
static int request_error(struct decoder *d, const struct api_type *t) {
    const char *qualified = go_type_name(d, t), *dot = strchr(qualified, '.');
    return err_wrap(d->err, "%s in version \"%.*s\" cannot be handled as a %s", t->name,
                    (int)(dot ? dot - qualified : 0), qualified, t->name);
}

static int report(struct decoder *d, const struct api_type *t, const struct api_decode_opts *opts) {
    if (d->findings.n == 0) return 0;
    if (d->unknown == API_UNKNOWN_WARN) {
        for (size_t i = 0; opts && opts->warnings && i < d->findings.n; i++)
            *ARENA_PUSH(d->a, opts->warnings) = d->findings.v[i];
        return 0;
    }
    OWN(buf_done) struct buf b = {0};
    for (size_t i = 0; i < d->findings.n; i++)
        buf_printf(&b, "%s%s", i ? ", " : "", d->findings.v[i]);
    err_set(d->err, ERR_BAD_REQUEST, "strict decoding error: %s", b.p);
    return request_error(d, t);
}

int api_decode(struct arena *a, const struct api_type *t, struct slice json,
               const struct api_decode_opts *opts, void **ret, struct err *err) {
    struct err own;
    struct decoder d = {.a = a,
                        .err = err ? err : &own,
                        .unknown = opts ? opts->unknown : API_UNKNOWN_IGNORE,
                        .without_managers = opts && opts->without_managers,
                        .keep = opts ? opts->keep : NULL};
    json_reader_init(&d.r, json);
    d.memory_end = arena_used(a) + LIMIT_DECODE_BYTES;
    void *obj = arena_alloc(a, t->size);
    enum json_kind kind = json_peek(&d.r);
    int rc;
    if (kind != JSON_KIND_OBJECT && kind != JSON_KIND_INVALID)
        rc = err_set(d.err, ERR_BAD_REQUEST, "json: cannot unmarshal %s into Go value of type %s",
                     json_kind_name(kind), go_type_name(&d, t));
    else
        rc = decode_object(&d, t, obj);
    if (rc == 0 && json_end(&d.r) < 0) rc = syntax(&d);
    if (rc < 0) return opts ? request_error(&d, t) : rc;
    if ((rc = report(&d, t, opts)) < 0) return rc;
    *ret = obj;
    return 0;
}
