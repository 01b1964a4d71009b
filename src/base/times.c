#include "base/times.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static const int64_t NS = 1000000000;

/* Every write and its audit line have several times: digit by digit takes a tenth of printf. */
static char *put_digits(char *out, unsigned v, int n, char after) {
    for (int i = n - 1; i >= 0; i--, v /= 10) out[i] = (char)('0' + v % 10);
    out[n] = after;
    return out + n + 1;
}

/* Years that four digits do not hold. */
static void format_far(char out[TIME_TEXT_MAX], const struct tm *tm, int64_t ns, bool micro) {
    int n = snprintf(out, TIME_TEXT_MAX, "%04d-%02d-%02dT%02d:%02d:%02d", tm->tm_year + 1900,
                     tm->tm_mon + 1, tm->tm_mday, tm->tm_hour, tm->tm_min, tm->tm_sec);
    if (n < 0 || n >= TIME_TEXT_MAX - 12) n = 0;
    if (micro) n += snprintf(out + n, TIME_TEXT_MAX - (size_t)n, ".%06d", (int)(ns / 1000));
    snprintf(out + n, TIME_TEXT_MAX - (size_t)n, "Z");
}

/* Up to the mark behind the seconds; false: a year that four digits do not hold. */
static bool put_seconds(char *p, const struct tm *tm) {
    int64_t year = (int64_t)tm->tm_year + 1900;
    if (year < 0 || year > 9999) return false;
    p = put_digits(p, (unsigned)year, 4, '-');
    p = put_digits(p, (unsigned)tm->tm_mon + 1, 2, '-');
    p = put_digits(p, (unsigned)tm->tm_mday, 2, 'T');
    p = put_digits(p, (unsigned)tm->tm_hour, 2, ':');
    p = put_digits(p, (unsigned)tm->tm_min, 2, ':');
    put_digits(p, (unsigned)tm->tm_sec, 2, 0);
    return true;
}

void time_format_parts(char out[TIME_TEXT_MAX], int64_t wall_s, int64_t ns, bool micro) {
    /* The same second comes thousands of times. */
    static _Thread_local char last[sizeof "2006-01-02T15:04:05"];
    static _Thread_local int64_t last_s;
    if (!*last || last_s != wall_s) {
        struct tm tm = {0};
        time_t t = (time_t)wall_s;
        gmtime_r(&t, &tm);
        if (!put_seconds(last, &tm)) {
            format_far(out, &tm, ns, micro);
            return;
        }
        last_s = wall_s;
    }
    char *p = out + sizeof last - 1;
    memcpy(out, last, sizeof last - 1);
    *p++ = micro ? '.' : 'Z';
    if (micro) p = put_digits(p, (unsigned)(ns / 1000), 6, 'Z');
    *p = 0;
}

static void format(char out[TIME_TEXT_MAX], int64_t wall_ns, bool micro) {
    int64_t s = wall_ns / NS, ns = wall_ns % NS;
    if (ns < 0) ns += NS, s--;
    time_format_parts(out, s, ns, micro);
}

void time_format(char out[TIME_TEXT_MAX], int64_t wall_ns) { format(out, wall_ns, false); }

void time_format_micro(char out[TIME_TEXT_MAX], int64_t wall_ns) { format(out, wall_ns, true); }

static bool digits(const char **s, int n, int *ret) {
    int v = 0;
    for (int i = 0; i < n; i++, (*s)++) {
        if (**s < '0' || **s > '9') return false;
        v = v * 10 + (**s - '0');
    }
    *ret = v;
    return true;
}

static bool fixed(const char **s, char c) {
    if (**s != c) return false;
    (*s)++;
    return true;
}

static bool fraction(const char **s, int64_t *ns) {
    if (**s != '.') return true;
    (*s)++;
    int64_t unit = NS / 10;
    if (**s < '0' || **s > '9') return false;
    for (; **s >= '0' && **s <= '9'; (*s)++, unit /= 10) *ns += (**s - '0') * unit;
    return true;
}

static bool offset(const char **s, int *ret_minutes) {
    *ret_minutes = 0;
    if (fixed(s, 'Z')) return true;
    int sign = **s == '-' ? -1 : 1, h, m;
    if (**s != '+' && **s != '-') return false;
    (*s)++;
    if (!digits(s, 2, &h) || !fixed(s, ':') || !digits(s, 2, &m) || h > 23 || m > 59) return false;
    *ret_minutes = sign * (h * 60 + m);
    return true;
}

int time_parse_parts(const char *s, int64_t *ret_wall_s, int64_t *ret_ns) {
    struct tm tm = {0};
    int64_t ns = 0;
    int off;
    bool ok = digits(&s, 4, &tm.tm_year) && fixed(&s, '-') && digits(&s, 2, &tm.tm_mon) &&
              fixed(&s, '-') && digits(&s, 2, &tm.tm_mday) && fixed(&s, 'T') &&
              digits(&s, 2, &tm.tm_hour) && fixed(&s, ':') && digits(&s, 2, &tm.tm_min) &&
              fixed(&s, ':') && digits(&s, 2, &tm.tm_sec) && fraction(&s, &ns) &&
              offset(&s, &off) && !*s;
    if (!ok || tm.tm_mon < 1 || tm.tm_mon > 12 || tm.tm_mday < 1 || tm.tm_mday > 31 ||
        tm.tm_hour > 23 || tm.tm_min > 59 || tm.tm_sec > 60)
        return -EINVAL;
    tm.tm_year -= 1900;
    tm.tm_mon -= 1;
    int day = tm.tm_mday;
    int64_t sec = (int64_t)timegm(&tm) - (int64_t)off * 60;
    if (tm.tm_mday != day && tm.tm_sec < 60) return -EINVAL;
    *ret_wall_s = sec;
    *ret_ns = ns;
    return 0;
}

int time_parse(const char *s, int64_t *ret_wall_ns) {
    int64_t sec, ns;
    int rc = time_parse_parts(s, &sec, &ns);
    if (rc < 0) return rc;
    if (__builtin_mul_overflow(sec, NS, &sec) || __builtin_add_overflow(sec, ns, &sec))
        return -EINVAL;
    *ret_wall_ns = sec;
    return 0;
}

int64_t clock_wall_ns(void) {
    struct timespec ts;
    clock_gettime(CLOCK_REALTIME, &ts);
    return (int64_t)ts.tv_sec * NS + ts.tv_nsec;
}

uint64_t clock_mono_ms(void) {
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}
