/* Short spans of real time, to the nanosecond: for slices of work and for what they took. What has
 * to obey the simulator's clock asks proc/loop.h. */
#pragma once

#include <stdint.h>
#include <time.h>

static inline uint64_t clock_span_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* Work of one kind that can be cut takes at most so much of one turn of the loop: whoever sends a
 * request waits for the rest of the turn. */
enum { CLOCK_SLICE_NS = 150 * 1000 };
