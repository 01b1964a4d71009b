/* What prefix subscriptions weigh and how long a match takes: bench_sp_trie [subscriptions]. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/own.h"
#include "proto/sp/trie.h"

enum { MATCHES = 2000000, SUBSCRIBERS = 1000, ROOM = 40 };

static uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Names as exchanges have them, "97/0012d687": spread over the whole of their numbers. */
static struct slice name_of(uint32_t i, char room[ROOM]) {
    uint32_t symbol = i * UINT32_C(2654435761);
    int n = snprintf(room, ROOM, "%u/%08x", symbol % 97, symbol);
    return slice_from(room, (size_t)n);
}

int main(int argc, char **argv) {
    unsigned long n = argc > 1 ? strtoul(argv[1], NULL, 10) : 1000000;
    if (n == 0 || n > 100000000) return 2;
    struct sp_trie *t = sp_trie_new(0);
    char room[ROOM];
    uint64_t start = now_ns();
    for (uint32_t i = 0; i < n; i++)
        if (sp_trie_add(t, name_of(i, room), i % SUBSCRIBERS) < 0) return 1;
    uint64_t added = now_ns();
    /* Bodies are made before the clock starts: their text costs more than a match. */
    enum { BODY = 32, BODIES = 1 << 18 };
    char(*bodies)[BODY] = calloc(BODIES, BODY);
    if (!bodies) return 1;
    for (uint32_t i = 0; i < BODIES; i++) {
        struct slice s = name_of((uint32_t)((uint64_t)i * 7919 % n), room);
        memcpy(bodies[i], s.p, MIN_OF(s.n, (size_t)BODY));
    }
    uint64_t before = now_ns();
    size_t found = 0;
    for (uint32_t i = 0; i < MATCHES; i++) {
        const uint32_t *v;
        found += sp_trie_match(t, slice_from(bodies[i % BODIES], BODY), &v);
    }
    uint64_t matched = now_ns();
    printf("subscriptions %lu bytes_each %.1f add_ns %.0f match_ns %.0f found %.3f\n", n,
           (double)sp_trie_bytes(t) / (double)n, (double)(added - start) / (double)n,
           (double)(matched - before) / MATCHES, (double)found / MATCHES);
    free(bodies);
    sp_trie_free(t);
    return 0;
}
