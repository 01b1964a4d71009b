/*
 * A growing byte buffer, owned by its holder. Always NUL-terminated once something was appended, so
 * buf.p can be read as a string. Running out of memory aborts: it ends one small process, which
 * init restarts.
 */
#pragma once

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

struct buf {
    char *p;
    size_t n;
    size_t cap;
};

void buf_done(
    struct buf *b); /* frees; the buffer is empty and usable again. Also for OWN(buf_done). */
/* An empty buffer for a short while: its memory is one that was given back, and goes back in turn.
 * Saves the allocator's slow path for what is built and sent at once. Also for OWN(buf_give). */
struct buf buf_take(void);
void buf_give(struct buf *b);
void buf_trim(void); /* a quiet moment: frees what was given back, but for a few */
void buf_reserve(struct buf *b, size_t more); /* room for `more` bytes and the NUL */
void buf_append(struct buf *b, const void *p, size_t n);
void buf_slice(struct buf *b, struct slice s);
void buf_str(struct buf *b, const char *s); /* NULL appends nothing */
void buf_char(struct buf *b, char c);
void buf_u64(struct buf *b, uint64_t v); /* decimal */
void buf_i64(struct buf *b, int64_t v);  /* decimal */
void buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void buf_vprintf(struct buf *b, const char *fmt, va_list ap) __attribute__((format(printf, 2, 0)));
void buf_json_str(struct buf *b, struct slice s); /* a quoted, escaped JSON string (RFC 8259) */
void buf_base64(struct buf *b, const void *p, size_t n);    /* RFC 4648 section 4, padded */
void buf_base64url(struct buf *b, const void *p, size_t n); /* RFC 4648 section 5, no padding */
/* Decode either alphabet; padding required (base64) or absent (base64url). 0 or -EINVAL, nothing
 * appended on failure. */
int buf_unbase64(struct buf *b, struct slice s);
int buf_unbase64url(struct buf *b, struct slice s);
void buf_consume(struct buf *b, size_t n); /* drops the first n bytes (n ≤ b->n) */
static inline void buf_clear(struct buf *b) {
    b->n = 0;
    if (b->p) b->p[0] = 0;
}
static inline struct slice buf_view(const struct buf *b) { return slice_from(b->p, b->n); }
char *buf_steal(
    struct buf *b); /* the bytes as a malloc'd string; the buffer is empty then. Never NULL. */
