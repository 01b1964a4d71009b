/*
 * The least a server of large answers can do: over TLS it sends N constant bytes out of one buffer
 * to whoever asks for anything, one connection after the other, its records 128 KiB to a system
 * call, which on loopback is the quickest of what was tried. It parses nothing, looks up nothing
 * and assembles nothing: what is left are encryption and the kernel's copying, and the load
 * generator on its own core. So it is the limit that the machine sets to LISTs.
 *   bench_bulk PORT BYTES CERT KEY
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    RECORD_BYTES = 16 * 1024,
    GATHER_BYTES = 8 * (RECORD_BYTES + 64),
    BODY_MAX_BYTES = 1 << 30,
    READY = 64,
};

struct peer {
    int fd;
    SSL *ssl;
    bool gone;
};

static char *answer;
static size_t answer_n;
static SSL_CTX *ssl_ctx;
static BIO_METHOD *method;
static char gathered[GATHER_BYTES]; /* records of the one that is being served */
static size_t gathered_n;

static _Noreturn void die(const char *what) {
    fprintf(stderr, "bench_bulk: %s: %s\n", what, errno ? strerror(errno) : "failed");
    exit(1);
}

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

static void drop(struct peer *p) {
    gathered_n = 0;
    close(p->fd);
    SSL_free(p->ssl);
    free(p);
}

static void serve(struct peer *p) {
    char request[8192];
    bool ok = SSL_read(p->ssl, request, sizeof request) > 0;
    for (size_t at = 0; ok && at < answer_n; at += RECORD_BYTES) {
        size_t n = answer_n - at < RECORD_BYTES ? answer_n - at : RECORD_BYTES;
        ok = SSL_write(p->ssl, answer + at, (int)n) == (int)n;
    }
    send_gathered(p);
    if (!ok || p->gone) drop(p);
}

static void take_peer(int epoll, int listener) {
    struct peer *p = calloc(1, sizeof *p);
    if (!p) die("memory");
    p->fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    if (p->fd < 0) die("accept");
    setsockopt(p->fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    p->ssl = SSL_new(ssl_ctx);
    BIO *out = BIO_new(method);
    if (!p->ssl || !out || SSL_set_fd(p->ssl, p->fd) != 1) die("TLS");
    BIO_set_data(out, p);
    SSL_set0_wbio(p->ssl, out);
    if (SSL_accept(p->ssl) != 1) { /* somebody looked whether it listens */
        drop(p);
        return;
    }
    send_gathered(p);
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = p};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, p->fd, &e) < 0) die("epoll_ctl");
}

static void set_up(size_t body, const char *cert, const char *key) {
    answer = malloc(body + 100);
    if (!answer) die("memory");
    int head = snprintf(answer, 100, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n", body);
    if (head < 0) die("the head");
    for (size_t i = 0; i < body; i++) answer[(size_t)head + i] = (char)('a' + i % 26);
    answer_n = (size_t)head + body;
    ssl_ctx = SSL_CTX_new(TLS_server_method());
    if (!ssl_ctx || SSL_CTX_use_certificate_chain_file(ssl_ctx, cert) != 1 ||
        SSL_CTX_use_PrivateKey_file(ssl_ctx, key, SSL_FILETYPE_PEM) != 1 ||
        SSL_CTX_set_ciphersuites(ssl_ctx, "TLS_AES_128_GCM_SHA256") != 1)
        die("certificate");
    method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "gather");
    if (!method || !BIO_meth_set_write(method, out_write) ||
        !BIO_meth_set_ctrl(method, out_control) || !BIO_meth_set_create(method, out_create))
        die("BIO");
}

static int listen_at(const char *port) {
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    in.sin_port = htons((uint16_t)strtoul(port, NULL, 10));
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0) setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
    if (fd < 0 || bind(fd, (const void *)&in, sizeof in) < 0 || listen(fd, READY) < 0) die(port);
    return fd;
}

int main(int argc, char **argv) {
    unsigned long body = argc == 5 ? strtoul(argv[2], NULL, 10) : 0;
    if (!body || body > BODY_MAX_BYTES) {
        fputs("usage: bench_bulk PORT BYTES CERT KEY\n", stderr);
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    set_up(body, argv[3], argv[4]);
    int listener = listen_at(argv[1]), epoll = epoll_create1(EPOLL_CLOEXEC);
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
