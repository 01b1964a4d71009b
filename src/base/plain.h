/* How much of a text needs no escaping as a JSON string: 64, sixteen or eight bytes at a time,
 * since every object passes here several times. */
#pragma once

#include <endian.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef unsigned char plain_bytes __attribute__((vector_size(16)));
typedef uint64_t plain_halves __attribute__((vector_size(16)));

/* Which of sixteen bytes are not plain. */
static inline plain_bytes plain_not(const char *p, bool ascii) {
    plain_bytes x;
    memcpy(&x, p, sizeof x);
    plain_bytes found =
        (plain_bytes)(x < 0x20) | (plain_bytes)(x == '"') | (plain_bytes)(x == '\\');
    return ascii ? found | (plain_bytes)(x >= 0x80) : found;
}

static inline bool plain_any(plain_bytes found) {
    plain_halves any = (plain_halves)found;
    return any[0] | any[1];
}

/* Of eight bytes, the highest bit of the first one that is not plain and perhaps of later ones; 0:
 * all are. Little-endian. */
static inline uint64_t plain_word(const char *p, bool ascii) {
    const uint64_t ones = UINT64_C(0x0101010101010101), high = ones << 7;
    uint64_t x;
    memcpy(&x, p, sizeof x);
    x = le64toh(x);
    uint64_t quote = x ^ ones * '"', backslash = x ^ ones * '\\';
    uint64_t found = ((x - ones * 0x20) & ~x) | ((quote - ones) & ~quote) |
                     ((backslash - ones) & ~backslash) | (ascii ? x : 0);
    return found & high;
}

/* Bytes before the first quote, backslash or control character; with ascii, also before the first
 * byte of 0x80 and above. */
static inline size_t plain_length(const char *p, size_t n, bool ascii) {
    size_t i = 0;
    while (n - i >= 64 && !plain_any(plain_not(p + i, ascii) | plain_not(p + i + 16, ascii) |
                                     plain_not(p + i + 32, ascii) | plain_not(p + i + 48, ascii)))
        i += 64;
    while (n - i >= 16 && !plain_any(plain_not(p + i, ascii))) i += 16;
    for (; n - i >= 8; i += 8) {
        uint64_t found = plain_word(p + i, ascii);
        if (found) return i + (unsigned)__builtin_ctzll(found) / 8;
    }
    if (i < n && n >= 8) { /* the last eight again */
        uint64_t found = plain_word(p + n - 8, ascii);
        return found ? n - 8 + (unsigned)__builtin_ctzll(found) / 8 : n;
    }
    for (; i < n; i++) {
        unsigned char c = (unsigned char)p[i];
        if (c < 0x20 || c == '"' || c == '\\' || (ascii && c >= 0x80)) break;
    }
    return i;
}
