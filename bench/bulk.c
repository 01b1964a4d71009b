/*
 * The least a server of large answers can do: over TLS it sends N constant bytes out of one buffer
 * to whoever asks for anything, one connection after the other, its records 128 KiB to a system
 * call, which on loopback is the quickest of what was tried. It parses nothing, looks up nothing
 * and assembles nothing: what is left are encryption and the kernel's copying, and the load
 * generator on its own core. So it is the limit that the machine sets to LISTs.
 * With a number of watchers it is the limit of watches: it waits until so many have asked, and
 * then sends the bytes, lines of LINE, to all of them, as much at once as above and in turn.
 *   bench_bulk PORT BYTES CERT KEY [WATCHERS LINE]
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tls_server.h"

enum {
    RECORD_BYTES = 16 * 1024,
    GATHER_BYTES = 8 * (RECORD_BYTES + 64),
    BODY_MAX_BYTES = 1 << 30,
    READY = 64,
    WATCHERS_MAX = 10000,
    SETTLE_MS = 500, /* the generator says that it is ready */
};

static char *answer;
static size_t answer_n, head_n;
static struct peer *watchers[WATCHERS_MAX];
static unsigned long watchers_n, asked_n; /* n 0: lists */
static SSL_CTX *ssl_ctx;
static BIO_METHOD *method;
static char gathered[GATHER_BYTES]; /* records of the one that is being served */
static size_t gathered_n;

/* Sockets block: whoever is served is served to the end. */
static void send_gathered(struct peer *p) {
    for (size_t at = 0; at < gathered_n && !p->gone;) {
        ssize_t n = send(p->fd, gathered + at, gathered_n - at, MSG_NOSIGNAL);
        p->gone = n <= 0;
        at += p->gone ? 0 : (size_t)n;
    }
    gathered_n = 0;
}

static int out_write(BIO *b, const char *bytes, int n) {
    struct peer *p = BIO_get_data(b);
    if (gathered_n + (size_t)n > sizeof gathered) send_gathered(p);
    if (p->gone) return -1;
    memcpy(gathered + gathered_n, bytes, (size_t)n);
    gathered_n += (size_t)n;
    return n;
}

static long out_control(BIO *b, int command, long number, void *pointer) {
    if (command == BIO_CTRL_FLUSH) send_gathered(BIO_get_data(b));
    return command == BIO_CTRL_FLUSH;
}

static int out_create(BIO *b) {
    BIO_set_init(b, 1);
    return 1;
}

static void attach(struct peer *p) {
    BIO *out = BIO_new(method);
    if (!out) die("BIO");
    BIO_set_data(out, p);
    SSL_set0_wbio(p->ssl, out);
}

static void drop(struct peer *p) {
    gathered_n = 0;
    peer_drop(p);
}

static bool send_part(struct peer *p, size_t from, size_t to) {
    bool ok = true;
    for (size_t at = from; ok && at < to; at += RECORD_BYTES) {
        size_t n = to - at < RECORD_BYTES ? to - at : RECORD_BYTES;
        ok = SSL_write(p->ssl, answer + at, (int)n) == (int)n;
    }
    send_gathered(p);
    return ok && !p->gone;
}

static void send_to_watchers(void) {
    enum { TURN_BYTES = 8 * RECORD_BYTES };
    poll(NULL, 0, SETTLE_MS);
    for (size_t at = head_n; at < answer_n; at += TURN_BYTES)
        for (size_t i = 0; i < watchers_n; i++)
            if (!send_part(watchers[i], at,
                           at + TURN_BYTES < answer_n ? at + TURN_BYTES : answer_n))
                die("a watcher has left");
}

static void serve(struct peer *p) {
    char request[8192];
    bool ok = SSL_read(p->ssl, request, sizeof request) > 0;
    bool watches = ok && asked_n < watchers_n;
    if (watches) watchers[asked_n++] = p;
    if (!ok || !send_part(p, 0, watches ? head_n : answer_n)) {
        if (watches) die("a watcher has left");
        drop(p);
    } else if (watches && asked_n == watchers_n) {
        send_to_watchers();
    }
}

static void take_peer(int epoll, int listener) {
    struct peer *p = peer_take(listener, ssl_ctx);
    if (!p) return;
    attach(p);
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = p};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, p->fd, &e) < 0) die("epoll_ctl");
    /* No event tells of a request that was read with the end of the handshake. */
    if (SSL_has_pending(p->ssl)) serve(p);
}

static void set_up(size_t body, size_t line, const char *cert, const char *key) {
    answer = malloc(body + 100);
    if (!answer) die("memory");
    int head = snprintf(answer, 100, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n", body);
    if (head < 0) die("the head");
    for (size_t i = 0; i < body; i++)
        answer[(size_t)head + i] = (i + 1) % line == 0 ? '\n' : (char)('a' + i % 26);
    head_n = (size_t)head;
    answer_n = head_n + body;
    ssl_ctx = tls_server(cert, key);
    method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "gather");
    if (!method || !BIO_meth_set_write(method, out_write) ||
        !BIO_meth_set_ctrl(method, out_control) || !BIO_meth_set_create(method, out_create))
        die("BIO");
}

int main(int argc, char **argv) {
    bool watch = argc == 7;
    unsigned long body = argc == 5 || watch ? strtoul(argv[2], NULL, 10) : 0;
    unsigned long line = watch ? strtoul(argv[6], NULL, 10) : body;
    watchers_n = watch ? strtoul(argv[5], NULL, 10) : 0;
    if (!body || body > BODY_MAX_BYTES || !line || watchers_n > WATCHERS_MAX) {
        fputs("usage: bench_bulk PORT BYTES CERT KEY [WATCHERS LINE]\n", stderr);
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    set_up(body, line, argv[3], argv[4]);
    int listener = listen_at("port", argv[1]), epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = NULL}, ready[READY];
    if (epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &e) < 0) die("epoll");
    for (;;) {
        int n = epoll_wait(epoll, ready, READY, -1);
        if (n < 0 && errno != EINTR) die("epoll_wait");
        for (int i = 0; i < n; i++)
            if (ready[i].data.ptr)
                serve(ready[i].data.ptr);
            else
                take_peer(epoll, listener);
    }
}
