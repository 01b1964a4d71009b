/* atoll sp bench: rate, delivered share and latency of a topology on this machine, through its
 * plain SEQPACKET doors. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/own.h"
#include "cli/sp/bench.h"

struct child {
    pid_t pid;
    int result; /* reading end */
    struct bench_seen seen;
};

static int by_value(const void *x, const void *y) {
    uint64_t a = *(const uint64_t *)x, b = *(const uint64_t *)y;
    return a < b ? -1 : a > b;
}

static bool read_whole(int fd, void *to, size_t n) {
    for (size_t done = 0; done < n;) {
        ssize_t got = read(fd, (char *)to + done, n - done);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return false;
        done += (size_t)got;
    }
    return true;
}

static int child_start(const struct bench *b, struct child *c, struct err *err) {
    int pipes[2];
    char ready;
    if (pipe2(pipes, O_CLOEXEC) < 0) return err_errno(err, errno, "pipe");
    c->pid = fork();
    if (c->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        close(pipes[0]);
        bench_receiver(b, pipes[1]);
    }
    close(pipes[1]);
    c->result = pipes[0];
    if (c->pid < 0) return err_errno(err, errno, "fork");
    return read_whole(c->result, &ready, 1) ? 0 : err_set(err, ERR_UNAVAILABLE, "no receiver");
}

static int results_read(struct child *c, size_t n, struct err *err) {
    for (size_t i = 0; i < n; i++)
        if (!read_whole(c[i].result, &c[i].seen, sizeof c[i].seen))
            return err_set(err, ERR_UNAVAILABLE, "a receiver has failed");
    return 0;
}

static void latency_print(const char *what, uint64_t *ns, size_t n) {
    if (!n) return;
    qsort(ns, n, sizeof *ns, by_value);
    uint64_t median = ns[n / 2], p99 = ns[n * 99 / 100];
    printf("%s  median %.1f µs  p99 %.1f µs  (%zu)\n", what, (double)median / 1000,
           (double)p99 / 1000, n);
}

static void rate_print(const struct bench *b, const struct child *c, uint64_t elapsed_ns) {
    uint64_t delivered = 0, last = 0, first = UINT64_MAX;
    bool all = str_eq(b->pattern, "pubsub") || str_eq(b->pattern, "bus");
    for (size_t i = 0; i < b->receivers; i++) {
        delivered += c[i].seen.n;
        last = MAX_OF(last, c[i].seen.last_ns);
        if (c[i].seen.n) first = MIN_OF(first, c[i].seen.first_ns);
    }
    double wanted = (double)b->messages * (all ? (double)b->receivers : 1);
    double span = last > first ? (double)(last - first) : 1;
    printf("sent        %.0f messages/s\ndelivered   %.0f messages/s, %.2f %% of %.0f\n",
           (double)b->messages * 1e9 / (double)MAX_OF(elapsed_ns, (uint64_t)1),
           (double)delivered * 1e9 / span, wanted > 0 ? 100 * (double)delivered / wanted : 0,
           wanted);
}

static int measure(const struct bench *b, struct child *c, struct err *err) {
    int r = 0;
    for (size_t i = 0; r == 0 && i < b->receivers; i++) r = child_start(b, &c[i], err);
    if (r == 0 && str_eq(b->pattern, "reqrep")) {
        size_t n = MIN_OF(b->messages, (uint64_t)1000000);
        OWN(free_p) uint64_t *ns = calloc(n, sizeof *ns);
        r = ns ? bench_round_trips(b, ns, n, err) : -ENOMEM;
        if (r == 0) latency_print("round trip", ns, n);
        return r;
    }
    uint64_t elapsed_ns = 0;
    if (r == 0) r = bench_send(b, &elapsed_ns, err);
    if (r == 0) r = results_read(c, b->receivers, err);
    if (r < 0) return r;
    latency_print("latency   ", c[0].seen.paced_ns, c[0].seen.n_paced);
    rate_print(b, c, elapsed_ns);
    return 0;
}

static int bench_whole(const struct bench *b) {
    OWN(free_p) struct child *c = calloc(b->receivers, sizeof *c);
    struct err err = {0};
    if (!c) abort();
    printf("%s (%s), %llu messages of %llu bytes, %llu %s\n", b->topology, b->pattern,
           (unsigned long long)b->messages, (unsigned long long)b->bytes,
           (unsigned long long)b->receivers, b->receivers == 1 ? "receiver" : "receivers");
    fflush(stdout);
    int r = measure(b, c, &err);
    for (size_t i = 0; i < b->receivers && c[i].pid > 0; i++) {
        kill(c[i].pid, SIGKILL);
        waitpid(c[i].pid, NULL, 0);
        close(c[i].result);
    }
    return r < 0 ? cli_err(b->verb, &err) : 0;
}

static bool number(const char *text, uint64_t min, uint64_t max, uint64_t *ret) {
    return !text || (slice_u64(slice_of(text), ret) == 0 && *ret >= min && *ret <= max);
}

static int bench_run(const struct verb *v, int argc, char **argv) {
    const char *messages = NULL, *bytes = NULL, *receivers = NULL;
    struct bench b = {.verb = v, .messages = 50000, .bytes = 64, .receivers = 1};
    const struct cli_option options[] = {
        {"--messages", "N", "messages, or round trips; default 50000", &messages, NULL},
        {"--size", "BYTES", "bytes of each, 16 to 200000; default 64", &bytes, NULL},
        {"--receivers", "N", "receiving programs, at most 64; default 1", &receivers, NULL},
    };
    struct cli_args args;
    struct sp_view view;
    OWN(arena_free_p) struct arena *a = arena_new();
    int status = cli_parse(v, argc, argv, options, ARRAY_LEN(options), 1, &args);
    if (status != CLI_CONTINUE) return status;
    if (!number(messages, 1, 100000000, &b.messages)) return cli_usage(v, "--messages: 1 to 10^8");
    if (!number(bytes, BENCH_HEAD_BYTES, 200000, &b.bytes))
        return cli_usage(v, "--size: 16 to 200000");
    if (!number(receivers, 1, BENCH_RECEIVERS_MAX, &b.receivers))
        return cli_usage(v, "--receivers: 1 to 64");
    status = sp_cli_topology(v, &args, a, &b.root, &view);
    if (status != CLI_CONTINUE) return status;
    b.topology = args.words[0];
    b.pattern = sp_fact(&view.values, "pattern");
    if (str_eq(b.pattern, "survey") || (str_eq(b.pattern, "pair") && b.receivers > 1))
        return cli_usage(v, "of survey, and of pair with several receivers, there is no bench");
    return bench_whole(&b);
}

const struct verb sp_bench_verb = {
    "sp bench", "TOPOLOGY [--messages N] [--size BYTES] [--receivers N]",
    "measures latency, rate and delivered share through the doors of this machine; its messages go "
    "to all who listen",
    bench_run};
