#include "base/buf.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/plain.h"

void buf_done(struct buf *b) {
    free(b->p);
    *b = (struct buf){0};
}

/* One for each of a thousand requests under way, until the next quiet moment. */
enum { SPARE_BUFS = 1024, SPARE_BYTES = 8 * 1024, QUIET_BUFS = 8 };

static _Thread_local struct buf spare[SPARE_BUFS];
static _Thread_local size_t n_spare;

struct buf buf_take(void) {
    return n_spare ? spare[--n_spare] : (struct buf){0};
}

void buf_give(struct buf *b) {
    if (!b->cap || b->cap > SPARE_BYTES || n_spare == SPARE_BUFS) {
        buf_done(b);
        return;
    }
    b->n = 0;
    spare[n_spare++] = *b;
    *b = (struct buf){0};
}

void buf_trim(void) {
    while (n_spare > QUIET_BUFS) buf_done(&spare[--n_spare]);
}

void buf_reserve(struct buf *b, size_t more) {
    size_t want;
    if (__builtin_add_overflow(b->n, more, &want) || __builtin_add_overflow(want, 1u, &want))
        abort();
    if (want <= b->cap) return;
    size_t cap = b->cap ? b->cap : 64;
    while (cap < want)
        if (__builtin_mul_overflow(cap, 2u, &cap)) abort();
    char *p = realloc(b->p, cap);
    if (!p) abort();
    b->p = p;
    b->cap = cap;
}

void buf_append(struct buf *b, const void *p, size_t n) {
    if (n >= b->cap - b->n) buf_reserve(b, n); /* with its NUL; the capacity is 0 or above n */
    if (n) memcpy(b->p + b->n, p, n);
    b->n += n;
    b->p[b->n] = 0;
}

void buf_slice(struct buf *b, struct slice s) { buf_append(b, s.p, s.n); }

void buf_str(struct buf *b, const char *s) {
    if (s) buf_append(b, s, strlen(s));
}

void buf_char(struct buf *b, char c) {
    if (b->cap - b->n < 2) buf_reserve(b, 1);
    b->p[b->n++] = c;
    b->p[b->n] = 0;
}

void buf_u64(struct buf *b, uint64_t v) {
    char tmp[20];
    size_t i = sizeof tmp;
    do {
        tmp[--i] = (char)('0' + v % 10);
        v /= 10;
    } while (v);
    buf_append(b, tmp + i, sizeof tmp - i);
}

void buf_i64(struct buf *b, int64_t v) {
    if (v < 0) buf_char(b, '-');
    buf_u64(b, v < 0 ? 0 - (uint64_t)v : (uint64_t)v);
}

void buf_vprintf(struct buf *b, const char *fmt, va_list ap) {
    va_list again;
    va_copy(again, ap);
    buf_reserve(b, 128);
    int n = vsnprintf(b->p + b->n, b->cap - b->n, fmt, ap);
    assert(n >= 0);
    if ((size_t)n >= b->cap - b->n) {
        buf_reserve(b, (size_t)n);
        vsnprintf(b->p + b->n, b->cap - b->n, fmt, again);
    }
    va_end(again);
    b->n += (size_t)n;
}

void buf_printf(struct buf *b, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    buf_vprintf(b, fmt, ap);
    va_end(ap);
}

static const char *json_escape(unsigned char c) {
    switch (c) {
    case '"': return "\\\"";
    case '\\': return "\\\\";
    case '\n': return "\\n";
    case '\r': return "\\r";
    case '\t': return "\\t";
    case '\b': return "\\b";
    case '\f': return "\\f";
    default: return NULL;
    }
}

void buf_json_str(struct buf *b, struct slice s) {
    size_t from = 0, plain = plain_length(s.p, s.n, false);
    buf_reserve(b, s.n + 2);
    if (plain == s.n) { /* as nearly all are */
        char *out = b->p + b->n;
        *out++ = '"';
        if (s.n) memcpy(out, s.p, s.n);
        memcpy(out + s.n, "\"", 2);
        b->n += s.n + 2;
        return;
    }
    buf_char(b, '"');
    for (size_t i = plain; i < s.n; i++) {
        i += plain_length(s.p + i, s.n - i, false);
        if (i == s.n) break;
        unsigned char c = (unsigned char)s.p[i];
        buf_append(b, s.p + from, i - from);
        const char *esc = json_escape(c);
        if (esc)
            buf_str(b, esc);
        else
            buf_printf(b, "\\u%04x", c);
        from = i + 1;
    }
    if (s.n > from) buf_append(b, s.p + from, s.n - from);
    buf_char(b, '"');
}

static const char b64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char b64url[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static void base64_encode(struct buf *b, const unsigned char *p, size_t n, const char *abc,
                          bool pad) {
    buf_reserve(b, n / 3 * 4 + 4);
    for (size_t i = 0; i < n; i += 3) {
        size_t left = n - i;
        uint32_t v = (uint32_t)p[i] << 16 | (left > 1 ? (uint32_t)p[i + 1] << 8 : 0) |
                     (left > 2 ? p[i + 2] : 0);
        char out[4] = {abc[v >> 18], abc[v >> 12 & 63], abc[v >> 6 & 63], abc[v & 63]};
        size_t len = left > 2 ? 4 : left + 1;
        if (pad)
            for (; len < 4; len++) out[len] = '=';
        buf_append(b, out, len);
    }
}

void buf_base64(struct buf *b, const void *p, size_t n) { base64_encode(b, p, n, b64, true); }

void buf_base64url(struct buf *b, const void *p, size_t n) {
    base64_encode(b, p, n, b64url, false);
}

static int base64_decode(struct buf *b, struct slice s, const char *abc) {
    size_t was = b->n;
    uint32_t v = 0;
    int bits = 0;
    if (s.n % 4 == 1) return -EINVAL;
    buf_reserve(b, s.n);
    for (size_t i = 0; i < s.n; i++) {
        const char *at = s.p[i] ? strchr(abc, s.p[i]) : NULL;
        if (!at) {
            b->n = was;
            return -EINVAL;
        }
        v = v << 6 | (uint32_t)(at - abc);
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            buf_char(b, (char)(v >> bits & 255));
        }
    }
    if (bits && (v & ((1u << bits) - 1))) {
        b->n = was;
        return -EINVAL;
    }
    return 0;
}

int buf_unbase64(struct buf *b, struct slice s) {
    if (s.n % 4) return -EINVAL;
    for (int i = 0; i < 2 && s.n && s.p[s.n - 1] == '='; i++) s.n--;
    return base64_decode(b, s, b64);
}

int buf_unbase64url(struct buf *b, struct slice s) { return base64_decode(b, s, b64url); }

void buf_consume(struct buf *b, size_t n) {
    assert(n <= b->n);
    if (!n) return;
    memmove(b->p, b->p + n, b->n - n);
    b->n -= n;
    b->p[b->n] = 0;
}

char *buf_steal(struct buf *b) {
    buf_reserve(b, 0);
    b->p[b->n] = 0;
    char *p = b->p;
    *b = (struct buf){0};
    return p;
}
