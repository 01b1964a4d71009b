#include "server/metrics/turns.h"

#include <inttypes.h>
#include <time.h>

static const unsigned bounds_us[] = {100,  250,   500,   1000,  2000,  4000,
                                     8000, 16000, 32000, 64000, 128000};
enum { BOUNDS = sizeof bounds_us / sizeof bounds_us[0] };

enum { LONG_NS = 250 * 1000 };

static struct {
    uint64_t cpu_ns;              /* of this thread, when last asked */
    uint64_t buckets[BOUNDS + 1]; /* not cumulative */
    uint64_t sum_ns;
} turns;

/* A long turn counts for the processor time it had: that others had the processor meanwhile is not
 * what is told here. Asking costs a system call, so short turns do not. */
static uint64_t without_waiting(uint64_t busy_ns) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    uint64_t now = (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
    uint64_t spent = now - turns.cpu_ns;
    turns.cpu_ns = now;
    return spent < busy_ns ? spent : busy_ns;
}

static void on_turn(void *user, uint64_t busy_ns) {
    size_t i = 0;
    if (busy_ns >= LONG_NS) busy_ns = without_waiting(busy_ns);
    while (i < BOUNDS && busy_ns > bounds_us[i] * 1000u) i++;
    turns.buckets[i]++;
    turns.sum_ns += busy_ns;
}

void turns_measure(struct loop *l) { loop_on_turn(l, on_turn, NULL); }

void turns_write(struct buf *b) {
    uint64_t n = 0;
    buf_str(b, "# HELP atoll_loop_turn_seconds Time between two looks at what clients have sent.\n"
               "# TYPE atoll_loop_turn_seconds histogram\n");
    for (size_t i = 0; i < BOUNDS; i++) {
        n += turns.buckets[i];
        buf_printf(b, "atoll_loop_turn_seconds_bucket{le=\"%g\"} %" PRIu64 "\n", bounds_us[i] / 1e6,
                   n);
    }
    n += turns.buckets[BOUNDS];
    buf_printf(b,
               "atoll_loop_turn_seconds_bucket{le=\"+Inf\"} %" PRIu64 "\n"
               "atoll_loop_turn_seconds_sum %.6f\natoll_loop_turn_seconds_count %" PRIu64 "\n",
               n, (double)turns.sum_ns / 1e9, n);
}
