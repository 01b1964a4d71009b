/* Any text: a schedule that parses has a value in each field and none out of range, and its next
 * moment lies ahead; a time zone's name never reads past its end. */
#include "api/values/cron.h"
#include "api/values/zone_offset.h"
#include "base/arena.h"
#include "base/own.h"
#include "fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    OWN(arena_free_p) struct arena *a = arena_new();
    const char *text = arena_strn(a, slice_from(data, size));
    struct cron c;
    struct err err;
    struct time_zone zone;
    int64_t next;
    if (time_zone_find(text, &zone)) FUZZ_ASSERT(time_zone_offset_s(&zone, 1800000000) % 60 == 0);
    if (cron_parse(text, &c, &err) < 0) return 0;
    if (c.every_s) {
        FUZZ_ASSERT(c.every_s > 0);
        return 0;
    }
    FUZZ_ASSERT(c.minutes && c.minutes >> 60 == 0);
    FUZZ_ASSERT(c.hours && c.hours >> 24 == 0);
    FUZZ_ASSERT(c.days && !(c.days & 1) && c.days >> 32 == 0);
    FUZZ_ASSERT(c.months && !(c.months & 1) && c.months >> 13 == 0);
    FUZZ_ASSERT(c.weekdays && c.weekdays >> 7 == 0);
    FUZZ_ASSERT(time_zone_find("Europe/Berlin", &zone));
    if (cron_next(&c, &zone, 1800000000, &next)) FUZZ_ASSERT(next > 1800000000);
    return 0;
}
