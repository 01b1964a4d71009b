/* Texts of numbers and times, and UTF-8. */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/own.h"
#include "cel/internal.h"

/* ---- UTF-8 ---- */

static bool continues(char c) { return ((unsigned char)c & 0xc0) == 0x80; }

size_t cel_runes(struct slice s) {
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++) n += !continues(s.p[i]);
    return n;
}

size_t cel_rune_offset(struct slice s, size_t rune) {
    size_t i = 0;
    for (; i < s.n; i++)
        if (!continues(s.p[i]) && rune-- == 0) return i;
    return i;
}

bool cel_utf8_valid(struct slice s) {
    for (size_t i = 0; i < s.n;) {
        unsigned char c = (unsigned char)s.p[i];
        size_t n = c < 0x80                ? 1
                   : c >= 0xc2 && c < 0xe0 ? 2
                   : c >= 0xe0 && c < 0xf0 ? 3
                   : c >= 0xf0 && c < 0xf5 ? 4
                                           : 0;
        if (n == 0 || n > s.n - i) return false;
        for (size_t k = 1; k < n; k++)
            if (!continues(s.p[i + k])) return false;
        unsigned char second = n > 1 ? (unsigned char)s.p[i + 1] : 0;
        if ((c == 0xe0 && second < 0xa0) || (c == 0xed && second >= 0xa0) ||
            (c == 0xf0 && second < 0x90) || (c == 0xf4 && second >= 0x90))
            return false;
        i += n;
    }
    return true;
}

/* ---- numbers ---- */

bool cel_parse_int(struct slice s, int64_t *ret) {
    uint64_t v;
    bool negative = s.n && s.p[0] == '-';
    if (s.n && (s.p[0] == '-' || s.p[0] == '+')) s = slice_from(s.p + 1, s.n - 1);
    if (slice_u64(s, &v) < 0 || v > (uint64_t)INT64_MAX + negative) return false;
    *ret = negative ? (int64_t)(0 - v) : (int64_t)v;
    return true;
}

bool cel_parse_double(struct slice s, double *ret) {
    char text[128], *end;
    if (s.n == 0 || s.n >= sizeof text || strspn(s.p, "+-") > 1) return false;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == 'x' || s.p[i] == 'X' || s.p[i] == '(' || s.p[i] == ' ' || !s.p[i])
            return false;
        text[i] = s.p[i];
    }
    text[s.n] = 0;
    double d = strtod(text, &end);
    if (*end || end == text) return false;
    if (isinf(d) && !strpbrk(text, "nN")) return false; /* out of range */
    *ret = d;
    return true;
}

/* The shortest digits that read back as d, as Go's %g writes them. */
void cel_put_double(struct buf *b, double d) {
    char text[64];
    if (isnan(d)) return buf_str(b, "NaN");
    if (isinf(d)) return buf_str(b, d < 0 ? "-Inf" : "+Inf");
    int precision = 0;
    for (; precision < 17; precision++) {
        snprintf(text, sizeof text, "%.*e", precision, d);
        if (strtod(text, NULL) == d) break;
    }
    const char *e = strchr(text, 'e');
    int exponent = e ? (int)strtol(e + 1, NULL, 10) : 0;
    if (exponent < -4 || exponent >= 21) {
        buf_str(b, text);
        return;
    }
    int decimals = precision - exponent;
    buf_printf(b, "%.*f", decimals > 0 ? decimals : 0, d);
}

/* ---- durations (Go's time.ParseDuration) ---- */

enum { NS = 1000000000 };

static void put_fraction(struct buf *b, int32_t ns) {
    char digits[16];
    if (!ns) return;
    int n = snprintf(digits, sizeof digits, "%09" PRId32, ns);
    while (n > 0 && digits[n - 1] == '0') digits[--n] = 0;
    buf_printf(b, ".%s", digits);
}

void cel_put_duration(struct buf *b, int64_t seconds, int32_t ns) {
    if (seconds < 0) {
        buf_char(b, '-');
        seconds = ns ? -(seconds + 1) : -seconds;
        if (ns) ns = NS - ns;
    }
    buf_i64(b, seconds);
    put_fraction(b, ns);
    buf_char(b, 's');
}

static const struct {
    const char *unit;
    int64_t ns;
} duration_units[] = {{"ns", 1},       {"us", 1000}, {"µs", 1000},     {"μs", 1000},
                      {"ms", 1000000}, {"s", NS},    {"m", 60LL * NS}, {"h", 3600LL * NS}};

static bool take_unit(struct slice *s, int64_t *ret) {
    for (size_t i = 0; i < ARRAY_LEN(duration_units); i++) {
        const char *unit = duration_units[i].unit;
        size_t n = strlen(unit);
        if (!slice_starts(*s, unit)) continue;
        if (str_eq(unit, "m") && slice_starts(*s, "ms")) continue;
        *s = slice_from(s->p + n, s->n - n);
        *ret = duration_units[i].ns;
        return true;
    }
    return false;
}

static bool is_digit(char c) { return c >= '0' && c <= '9'; }

/* One number with its unit, in nanoseconds added to *sum. */
static bool duration_part(struct slice *s, __int128 *sum) {
    __int128 whole = 0, fraction = 0, scale = 1;
    size_t i = 0, digits = 0;
    int64_t unit;
    for (; i < s->n && is_digit(s->p[i]); i++, digits++)
        if (whole < (__int128)1 << 70) whole = whole * 10 + (s->p[i] - '0');
    if (i < s->n && s->p[i] == '.')
        for (i++; i < s->n && is_digit(s->p[i]); i++, digits++) {
            if (scale >= 1000000000000000000) continue;
            fraction = fraction * 10 + (s->p[i] - '0');
            scale *= 10;
        }
    *s = slice_from(s->p + i, s->n - i);
    if (!digits || !take_unit(s, &unit)) return false;
    *sum += whole * unit + fraction * unit / scale;
    return *sum <= (__int128)INT64_MAX;
}

bool cel_parse_duration(struct slice s, int64_t *ret_s, int32_t *ret_ns) {
    __int128 sum = 0;
    bool negative = s.n && s.p[0] == '-';
    if (s.n && (s.p[0] == '-' || s.p[0] == '+')) s = slice_from(s.p + 1, s.n - 1);
    if (s.n == 0) return false;
    if (!slice_is(s, "0"))
        while (s.n)
            if (!duration_part(&s, &sum)) return false;
    if (negative) sum = -sum;
    int64_t ns = (int64_t)(sum % NS), whole = (int64_t)(sum / NS);
    if (ns < 0) {
        ns += NS;
        whole--;
    }
    *ret_s = whole;
    *ret_ns = (int32_t)ns;
    return true;
}

/* ---- timestamps (RFC 3339), years 1 to 9999 ---- */

/* H. Hinnant, "chrono-Compatible Low-Level Date Algorithms". */
static int64_t days_of(int64_t y, unsigned m, unsigned d) {
    y -= m <= 2;
    int64_t era = (y >= 0 ? y : y - 399) / 400;
    unsigned year = (unsigned)(y - era * 400);
    unsigned day = (153 * (m + (m > 2 ? -3U : 9U)) + 2) / 5 + d - 1;
    return era * 146097 + (int64_t)(year * 365 + year / 4 - year / 100 + day) - 719468;
}

void cel_put_timestamp(struct buf *b, int64_t seconds, int32_t ns) {
    time_t t = (time_t)seconds;
    struct tm tm;
    if (!gmtime_r(&t, &tm)) return;
    buf_printf(b, "%04d-%02d-%02dT%02d:%02d:%02d", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday,
               tm.tm_hour, tm.tm_min, tm.tm_sec);
    put_fraction(b, ns);
    buf_char(b, 'Z');
}

static bool number_at(struct slice s, size_t at, size_t n, unsigned *ret) {
    unsigned v = 0;
    if (at + n > s.n) return false;
    for (size_t i = at; i < at + n; i++) {
        if (!is_digit(s.p[i])) return false;
        v = v * 10 + (unsigned)(s.p[i] - '0');
    }
    *ret = v;
    return true;
}

static unsigned month_days(unsigned y, unsigned m) {
    static const unsigned char days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (y % 4 == 0 && y % 100 != 0) || y % 400 == 0;
    return m == 2 && leap ? 29 : days[m - 1];
}

/* Z or +01:00 */
static bool zone(struct slice s, int64_t *ret_s) {
    unsigned h, m;
    if (slice_is(s, "Z") || slice_is(s, "z")) {
        *ret_s = 0;
        return true;
    }
    if (s.n != 6 || (s.p[0] != '+' && s.p[0] != '-') || s.p[3] != ':' || !number_at(s, 1, 2, &h) ||
        !number_at(s, 4, 2, &m) || h > 23 || m > 59)
        return false;
    *ret_s = (int64_t)(h * 3600 + m * 60) * (s.p[0] == '-' ? -1 : 1);
    return true;
}

bool cel_parse_timestamp(struct slice s, int64_t *ret_s, int32_t *ret_ns) {
    unsigned y, mo, d, h, mi, sec;
    int64_t offset;
    int32_t ns = 0, scale = NS / 10;
    if (!number_at(s, 0, 4, &y) || !number_at(s, 5, 2, &mo) || !number_at(s, 8, 2, &d) ||
        !number_at(s, 11, 2, &h) || !number_at(s, 14, 2, &mi) || !number_at(s, 17, 2, &sec))
        return false;
    if (s.p[4] != '-' || s.p[7] != '-' || (s.p[10] != 'T' && s.p[10] != 't') || s.p[13] != ':' ||
        s.p[16] != ':')
        return false;
    if (y < 1 || mo < 1 || mo > 12 || d < 1 || d > month_days(y, mo) || h > 23 || mi > 59 ||
        sec > 59)
        return false;
    size_t i = 19;
    if (i < s.n && s.p[i] == '.') {
        for (i++; i < s.n && is_digit(s.p[i]); i++, scale /= 10) ns += scale * (s.p[i] - '0');
        if (i == 20) return false;
    }
    if (!zone(slice_from(s.p + i, s.n - i), &offset)) return false;
    *ret_s = days_of(y, mo, d) * 86400 + h * 3600 + mi * 60 + sec - offset;
    *ret_ns = ns;
    return true;
}
