/* Durations as Go writes them (time.Duration): "1h30m0s", "300ms", "-1.5h". */
#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "api/codec/codec.h"
#include "base/own.h"

static const struct unit {
    const char *name;
    int64_t ns;
} units[] = {{"ns", 1},           {"us", 1000},         {"\xc2\xb5s", 1000},   {"ms", 1000000},
             {"s", 1000000000LL}, {"m", 60000000000LL}, {"h", 3600000000000LL}};

static const struct unit *unit_at(const char *p, size_t n) {
    for (size_t i = 0; i < ARRAY_LEN(units); i++)
        if (strlen(units[i].name) == n && memcmp(units[i].name, p, n) == 0) return &units[i];
    return NULL;
}

static bool is_digit(char c) { return c >= '0' && c <= '9'; }

/* One "1.5h"; adds to *total. Advances *p. */
static bool term(const char **p, int64_t *total) {
    int64_t whole = 0, part = 0, scale = 1, sum;
    const char *s = *p;
    bool any = false;
    for (; is_digit(*s); s++, any = true)
        if (__builtin_mul_overflow(whole, 10, &whole) ||
            __builtin_add_overflow(whole, *s - '0', &whole))
            return false;
    if (*s == '.')
        for (s++; is_digit(*s); s++, any = true)
            if (scale < 1000000000000LL) {
                part = part * 10 + (*s - '0');
                scale *= 10;
            }
    size_t n = strcspn(s, "0123456789.");
    const struct unit *u = unit_at(s, n);
    if (!any || !u || __builtin_mul_overflow(whole, u->ns, &sum)) return false;
    *p = s + n;
    return !__builtin_add_overflow(sum, (int64_t)((double)part * ((double)u->ns / (double)scale)),
                                   &sum) &&
           !__builtin_add_overflow(*total, sum, total);
}

/* n units of 10^-digits, without trailing zeros. */
static void put_fraction(struct buf *b, int64_t n, int digits, const char *unit) {
    int64_t scale = 1;
    for (int i = 0; i < digits; i++) scale *= 10;
    buf_i64(b, n / scale);
    int64_t rest = n % scale;
    if (rest) buf_char(b, '.');
    while (rest) {
        scale /= 10;
        buf_char(b, (char)('0' + rest / scale));
        rest %= scale;
    }
    buf_str(b, unit);
}

int duration_parse(const char *s, int64_t *ret_ns) {
    int64_t ns = 0;
    bool negative = *s == '-';
    const char *p = s + (*s == '-' || *s == '+');
    if (!*p) return -EINVAL;
    if (strcmp(p, "0") == 0) p++;
    while (*p)
        if (!term(&p, &ns)) return -EINVAL;
    *ret_ns = negative ? -ns : ns;
    return 0;
}

const char *duration_canonical(struct arena *a, const char *s) {
    OWN(buf_done) struct buf b = {0};
    int64_t ns = 0;
    bool negative = *s == '-';
    const char *p = s + (*s == '-' || *s == '+');
    if (strcmp(p, "0") == 0) return "0s";
    if (!*p) return NULL;
    while (*p)
        if (!term(&p, &ns)) return NULL;
    if (ns == 0) return "0s";
    if (negative) buf_char(&b, '-');
    if (ns < 1000)
        put_fraction(&b, ns, 0, "ns");
    else if (ns < 1000000)
        put_fraction(&b, ns, 3, "\xc2\xb5s");
    else if (ns < 1000000000)
        put_fraction(&b, ns, 6, "ms");
    else {
        int64_t minutes = ns / 60000000000LL;
        if (minutes >= 60) buf_printf(&b, "%lldh", (long long)(minutes / 60));
        if (minutes) buf_printf(&b, "%lldm", (long long)(minutes % 60));
        put_fraction(&b, ns % 60000000000LL, 9, "s");
    }
    return arena_strn(a, buf_view(&b));
}
