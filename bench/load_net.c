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

enum { READ_BYTES = 256 * 1024 };

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
    if (cert && (SSL_CTX_use_certificate_chain_file(x, cert) != 1 ||
                 SSL_CTX_use_PrivateKey_file(x, key, SSL_FILETYPE_PEM) != 1))
        die(cert);
    static const unsigned char h2_name[] = "\x02h2", h1_name[] = "\x08http/1.1";
    const unsigned char *p = h2 ? h2_name : h1_name;
    SSL_CTX_set_alpn_protos(x, p, p[0] + 1u);
    return x;
}

/*
 * Many records come by one system call. OpenSSL takes them from here one by one: when it reads
 * ahead itself, it moves all that is left to the front of its buffer for each record, which is
 * three times what there is to decrypt. They are of one connection, which is read until nothing is
 * left of them.
 */
static struct {
    SSL *of;
    size_t at, n;
    char p[READ_BYTES];
} arrived;

static int in_read(BIO *b, char *p, int n) {
    SSL *ssl = BIO_get_data(b);
    BIO_clear_retry_flags(b);
    if (arrived.at == arrived.n) {
        ssize_t got = read(SSL_get_wfd(ssl), arrived.p, sizeof arrived.p);
        if (got < 0 && (errno == EAGAIN || errno == EINTR)) BIO_set_retry_read(b);
        if (got <= 0) return (int)got;
        arrived.of = ssl;
        arrived.at = 0;
        arrived.n = (size_t)got;
    } else if (arrived.of != ssl) {
        errno = 0;
        die("what has arrived on another connection is not read yet");
    }
    size_t part = arrived.n - arrived.at < (size_t)n ? arrived.n - arrived.at : (size_t)n;
    memcpy(p, arrived.p + arrived.at, part);
    arrived.at += part;
    return (int)part;
}

static long in_control(BIO *b, int command, long number, void *pointer) { return 0; }

static int in_create(BIO *b) {
    BIO_set_init(b, 1);
    return 1;
}

static void read_through_arrived(SSL *ssl) {
    static BIO_METHOD *method;
    if (!method) {
        method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "arrived");
        if (!method || !BIO_meth_set_read(method, in_read) ||
            !BIO_meth_set_ctrl(method, in_control) || !BIO_meth_set_create(method, in_create))
            die("BIO");
    }
    BIO *b = BIO_new(method);
    if (!b) die("BIO");
    BIO_set_data(b, ssl);
    SSL_set0_rbio(ssl, b);
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
        read_through_arrived(ssl);
    }
    if (fcntl(fd, F_SETFL, O_NONBLOCK) < 0) die("fcntl");
    return fd;
}

bool client_has_more(const struct client *c, size_t got, size_t wanted) {
    if (!c->ssl) return got == wanted;
    bool more = arrived.at < arrived.n || arrived.n == sizeof arrived.p; /* the socket has more */
    return SSL_has_pending(c->ssl) || (arrived.of == c->ssl && more);
}

long client_read(struct client *c, void *p, size_t n) {
    if (c->ssl) {
        int got = SSL_read(c->ssl, p, (int)n);
        if (got > 0) return got;
        if (SSL_get_error(c->ssl, got) == SSL_ERROR_WANT_READ) return 0;
        if (arrived.of == c->ssl) arrived.at = arrived.n;
        return -1;
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

void answer_begin(struct answer *a) {
    a->state = ANSWER_STATUS;
    a->ok = a->sized = a->chunked = false;
    a->left = a->bytes = a->line_n = 0;
}

/* A line with its end, where it lies or put together. 1: there it is, 0: more is to come, −1: not
 * HTTP. */
static int take_line(struct answer *a, const char **p, size_t *n, const char **ret, size_t *ret_n) {
    const char *end = memchr(*p, '\n', *n);
    size_t part = end ? (size_t)(end - *p) + 1 : *n;
    *ret = *p;
    *ret_n = part;
    if (!end || a->line_n) {
        if (part > sizeof a->line - a->line_n) return -1;
        memcpy(a->line + a->line_n, *p, part);
        *ret = a->line;
        *ret_n = a->line_n += part;
    }
    *p += part;
    *n -= part;
    if (!end) return 0;
    a->line_n = 0;
    return *ret_n >= 2 && (*ret)[*ret_n - 2] == '\r' ? 1 : -1;
}

static bool starts(const char *p, size_t n, const char *name) {
    size_t name_n = strlen(name);
    return n > name_n && strncasecmp(p, name, name_n) == 0;
}

/* Of the head. The numbers end where the line does. */
static int head_line(struct answer *a, const char *p, size_t n) {
    static const char length[] = "content-length:", chunked[] = "transfer-encoding: chunked";
    if (a->state == ANSWER_STATUS) {
        a->state = ANSWER_HEADER;
        a->ok = starts(p, n, "HTTP/1.1 200") || starts(p, n, "HTTP/1.1 201");
        return starts(p, n, "HTTP/1.1 ") ? 0 : -1;
    }
    if (n == 2) {
        a->state = a->chunked ? ANSWER_CHUNK_HEAD : ANSWER_LENGTH;
        return a->chunked || a->sized ? 0 : -1;
    }
    if ((*p | 32) == 'c' && starts(p, n, length)) {
        a->sized = true;
        a->left = strtoul(p + sizeof length - 1, NULL, 10);
    } else if ((*p | 32) == 't' && starts(p, n, chunked)) {
        a->chunked = true;
    }
    return 0;
}

static void chunk_line(struct answer *a, const char *p) {
    if (a->state == ANSWER_CHUNK_HEAD) {
        a->left = strtoul(p, NULL, 16);
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
        if (a->state == ANSWER_LENGTH || a->state == ANSWER_CHUNK) {
            size_t used = skip(a, n);
            p += used;
            n -= used;
        } else {
            const char *line;
            size_t line_n;
            int r = take_line(a, &p, &n, &line, &line_n);
            if (r <= 0) return r;
            if (a->state == ANSWER_LAST_TAIL) return n ? -1 : 1;
            if (a->state == ANSWER_STATUS || a->state == ANSWER_HEADER)
                r = head_line(a, line, line_n);
            else
                chunk_line(a, line);
            if (r < 0) return r;
        }
        if (a->state == ANSWER_LENGTH && a->left == 0) return n ? -1 : 1;
    }
    return 0;
}
