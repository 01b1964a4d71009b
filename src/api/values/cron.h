/*
 * Cron schedules as CronJobs use them (robfig/cron ParseStandard): five fields, names of months and
 * days, ranges, steps and lists, or @hourly, @daily, @weekly, @monthly, @yearly, @every DURATION.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "api/values/zone_offset.h"
#include "base/err.h"

struct cron {
    uint64_t minutes, hours, days, months, weekdays; /* bit n: the value n fits */
    bool any_day, any_weekday; /* "*": only the other one decides; else either is enough */
    int64_t every_s;           /* @every: seconds between runs; 0 otherwise */
};

/* 0 or -EINVAL with what is wrong, as that parser words it. */
int cron_parse(const char *text, struct cron *ret, struct err *err);

/* The first moment after that one, in seconds since 1970, which fits what a clock of that zone
 * shows. A moment that its clocks leave out does not come on that day, one that they show twice
 * comes twice. False: none within five years. */
bool cron_next(const struct cron *c, const struct time_zone *z, int64_t after_s, int64_t *ret_s);
/* The last one after that and not after until; @every counts from after. False: none. */
bool cron_last(const struct cron *c, const struct time_zone *z, int64_t after_s, int64_t until_s,
               int64_t *ret_s);
/* How many there are, at most n. */
size_t cron_count(const struct cron *c, const struct time_zone *z, int64_t after_s, int64_t until_s,
                  size_t n);
