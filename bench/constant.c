/*
 * The least a server can do: answers whatever arrives with N constant bytes, without looking at it.
 * What a system call, a wake-up and (with a certificate) TLS records cost is left; the load
 * generator against it is the limit that the machine sets to GETs.
 * With a file it is the limit of durable creates: what arrives together is written to the file,
 * past the page cache where that is possible, and synced before any of it is answered.
 *   bench_constant unix PATH BYTES | bench_constant port N BYTES [CERT KEY [FILE]]
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "tls_server.h"

enum { READY = 1024, REQUEST_BYTES = 8192, BLOCK_BYTES = 4096, LOG_BYTES = 8 << 20 };

static char answer[64 * 1024];
static size_t answer_n;
static SSL_CTX *ssl_ctx;

/* How many bytes have come; 0 or less: it has left. */
static long take(struct peer *p, char *request) {
    return p->ssl ? SSL_read(p->ssl, request, REQUEST_BYTES) : read(p->fd, request, REQUEST_BYTES);
}

static void answer_peer(struct peer *p, bool asked) {
    long sent = -1;
    if (asked)
        sent = p->ssl ? SSL_write(p->ssl, answer, (int)answer_n) : write(p->fd, answer, answer_n);
    if (sent > 0) return;
    peer_drop(p);
}

static void take_peer(int epoll, int listener) {
    struct peer *p = peer_take(listener, ssl_ctx);
    if (!p) return;
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = p};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, p->fd, &e) < 0) die("epoll_ctl");
    /* No event tells of a request that was read with the end of the handshake. */
    char request[REQUEST_BYTES];
    if (p->ssl && SSL_has_pending(p->ssl)) answer_peer(p, take(p, request) > 0);
}

/* A file of constant size, written over again and again. */
static struct {
    int fd;
    char *blocks;
    size_t n;
    off_t at;
} durable = {.fd = -1};

static void durable_open(const char *path) {
    size_t size = READY * (size_t)REQUEST_BYTES;
    durable.fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (durable.fd < 0 || posix_memalign((void **)&durable.blocks, BLOCK_BYTES, size) != 0)
        die(path);
    memset(durable.blocks, 1, size);
    for (off_t at = 0; at < LOG_BYTES + (off_t)size; at += (off_t)size)
        if (pwrite(durable.fd, durable.blocks, size, at) != (ssize_t)size) die(path);
    if (fsync(durable.fd) < 0) die(path);
    fcntl(durable.fd, F_SETFL, O_DIRECT); /* through the cache where that is not possible */
}

static void durable_write(void) {
    size_t n = (durable.n + BLOCK_BYTES - 1) & ~((size_t)BLOCK_BYTES - 1);
    if (pwrite(durable.fd, durable.blocks, n, durable.at) < 0 || fdatasync(durable.fd) < 0)
        die("the file");
    durable.at = durable.at >= LOG_BYTES ? 0 : durable.at + (off_t)n;
    durable.n = 0;
}

static void serve(const struct epoll_event *ready, int n) {
    static char request[REQUEST_BYTES];
    bool asked[READY];
    for (int i = 0; i < n; i++) {
        struct peer *p = ready[i].data.ptr;
        long got = p ? take(p, request) : 0;
        asked[i] = got > 0;
        if (p && durable.fd < 0) answer_peer(p, asked[i]);
        if (got <= 0 || durable.fd < 0) continue;
        memcpy(durable.blocks + durable.n, request, (size_t)got);
        durable.n += (size_t)got;
    }
    if (durable.fd < 0) return;
    if (durable.n) durable_write();
    for (int i = 0; i < n; i++)
        if (ready[i].data.ptr) answer_peer(ready[i].data.ptr, asked[i]);
}

int main(int argc, char **argv) {
    if (argc != 4 && argc != 6 && argc != 7) {
        fprintf(stderr, "usage: bench_constant unix PATH | port N, BYTES [CERT KEY [FILE]]\n");
        return 2;
    }
    unsigned long body = strtoul(argv[3], NULL, 10);
    int head =
        snprintf(answer, sizeof answer, "HTTP/1.1 200 OK\r\nContent-Length: %lu\r\n\r\n", body);
    if (head < 0 || body > sizeof answer - (size_t)head) return 2;
    memset(answer + head, 'x', body);
    answer_n = (size_t)head + body;
    if (argc > 4) ssl_ctx = tls_server(argv[4], argv[5]);
    if (argc == 7) durable_open(argv[6]);
    signal(SIGPIPE, SIG_IGN); /* clients leave in the middle of an answer */
    int listener = listen_at(argv[1], argv[2]), epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = NULL}, ready[READY];
    if (epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &e) < 0) die("epoll");
    for (;;) {
        int n = epoll_wait(epoll, ready, durable.fd < 0 ? 64 : READY, -1);
        if (n < 0 && errno != EINTR) die("epoll_wait");
        serve(ready, n);
        for (int i = 0; i < n; i++)
            if (!ready[i].data.ptr) take_peer(epoll, listener);
    }
}
