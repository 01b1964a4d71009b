/* Any text: a schedule that parses has a value in each field and none out of range; a time zone's
 * name never reads past its end. */
#include "api/cron.h"
#include "base/arena.h"
#include "base/own.h"
#include "fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    OWN(arena_free_p) struct arena *a = arena_new();
    const char *text = arena_strn(a, slice_from(data, size));
    struct cron c;
    struct err err;
    (void)time_zone_known(text);
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
    return 0;
}
