#include "api/cron.h"

#include <string.h>

#include "base/own.h"
#include "base/slice.h"
#include "base/test.h"

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
    for (size_t i = 0; i < ARRAY_LEN(known); i++) assert_true(time_zone_known(known[i]));
    for (size_t i = 0; i < ARRAY_LEN(unknown); i++) assert_false(time_zone_known(unknown[i]));
}
