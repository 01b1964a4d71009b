#include "base/pack.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void pack_u8(struct buf *b, uint8_t v) { buf_append(b, &v, 1); }

static void pack_le(struct buf *b, uint64_t v, size_t n) {
    unsigned char tmp[8];
    for (size_t i = 0; i < n; i++) tmp[i] = (unsigned char)(v >> (8 * i));
    buf_append(b, tmp, n);
}

void pack_u16(struct buf *b, uint16_t v) { pack_le(b, v, 2); }

void pack_u32(struct buf *b, uint32_t v) { pack_le(b, v, 4); }

void pack_u64(struct buf *b, uint64_t v) { pack_le(b, v, 8); }

void pack_i64(struct buf *b, int64_t v) { pack_le(b, (uint64_t)v, 8); }

void pack_bool(struct buf *b, bool v) { pack_u8(b, v); }

void pack_slice(struct buf *b, struct slice s) {
    if (s.n > UINT32_MAX) abort();
    pack_u32(b, (uint32_t)s.n);
    buf_slice(b, s);
}

void pack_str(struct buf *b, const char *s) { pack_slice(b, slice_of(s)); }

static const unsigned char *need(struct unpack *u, size_t n) {
    if (u->bad || u->left.n < n) {
        u->bad = true;
        return NULL;
    }
    const unsigned char *p = (const unsigned char *)u->left.p;
    u->left.p += n;
    u->left.n -= n;
    return p;
}

static uint64_t unpack_le(struct unpack *u, size_t n) {
    const unsigned char *p = need(u, n);
    uint64_t v = 0;
    for (size_t i = 0; p && i < n; i++) v |= (uint64_t)p[i] << (8 * i);
    return v;
}

uint8_t unpack_u8(struct unpack *u) { return (uint8_t)unpack_le(u, 1); }

uint16_t unpack_u16(struct unpack *u) { return (uint16_t)unpack_le(u, 2); }

uint32_t unpack_u32(struct unpack *u) { return (uint32_t)unpack_le(u, 4); }

uint64_t unpack_u64(struct unpack *u) { return unpack_le(u, 8); }

int64_t unpack_i64(struct unpack *u) { return (int64_t)unpack_le(u, 8); }

bool unpack_bool(struct unpack *u) {
    uint8_t v = unpack_u8(u);
    if (v > 1) u->bad = true;
    return v == 1;
}

struct slice unpack_slice(struct unpack *u) {
    uint32_t n = unpack_u32(u);
    const unsigned char *p = need(u, n);
    return p ? slice_from(p, n) : (struct slice){"", 0};
}

const char *unpack_str(struct unpack *u, struct arena *a) {
    struct slice s = unpack_slice(u);
    if (s.n && memchr(s.p, 0, s.n)) {
        u->bad = true;
        s.n = 0;
    }
    return arena_strn(a, s);
}

int unpack_end(struct unpack *u) { return u->bad || u->left.n ? -EBADMSG : 0; }
