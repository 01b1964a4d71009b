/*
 * Load for row 13: messages from one process to others, and round trips, over whatever sp_side.h is
 * linked with.
 *
 *   bench_sp_NAME stream ADDRESS READERS MESSAGES BYTES [RATE]
 *       one writer, at RATE messages a second (0: as fast as it goes); what arrived, and when
 *   bench_sp_NAME stall ADDRESS READERS MESSAGES BYTES RATE
 *       the same, but the first reader never reads
 *   bench_sp_NAME trips ADDRESS COUNT BYTES
 *       request and reply
 *
 * Prints one line of JSON. A message begins with its number and, with a rate, when it was sent.
 */
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "sp_side.h"

enum { READERS_MAX = 4096, BATCH = 64, PATIENCE_MS = 2000, SAMPLES = 1 << 20, BUCKETS = 64 * 128 };

struct reader {
    _Atomic int ready;
    _Alignas(64) uint64_t got, lost, first_ns, last_ns, cpu_ns;
    uint64_t late[BUCKETS]; /* histogram of delays, see bucket() */
};

static struct shared {
    _Atomic int go, done;
    uint64_t sent, start_ns, end_ns, cpu_ns;
    struct reader readers[];
} * shared;

void side_die(const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    vfprintf(stderr, format, ap);
    va_end(ap);
    fputc('\n', stderr);
    exit(1);
}

static uint64_t now(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void nap(uint64_t ns) {
    struct timespec t = {.tv_sec = (time_t)(ns / 1000000000), .tv_nsec = (long)(ns % 1000000000)};
    nanosleep(&t, NULL);
}

/* 64 steps in each power of two. */
static unsigned bucket(uint64_t ns) {
    unsigned power = ns < 128 ? 0 : 63 - (unsigned)__builtin_clzll(ns) - 6;
    return power * 128 + (unsigned)(ns >> power);
}

static double of_bucket(unsigned b) { return (double)((uint64_t)(b % 128) << (b / 128)); }

static double percentile(const uint64_t *late, double part) {
    uint64_t all = 0, seen = 0;
    for (unsigned i = 0; i < BUCKETS; i++) all += late[i];
    for (unsigned i = 0; i < BUCKETS; i++) {
        seen += late[i];
        if (all && (double)seen >= (double)all * part) return of_bucket(i);
    }
    return 0;
}

/* ---- readers ---- */

static void read_all(const char *address, struct reader *r, uint64_t messages, bool stalls,
                     bool timed) {
    static unsigned char m[1 << 20];
    struct side *s = side_open("sub", address);
    uint64_t number = 0, sent;
    uint64_t cpu = now(CLOCK_PROCESS_CPUTIME_ID);
    atomic_store(&r->ready, 1);
    if (stalls)
        for (;;) pause();
    for (int idle = 0; number + 1 < messages;) {
        long n = side_receive(s, m, sizeof(m), PATIENCE_MS);
        if (n < 0) {
            if (atomic_load(&shared->done) && ++idle) break;
            continue;
        }
        memcpy(&number, m, sizeof(number));
        if (r->got++ == 0) r->first_ns = now(CLOCK_MONOTONIC);
        if (timed) {
            memcpy(&sent, m + 8, sizeof(sent));
            r->late[bucket(now(CLOCK_MONOTONIC) - sent)]++;
        }
        if ((r->got & 255) == 0 || number + 1 >= messages) r->last_ns = now(CLOCK_MONOTONIC);
    }
    r->lost = side_lost(s);
    r->cpu_ns = now(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    _exit(0);
}

/* ---- the writer ---- */

static void write_paced(struct side *s, unsigned char *m, uint64_t messages, size_t n,
                        uint64_t rate) {
    uint64_t start = now(CLOCK_MONOTONIC);
    for (uint64_t i = 0; i < messages; i++) {
        uint64_t due = start + i * 1000000000 / rate, t = now(CLOCK_MONOTONIC);
        if (t < due) nap(due - t);
        t = now(CLOCK_MONOTONIC);
        memcpy(m, &i, 8);
        memcpy(m + 8, &t, 8);
        side_send(s, m, n);
        side_flush(s);
    }
}

static void write_all(struct side *s, unsigned char *m, uint64_t messages, size_t n) {
    for (uint64_t i = 0; i < messages; i += BATCH) {
        uint64_t count = messages - i < BATCH ? messages - i : BATCH;
        for (uint64_t k = 0; k < count; k++) {
            uint64_t number = i + k;
            memcpy(m + k * n, &number, 8);
        }
        side_send_many(s, m, n, (size_t)count);
    }
    side_flush(s);
}

static void stream(const char *address, unsigned readers, uint64_t messages, size_t n,
                   uint64_t rate, bool stalls) {
    static unsigned char m[BATCH * 65536];
    pid_t child[READERS_MAX];
    for (unsigned i = 0; i < readers; i++) {
        child[i] = fork();
        if (child[i] == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            read_all(address, &shared->readers[i], messages, stalls && i == 0, rate > 0);
        }
    }
    struct side *s = side_open("pub", address);
    for (unsigned i = 0; i < readers; i++)
        while (!atomic_load(&shared->readers[i].ready)) {
            if (waitpid(child[i], NULL, WNOHANG) == child[i]) side_die("a reader has ended");
            nap(1000000);
        }
    nap(200000000); /* subscriptions of systems that do not tell when they are active */
    shared->start_ns = now(CLOCK_MONOTONIC);
    uint64_t cpu = now(CLOCK_PROCESS_CPUTIME_ID);
    if (rate)
        write_paced(s, m, messages, n, rate);
    else
        write_all(s, m, messages, n);
    shared->cpu_ns = now(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    shared->end_ns = now(CLOCK_MONOTONIC);
    shared->sent = messages;
    side_close(s);
    atomic_store(&shared->done, 1);
    for (unsigned i = 0; i < readers; i++) {
        if (stalls && i == 0) kill(child[i], SIGKILL);
        waitpid(child[i], NULL, 0);
    }
}

static void tell_stream(unsigned readers, bool stalls) {
    static uint64_t late[BUCKETS];
    uint64_t got = 0, lost = 0, end = shared->end_ns, uncounted = 0, cpu = 0;
    for (unsigned i = stalls; i < readers; i++) {
        const struct reader *r = &shared->readers[i];
        got += r->got;
        lost += r->lost;
        cpu += r->cpu_ns;
        if (r->got + r->lost != shared->sent) uncounted++;
        if (r->last_ns > end) end = r->last_ns;
        for (unsigned k = 0; k < BUCKETS; k++) late[k] += r->late[k];
    }
    double seconds = (double)(end - shared->start_ns) / 1e9;
    double wanted = (double)shared->sent * (readers - stalls);
    printf("{\"sent\": %llu, \"delivered\": %llu, \"share\": %.6f, \"counted_lost\": %llu, "
           "\"readers_uncounted\": %llu, \"seconds\": %.6f, \"delivered_per_s\": %.0f, "
           "\"sent_per_s\": %.0f, \"publisher_ns\": %.1f, \"reader_ns\": %.1f, \"p50_us\": %.2f, "
           "\"p99_us\": %.2f}\n",
           (unsigned long long)shared->sent, (unsigned long long)got, (double)got / wanted,
           (unsigned long long)lost, (unsigned long long)uncounted, seconds, (double)got / seconds,
           (double)shared->sent * 1e9 / (double)(shared->end_ns - shared->start_ns),
           (double)shared->cpu_ns / (double)shared->sent, got ? (double)cpu / (double)got : 0.0,
           percentile(late, 0.5) / 1e3, percentile(late, 0.99) / 1e3);
}

/* ---- round trips ---- */

static void answer_all(const char *address) {
    static unsigned char m[1 << 20];
    struct side *s = side_open("rep", address);
    atomic_store(&shared->readers[0].ready, 1);
    for (;;) {
        long n = side_receive(s, m, sizeof(m), PATIENCE_MS);
        if (n < 0) continue;
        side_send(s, m, (size_t)n);
        side_flush(s);
    }
}

static void trips(const char *address, uint64_t count, size_t n) {
    static unsigned char m[1 << 20];
    pid_t child = fork();
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        answer_all(address);
    }
    while (!atomic_load(&shared->readers[0].ready)) nap(1000000);
    struct side *s = side_open("req", address);
    nap(100000000);
    uint64_t *late = shared->readers[0].late, warm = count / 10;
    for (uint64_t i = 0; i < count + warm; i++) {
        uint64_t start = now(CLOCK_MONOTONIC);
        side_send(s, m, n);
        side_flush(s);
        if (side_receive(s, m, sizeof(m), PATIENCE_MS) != (long)n) side_die("a reply is missing");
        if (i >= warm) late[bucket(now(CLOCK_MONOTONIC) - start)]++;
    }
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    printf("{\"trips\": %llu, \"p50_us\": %.2f, \"p99_us\": %.2f}\n", (unsigned long long)count,
           percentile(late, 0.5) / 1e3, percentile(late, 0.99) / 1e3);
}

int main(int argc, char **argv) {
    unsigned long v[4] = {0};
    for (int i = 3; i < argc && i < 7; i++) v[i - 3] = strtoul(argv[i], NULL, 10);
    bool is_trips = argc > 4 && strcmp(argv[1], "trips") == 0;
    bool stalls = argc > 6 && strcmp(argv[1], "stall") == 0;
    bool is_stream = stalls || (argc > 5 && strcmp(argv[1], "stream") == 0);
    size_t n = is_trips ? v[1] : v[2];
    if ((!is_trips && !is_stream) || n < 16 || n > 65536 ||
        v[0] > (is_trips ? 1u << 30 : READERS_MAX))
        side_die("usage: %s stream|stall ADDRESS READERS MESSAGES BYTES [RATE] | "
                 "trips ADDRESS COUNT BYTES (16 to 65536)",
                 argv[0]);
    size_t bytes = sizeof(*shared) + (is_trips ? 1 : v[0]) * sizeof(struct reader);
    shared = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED) side_die("no memory");
    if (is_trips) {
        trips(argv[2], v[0], n);
        return 0;
    }
    stream(argv[2], (unsigned)v[0], v[1], n, v[3], stalls);
    tell_stream((unsigned)v[0], stalls);
    return 0;
}
