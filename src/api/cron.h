/*
 * Cron schedules as CronJobs use them (robfig/cron ParseStandard): five fields, names of months and
 * days, ranges, steps and lists, or @hourly, @daily, @weekly, @monthly, @yearly, @every DURATION.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct cron {
    uint64_t minutes, hours, days, months, weekdays; /* bit n: the value n fits */
    bool any_day, any_weekday; /* "*": only the other one decides; else either is enough */
    int64_t every_s;           /* @every: seconds between runs; 0 otherwise */
};

/* 0 or -EINVAL with what is wrong, as that parser words it. */
int cron_parse(const char *text, struct cron *ret, struct err *err);
/* Whether the zone is one of the IANA database; "UTC" is, "Local" is not. */
bool time_zone_known(const char *name);
