/* Calendar days and when summer time begins and ends. */
#include "api/values/zone_offset.h"

enum { DAY_S = 86400, ERA_DAYS = 146097 };

/* Years are counted from March, so that the day that comes and goes is their last. */
static int64_t civil_days(int64_t year, int month, int day) {
    if (month <= 2) year--;
    int64_t era = (year >= 0 ? year : year - 399) / 400, of_era = year - era * 400;
    int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return era * ERA_DAYS + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

struct civil_day civil_day_of(int64_t days) {
    int64_t z = days + 719468, era = (z >= 0 ? z : z - (ERA_DAYS - 1)) / ERA_DAYS;
    int64_t of_era = z - era * ERA_DAYS;
    int64_t year = (of_era - of_era / 1460 + of_era / 36524 - of_era / (ERA_DAYS - 1)) / 365;
    int64_t of_year = of_era - (365 * year + year / 4 - year / 100), m = (5 * of_year + 2) / 153;
    int month = (int)(m < 10 ? m + 3 : m - 9);
    return (struct civil_day){.year = year + era * 400 + (month <= 2),
                              .month = month,
                              .day = (int)(of_year - (153 * m + 2) / 5 + 1),
                              .weekday = (int)(((days + 4) % 7 + 7) % 7)};
}

static int64_t change_s(const struct zone_change *c, int64_t year, int32_t before_s) {
    int64_t first = civil_days(year, c->month, 1);
    int64_t day = first + (c->day - civil_day_of(first).weekday + 7) % 7 + 7 * (c->week - 1);
    int64_t next = c->month == 12 ? civil_days(year + 1, 1, 1) : civil_days(year, c->month + 1, 1);
    if (day >= next) day -= 7;
    return day * DAY_S + c->at_s - before_s;
}

int32_t time_zone_offset_s(const struct time_zone *z, int64_t at_s) {
    if (z->n) {
        size_t i = 0;
        while (i < z->n && (int64_t)z->changes_s[i] <= at_s) i++;
        return i % 2 ? z->summer_s : z->standard_s;
    }
    if (!z->has_summer) return z->standard_s;
    int64_t local = at_s + z->standard_s;
    int64_t year = civil_day_of((local >= 0 ? local : local - (DAY_S - 1)) / DAY_S).year;
    int64_t begin = change_s(&z->begin, year, z->standard_s);
    int64_t end = change_s(&z->end, year, z->summer_s);
    bool summer = begin < end ? at_s >= begin && at_s < end : at_s >= begin || at_s < end;
    return summer ? z->summer_s : z->standard_s;
}
