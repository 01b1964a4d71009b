/* When a schedule comes round. */
#include "api/values/cron.h"

enum { MINUTE_S = 60, HOUR_S = 3600, DAY_S = 86400, YEARS_MAX_S = (5 * 365 + 2) * DAY_S };

static bool day_fits(const struct cron *c, const struct civil_day *d) {
    bool day = c->days >> d->day & 1, weekday = c->weekdays >> d->weekday & 1;
    return c->any_day || c->any_weekday ? day && weekday : day || weekday;
}

/* 0 when the clock at that second of the year fits, else the seconds until it may. */
static int64_t misses_by_s(const struct cron *c, int64_t local_s) {
    int64_t of_day = local_s % DAY_S;
    if (of_day < 0) of_day += DAY_S;
    struct civil_day d = civil_day_of((local_s - of_day) / DAY_S);
    if (!(c->months >> d.month & 1) || !day_fits(c, &d)) return DAY_S - of_day;
    if (!(c->hours >> of_day / HOUR_S & 1)) return HOUR_S - of_day % HOUR_S;
    if (!(c->minutes >> of_day % HOUR_S / MINUTE_S & 1)) return MINUTE_S;
    return 0;
}

bool cron_next(const struct cron *c, const struct time_zone *z, int64_t after_s, int64_t *ret_s) {
    if (c->every_s) {
        *ret_s = after_s + c->every_s;
        return true;
    }
    int64_t t = after_s - (after_s % MINUTE_S + MINUTE_S) % MINUTE_S + MINUTE_S;
    int64_t end = after_s + YEARS_MAX_S;
    int32_t offset = time_zone_offset_s(z, t);
    while (t <= end) {
        int64_t step = misses_by_s(c, t + offset);
        if (!step) {
            *ret_s = t;
            return true;
        }
        int32_t then = time_zone_offset_s(z, t + step);
        /* Where clocks change no step may leap over what they show. */
        if (then != offset) then = time_zone_offset_s(z, t + (step = MINUTE_S));
        t += step;
        offset = then;
    }
    return false;
}

bool cron_last(const struct cron *c, const struct time_zone *z, int64_t after_s, int64_t until_s,
               int64_t *ret_s) {
    int64_t t, low = after_s, high = until_s;
    if (until_s <= after_s || !cron_next(c, z, after_s, &t) || t > until_s) return false;
    if (c->every_s) {
        *ret_s = after_s + (until_s - after_s) / c->every_s * c->every_s;
        return true;
    }
    /* From every moment before the last one there is a next one in time, from none after. */
    while (low + 1 < high) {
        int64_t middle = low + (high - low) / 2;
        if (cron_next(c, z, middle, &t) && t <= until_s)
            low = middle;
        else
            high = middle;
    }
    return cron_next(c, z, low, ret_s);
}

size_t cron_count(const struct cron *c, const struct time_zone *z, int64_t after_s, int64_t until_s,
                  size_t n) {
    size_t found = 0;
    while (found < n && cron_next(c, z, after_s, &after_s) && after_s <= until_s) found++;
    return found;
}
