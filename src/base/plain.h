/* How much of a text needs no escaping as a JSON string: sixteen or eight bytes at a time, since
 * every object passes here several times. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef unsigned char plain_bytes __attribute__((vector_size(16)));
typedef uint64_t plain_halves __attribute__((vector_size(16)));

/* Whether one of sixteen bytes is not plain. */
static inline bool plain_ends(const char *p, bool ascii) {
    plain_bytes x;
    memcpy(&x, p, sizeof x);
    plain_bytes found =
        (plain_bytes)(x < 0x20) | (plain_bytes)(x == '"') | (plain_bytes)(x == '\\');
    if (ascii) found |= (plain_bytes)(x >= 0x80);
    plain_halves any = (plain_halves)found;
    return any[0] | any[1];
}

/* Bytes before the first quote, backslash or control character; with ascii, also before the first
 * byte of 0x80 and above. */
static inline size_t plain_length(const char *p, size_t n, bool ascii) {
    const uint64_t ones = UINT64_C(0x0101010101010101), high = ones << 7;
    size_t i = 0;
    while (n - i >= 16 && !plain_ends(p + i, ascii)) i += 16;
    for (; n - i >= 8; i += 8) {
        uint64_t x;
        memcpy(&x, p + i, sizeof x);
        uint64_t quote = x ^ ones * '"', backslash = x ^ ones * '\\';
        uint64_t found = ((x - ones * 0x20) & ~x) | ((quote - ones) & ~quote) |
                         ((backslash - ones) & ~backslash) | (ascii ? x : 0);
        if (found & high) break;
    }
    for (; i < n; i++) {
        unsigned char c = (unsigned char)p[i];
        if (c < 0x20 || c == '"' || c == '\\' || (ascii && c >= 0x80)) break;
    }
    return i;
}
