/*
 * The form: an object is its fields that are set, each as a number (its place in the table from 1,
 * times two, plus one when the value is a part of the pool) and a value, and a zero at the end.
 * Texts end with NUL; numbers have seven bits to the byte, the lowest first; lists and maps begin
 * with their length. Of a shared value stands the index among the parts.
 */
#include "api/codec/packed_impl.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "api/table.h"

enum {
    SHARE_MIN_BYTES = 24, /* what is smaller costs more as a part */
    SHARE_DEPTH = 1,      /* members of metadata and spec */
    ALIGN = 16
};

static const char null_text[] = "\xff"; /* an element without text; no UTF-8 is like it */

static size_t aligned(size_t n) { return (n + ALIGN - 1) & ~(size_t)(ALIGN - 1); }

static bool is_pointer(const struct api_field *f) {
    return (f->flags & API_POINTER) &&
           (f->form == API_OBJECT || (f->form >= API_BOOL && f->form <= API_DOUBLE));
}

static size_t pointed_size(const struct api_field *f) {
    return f->form == API_OBJECT  ? f->type->size
           : f->form == API_BOOL  ? sizeof(bool)
           : f->form == API_INT32 ? sizeof(int32_t)
                                  : sizeof(int64_t);
}

/* Room up to a power of two, as ARENA_PUSH expects of every list. */
static size_t list_room(size_t n) {
    size_t room = 1;
    while (room < n) room *= 2;
    return room;
}

/* ---- packing ---- */

struct packer {
    struct api_pool *pool;
    struct api_packed *out;
    size_t depth; /* of the object whose members are packed */
    bool shares;  /* its parts may be shared */
};

static void put_number(struct buf *b, uint64_t v) {
    for (; v >= 0x80; v >>= 7) buf_char(b, (char)(v | 0x80));
    buf_char(b, (char)v);
}

static void put_text(struct buf *b, const char *s) {
    if (!s) s = null_text;
    buf_append(b, s, strlen(s) + 1);
}

static void put_raw(struct buf *b, struct slice s) {
    put_number(b, s.n);
    buf_append(b, s.p, s.n);
    buf_char(b, 0);
}

static void put_object(struct packer *p, const struct api_type *t, const void *obj);

static void put_value(struct packer *p, const struct api_field *f, const void *v) {
    struct buf *b = &p->out->bytes;
    switch ((enum api_form)f->form) {
    case API_BOOL: put_number(b, *(const bool *)v); return;
    case API_INT32: put_number(b, (uint64_t)(int64_t) * (const int32_t *)v); return;
    case API_INT64: put_number(b, (uint64_t) * (const int64_t *)v); return;
    case API_DOUBLE: buf_append(b, v, sizeof(double)); return;
    case API_INT_OR_STRING: {
        const struct int_or_string *s = v;
        put_number(b, s->kind);
        put_number(b, (uint64_t)(int64_t)s->i);
        put_text(b, s->s);
        return;
    }
    case API_RAW: put_raw(b, *(const struct slice *)v); return;
    case API_OBJECT: put_object(p, f->type, v); return;
    default: put_text(b, *(const char *const *)v); return;
    }
}

static void put_list(struct packer *p, const struct api_field *f, const struct api_list *l,
                     size_t size) {
    put_number(&p->out->bytes, l->n);
    if (l->n) p->out->room_bytes += aligned(list_room(l->n) * size);
    for (size_t i = 0; i < l->n; i++) put_value(p, f, (const char *)l->v + i * size);
}

static void put_map(struct packer *p, const struct api_field *f, const struct api_list *m) {
    size_t size = api_element_size(f);
    put_number(&p->out->bytes, m->n);
    p->out->room_bytes += aligned(m->n * size);
    for (size_t i = 0; i < m->n; i++) {
        const char *pair = (const char *)m->v + i * size;
        put_text(&p->out->bytes, *(const char *const *)pair);
        pair += API_PAIR_VALUE;
        if (f->shape == API_MAP)
            put_value(p, f, pair);
        else
            put_list(p, f, (const struct api_list *)pair, sizeof(char *));
    }
}

/* Whether the member is set at all. */
static bool is_set(const struct api_field *f, const void *v) {
    static const char zero[sizeof(struct int_or_string)];
    if (f->shape != API_ONE) return ((const struct api_list *)v)->n > 0;
    if (is_pointer(f) || api_form_is_text((enum api_form)f->form))
        return *(const void *const *)v != NULL;
    if (f->form == API_RAW) return ((const struct slice *)v)->p != NULL;
    return f->form == API_OBJECT || memcmp(v, zero, api_element_size(f)) != 0;
}

static void put_member(struct packer *p, const struct api_field *f, const void *v) {
    if (f->shape == API_LIST) {
        put_list(p, f, v, api_element_size(f));
    } else if (f->shape != API_ONE) {
        put_map(p, f, v);
    } else if (is_pointer(f)) {
        p->out->room_bytes += aligned(pointed_size(f));
        put_value(p, f, *(const void *const *)v);
    } else {
        put_value(p, f, v);
    }
}

/* What was packed since `at` becomes a part, named in its place with its member's number. */
static void share(struct packer *p, size_t at, size_t value_at, uint64_t number) {
    struct api_packed *out = p->out;
    struct slice value = slice_from(out->bytes.p + value_at, out->bytes.n - value_at);
    struct api_part *part = pool_part(p->pool, value);
    out->bytes.n = at;
    put_number(&out->bytes, number | 1);
    put_number(&out->bytes, out->parts.n);
    vec_push(&out->parts, part);
}

static void put_object(struct packer *p, const struct api_type *t, const void *obj) {
    struct buf *b = &p->out->bytes;
    size_t depth = p->depth++;
    for (unsigned i = 0; i < t->n_fields; i++) {
        const struct api_field *f = &t->fields[i];
        const void *v = api_at_const(obj, f);
        if (!is_set(f, v)) continue;
        size_t at = b->n;
        uint64_t number = 2 * ((uint64_t)i + 1);
        if (depth == 0) p->shares = strcmp(f->name, "status") != 0;
        put_number(b, number);
        size_t value_at = b->n;
        put_member(p, f, v);
        bool composite = f->shape != API_ONE || f->form == API_OBJECT;
        if (composite && depth == SHARE_DEPTH && p->shares && b->n - value_at >= SHARE_MIN_BYTES)
            share(p, at, value_at, number);
        else if (f->form == API_OBJECT && f->shape == API_ONE && !is_pointer(f) &&
                 b->n == value_at + 1)
            b->n = at; /* an object with nothing in it */
    }
    buf_char(b, 0);
    p->depth = depth;
}

void api_pack(struct api_pool *pool, const struct api_type *t, const void *obj,
              struct api_packed *ret) {
    struct packer p = {.pool = pool, .out = ret};
    buf_clear(&ret->bytes);
    ret->parts.n = 0;
    ret->room_bytes = aligned(t->size);
    put_object(&p, t, obj);
}

void api_packed_done(struct api_packed *p) {
    buf_done(&p->bytes);
    vec_done(&p->parts);
}

/* ---- unpacking ---- */

struct unpacker {
    const unsigned char *at;
    struct api_part *const *parts;
    char *room;
};

static void *take_room(struct unpacker *u, size_t size) {
    void *p = u->room;
    u->room += aligned(size);
    return p;
}

static uint64_t get_number(struct unpacker *u) {
    uint64_t v = *u->at++;
    if (v < 0x80) return v;
    v &= 0x7f;
    for (unsigned shift = 7;; shift += 7) {
        uint64_t byte = *u->at++;
        v |= (byte & 0x7f) << shift;
        if (byte < 0x80) return v;
    }
}

static const char *get_text(struct unpacker *u) {
    const char *s = (const char *)u->at;
    size_t n = strlen(s) + 1;
    u->at += n;
    return n == sizeof null_text && s[0] == null_text[0] ? NULL : s;
}

static struct slice get_raw(struct unpacker *u) {
    size_t n = get_number(u);
    struct slice s = slice_from((const char *)u->at, n);
    u->at += n + 1;
    return s;
}

static void get_object(struct unpacker *u, const struct api_type *t, void *obj);

static void get_value(struct unpacker *u, const struct api_field *f, void *v) {
    switch ((enum api_form)f->form) {
    case API_BOOL: *(bool *)v = get_number(u); return;
    case API_INT32: *(int32_t *)v = (int32_t)get_number(u); return;
    case API_INT64: *(int64_t *)v = (int64_t)get_number(u); return;
    case API_DOUBLE:
        memcpy(v, u->at, sizeof(double));
        u->at += sizeof(double);
        return;
    case API_INT_OR_STRING: {
        struct int_or_string *s = v;
        s->kind = (enum int_or_string_kind)get_number(u);
        s->i = (int32_t)get_number(u);
        s->s = get_text(u);
        return;
    }
    case API_RAW: *(struct slice *)v = get_raw(u); return;
    case API_OBJECT: get_object(u, f->type, v); return;
    default: *(const char **)v = get_text(u); return;
    }
}

static void get_list(struct unpacker *u, const struct api_field *f, struct api_list *l,
                     size_t size) {
    l->n = get_number(u);
    l->v = l->n ? take_room(u, list_room(l->n) * size) : NULL;
    for (size_t i = 0; i < l->n; i++) get_value(u, f, (char *)l->v + i * size);
}

static void get_map(struct unpacker *u, const struct api_field *f, struct api_list *m) {
    size_t size = api_element_size(f);
    m->n = get_number(u);
    m->v = take_room(u, m->n * size);
    for (size_t i = 0; i < m->n; i++) {
        char *pair = (char *)m->v + i * size;
        *(const char **)pair = get_text(u);
        pair += API_PAIR_VALUE;
        if (f->shape == API_MAP)
            get_value(u, f, pair);
        else
            get_list(u, f, (struct api_list *)pair, sizeof(char *));
    }
}

static void get_member(struct unpacker *u, const struct api_field *f, void *v) {
    if (f->shape == API_LIST)
        get_list(u, f, v, api_element_size(f));
    else if (f->shape != API_ONE)
        get_map(u, f, v);
    else if (is_pointer(f))
        get_value(u, f, *(void **)v = take_room(u, pointed_size(f)));
    else
        get_value(u, f, v);
}

static void get_object(struct unpacker *u, const struct api_type *t, void *obj) {
    for (uint64_t number; (number = get_number(u));) {
        const struct api_field *f = &t->fields[number / 2 - 1];
        assert(number / 2 <= t->n_fields);
        if (number & 1) {
            const unsigned char *end;
            const struct api_part *part = u->parts[get_number(u)];
            end = u->at;
            u->at = (const unsigned char *)part->bytes;
            get_member(u, f, api_at(obj, f));
            u->at = end;
        } else {
            get_member(u, f, api_at(obj, f));
        }
    }
}

void *api_unpack(const struct api_type *t, const char *bytes, struct api_part *const *parts,
                 void *room) {
    struct unpacker u = {(const unsigned char *)bytes, parts, room};
    void *obj = take_room(&u, t->size);
    get_object(&u, t, obj);
    return obj;
}
