#include "tls_server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { BACKLOG = 512 };

_Noreturn void die(const char *what) {
    fprintf(stderr, "bench: %s: %s\n", what, errno ? strerror(errno) : "failed");
    exit(1);
}

SSL_CTX *tls_server(const char *cert, const char *key) {
    SSL_CTX *x = SSL_CTX_new(TLS_server_method());
    if (!x || SSL_CTX_use_certificate_chain_file(x, cert) != 1 ||
        SSL_CTX_use_PrivateKey_file(x, key, SSL_FILETYPE_PEM) != 1 ||
        SSL_CTX_set_ciphersuites(x, "TLS_AES_128_GCM_SHA256") != 1)
        die("certificate");
    SSL_CTX_set_read_ahead(x, 1); /* a record by one system call, not by two */
    return x;
}

int listen_at(const char *kind, const char *where) {
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    bool is_unix = strcmp(kind, "unix") == 0;
    const void *a = is_unix ? (const void *)&un : &in;
    socklen_t n = is_unix ? sizeof un : sizeof in;
    snprintf(un.sun_path, sizeof un.sun_path, "%s", where);
    in.sin_port = htons((uint16_t)strtoul(where, NULL, 10));
    int fd = socket(is_unix ? AF_UNIX : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0) setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
    if (fd < 0 || bind(fd, a, n) < 0 || listen(fd, BACKLOG) < 0) die(where);
    return fd;
}

void peer_drop(struct peer *p) {
    close(p->fd);
    SSL_free(p->ssl);
    free(p);
}

struct peer *peer_take(int listener, SSL_CTX *ctx) {
    struct peer *p = calloc(1, sizeof *p);
    if (!p) die("memory");
    p->fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    if (p->fd < 0) die("accept");
    setsockopt(p->fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    if (!ctx) return p;
    p->ssl = SSL_new(ctx);
    if (!p->ssl || SSL_set_fd(p->ssl, p->fd) != 1) die("TLS");
    if (SSL_accept(p->ssl) == 1) return p;
    peer_drop(p);
    return NULL;
}
