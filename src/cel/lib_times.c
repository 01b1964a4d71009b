/* Parts of timestamps and durations. Zones are UTC or offsets such as +01:00. */
#include <time.h>

#include "base/own.h"
#include "cel/internal.h"

static bool digits2(struct slice s, size_t at, int *ret) {
    if (at + 2 > s.n || s.p[at] < '0' || s.p[at] > '9' || s.p[at + 1] < '0' || s.p[at + 1] > '9')
        return false;
    *ret = (s.p[at] - '0') * 10 + (s.p[at + 1] - '0');
    return true;
}

static bool zone_offset(struct slice s, int64_t *ret_s) {
    int sign = 1, h, m;
    if (s.n == 0 || slice_is(s, "UTC") || slice_is(s, "Z")) {
        *ret_s = 0;
        return true;
    }
    if (s.p[0] == '-' || s.p[0] == '+') {
        sign = s.p[0] == '-' ? -1 : 1;
        s = slice_from(s.p + 1, s.n - 1);
    }
    if (s.n != 5 || s.p[2] != ':' || !digits2(s, 0, &h) || !digits2(s, 3, &m)) return false;
    *ret_s = sign * (h * 3600 + m * 60);
    return true;
}

/* The broken-down time; false: *ret is the error. */
static bool split(struct cel_run *run, const struct cel_value *args, bool has_zone, struct tm *tm,
                  struct cel_value *ret) {
    int64_t offset = 0;
    if (has_zone && !zone_offset(cel_slice(args[1]), &offset)) {
        *ret =
            cel_fail(run, "unknown time zone %.*s", (int)MIN_OF(args[1].n, (size_t)64), args[1].p);
        return false;
    }
    time_t t = (time_t)(args[0].i + offset);
    return gmtime_r(&t, tm) != NULL;
}

#define PART(name, expression)                                                                     \
    static struct cel_value name##_of(struct cel_run *run, const struct cel_value *args,           \
                                      bool zone) {                                                 \
        struct cel_value v = cel_no_overload(run);                                                 \
        struct tm tm;                                                                              \
        return split(run, args, zone, &tm, &v) ? cel_int(expression) : v;                          \
    }                                                                                              \
    static struct cel_value name(struct cel_run *run, const struct cel_value *args) {              \
        return name##_of(run, args, false);                                                        \
    }                                                                                              \
    static struct cel_value name##_in(struct cel_run *run, const struct cel_value *args) {         \
        return name##_of(run, args, true);                                                         \
    }
PART(full_year, tm.tm_year + 1900)
PART(month, tm.tm_mon)
PART(date, tm.tm_mday)
PART(day_of_month, tm.tm_mday - 1)
PART(day_of_week, tm.tm_wday)
PART(day_of_year, tm.tm_yday)
PART(hours, tm.tm_hour)
PART(minutes, tm.tm_min)
PART(seconds, tm.tm_sec)
PART(milliseconds, args[0].ns / 1000000)

/* Durations count from zero, towards it. */
static int64_t whole(struct cel_value v) { return v.i < 0 && v.ns ? v.i + 1 : v.i; }

static struct cel_value in_hours(struct cel_run *run, const struct cel_value *args) {
    return cel_int(whole(args[0]) / 3600);
}
static struct cel_value in_minutes(struct cel_run *run, const struct cel_value *args) {
    return cel_int(whole(args[0]) / 60);
}
static struct cel_value in_seconds(struct cel_run *run, const struct cel_value *args) {
    return cel_int(whole(args[0]));
}
static struct cel_value in_milliseconds(struct cel_run *run, const struct cel_value *args) {
    __int128 ns = (__int128)args[0].i * 1000000000 + args[0].ns;
    return cel_int((int64_t)(ns / 1000000));
}

#define PART_ROWS(name, fn)                                                                        \
    {"timestamp|" name "() int", fn, COST_ONE}, {                                                  \
        "timestamp|" name "(string) int", fn##_in, COST_ONE                                        \
    }

static const struct cel_function functions[] = {
    PART_ROWS("getFullYear", full_year),
    PART_ROWS("getMonth", month),
    PART_ROWS("getDate", date),
    PART_ROWS("getDayOfMonth", day_of_month),
    PART_ROWS("getDayOfWeek", day_of_week),
    PART_ROWS("getDayOfYear", day_of_year),
    PART_ROWS("getHours", hours),
    PART_ROWS("getMinutes", minutes),
    PART_ROWS("getSeconds", seconds),
    PART_ROWS("getMilliseconds", milliseconds),
    {"duration|getHours() int", in_hours, COST_ONE},
    {"duration|getMinutes() int", in_minutes, COST_ONE},
    {"duration|getSeconds() int", in_seconds, COST_ONE},
    {"duration|getMilliseconds() int", in_milliseconds, COST_ONE},
};
const struct cel_library cel_lib_times = {functions, ARRAY_LEN(functions)};
