/*
 * Doubling delays, as the kubelet counts them: nothing before the first retry of a container, then
 * 10 s, 20 s … 300 s; a run of ten minutes or more starts again from nothing. Pure: time is passed
 * in.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct backoff {
    uint64_t delay_ms; /* the present delay; 0 = none yet */
    uint64_t until_ms; /* monotonic: not before */
    bool armed;        /* one end was seen: the next one waits */
};

enum { BACKOFF_FIRST_MS = 10 * 1000, BACKOFF_MAX_MS = 300 * 1000, BACKOFF_RESET_MS = 600 * 1000 };

/* Doubles the delay (from first_ms up to max_ms) and waits it from now. */
void backoff_grow(struct backoff *b, uint64_t now_ms, uint64_t first_ms, uint64_t max_ms);
void backoff_reset(struct backoff *b);
/* A container ended at now_ms after running for run_ms. The first end costs nothing. */
void backoff_exited(struct backoff *b, uint64_t now_ms, uint64_t run_ms);
bool backoff_waiting(const struct backoff *b, uint64_t now_ms);
/* "10s", "1m20s", "5m0s": as Go prints a duration of whole seconds. */
void backoff_text(char out[24], uint64_t delay_ms);
