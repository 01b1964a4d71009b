/*
 * Durable creates per second through a socket, as `api` does them: N writes under way at any time.
 *   bench_store DIRECTORY [clients [seconds [value bytes]]]
 */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/own.h"
#include "store/server.h"

struct bench {
    struct loop *l;
    struct ipc *ipc;
    uint64_t sent, done, failed, end_ms;
    uint64_t *took_us;
    size_t took_n, took_max;
    char *value;
};

static _Noreturn void serve(const char *dir, int fd) {
    char path[4096];
    struct store_backend *b;
    struct err err;
    snprintf(path, sizeof path, "%s/store.db", dir);
    if (store_sqlite.open(path, &b, &err) < 0) {
        fprintf(stderr, "%s\n", err.text);
        exit(1);
    }
    struct loop *l = loop_new(NULL);
    struct store_server *s = store_server_new(l, b);
    uid_t me = geteuid();
    ipc_listen(l, fd, &me, 1, store_server_accept, s);
    loop_run(l);
    exit(0);
}

static uint64_t now_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

struct one {
    struct bench *b;
    uint64_t started_us;
};

static void send_one(struct bench *b, struct one *o);

static void on_reply(struct ipc *c, struct ipc_msg *m, void *user) {
    struct one *o = user;
    struct bench *b = o->b;
    if (!m || m->type != STORE_WRITE_OK) b->failed++;
    b->done++;
    if (b->took_n < b->took_max) b->took_us[b->took_n++] = now_us() - o->started_us;
    if (m && loop_now_ms(b->l) < b->end_ms)
        send_one(b, o);
    else if (b->done == b->sent || !m)
        loop_stop(b->l);
}

static void send_one(struct bench *b, struct one *o) {
    OWN(buf_done) struct buf body = {0};
    char key[64];
    snprintf(key, sizeof key, "/pods.core/default/bench-%d-%" PRIu64, (int)getpid(), ++b->sent);
    store_write_pack(&body,
                     &(struct store_write){STORE_CREATE, slice_of(key), 0, 7, slice_of(b->value)});
    o->started_us = now_us();
    ipc_call(b->ipc, STORE_WRITE, buf_view(&body), NULL, 0, on_reply, o);
}

static int by_value(const void *x, const void *y) {
    uint64_t a = *(const uint64_t *)x, b = *(const uint64_t *)y;
    return a < b ? -1 : a > b;
}

static unsigned long argument(int argc, char **argv, int i, uint64_t fallback) {
    uint64_t v = fallback;
    if (argc > i) slice_u64(slice_of(argv[i]), &v);
    return (unsigned long)v;
}

int main(int argc, char **argv) {
    const char *dir = argc > 1 ? argv[1] : ".";
    size_t clients = argument(argc, argv, 2, 64), value = argument(argc, argv, 4, 300);
    struct bench b = {.took_max = 1000000};
    struct sockaddr_un sun = {.sun_family = AF_UNIX};
    snprintf(sun.sun_path, sizeof sun.sun_path, "%s/bench.sock", dir);
    unlink(sun.sun_path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (bind(fd, (struct sockaddr *)&sun, sizeof sun) < 0 || listen(fd, 8) < 0) return 1;
    pid_t pid = fork();
    if (pid == 0) serve(dir, fd);
    b.l = loop_new(NULL);
    b.value = calloc(1, value + 32);
    b.took_us = calloc(b.took_max, sizeof *b.took_us);
    struct one *ones = calloc(clients, sizeof *ones);
    if (!b.value || !b.took_us || !ones) return 1;
    memcpy(b.value, "{\"rv\":\"\",\"filler\":\"", 19);
    memset(b.value + 19, 'x', value - 21);
    memcpy(b.value + value - 2, "\"}", 3);
    struct err err;
    if (ipc_connect(b.l, sun.sun_path, &(struct ipc_handler){0}, &b.ipc, &err) < 0) return 1;
    uint64_t start = now_us();
    b.end_ms = loop_now_ms(b.l) + 1000 * argument(argc, argv, 3, 3);
    for (size_t i = 0; i < clients; i++) {
        ones[i].b = &b;
        send_one(&b, &ones[i]);
    }
    loop_run(b.l);
    double seconds = (double)(now_us() - start) / 1e6;
    qsort(b.took_us, b.took_n, sizeof *b.took_us, by_value);
    printf("clients=%zu value_bytes=%zu creates_per_s=%.0f p50_us=%" PRIu64 " p99_us=%" PRIu64
           " failed=%" PRIu64 "\n",
           clients, value, (double)b.done / seconds, b.took_us[b.took_n / 2],
           b.took_us[b.took_n * 99 / 100], b.failed);
    kill(pid, SIGTERM);
    waitpid(pid, NULL, 0);
    unlink(sun.sun_path);
    return b.failed != 0;
}
