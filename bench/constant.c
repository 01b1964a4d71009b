/*
 * The least a server can do: answers whatever arrives with N constant bytes, without looking at it.
 * What a system call, a wake-up and (with a certificate) TLS records cost is left; the load
 * generator against it is the limit that the machine sets to GETs.
 *   bench_constant unix PATH BYTES | bench_constant port N BYTES [CERT KEY]
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
#include <sys/un.h>
#include <unistd.h>

struct peer {
    int fd;
    SSL *ssl;
};

static char answer[64 * 1024];
static size_t answer_n;
static SSL_CTX *ssl_ctx;

static _Noreturn void die(const char *what) {
    fprintf(stderr, "bench_constant: %s: %s\n", what, strerror(errno));
    exit(1);
}

static int listen_at(const char *kind, const char *where) {
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    bool is_unix = strcmp(kind, "unix") == 0;
    const void *a = is_unix ? (const void *)&un : &in;
    socklen_t n = is_unix ? sizeof un : sizeof in;
    snprintf(un.sun_path, sizeof un.sun_path, "%s", where);
    in.sin_port = htons((uint16_t)strtoul(where, NULL, 10));
    int fd = socket(is_unix ? AF_UNIX : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0) setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
    if (fd < 0 || bind(fd, a, n) < 0 || listen(fd, 512) < 0) die(where);
    return fd;
}

static void take_peer(int epoll, int listener) {
    struct peer *p = calloc(1, sizeof *p);
    if (!p) die("memory");
    p->fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    if (p->fd < 0) die("accept");
    setsockopt(p->fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    if (ssl_ctx) {
        p->ssl = SSL_new(ssl_ctx);
        if (!p->ssl || SSL_set_fd(p->ssl, p->fd) != 1 || SSL_accept(p->ssl) != 1) die("handshake");
    }
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = p};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, p->fd, &e) < 0) die("epoll_ctl");
}

static void serve(struct peer *p) {
    char request[8192];
    long n =
        p->ssl ? SSL_read(p->ssl, request, sizeof request) : read(p->fd, request, sizeof request);
    long sent = -1;
    if (n > 0)
        sent = p->ssl ? SSL_write(p->ssl, answer, (int)answer_n) : write(p->fd, answer, answer_n);
    if (sent > 0) return;
    close(p->fd);
    SSL_free(p->ssl);
    free(p);
}

int main(int argc, char **argv) {
    if (argc != 4 && argc != 6) {
        fprintf(stderr, "usage: bench_constant unix PATH | port N, BYTES [CERT KEY]\n");
        return 2;
    }
    unsigned long body = strtoul(argv[3], NULL, 10);
    int head =
        snprintf(answer, sizeof answer, "HTTP/1.1 200 OK\r\nContent-Length: %lu\r\n\r\n", body);
    if (head < 0 || body > sizeof answer - (size_t)head) return 2;
    memset(answer + head, 'x', body);
    answer_n = (size_t)head + body;
    if (argc == 6) {
        ssl_ctx = SSL_CTX_new(TLS_server_method());
        if (!ssl_ctx || SSL_CTX_use_certificate_chain_file(ssl_ctx, argv[4]) != 1 ||
            SSL_CTX_use_PrivateKey_file(ssl_ctx, argv[5], SSL_FILETYPE_PEM) != 1)
            die("certificate");
    }
    signal(SIGPIPE, SIG_IGN); /* clients leave in the middle of an answer */
    int listener = listen_at(argv[1], argv[2]), epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = NULL}, ready[64];
    if (epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &e) < 0) die("epoll");
    for (;;) {
        int n = epoll_wait(epoll, ready, 64, -1);
        if (n < 0 && errno != EINTR) die("epoll_wait");
        for (int i = 0; i < n; i++)
            if (ready[i].data.ptr)
                serve(ready[i].data.ptr);
            else
                take_peer(epoll, listener);
    }
}
