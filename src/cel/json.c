/* Documents as values: one level is read when it is first looked into. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "cel/internal.h"
#include "proto/json.h"

static struct cel_value container(struct arena *a, const struct cel_type *t, struct slice json,
                                  bool object) {
    if (!object) {
        struct cel_list *l = ARENA_NEW(a, struct cel_list);
        l->a = a;
        l->json = json;
        l->type = t->kind == CEL_LIST ? t : cel_type(CEL_LIST);
        return (struct cel_value){.kind = CEL_LIST, .list = l};
    }
    struct cel_map *m = ARENA_NEW(a, struct cel_map);
    m->a = a;
    m->json = json;
    m->type = t->kind == CEL_MAP || t->kind == CEL_OBJECT ? t : cel_type(CEL_MAP);
    return (struct cel_value){.kind = m->type->kind, .map = m};
}

static struct cel_value number(const struct cel_type *t, struct slice s) {
    int64_t i;
    double d;
    if (t->kind != CEL_DOUBLE && cel_parse_int(s, &i))
        return t->kind == CEL_UINT && i >= 0
                   ? (struct cel_value){.kind = CEL_UINT, .u = (uint64_t)i}
                   : cel_int(i);
    if (!cel_parse_double(s, &d)) return cel_null();
    if (t->kind == CEL_INT && fabs(d) < 9e15 && trunc(d) == d) return cel_int((int64_t)d);
    return (struct cel_value){.kind = CEL_DOUBLE, .d = d};
}

/* A text that stands for something else when its type says so. */
static struct cel_value text(struct arena *a, const struct cel_type *t, struct slice s) {
    struct cel_value v = cel_string(s);
    OWN(buf_done) struct buf b = {0};
    switch (t->kind) {
    case CEL_TIMESTAMP:
        if (cel_parse_timestamp(s, &v.i, &v.ns)) return cel_time(CEL_TIMESTAMP, v.i, v.ns);
        break;
    case CEL_DURATION:
        if (cel_parse_duration(s, &v.i, &v.ns)) return cel_time(CEL_DURATION, v.i, v.ns);
        break;
    case CEL_BYTES:
        if (buf_unbase64(&b, s) == 0)
            return cel_bytes(slice_from(arena_copy(a, b.p ? b.p : "", b.n), b.n));
        break;
    default: break;
    }
    return cel_string(s);
}

struct cel_value cel_json(struct arena *a, const struct cel_type *t, struct slice json) {
    struct json_reader r;
    struct slice s;
    bool b;
    t = cel_actual(t);
    json_reader_init(&r, json);
    switch (json_peek(&r)) {
    case JSON_KIND_OBJECT: return container(a, t, json, true);
    case JSON_KIND_ARRAY: return container(a, t, json, false);
    case JSON_KIND_STRING: return json_read_string(&r, a, &s) < 0 ? cel_null() : text(a, t, s);
    case JSON_KIND_NUMBER: return json_read_number(&r, &s) < 0 ? cel_null() : number(t, s);
    case JSON_KIND_BOOL: return json_read_bool(&r, &b) < 0 ? cel_null() : cel_bool(b);
    default: return cel_null();
    }
}

static struct slice skip(struct json_reader *r) {
    json_peek(r);
    const char *from = r->p;
    if (json_skip(r) < 0) return SLICE("null");
    return slice_from(from, (size_t)(r->p - from));
}

static struct cel_value raw(struct slice s) {
    return (struct cel_value){.kind = CEL_RAW, .p = s.p, .n = s.n};
}

static void read_list(struct cel_list *l) {
    struct {
        struct cel_value *v;
        size_t n;
    } items = {0};
    struct json_reader r;
    json_reader_init(&r, l->json);
    l->json = slice_from(NULL, 0);
    if (json_array_begin(&r) == 0)
        while (json_array_next(&r) > 0 && !r.why) {
            struct slice s = skip(&r);
            *ARENA_PUSH(l->a, &items) = raw(s);
        }
    l->v = items.v;
    l->n = items.n;
}

static void read_map(struct cel_map *m) {
    struct {
        struct cel_entry *v;
        size_t n;
    } entries = {0};
    struct json_reader r;
    struct slice key;
    json_reader_init(&r, m->json);
    m->json = slice_from(NULL, 0);
    if (json_object_begin(&r) == 0)
        while (json_object_next(&r, m->a, &key) > 0 && !r.why) {
            struct slice s = skip(&r);
            *ARENA_PUSH(m->a, &entries) = (struct cel_entry){cel_string(key), raw(s)};
        }
    m->v = entries.v;
    m->n = entries.n;
    cel_map_index(m);
}

size_t cel_list_size(struct cel_list *l) {
    if (l->json.p) read_list(l);
    return l->n;
}

struct cel_value cel_at(struct cel_list *l, size_t i) {
    if (l->v[i].kind == CEL_RAW)
        l->v[i] = cel_json(l->a, l->type ? l->type->elem : cel_type(CEL_DYN), cel_slice(l->v[i]));
    return l->v[i];
}

size_t cel_map_size(struct cel_map *m) {
    if (m->json.p) read_map(m);
    return m->n;
}

struct cel_value cel_key_at(struct cel_map *m, size_t i) {
    cel_map_size(m);
    return m->v[i].key;
}

struct cel_value cel_value_at(struct cel_map *m, size_t i) {
    struct cel_value *v = &m->v[i].value;
    if (v->kind != CEL_RAW) return *v;
    const struct cel_type *t = m->type, *field = cel_type(CEL_DYN);
    if (t && t->kind == CEL_MAP) field = t->elem;
    if (t && t->kind == CEL_OBJECT && t->field) {
        const struct cel_type *known = t->field(m->a, t, cel_slice(m->v[i].key));
        if (known) field = known;
    }
    *v = cel_json(m->a, field, cel_slice(*v));
    return *v;
}

/* ---- writing ---- */

static void encode(struct buf *b, struct cel_value v, unsigned depth);

static void encode_map(struct buf *b, struct cel_map *m, unsigned depth) {
    buf_char(b, '{');
    for (size_t i = 0, n = cel_map_size(m); i < n; i++) {
        OWN(buf_done) struct buf key = {0};
        if (i) buf_char(b, ',');
        struct cel_value k = cel_key_at(m, i);
        if (k.kind == CEL_STRING)
            buf_slice(&key, cel_slice(k));
        else
            encode(&key, k, depth);
        buf_json_str(b, buf_view(&key));
        buf_char(b, ':');
        encode(b, cel_value_at(m, i), depth + 1);
    }
    buf_char(b, '}');
}

static void encode(struct buf *b, struct cel_value v, unsigned depth) {
    OWN(buf_done) struct buf s = {0};
    if (depth > CEL_DEPTH_MAX) v = cel_null();
    switch (v.kind) {
    case CEL_BOOL: buf_str(b, v.b ? "true" : "false"); return;
    case CEL_INT: buf_i64(b, v.i); return;
    case CEL_UINT: buf_u64(b, v.u); return;
    case CEL_DOUBLE:
        if (isfinite(v.d))
            cel_put_double(b, v.d);
        else
            buf_str(b, "null");
        return;
    case CEL_STRING: buf_json_str(b, cel_slice(v)); return;
    case CEL_BYTES:
        buf_char(b, '"');
        buf_base64(b, v.p, v.n);
        buf_char(b, '"');
        return;
    case CEL_TIMESTAMP: cel_put_timestamp(&s, v.i, v.ns); break;
    case CEL_DURATION: cel_put_duration(&s, v.i, v.ns); break;
    case CEL_TYPE: buf_str(&s, cel_kind_name(v.type->kind)); break;
    case CEL_LIST:
        buf_char(b, '[');
        for (size_t i = 0, n = cel_list_size(v.list); i < n; i++) {
            if (i) buf_char(b, ',');
            encode(b, cel_at(v.list, i), depth + 1);
        }
        buf_char(b, ']');
        return;
    case CEL_MAP:
    case CEL_OBJECT: encode_map(b, v.map, depth); return;
    case CEL_OPTIONAL: encode(b, v.optional ? *v.optional : cel_null(), depth + 1); return;
    default:
        if (cel_opaque_text(&s, v)) break;
        buf_str(b, "null");
        return;
    }
    buf_json_str(b, buf_view(&s));
}

void cel_encode(struct buf *b, struct cel_value v) { encode(b, v, 0); }
