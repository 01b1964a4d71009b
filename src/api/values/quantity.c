/* Quantities as exact 128-bit counts of nano units. */
#include "api/values/quantity.h"

#include <string.h>

#include "base/buf.h"
#include "base/own.h"
#include "base/slice.h"

typedef __int128 int128;

enum { NANO_DIGITS = 9, SIGNIFICANT_DIGITS_MAX = 30, EXPONENT_MAX = 1000 };
static const int128 nano = 1000000000;

/* The suffixes and what they stand for: 10^exp10 or 2^exp2. */
static const struct {
    const char *text;
    int exp10, exp2;
} suffixes[] = {
    {"n", -9, 0},  {"u", -6, 0},  {"m", -3, 0},  {"", 0, 0},    {"k", 3, 0},   {"M", 6, 0},
    {"G", 9, 0},   {"T", 12, 0},  {"P", 15, 0},  {"E", 18, 0},  {"Ki", 0, 10}, {"Mi", 0, 20},
    {"Gi", 0, 30}, {"Ti", 0, 40}, {"Pi", 0, 50}, {"Ei", 0, 60},
};

/* "e3", "E-6": an exponent of at most EXPONENT_MAX; beyond it the value saturates anyway. */
static bool exponent_parse(const char *s, int *ret) {
    bool negative = *s == '-';
    if (*s == '-' || *s == '+') s++;
    if (!*s) return false;
    int v = 0;
    for (; *s; s++) {
        if (*s < '0' || *s > '9') return false;
        v = MIN_OF(v * 10 + (*s - '0'), EXPONENT_MAX);
    }
    *ret = negative ? -v : v;
    return true;
}

static bool suffix_parse(const char *s, struct quantity *q, int *exp10, int *exp2) {
    *exp10 = *exp2 = 0;
    for (size_t i = 0; i < ARRAY_LEN(suffixes); i++) {
        if (strcmp(s, suffixes[i].text) != 0) continue;
        *exp10 = suffixes[i].exp10;
        *exp2 = suffixes[i].exp2;
        q->format = suffixes[i].exp2 ? FORMAT_BINARY_SI : FORMAT_DECIMAL_SI;
        return true;
    }
    q->format = FORMAT_DECIMAL_EXPONENT;
    return (*s == 'e' || *s == 'E') && exponent_parse(s + 1, exp10);
}

/* mantissa · 10^exp10 in nano units, rounded up, at most INT64_MAX whole units. `inexact` says that
 * digits were dropped. */
static int128 scale(unsigned __int128 mantissa, int exp10, bool inexact) {
    const int128 max = (int128)INT64_MAX * nano;
    if (mantissa == 0) return inexact;
    for (; exp10 > 0; exp10--) {
        if (mantissa > (unsigned __int128)max) return max;
        mantissa *= 10;
    }
    for (; exp10 < 0 && mantissa > 0; exp10++) {
        inexact |= mantissa % 10 != 0;
        mantissa /= 10;
    }
    if (mantissa >= (unsigned __int128)max) return max;
    return (int128)mantissa + inexact;
}

bool quantity_parse(const char *s, struct quantity *q) {
    if (str_empty(s)) return false;
    bool negative = *s == '-';
    if (*s == '-' || *s == '+') s++;
    unsigned __int128 mantissa = 0;
    int significant = 0, shift = 0;
    bool dot = false, digits = false, inexact = false;
    for (; (*s >= '0' && *s <= '9') || *s == '.'; s++) {
        if (*s == '.') {
            if (dot) return false;
            dot = true;
            continue;
        }
        digits = true;
        if (significant < SIGNIFICANT_DIGITS_MAX) {
            mantissa = mantissa * 10 + (unsigned)(*s - '0');
            significant += mantissa > 0;
            if (dot && shift > -EXPONENT_MAX) shift--;
        } else {
            inexact |= *s != '0';
            if (!dot && shift < EXPONENT_MAX) shift++;
        }
    }
    int exp10, exp2;
    if (!digits || !suffix_parse(s, q, &exp10, &exp2)) return false;
    while (exp2 && mantissa >> 64) { /* room for the binary factor */
        inexact |= mantissa % 10 != 0;
        mantissa /= 10;
        shift++;
    }
    mantissa <<= exp2; /* < 2^64 · 2^60 */
    q->nanos = scale(mantissa, shift + exp10 + NANO_DIGITS, inexact);
    if (negative) q->nanos = -q->nanos;
    return true;
}

/* Whole multiples of `unit` nano units, rounded away from zero. */
static int64_t quantity_in(const struct quantity *q, int128 unit) {
    int128 v = q->nanos / unit;
    if (q->nanos % unit) v += q->nanos > 0 ? 1 : -1;
    if (v > INT64_MAX) return INT64_MAX;
    return v < -INT64_MAX ? -INT64_MAX : (int64_t)v;
}

/* Digits of a value that may need more than 64 bits (1000 P in nano units, say). */
static void put_int128(struct buf *b, int128 v) {
    char digits[48];
    size_t n = sizeof digits;
    bool negative = v < 0;
    unsigned __int128 u = negative ? -(unsigned __int128)v : (unsigned __int128)v;
    do {
        digits[--n] = (char)('0' + (int)(u % 10));
        u /= 10;
    } while (u);
    if (negative) digits[--n] = '-';
    buf_append(b, digits + n, sizeof digits - n);
}

/* Largest power of 1000 (1024) that leaves a whole number. */
static void put_decimal(struct buf *b, const struct quantity *q, enum quantity_format format) {
    int128 v = q->nanos;
    int exp10 = -NANO_DIGITS;
    while (v % 1000 == 0 && exp10 < 18) {
        v /= 1000;
        exp10 += 3;
    }
    put_int128(b, v);
    if (exp10 == 0) return;
    if (format == FORMAT_DECIMAL_EXPONENT)
        buf_printf(b, "e%d", exp10);
    else
        buf_str(b, suffixes[(exp10 + NANO_DIGITS) / 3].text);
}

static void put_binary(struct buf *b, const struct quantity *q) {
    int128 v = q->nanos / nano;
    int power = 0;
    while (v % 1024 == 0 && power < 6) {
        v /= 1024;
        power++;
    }
    put_int128(b, v);
    if (power) buf_str(b, suffixes[9 + power].text);
}

const char *quantity_text(struct arena *a, const struct quantity *q) {
    OWN(buf_done) struct buf b = {0};
    if (q->nanos == 0)
        buf_char(&b, '0');
    else if (q->format == FORMAT_BINARY_SI && q->nanos % (1024 * nano) == 0)
        put_binary(&b, q);
    else
        put_decimal(&b, q, q->format == FORMAT_BINARY_SI ? FORMAT_DECIMAL_SI : q->format);
    return arena_strn(a, buf_view(&b));
}

const char *quantity_canonical(struct arena *a, const char *s) {
    struct quantity q;
    return quantity_parse(s, &q) ? quantity_text(a, &q) : NULL;
}

bool quantity_valid(const char *s) {
    struct quantity q;
    return quantity_parse(s, &q);
}

int64_t quantity_value(const char *s) {
    struct quantity q;
    return quantity_parse(s, &q) ? quantity_in(&q, nano) : 0;
}

int64_t quantity_milli(const char *s) {
    struct quantity q;
    return quantity_parse(s, &q) ? quantity_in(&q, nano / 1000) : 0;
}

int quantity_cmp(const char *x, const char *y) {
    struct quantity p, q;
    if (!quantity_parse(x, &p)) p.nanos = 0;
    if (!quantity_parse(y, &q)) q.nanos = 0;
    return (p.nanos > q.nanos) - (p.nanos < q.nanos);
}

const char *quantity_from_milli(struct arena *a, int64_t milli) {
    struct quantity q = {(int128)milli * (nano / 1000), FORMAT_DECIMAL_SI};
    return quantity_text(a, &q);
}

const char *quantity_from_bytes(struct arena *a, int64_t bytes) {
    struct quantity q = {(int128)bytes * nano, FORMAT_BINARY_SI};
    return quantity_text(a, &q);
}

void quantity_add(struct quantity *to, const struct quantity *q) {
    if (to->nanos == 0) to->format = q->format;
    to->nanos += q->nanos;
}
