/*
 * What a clock in a zone of the IANA database shows, from 2026 on. Pure: the rules are in the
 * program. Years before follow the same rules.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct zone_change {
    int month, week, day; /* week 5: the last such day of the month; day 0: Sunday */
    int32_t at_s;         /* of the clock's day, before the change */
};
struct time_zone {
    int32_t standard_s, summer_s; /* ahead of UTC */
    bool has_summer;
    struct zone_change begin, end;
    const uint32_t *changes_s; /* of zones without a rule: between standard and the other */
    size_t n;
};

/* False: not a name of the database ("UTC" is one, "Local" is not). */
bool time_zone_find(const char *name, struct time_zone *ret);
/* Seconds that its clock is ahead of UTC at that moment; always whole minutes. */
int32_t time_zone_offset_s(const struct time_zone *z, int64_t at_s);

struct civil_day {
    int64_t year;
    int month, day, weekday; /* 1 to 12, 1 to 31, Sunday 0 */
};
struct civil_day civil_day_of(int64_t days); /* since 1970-01-01 */
