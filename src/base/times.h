/* Times as the API writes them: RFC 3339 in UTC; Time has seconds, MicroTime six digits
 * (apimachinery meta/v1). */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"

enum { TIME_TEXT_MAX = 40 };

/* Seconds: 2006-01-02T15:04:05Z. wall_ns is nanoseconds since 1970. Writes at most TIME_TEXT_MAX
 * bytes with the NUL. */
void time_format(char out[TIME_TEXT_MAX], int64_t wall_ns);
void time_format_micro(char out[TIME_TEXT_MAX], int64_t wall_ns); /* 2006-01-02T15:04:05.000000Z */
/* Any RFC 3339 time with an offset or Z, up to nine fractional digits. 0 or -EINVAL. */
int time_parse(const char *s, int64_t *ret_wall_ns);
/* The same for times of the years 0 to 9999, which nanoseconds alone cannot count: seconds since
 * 1970 and 0 to 999999999 nanoseconds more. */
void time_format_parts(char out[TIME_TEXT_MAX], int64_t wall_s, int64_t ns, bool micro);
int time_parse_parts(const char *s, int64_t *ret_wall_s, int64_t *ret_ns);

/* The process's clocks. Services read them through proc/loop.h, so that the simulator can replace
 * them. */
int64_t clock_wall_ns(void);
uint64_t clock_mono_ms(void);
