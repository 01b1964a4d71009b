/* What both load generators need: sockets, TLS, time, answers of HTTP/1.1. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "load.h"

enum { READ_AHEAD_BYTES = 128 * 1024 };

uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

_Noreturn void die(const char *what) {
    fprintf(stderr, "bench: %s: %s\n", what, errno ? strerror(errno) : "failed");
    exit(1);
}

SSL_CTX *tls_client(bool h2, const char *cert, const char *key) {
    SSL_CTX *x = SSL_CTX_new(TLS_client_method());
    if (!x || !SSL_CTX_set_min_proto_version(x, TLS1_3_VERSION)) die("TLS");
    SSL_CTX_set_read_ahead(x, 1); /* a record by one system call, not by two */
    SSL_CTX_set_default_read_buffer_len(x, READ_AHEAD_BYTES); /* … and many by one */
    if (cert && (SSL_CTX_use_certificate_chain_file(x, cert) != 1 ||
                 SSL_CTX_use_PrivateKey_file(x, key, SSL_FILETYPE_PEM) != 1))
        die(cert);
    static const unsigned char h2_name[] = "\x02h2", h1_name[] = "\x08http/1.1";
    const unsigned char *p = h2 ? h2_name : h1_name;
    SSL_CTX_set_alpn_protos(x, p, p[0] + 1u);
    return x;
}

int dial(const struct place *p, SSL **ret_ssl) {
    union {
        struct sockaddr any;
        struct sockaddr_un un;
        struct sockaddr_in in;
    } a = {0};
    socklen_t n = sizeof a.in;
    if (p->unix_path) {
        a.un.sun_family = AF_UNIX;
        if (strlen(p->unix_path) >= sizeof a.un.sun_path) die("the path of the socket is too long");
        snprintf(a.un.sun_path, sizeof a.un.sun_path, "%s", p->unix_path);
        n = sizeof a.un;
    } else {
        a.in.sin_family = AF_INET;
        a.in.sin_port = htons((uint16_t)p->port);
        a.in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    }
    int fd = socket(a.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, &a.any, n) < 0) die("connect");
    /* Nothing is paced on loopback, whatever the machine does by default: the same for all servers.
     */
    if (!p->unix_path) setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "reno", 4);
    if (!p->unix_path) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    *ret_ssl = NULL;
    if (p->tls) {
        SSL *ssl = *ret_ssl = SSL_new(p->tls);
        if (!ssl || SSL_set_fd(ssl, fd) != 1 || SSL_connect(ssl) != 1) die("TLS handshake");
    }
    if (fcntl(fd, F_SETFL, O_NONBLOCK) < 0) die("fcntl");
    return fd;
}

bool client_has_more(const struct client *c, size_t got, size_t wanted) {
    return c->ssl ? SSL_has_pending(c->ssl) : got == wanted;
}

long client_read(struct client *c, void *p, size_t n) {
    if (c->ssl) {
        int got = SSL_read(c->ssl, p, (int)n);
        if (got > 0) return got;
        return SSL_get_error(c->ssl, got) == SSL_ERROR_WANT_READ ? 0 : -1;
    }
    ssize_t got = read(c->fd, p, n);
    if (got > 0) return got;
    return got < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : -1;
}

/* A request is small and the last one is answered: a socket that does not take it whole is dead. */
long client_write(struct client *c, const void *p, size_t n) {
    long done = c->ssl ? SSL_write(c->ssl, p, (int)n) : write(c->fd, p, n);
    return done == (long)n ? done : -1;
}

char *file_read(const char *path, size_t *ret_n) {
    enum { FILE_BYTES_MAX = 1 << 20 };
    FILE *f = fopen(path, "re");
    char *text = malloc(FILE_BYTES_MAX);
    if (!f || !text) die(path);
    *ret_n = fread(text, 1, FILE_BYTES_MAX, f);
    fclose(f);
    return text;
}

void digits_put(char *p, size_t n, uint64_t value) {
    for (size_t i = n; p && i-- > 0; value /= 10) p[i] = (char)('0' + value % 10);
}

/* ---- answers ---- */

static bool head_end(struct answer *a) {
    const char *length = strcasestr(a->head, "\r\ncontent-length:");
    bool chunked = strcasestr(a->head, "\r\ntransfer-encoding: chunked") != NULL;
    if (memcmp(a->head, "HTTP/1.1 ", 9) != 0 || (!chunked && !length)) return false;
    a->ok = memcmp(a->head + 9, "200", 3) == 0 || memcmp(a->head + 9, "201", 3) == 0;
    a->state = chunked ? ANSWER_CHUNK_HEAD : ANSWER_LENGTH;
    a->left = chunked ? 0 : strtoul(length + 17, NULL, 10);
    return true;
}

/* Collects up to and with end in a->head. Returns the bytes used, *ret tells whether it is there;
 * then the next call begins anew. */
static size_t collect(struct answer *a, const char *p, size_t n, const char *end, bool *ret) {
    size_t end_n = strlen(end), before = a->head_n, room = sizeof a->head - 1 - before;
    size_t from = before < end_n ? 0 : before - end_n + 1; /* where the end may have begun */
    if (n > room) n = room;
    memcpy(a->head + before, p, n);
    a->head_n += n;
    const char *found = memmem(a->head + from, a->head_n - from, end, end_n);
    if (!found) return n;
    size_t used = (size_t)(found - a->head) + end_n;
    a->head[used] = 0;
    a->head_n = 0;
    *ret = true;
    return used - before;
}

static void line_end(struct answer *a) {
    if (a->state == ANSWER_CHUNK_HEAD) {
        a->left = strtoul(a->head, NULL, 16);
        a->state = a->left ? ANSWER_CHUNK : ANSWER_LAST_TAIL;
    } else {
        a->state = ANSWER_CHUNK_HEAD;
    }
}

static size_t skip(struct answer *a, size_t n) {
    if (n > a->left) n = (size_t)a->left;
    a->left -= n;
    a->bytes += n;
    if (a->left == 0 && a->state == ANSWER_CHUNK) a->state = ANSWER_CHUNK_TAIL;
    return n;
}

int answer_feed(struct answer *a, const char *p, size_t n) {
    while (n) {
        bool end = false, body = a->state == ANSWER_LENGTH || a->state == ANSWER_CHUNK;
        size_t used = body ? skip(a, n)
                           : collect(a, p, n, a->state == ANSWER_HEAD ? "\r\n\r\n" : "\r\n", &end);
        if (!body && !end && a->head_n + 1 >= sizeof a->head) return -1;
        p += used;
        n -= used;
        if (end && a->state == ANSWER_LAST_TAIL) return n ? -1 : 1;
        if (end && a->state != ANSWER_HEAD) line_end(a);
        if (end && a->state == ANSWER_HEAD && !head_end(a)) return -1;
        if (a->state == ANSWER_LENGTH && a->left == 0) return n ? -1 : 1;
    }
    return 0;
}
