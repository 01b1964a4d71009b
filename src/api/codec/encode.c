/* struct → canonical JSON: fields in the order of the schema, no white space, empty optional fields
 * left out. One pass; this is on the way of every write. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "api/table.h"
#include "base/own.h"

static void put(struct buf *b, const char *p, size_t n) {
    if (b->cap - b->n <= n) buf_reserve(b, n);
    memcpy(b->p + b->n, p, n);
    b->n += n;
}

static void put_char(struct buf *b, char c) { put(b, &c, 1); }

static void put_string(struct buf *b, const char *s) { buf_json_str(b, slice_of(s)); }

static void put_integer(struct buf *b, int64_t v) {
    char text[24], *p = text + sizeof text;
    uint64_t u = v < 0 ? -(uint64_t)v : (uint64_t)v;
    do *--p = (char)('0' + u % 10);
    while (u /= 10);
    if (v < 0) *--p = '-';
    put(b, p, (size_t)(text + sizeof text - p));
}

static void put_bool(struct buf *b, bool v) { put(b, v ? "true" : "false", v ? 4 : 5); }

/* Shortest text that reads back as the same number. */
static void put_double(struct buf *b, double v) {
    char text[40];
    for (int digits = 15; digits <= 17; digits++) {
        int n = snprintf(text, sizeof text, "%.*g", digits, isfinite(v) ? v : 0.0);
        if (strtod(text, NULL) == v || digits == 17) {
            put(b, text, (size_t)n);
            return;
        }
    }
}

static void put_object(struct buf *b, const struct api_type *t, const void *obj);

/* One value at place (storage of the value itself). */
static void put_value(struct buf *b, const struct api_field *f, const void *place) {
    switch ((enum api_form)f->form) {
    case API_BOOL: put_bool(b, *(const bool *)place); return;
    case API_INT32: put_integer(b, *(const int32_t *)place); return;
    case API_INT64: put_integer(b, *(const int64_t *)place); return;
    case API_DOUBLE: put_double(b, *(const double *)place); return;
    case API_INT_OR_STRING: {
        const struct int_or_string *v = place;
        if (v->kind == IOS_STRING)
            put_string(b, v->s);
        else
            put_integer(b, v->i);
        return;
    }
    case API_RAW: {
        const struct slice *s = place;
        if (s->p)
            put(b, s->p, s->n);
        else
            put(b, "null", 4);
        return;
    }
    case API_OBJECT: put_object(b, f->type, place); return;
    default: put_string(b, *(const char *const *)place); return;
    }
}

static void put_list(struct buf *b, const struct api_field *f, const struct api_list *list,
                     size_t size) {
    put_char(b, '[');
    for (size_t i = 0; i < list->n; i++) {
        if (i) put_char(b, ',');
        put_value(b, f, (const char *)list->v + i * size);
    }
    put_char(b, ']');
}

static void put_map(struct buf *b, const struct api_field *f, const struct api_list *map) {
    size_t size = api_element_size(f);
    put_char(b, '{');
    for (size_t i = 0; i < map->n; i++) {
        const char *pair = (const char *)map->v + i * size;
        if (i) put_char(b, ',');
        put_string(b, *(const char *const *)pair);
        put_char(b, ':');
        if (f->shape == API_MAP)
            put_value(b, f, pair + API_PAIR_VALUE);
        else
            put_list(b, f, (const struct api_list *)(pair + API_PAIR_VALUE), sizeof(char *));
    }
    put_char(b, '}');
}

/* Whether a single value is there to be written; *place then is the value itself. */
static bool present(const struct api_field *f, const void **place) {
    const void *p = *place;
    bool always = f->flags & API_ALWAYS;
    switch ((enum api_form)f->form) {
    case API_INT_OR_STRING: return always || ((const struct int_or_string *)p)->kind != IOS_NONE;
    case API_RAW: return always || ((const struct slice *)p)->p;
    case API_BOOL:
    case API_INT32:
    case API_INT64:
    case API_DOUBLE:
    case API_OBJECT:
        if (f->flags & API_POINTER) return (*place = *(void *const *)p) != NULL;
        if (always || f->form == API_OBJECT) return true;
        return f->form == API_BOOL    ? *(const bool *)p
               : f->form == API_INT32 ? *(const int32_t *)p != 0
               : f->form == API_INT64 ? *(const int64_t *)p != 0
                                      : *(const double *)p != 0;
    default: {
        const char *s = *(const char *const *)p;
        if (f->flags & API_POINTER) return s != NULL;
        return always || (s && *s);
    }
    }
}

static void put_object(struct buf *b, const struct api_type *t, const void *obj) {
    char separator = '{';
    for (unsigned i = 0; i < t->n_fields; i++) {
        const struct api_field *f = &t->fields[i];
        const void *place = api_at_const(obj, f);
        const struct api_list *list = place;
        if (f->shape == API_ONE) {
            if (!present(f, &place)) continue;
        } else if (list->n == 0 && !(f->flags & API_ALWAYS)) {
            continue;
        }
        if (f->flags & API_INLINE) {
            put_char(b, separator);
            put_value(b, f, place);
            separator = ',';
            continue;
        }
        if (b->cap - b->n <= f->name_n + 4u) buf_reserve(b, f->name_n + 4u);
        char *out = b->p + b->n;
        *out++ = separator;
        *out++ = '"';
        memcpy(out, f->name, f->name_n);
        out += f->name_n;
        *out++ = '"';
        *out++ = ':';
        b->n = (size_t)(out - b->p);
        separator = ',';
        if (f->shape == API_ONE)
            put_value(b, f, place);
        else if (f->shape == API_LIST)
            put_list(b, f, list, api_element_size(f));
        else
            put_map(b, f, list);
    }
    if (separator == '{') put_char(b, '{');
    put_char(b, '}');
}

void api_encode(struct buf *b, const struct api_type *t, const void *obj) {
    enum { USUAL_BYTES = 1000 };
    if (!b->cap) buf_reserve(b, USUAL_BYTES); /* not by doubling from little */
    put_object(b, t, obj);
    buf_reserve(b, 0);
    b->p[b->n] = 0;
}
