/* The processes of atoll sp bench. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/own.h"
#include "cli/sp/bench.h"

/* A message: what it is, when it was sent, padding. */
enum { KIND_PACED = 'p', KIND_BURST = 'b', KIND_END = 'e' };
enum { IDLE_MS = 3000, PACE_US = 500, SETTLE_MS = 300 };

uint64_t bench_now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void sleep_us(long us) {
    struct timespec t = {us / 1000000, us % 1000000 * 1000};
    nanosleep(&t, NULL);
}

static void message_make(struct buf *b, char kind, uint64_t bytes) {
    uint64_t now = bench_now_ns();
    buf_clear(b);
    buf_append(b, &kind, 1);
    buf_append(b, "-------", 7);
    buf_append(b, &now, sizeof now);
    while (b->n < bytes) buf_char(b, '.');
}

static int post(int fd, char kind, uint64_t bytes, struct err *err) {
    OWN(buf_done) struct buf b = {0};
    message_make(&b, kind, bytes);
    return send(fd, b.p, b.n, MSG_NOSIGNAL) < 0 ? err_errno(err, errno, "send") : 0;
}

static bool see(struct bench_seen *seen, struct slice m) {
    uint64_t now = bench_now_ns(), sent;
    if (m.n < BENCH_HEAD_BYTES) return true;
    memcpy(&sent, m.p + 8, sizeof sent);
    if (m.p[0] == KIND_PACED && seen->n_paced < BENCH_PACED)
        seen->paced_ns[seen->n_paced++] = now - sent;
    if (m.p[0] == KIND_BURST) {
        if (!seen->n++) seen->first_ns = sent;
        seen->last_ns = now;
    }
    return m.p[0] != KIND_END;
}

static int receive(const struct bench *b, int result, struct bench_seen *seen, struct err *err) {
    OWN(buf_done) struct buf m = {0};
    bool sub = str_eq(b->pattern, "pubsub"), rep = str_eq(b->pattern, "reqrep");
    OWN(close_p) int fd = -1;
    int r = sp_cli_connect(b->root, b->topology, sub ? "sub@" : sp_cli_role(b->pattern, false), &fd,
                           err);
    if (r < 0) return r;
    if (write(result, "r", 1) != 1) return -EPIPE;
    while ((r = sp_cli_receive(fd, IDLE_MS, &m, err)) == 1) {
        bool more = see(seen, buf_view(&m));
        if (rep && send(fd, m.p, m.n, MSG_NOSIGNAL) < 0) return err_errno(err, errno, "reply");
        if (!more) break;
    }
    return r == -EAGAIN ? 0 : r;
}

void bench_receiver(const struct bench *b, int result) {
    struct bench_seen *seen = calloc(1, sizeof *seen);
    struct err err = {0};
    int r = seen ? receive(b, result, seen, &err) : -ENOMEM;
    if (r < 0) fprintf(stderr, "atoll sp bench: receiver: %s\n", err.text);
    bool written = r >= 0 && write(result, seen, sizeof *seen) == (ssize_t)sizeof *seen;
    free(seen);
    _exit(written ? 0 : 1);
}

int bench_send(const struct bench *b, uint64_t *ret_elapsed_ns, struct err *err) {
    OWN(buf_done) struct buf m = {0};
    OWN(close_p) int fd = -1;
    int r = sp_cli_connect(b->root, b->topology, sp_cli_role(b->pattern, true), &fd, err);
    for (int i = 0; r == 0 && i < BENCH_PACED; i++) {
        r = post(fd, KIND_PACED, b->bytes, err);
        sleep_us(PACE_US);
    }
    uint64_t start = bench_now_ns();
    message_make(&m, KIND_BURST, b->bytes);
    for (uint64_t i = 0; r == 0 && i < b->messages; i++) {
        if (i % 64 == 0) message_make(&m, KIND_BURST, b->bytes);
        if (send(fd, m.p, m.n, MSG_NOSIGNAL) < 0) r = err_errno(err, errno, "send");
    }
    *ret_elapsed_ns = bench_now_ns() - start;
    sleep_us(SETTLE_MS * 1000);
    for (uint64_t i = 0; r == 0 && i < (str_eq(b->pattern, "pubsub") ? 1 : b->receivers); i++)
        r = post(fd, KIND_END, b->bytes, err);
    return r;
}

int bench_round_trips(const struct bench *b, uint64_t *ret_ns, size_t n, struct err *err) {
    OWN(buf_done) struct buf m = {0};
    OWN(close_p) int fd = -1;
    int r = sp_cli_connect(b->root, b->topology, "req", &fd, err);
    for (size_t i = 0; r == 0 && i < n; i++) {
        uint64_t start = bench_now_ns();
        r = post(fd, i + 1 == n ? KIND_END : KIND_PACED, b->bytes, err);
        if (r == 0) r = sp_cli_receive(fd, IDLE_MS, &m, err) == 1 ? 0 : -ETIMEDOUT;
        if (r == -ETIMEDOUT && err->reason == ERR_NONE)
            r = err_set(err, ERR_TIMEOUT, "no answer came");
        ret_ns[i] = bench_now_ns() - start;
    }
    return r;
}
