/*
 * Load generator of the benchmarks: N keep-alive connections, each with one GET under way, for a
 * while; prints one JSON line. The processor time of the server is read over the same span, so that
 * a figure per core does not depend on what else the machine does.
 */
#include "load.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

struct load {
    const char *unix_path, *cert, *key, *path;
    long port, clients_n, ms, pid;
    bool tls, h2;
    char request[1024];
    size_t request_n;
    SSL_CTX *ssl_ctx;
    int epoll;
    struct client *clients;
    uint64_t begin_ns, end_ns, errors, alive;
    uint32_t *took_ns;
    size_t took_n, took_max;
};

static uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static _Noreturn void die(const char *what) {
    fprintf(stderr, "bench_load: %s: %s\n", what, errno ? strerror(errno) : "failed");
    exit(1);
}

/* Nanoseconds of processor time of all threads of a process. */
static uint64_t cpu_ns(long pid) {
    char path[64], line[128];
    uint64_t sum = 0;
    if (pid <= 0) return 0;
    snprintf(path, sizeof path, "/proc/%ld/task", pid);
    DIR *d = opendir(path);
    if (!d) die(path);
    for (struct dirent *e; (e = readdir(d));) {
        char file[400];
        if (e->d_name[0] == '.') continue;
        snprintf(file, sizeof file, "%s/%s/schedstat", path, e->d_name);
        FILE *f = fopen(file, "re");
        if (f && fgets(line, sizeof line, f)) sum += strtoull(line, NULL, 10);
        if (f) fclose(f);
    }
    closedir(d);
    return sum;
}

/* ---- one client ---- */

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

static void send_request(struct client *c) {
    struct load *l = c->load;
    c->sent_ns = now_ns();
    int r = c->h2 ? h2_client_request(c->h2) : (int)client_write(c, l->request, l->request_n);
    if (r < 0) c->dead = true;
}

void client_answered(struct client *c, bool ok) {
    struct load *l = c->load;
    uint64_t now = now_ns();
    if (!ok) l->errors++;
    if (c->sent_ns >= l->begin_ns && now < l->end_ns && ok && l->took_n < l->took_max)
        l->took_ns[l->took_n++] = (uint32_t)(now - c->sent_ns);
    if (now < l->end_ns) send_request(c);
}

/* Takes one complete HTTP/1.1 answer off the buffer. False: not complete yet. */
static bool take_answer(struct client *c) {
    c->in[c->in_n] = 0;
    char *body = strstr(c->in, "\r\n\r\n");
    if (!body) return false;
    body += 4;
    const char *length = strcasestr(c->in, "\ncontent-length:");
    if (!length || length > body) {
        c->dead = true;
        return false;
    }
    size_t total = (size_t)(body - c->in) + strtoul(length + 16, NULL, 10);
    if (c->in_n < total) return false;
    bool ok = memcmp(c->in, "HTTP/1.1 200", 12) == 0;
    c->in_n -= total;
    client_answered(c, ok);
    return false; /* one request is under way at a time */
}

static void on_readable(struct client *c) {
    char frames[32 * 1024];
    while (!c->dead) {
        char *p = c->h2 ? frames : c->in + c->in_n;
        size_t room = c->h2 ? sizeof frames : CLIENT_BUFFER_BYTES - 1 - c->in_n;
        long n = client_read(c, p, room);
        if (n == 0) return;
        if (n < 0)
            c->dead = true;
        else if (c->h2)
            c->dead = h2_client_input(c->h2, frames, (size_t)n) < 0 || c->dead;
        else
            c->in_n += (size_t)n, take_answer(c);
        if (!c->ssl && !c->dead && (size_t)n < room) return;
    }
}

/* ---- set-up ---- */

static int dial(const struct load *l) {
    union {
        struct sockaddr any;
        struct sockaddr_un un;
        struct sockaddr_in in;
    } a = {0};
    socklen_t n = sizeof a.in;
    if (l->unix_path) {
        a.un.sun_family = AF_UNIX;
        if (strlen(l->unix_path) >= sizeof a.un.sun_path) die("the path of the socket is too long");
        snprintf(a.un.sun_path, sizeof a.un.sun_path, "%s", l->unix_path);
        n = sizeof a.un;
    } else {
        a.in.sin_family = AF_INET;
        a.in.sin_port = htons((uint16_t)l->port);
        a.in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    }
    int fd = socket(a.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, &a.any, n) < 0) die("connect");
    if (!l->unix_path) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    return fd;
}

static void make_tls(struct load *l) {
    l->ssl_ctx = SSL_CTX_new(TLS_client_method());
    if (!l->ssl_ctx || !SSL_CTX_set_min_proto_version(l->ssl_ctx, TLS1_3_VERSION)) die("TLS");
    if (l->cert && (SSL_CTX_use_certificate_chain_file(l->ssl_ctx, l->cert) != 1 ||
                    SSL_CTX_use_PrivateKey_file(l->ssl_ctx, l->key, SSL_FILETYPE_PEM) != 1))
        die(l->cert);
    static const unsigned char h2[] = "\x02h2", h1[] = "\x08http/1.1";
    const unsigned char *p = l->h2 ? h2 : h1;
    SSL_CTX_set_alpn_protos(l->ssl_ctx, p, p[0] + 1u);
}

static void open_client(struct load *l, struct client *c) {
    c->load = l;
    c->fd = dial(l);
    c->in = malloc(CLIENT_BUFFER_BYTES);
    if (!c->in) die("memory");
    if (l->tls) {
        c->ssl = SSL_new(l->ssl_ctx);
        if (!c->ssl || SSL_set_fd(c->ssl, c->fd) != 1 || SSL_connect(c->ssl) != 1)
            die("TLS handshake");
    }
    if (fcntl(c->fd, F_SETFL, O_NONBLOCK) < 0) die("fcntl");
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};
    if (epoll_ctl(l->epoll, EPOLL_CTL_ADD, c->fd, &e) < 0) die("epoll_ctl");
    if (l->h2) c->h2 = h2_client_new(c, l->path);
}

static void close_client(struct client *c) {
    h2_client_free(c->h2);
    SSL_free(c->ssl);
    close(c->fd);
    free(c->in);
}

static void turn(struct load *l, uint64_t until_ns) {
    struct epoll_event ready[64];
    for (uint64_t now; (now = now_ns()) < until_ns && l->alive;) {
        int n = epoll_wait(l->epoll, ready, 64, (int)((until_ns - now) / 1000000) + 1);
        for (int i = 0; i < n; i++) {
            struct client *c = ready[i].data.ptr;
            on_readable(c);
            if (!c->dead) continue;
            epoll_ctl(l->epoll, EPOLL_CTL_DEL, c->fd, NULL);
            l->errors++;
            l->alive--;
        }
    }
}

static int compare(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

static double percentile_us(const struct load *l, double part) {
    if (!l->took_n) return 0;
    return l->took_ns[(size_t)(part * (double)(l->took_n - 1))] / 1000.0;
}

static void run(struct load *l) {
    enum { WARM_MS = 200 };
    l->begin_ns = now_ns() + WARM_MS * 1000000ull;
    l->end_ns = l->begin_ns + (uint64_t)l->ms * 1000000u;
    for (long i = 0; i < l->clients_n; i++) send_request(&l->clients[i]);
    turn(l, l->begin_ns);
    uint64_t cpu = cpu_ns(l->pid), from = now_ns();
    turn(l, l->end_ns);
    double seconds = (double)(now_ns() - from) / 1e9, busy = (double)(cpu_ns(l->pid) - cpu) / 1e9;
    qsort(l->took_ns, l->took_n, sizeof *l->took_ns, compare);
    printf("{\"requests\":%zu,\"errors\":%llu,\"seconds\":%.4f,\"server_cpu_s\":%.4f,"
           "\"p50_us\":%.1f,\"p99_us\":%.1f}\n",
           l->took_n, (unsigned long long)l->errors, seconds, busy, percentile_us(l, 0.50),
           percentile_us(l, 0.99));
}

static void options(struct load *l, int argc, char **argv) {
    static const struct option names[] = {
        {"unix", 1, NULL, 'u'}, {"port", 1, NULL, 'p'}, {"tls", 0, NULL, 't'},
        {"h2", 0, NULL, '2'},   {"cert", 1, NULL, 'c'}, {"key", 1, NULL, 'k'},
        {"path", 1, NULL, 'g'}, {"ms", 1, NULL, 'm'},   {"clients", 1, NULL, 'n'},
        {"pid", 1, NULL, 'i'},  {NULL, 0, NULL, 0}};
    for (int o; (o = getopt_long(argc, argv, "", names, NULL)) >= 0;) {
        if (o == '?') exit(2);
        if (o == 'u') l->unix_path = optarg;
        if (o == 'c') l->cert = optarg;
        if (o == 'k') l->key = optarg;
        if (o == 'g') l->path = optarg;
        if (o == 't') l->tls = true;
        if (o == '2') l->h2 = true;
        long *number = o == 'p'   ? &l->port
                       : o == 'm' ? &l->ms
                       : o == 'n' ? &l->clients_n
                       : o == 'i' ? &l->pid
                                  : NULL;
        char *end = NULL;
        if (!number) continue;
        *number = strtol(optarg, &end, 10);
        if (*end || *number < 1 || *number > 10000000) {
            fprintf(stderr, "bench_load: not a number that makes sense: %s\n", optarg);
            exit(2);
        }
    }
}

int main(int argc, char **argv) {
    struct load l = {.path = "/", .ms = 1000, .clients_n = 1};
    options(&l, argc, argv);
    int n =
        snprintf(l.request, sizeof l.request,
                 "GET %s HTTP/1.1\r\nHost: localhost\r\nAccept: application/json\r\n\r\n", l.path);
    if ((!l.unix_path && !l.port) || n >= (int)sizeof l.request || (l.cert && !l.key)) {
        fprintf(stderr,
                "usage: bench_load --unix PATH | --port N [--tls] [--h2] [--cert F --key F] "
                "[--path P] [--clients N] [--ms N] [--pid SERVER]\n");
        return 2;
    }
    l.request_n = (size_t)n;
    l.epoll = epoll_create1(EPOLL_CLOEXEC);
    l.clients = calloc((size_t)l.clients_n, sizeof *l.clients);
    l.took_max = (size_t)l.ms * 400;
    l.took_ns = malloc(l.took_max * sizeof *l.took_ns);
    if (l.epoll < 0 || !l.clients || !l.took_ns) die("memory");
    memset(l.took_ns, 0, l.took_max * sizeof *l.took_ns); /* touched before, not while measuring */
    if (l.tls) make_tls(&l);
    for (long i = 0; i < l.clients_n; i++) open_client(&l, &l.clients[i]);
    l.alive = (uint64_t)l.clients_n;
    run(&l);
    for (long i = 0; i < l.clients_n; i++) close_client(&l.clients[i]);
    SSL_CTX_free(l.ssl_ctx);
    free(l.clients);
    free(l.took_ns);
    close(l.epoll);
    return 0;
}
