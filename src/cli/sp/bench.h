/* A small measurement through the plain doors. Private to src/cli/sp. */
#pragma once

#include "cli/sp/sp_cli.h"

enum { BENCH_PACED = 500, BENCH_RECEIVERS_MAX = 64, BENCH_HEAD_BYTES = 16 };

struct bench {
    const struct verb *verb;
    const char *root, *topology, *pattern;
    uint64_t messages, bytes, receivers;
};

/* What one receiver has seen; written to the parent as it is. */
struct bench_seen {
    uint64_t n, first_ns, last_ns;
    uint64_t n_paced;
    uint64_t paced_ns[BENCH_PACED];
};

uint64_t bench_now_ns(void);
/* The child: takes the receiving role, writes one byte when it is there, and its struct bench_seen
 * at the end. Never returns. */
void bench_receiver(const struct bench *b, int result) __attribute__((noreturn));
/* The parent: paced messages, for latency, and then all at once. */
int bench_send(const struct bench *b, uint64_t *ret_elapsed_ns, struct err *err);
/* reqrep: round trips. The times, sorted by the caller. */
int bench_round_trips(const struct bench *b, uint64_t *ret_ns, size_t n, struct err *err);
