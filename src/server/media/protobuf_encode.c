/* JSON → protobuf in one pass: a pull reader in front, tags and values behind. Members may come in
 * any order, and do so on the wire. */
#include <errno.h>
#include <stdlib.h>

#include "api/codec/codec.h"
#include "base/own.h"
#include "base/times.h"
#include "proto/json.h"
#include "server/media/protobuf.h"

enum { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2, EMBEDDED_MAX = 64 };

struct encoder {
    struct buf *b;
    struct arena *a;
    struct json_reader r;
};

static size_t varint_bytes(uint64_t v) {
    size_t n = 1;
    while (v >>= 7) n++;
    return n;
}

static void write_varint(char *p, uint64_t v) {
    for (; v > 0x7f; v >>= 7) *p++ = (char)(v | 0x80);
    *p = (char)v;
}

static void put_varint(struct buf *b, uint64_t v) {
    buf_reserve(b, 10);
    write_varint(b->p + b->n, v);
    b->n += varint_bytes(v);
}

static void put_tag(struct buf *b, unsigned number, unsigned wire) {
    put_varint(b, (uint64_t)number << 3 | wire);
}

static void put_number(struct buf *b, unsigned number, int64_t v) {
    put_tag(b, number, WIRE_VARINT);
    put_varint(b, (uint64_t)v);
}

static void put_bytes(struct buf *b, unsigned number, struct slice s) {
    put_tag(b, number, WIRE_BYTES);
    put_varint(b, s.n);
    buf_slice(b, s);
}

/* A field whose length is known once it is there. Most are short: one byte is kept for the length,
 * and what is longer moves. */
static size_t begin(struct buf *b, unsigned number) {
    put_tag(b, number, WIRE_BYTES);
    buf_char(b, 0);
    return b->n;
}

static void end(struct buf *b, size_t at) {
    size_t n = b->n - at, more = varint_bytes(n) - 1;
    if (more) {
        buf_reserve(b, more);
        memmove(b->p + at + more, b->p + at, n);
        b->n += more;
    }
    write_varint(b->p + at - 1, n);
}

static int put_message(struct encoder *e, const struct api_type *t);

static int put_time(struct buf *b, unsigned number, const char *text) {
    int64_t s, rest;
    if (!*text) return 0;
    if (time_parse_parts(text, &s, &rest) < 0) return -EINVAL;
    size_t at = begin(b, number);
    put_number(b, 1, s);
    put_number(b, 2, rest);
    end(b, at);
    return 0;
}

static int put_text(struct encoder *e, const struct api_field *f, unsigned number) {
    struct buf *b = e->b;
    struct slice s;
    if (json_read_string(&e->r, e->a, &s) < 0) return -EINVAL;
    if (f->form == API_STRING) {
        put_bytes(b, number, s);
        return 0;
    }
    if (f->form == API_TIME || f->form == API_MICROTIME)
        return put_time(b, number, arena_strn(e->a, s));
    size_t at = begin(b, number);
    int64_t ns;
    int rc = 0;
    if (f->form == API_BYTES) {
        rc = buf_unbase64(b, s);
    } else if (f->form == API_QUANTITY) {
        put_bytes(b, 1, s);
    } else {
        rc = duration_parse(arena_strn(e->a, s), &ns);
        if (rc == 0) put_number(b, 1, ns);
    }
    end(b, at);
    return rc;
}

static int read_integer(struct encoder *e, int64_t *ret) {
    struct slice s;
    if (json_read_number(&e->r, &s) < 0) return -EINVAL;
    char *stop;
    const char *text = arena_strn(e->a, s);
    errno = 0;
    long long v = strtoll(text, &stop, 10);
    if (errno || *stop) return -EINVAL;
    *ret = v;
    return 0;
}

static int put_int_or_string(struct encoder *e, unsigned number) {
    size_t at = begin(e->b, number);
    struct slice s = {0};
    int64_t v = 0;
    bool text = json_peek(&e->r) == JSON_KIND_STRING;
    int rc = text ? json_read_string(&e->r, e->a, &s) : read_integer(e, &v);
    put_number(e->b, 1, text);
    put_number(e->b, 2, v);
    put_bytes(e->b, 3, s);
    end(e->b, at);
    return rc < 0 ? -EINVAL : 0;
}

static int put_raw(struct encoder *e, unsigned number) {
    size_t outer = begin(e->b, number), inner = begin(e->b, 1);
    int rc = json_read_raw(&e->r, e->b);
    end(e->b, inner);
    end(e->b, outer);
    return rc;
}

static int put_double(struct encoder *e, unsigned number) {
    struct slice s;
    uint64_t bits;
    if (json_read_number(&e->r, &s) < 0) return -EINVAL;
    double v = strtod(arena_strn(e->a, s), NULL);
    memcpy(&bits, &v, sizeof bits);
    put_tag(e->b, number, WIRE_FIXED64);
    for (int i = 0; i < 8; i++) buf_char(e->b, (char)(bits >> (8 * i)));
    return 0;
}

/* One value or element as field `number`. null is no value, unless the field is raw. */
static int put_value(struct encoder *e, const struct api_field *f, unsigned number) {
    int64_t v;
    bool yes;
    size_t at;
    int rc;
    if (json_peek(&e->r) == JSON_KIND_NULL && f->form != API_RAW) return json_read_null(&e->r);
    switch ((enum api_form)f->form) {
    case API_BOOL:
        if (json_read_bool(&e->r, &yes) < 0) return -EINVAL;
        put_number(e->b, number, yes);
        return 0;
    case API_INT32:
    case API_INT64:
        if (read_integer(e, &v) < 0) return -EINVAL;
        put_number(e->b, number, v);
        return 0;
    case API_DOUBLE: return put_double(e, number);
    case API_INT_OR_STRING: return put_int_or_string(e, number);
    case API_RAW: return put_raw(e, number);
    case API_OBJECT:
        at = begin(e->b, number);
        rc = put_message(e, f->type);
        end(e->b, at);
        return rc;
    default: return put_text(e, f, number);
    }
}

/* A message {1: repeated string}. */
static int put_strings(struct encoder *e, unsigned number) {
    size_t at = begin(e->b, number);
    struct slice s;
    int rc = json_array_begin(&e->r);
    while (rc == 0 && (rc = json_array_next(&e->r)) > 0) {
        rc = json_read_string(&e->r, e->a, &s);
        if (rc == 0) put_bytes(e->b, 1, s);
    }
    end(e->b, at);
    return rc;
}

static int put_map(struct encoder *e, const struct api_field *f, unsigned number) {
    struct slice key;
    int rc = json_object_begin(&e->r);
    while (rc == 0 && (rc = json_object_next(&e->r, e->a, &key)) > 0) {
        size_t at = begin(e->b, number);
        put_bytes(e->b, 1, key);
        rc = f->shape == API_MAP ? put_value(e, f, 2) : put_strings(e, 2);
        end(e->b, at);
    }
    return rc;
}

static int put_field(struct encoder *e, const struct api_field *f) {
    int rc;
    if (f->shape == API_ONE) return put_value(e, f, f->number);
    if (json_peek(&e->r) == JSON_KIND_NULL) return json_read_null(&e->r);
    if (f->shape != API_LIST) return put_map(e, f, f->number);
    rc = json_array_begin(&e->r);
    while (rc == 0 && (rc = json_array_next(&e->r)) > 0) rc = put_value(e, f, f->number);
    return rc;
}

/* Members that lie together in an embedded message, or in one inside that: they were only noted on
 * the way. */
struct embedded {
    const struct api_field *f; /* NULL once it is written */
    struct json_reader at;
};

static int put_noted(struct encoder *e, struct embedded *v) {
    const struct api_field *f = v->f;
    v->f = NULL;
    e->r = v->at;
    return put_field(e, f);
}

/* All that is noted for the message `number` inside the message `outer`. */
static int put_inner(struct encoder *e, struct embedded *v, size_t n, unsigned outer,
                     unsigned number) {
    size_t at = begin(e->b, number);
    int rc = 0;
    for (size_t i = 0; i < n && rc == 0; i++)
        if (v[i].f && v[i].f->embed == outer && v[i].f->embed2 == number) rc = put_noted(e, &v[i]);
    end(e->b, at);
    return rc;
}

static int put_embedded(struct encoder *e, struct embedded *v, size_t n) {
    struct json_reader after = e->r;
    int rc = 0;
    for (size_t i = 0; i < n && rc == 0; i++) {
        if (!v[i].f) continue;
        unsigned number = v[i].f->embed;
        size_t at = begin(e->b, number);
        for (size_t j = i; j < n && rc == 0; j++) {
            const struct api_field *f = v[j].f;
            if (!f || f->embed != number) continue;
            rc = f->embed2 ? put_inner(e, v + j, n - j, number, f->embed2) : put_noted(e, &v[j]);
        }
        end(e->b, at);
    }
    e->r = after;
    return rc;
}

static int put_message(struct encoder *e, const struct api_type *t) {
    struct embedded later[EMBEDDED_MAX];
    size_t n = 0;
    unsigned hint = 0;
    struct slice key;
    int rc = json_object_begin(&e->r);
    while (rc == 0 && (rc = json_object_next(&e->r, e->a, &key)) > 0) {
        const struct api_field *f = api_field_find(t, key, &hint);
        if (!f || !f->number || protobuf_is_type_meta(t, f)) {
            rc = json_skip(&e->r);
        } else if (f->embed) {
            if (n == EMBEDDED_MAX) return -EINVAL;
            later[n++] = (struct embedded){f, e->r};
            rc = json_skip(&e->r);
        } else {
            rc = put_field(e, f);
        }
    }
    return rc < 0 || n == 0 ? rc : put_embedded(e, later, n);
}

int protobuf_message(struct buf *out, struct arena *scratch, const struct api_type *t,
                     struct slice json) {
    struct encoder e = {.b = out, .a = scratch};
    size_t start = out->n;
    json_reader_init(&e.r, json);
    int rc = put_message(&e, t);
    if (rc < 0) out->n = start;
    return rc < 0 ? -EINVAL : 0;
}

/* ---- envelopes ---- */

static const char magic[4] = "k8s"; /* and a NUL */

static void put_type_meta(struct buf *b, const char *api_version, const char *kind) {
    size_t at = begin(b, 1);
    put_bytes(b, 1, slice_of(api_version));
    put_bytes(b, 2, slice_of(kind));
    end(b, at);
}

int protobuf_enveloped(struct buf *out, struct arena *scratch, const struct api_type *t,
                       const char *api_version, const char *kind, struct slice json) {
    size_t start = out->n;
    buf_append(out, magic, sizeof magic);
    put_type_meta(out, api_version, kind);
    size_t at = begin(out, 2);
    int rc = protobuf_message(out, scratch, t, json);
    end(out, at);
    if (rc < 0) out->n = start;
    return rc;
}

int protobuf_object(struct buf *out, struct arena *scratch, struct slice json) {
    struct json_reader r;
    struct slice key, api_version = {0}, kind = {0};
    json_reader_init(&r, json);
    int rc = json_object_begin(&r);
    while (rc == 0 && !(api_version.p && kind.p) &&
           (rc = json_object_next(&r, scratch, &key)) > 0) {
        if (slice_is(key, "apiVersion"))
            rc = json_read_string(&r, scratch, &api_version);
        else if (slice_is(key, "kind"))
            rc = json_read_string(&r, scratch, &kind);
        else
            rc = json_skip(&r);
    }
    if (rc < 0 || !api_version.p || !kind.p) return -EINVAL;
    const char *version_text = arena_strn(scratch, api_version);
    const char *kind_text = arena_strn(scratch, kind);
    const struct api_type *t = protobuf_type(version_text, kind_text);
    if (!t) return -EINVAL;
    return protobuf_enveloped(out, scratch, t, version_text, kind_text, json);
}

int protobuf_watch_frame(struct buf *out, struct arena *scratch, const char *event,
                         const struct api_type *t, const char *api_version, const char *kind,
                         struct slice json) {
    size_t start = out->n;
    buf_append(out, "\0\0\0", 4);
    put_bytes(out, 1, slice_of(event));
    size_t outer = begin(out, 2), inner = begin(out, 1);
    int rc = protobuf_enveloped(out, scratch, t, api_version, kind, json);
    end(out, inner);
    end(out, outer);
    size_t n = out->n - start - 4;
    for (int i = 0; i < 4; i++) out->p[start + (size_t)i] = (char)(n >> (24 - 8 * i));
    if (rc < 0) out->n = start;
    return rc;
}

/* ---- lists ---- */

size_t protobuf_item_bytes(size_t message_bytes) {
    return 1 + varint_bytes(message_bytes) + message_bytes;
}

void protobuf_item_head(struct buf *out, size_t message_bytes) {
    put_tag(out, 2, WIRE_BYTES);
    put_varint(out, message_bytes);
}

void protobuf_list_head(struct buf *out, const char *api_version, const char *list_kind,
                        struct slice meta_message, size_t items_bytes) {
    buf_append(out, magic, sizeof magic);
    put_type_meta(out, api_version, list_kind);
    put_tag(out, 2, WIRE_BYTES);
    put_varint(out, protobuf_item_bytes(meta_message.n) + items_bytes);
    put_bytes(out, 1, meta_message);
}
