/* Byte queues, frame readers and number formats, without stdio. */
#include "shim.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

bool bytes_add(struct bytes *b, const void *p, size_t n) {
    if (n > b->cap - b->n) {
        size_t cap = b->cap ? b->cap : 256;
        while (cap < b->n + n) cap *= 2;
        char *grown = realloc(b->p, cap);
        if (!grown) return false;
        b->p = grown;
        b->cap = cap;
    }
    if (n) memcpy(b->p + b->n, p, n);
    b->n += n;
    return true;
}

void bytes_drop(struct bytes *b, size_t n) {
    if (n >= b->n) {
        bytes_free(b);
        return;
    }
    memmove(b->p, b->p + n, b->n - n);
    b->n -= n;
}

void bytes_free(struct bytes *b) {
    free(b->p);
    *b = (struct bytes){0};
}

void bytes_u32(struct bytes *b, uint32_t v) {
    unsigned char le[4];
    for (int i = 0; i < 4; i++) le[i] = (unsigned char)(v >> (8 * i));
    bytes_add(b, le, sizeof le);
}

void bytes_u64(struct bytes *b, uint64_t v) {
    unsigned char le[8];
    for (int i = 0; i < 8; i++) le[i] = (unsigned char)(v >> (8 * i));
    bytes_add(b, le, sizeof le);
}

void bytes_str(struct bytes *b, const char *s, size_t n) {
    bytes_u32(b, (uint32_t)n);
    bytes_add(b, s, n);
}

static uint64_t read_le(struct reader *r, size_t n) {
    if (r->bad || r->n < n) {
        r->bad = true;
        return 0;
    }
    uint64_t v = 0;
    for (size_t i = 0; i < n; i++) v |= (uint64_t)r->p[i] << (8 * i);
    r->p += n;
    r->n -= n;
    return v;
}

uint8_t read_u8(struct reader *r) { return (uint8_t)read_le(r, 1); }
uint16_t read_u16(struct reader *r) { return (uint16_t)read_le(r, 2); }
uint32_t read_u32(struct reader *r) { return (uint32_t)read_le(r, 4); }
uint64_t read_u64(struct reader *r) { return read_le(r, 8); }

char *read_str(struct reader *r, size_t max) {
    uint32_t n = read_u32(r);
    if (r->bad || n > r->n || n > max || memchr(r->p, 0, n)) {
        r->bad = true;
        return NULL;
    }
    char *s = malloc((size_t)n + 1);
    if (!s) {
        r->bad = true;
        return NULL;
    }
    memcpy(s, r->p, n);
    s[n] = 0;
    r->p += n;
    r->n -= n;
    return s;
}

int64_t wall_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

size_t put_u64(char *out, uint64_t v) {
    char digits[20];
    size_t n = 0;
    do {
        digits[n++] = (char)('0' + v % 10);
        v /= 10;
    } while (v);
    for (size_t i = 0; i < n; i++) out[i] = digits[n - 1 - i];
    return n;
}
