#include "api/values/cron.h"

#include <string.h>

#include "base/own.h"
#include "base/slice.h"
#include "base/test.h"
#include "base/times.h"

TEST(cron_fields_become_bits) {
    struct cron c;
    assert_int_equal(cron_parse("*/15 0-6,22 1 jan-mar MON-FRI", &c, NULL), 0);
    assert_true(c.minutes == (1ULL | 1ULL << 15 | 1ULL << 30 | 1ULL << 45));
    assert_true(c.hours == (0x7fULL | 1ULL << 22));
    assert_true(c.days == 2 && c.months == 0xe && c.weekdays == 0x3e);
    assert_false(c.any_day);
    assert_int_equal(cron_parse("5/20 * ? * *", &c, NULL), 0);
    assert_true(c.minutes == (1ULL << 5 | 1ULL << 25 | 1ULL << 45));
    assert_true(c.any_day && c.any_weekday);
}

TEST(cron_names_of_schedules) {
    struct cron c, same;
    assert_int_equal(cron_parse("@weekly", &c, NULL), 0);
    assert_int_equal(cron_parse("0 0 * * sun", &same, NULL), 0);
    assert_memory_equal(&c, &same, sizeof c);
    assert_int_equal(cron_parse("@every 1h30m", &c, NULL), 0);
    assert_int_equal(c.every_s, 5400);
}

TEST(cron_says_what_is_wrong) {
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"", "empty spec string"},
        {"* * * *", "expected exactly 5 fields, found 4: [* * * *]"},
        {"60 * * * *", "end of range (60) above maximum (59): 60"},
        {"* * 0 * *", "beginning of range (0) below minimum (1): 0"},
        {"* * * * 7", "end of range (7) above maximum (6): 7"},
        {"5-3 * * * *", "beginning of range (5) beyond end of range (3): 5-3"},
        {"*/0 * * * *", "step of range should be a positive number: */0"},
        {"1/2/3 * * * *", "too many slashes: 1/2/3"},
        {"1-2-3 * * * *", "too many hyphens: 1-2-3"},
        {"a * * * *", "failed to parse int from a: strconv.Atoi: parsing \"a\": invalid syntax"},
        {"@sometimes", "unrecognized descriptor: @sometimes"},
        {"@every x", "failed to parse duration @every x: time: invalid duration \"x\""},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct cron c;
        struct err err = {0};
        assert_true(cron_parse(cases[i].text, &c, &err) < 0);
        assert_string_equal(err.text, cases[i].message);
    }
}

TEST(cron_bounds_hostile_text) {
    struct cron c;
    struct err err;
    char text[5000];
    memset(text, '*', sizeof text - 1);
    text[sizeof text - 1] = 0;
    assert_true(cron_parse(text, &c, &err) < 0);
    assert_true(cron_parse("4294967296 * * * *", &c, &err) < 0);
    assert_true(cron_parse("*/4294967295 * * * *", &c, &err) < 0);
    assert_true(cron_parse("@every 99999999999999999999h", &c, &err) < 0);
}

TEST(time_zones_are_those_of_the_database) {
    static const char *const known[] = {"UTC", "Europe/Berlin", "America/Argentina/Buenos_Aires",
                                        "Etc/GMT+5", "Asia/Kolkata"};
    static const char *const unknown[] = {
        "",           "Local",        "Berlin",         "Europe/",
        "Europe/Ber", "Mars/Olympus", "Europe/Berlin ", "../etc/passwd"};
    struct time_zone z;
    for (size_t i = 0; i < ARRAY_LEN(known); i++) assert_true(time_zone_find(known[i], &z));
    for (size_t i = 0; i < ARRAY_LEN(unknown); i++) assert_false(time_zone_find(unknown[i], &z));
}

static int64_t second(const char *text) {
    int64_t ns;
    assert_int_equal(time_parse(text, &ns), 0);
    return ns / 1000000000;
}

TEST(time_zones_change_their_clocks) {
    static const struct {
        const char *zone, *at;
        int32_t offset_min;
    } cases[] = {
        {"UTC", "2026-07-01T00:00:00Z", 0},
        {"Europe/Berlin", "2026-03-29T00:59:59Z", 60},
        {"Europe/Berlin", "2026-03-29T01:00:00Z", 120},
        {"Europe/Berlin", "2040-10-28T00:59:59Z", 120},
        {"Europe/Berlin", "2040-10-28T01:00:00Z", 60},
        {"America/New_York", "2026-12-31T00:00:00Z", -300},
        {"Australia/Lord_Howe", "2026-01-01T00:00:00Z", 660}, /* half an hour more in summer */
        {"Australia/Lord_Howe", "2026-07-01T00:00:00Z", 630},
        {"Pacific/Chatham", "2026-01-01T00:00:00Z", 825},
        {"Europe/Dublin", "2026-01-01T00:00:00Z", 0}, /* winter is its other time */
        {"Europe/Dublin", "2026-07-01T00:00:00Z", 60},
        {"Africa/Casablanca", "2026-03-01T00:00:00Z", 0}, /* by the moon */
        {"Africa/Casablanca", "2026-07-01T00:00:00Z", 60},
        {"Asia/Kathmandu", "2026-07-01T00:00:00Z", 345},
        {"America/Nuuk", "2026-07-01T00:00:00Z", -60}, /* changes on the evening before */
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct time_zone z;
        assert_true(time_zone_find(cases[i].zone, &z));
        if (time_zone_offset_s(&z, second(cases[i].at)) != cases[i].offset_min * 60)
            fail_msg("case %zu: %s", i, cases[i].zone);
    }
}

TEST(cron_comes_round) {
    static const struct {
        const char *schedule, *zone, *after, *next;
    } cases[] = {
        {"* * * * *", "UTC", "2026-01-01T00:00:00Z", "2026-01-01T00:01:00Z"},
        {"* * * * *", "UTC", "2025-12-31T23:59:59Z", "2026-01-01T00:00:00Z"},
        {"30 6-16/4 * * 1-5", "UTC", "2026-01-02T14:30:00Z", "2026-01-05T06:30:00Z"},
        {"0 0 29 2 *", "UTC", "2026-01-01T00:00:00Z", "2028-02-29T00:00:00Z"},
        {"0 0 13 * 5", "UTC", "2026-01-01T00:00:00Z",
         "2026-01-02T00:00:00Z"}, /* either is enough */
        {"0 0 */2 * 5", "UTC", "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"},
        {"0 0 * * 5", "UTC", "2026-01-02T00:00:00Z", "2026-01-09T00:00:00Z"},
        {"@every 90s", "UTC", "2026-01-01T00:00:07Z", "2026-01-01T00:01:37Z"},
        {"@yearly", "Asia/Kolkata", "2026-01-01T00:00:00Z", "2026-12-31T18:30:00Z"},
        {"0 9 * * *", "America/New_York", "2026-07-01T00:00:00Z", "2026-07-01T13:00:00Z"},
        /* 02:30 does not come on that day */
        {"30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", "2026-03-30T00:30:00Z"},
        {"30 3 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", "2026-03-29T01:30:00Z"},
        {"0 * * * *", "Europe/Berlin", "2026-03-29T00:00:00Z", "2026-03-29T01:00:00Z"},
        {"0 0 * * 1", "Europe/Berlin", "2026-03-28T23:30:00Z", "2026-03-29T22:00:00Z"},
        /* 02:30 comes twice on that day */
        {"30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", "2026-10-25T00:30:00Z"},
        {"30 2 * * *", "Europe/Berlin", "2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z"},
        {"30 2 * * *", "Europe/Berlin", "2026-10-25T01:30:00Z", "2026-10-26T01:30:00Z"},
        {"0 0 * * 1", "Europe/Berlin", "2026-10-24T23:30:00Z", "2026-10-25T23:00:00Z"},
        /* no midnight: the day begins at one o'clock */
        {"0 0 * * *", "Africa/Cairo", "2026-04-23T00:00:00Z", "2026-04-24T21:00:00Z"},
        {"5 1 24 4 *", "Africa/Cairo", "2026-04-01T00:00:00Z", "2026-04-23T22:05:00Z"},
        /* clocks that change at a quarter to three and by half an hour */
        {"50 3 27 9 *", "Pacific/Chatham", "2026-09-01T00:00:00Z", "2026-09-26T14:05:00Z"},
        {"45 1 5 4 *", "Australia/Lord_Howe", "2026-04-04T14:45:00Z", "2026-04-04T15:15:00Z"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct cron c;
        struct time_zone z;
        int64_t next = 0;
        assert_int_equal(cron_parse(cases[i].schedule, &c, NULL), 0);
        assert_true(time_zone_find(cases[i].zone, &z));
        assert_true(cron_next(&c, &z, second(cases[i].after), &next));
        char text[TIME_TEXT_MAX];
        time_format(text, next * 1000000000);
        if (!str_eq(text, cases[i].next))
            fail_msg("%s in %s after %s: %s", cases[i].schedule, cases[i].zone, cases[i].after,
                     text);
    }
}

TEST(cron_that_never_comes) {
    static const char *const never[] = {"0 0 30 2 *", "59 23 31 2,4,6,9,11 *"};
    struct time_zone z;
    int64_t t = 7;
    assert_true(time_zone_find("Africa/Casablanca", &z));
    for (size_t i = 0; i < ARRAY_LEN(never); i++) {
        struct cron c;
        assert_int_equal(cron_parse(never[i], &c, NULL), 0);
        assert_false(cron_next(&c, &z, second("2026-01-01T00:00:00Z"), &t));
        assert_false(cron_last(&c, &z, 0, second("2026-01-01T00:00:00Z"), &t));
        assert_int_equal(cron_count(&c, &z, 0, second("2026-01-01T00:00:00Z"), 5), 0);
    }
    assert_int_equal(t, 7);
}

/* What a walk over all moments finds, cron_last finds at once. */
TEST(cron_last_one_before) {
    static const char *const schedules[] = {"*/7 * * * *", "0 3 * * 0", "* * 1 1 *", "30 2 * * *",
                                            "@every 100s"};
    int64_t from = second("2026-10-01T00:00:13Z"), last = 0;
    struct time_zone z;
    assert_true(time_zone_find("America/New_York", &z));
    for (size_t i = 0; i < ARRAY_LEN(schedules); i++) {
        struct cron c;
        assert_int_equal(cron_parse(schedules[i], &c, NULL), 0);
        int64_t until = second("2027-02-03T04:05:06Z"), t = from, found = 0;
        size_t n = 0;
        for (; cron_next(&c, &z, t, &t) && t <= until; n++) found = t;
        assert_true(cron_last(&c, &z, from, until, &last));
        assert_true(last == found);
        assert_true(cron_count(&c, &z, from, until, 100) == MIN_OF(n, (size_t)100));
        assert_true(cron_last(&c, &z, from, found, &last));
        assert_true(last == found);
        assert_false(cron_last(&c, &z, found, found, &last));
    }
}
