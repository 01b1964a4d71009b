#include "node/pods/backoff.h"

#include <inttypes.h>
#include <stdio.h>

void backoff_grow(struct backoff *b, uint64_t now_ms, uint64_t first_ms, uint64_t max_ms) {
    b->delay_ms = b->delay_ms ? b->delay_ms * 2 : first_ms;
    if (b->delay_ms > max_ms) b->delay_ms = max_ms;
    b->until_ms = now_ms + b->delay_ms;
}

void backoff_reset(struct backoff *b) { *b = (struct backoff){0}; }

void backoff_exited(struct backoff *b, uint64_t now_ms, uint64_t run_ms) {
    if (run_ms >= BACKOFF_RESET_MS) backoff_reset(b);
    if (b->armed) {
        backoff_grow(b, now_ms, BACKOFF_FIRST_MS, BACKOFF_MAX_MS);
        return;
    }
    b->armed = true;
    b->until_ms = now_ms;
}

bool backoff_waiting(const struct backoff *b, uint64_t now_ms) { return b->until_ms > now_ms; }

void backoff_text(char out[24], uint64_t delay_ms) {
    uint64_t s = delay_ms / 1000;
    if (s < 60)
        snprintf(out, 24, "%" PRIu64 "s", s);
    else
        snprintf(out, 24, "%" PRIu64 "m%" PRIu64 "s", s / 60 % 100000, s % 60);
}
