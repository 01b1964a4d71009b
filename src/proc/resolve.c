#include "proc/resolve.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/own.h"
#include "base/slice.h"
#include "proto/dns.h"

enum { SERVERS_MAX = 3, TRY_MS = 2000, ROUNDS = 2, FILE_MAX_BYTES = 256 * 1024 };

struct resolve {
    struct loop *loop;
    resolve_fn *fn;
    void *user;
    char name[DNS_NAME_MAX], server_text[64];
    uint16_t port, ids[2];
    struct sockaddr_storage servers[SERVERS_MAX];
    size_t n_servers, attempt;
    int fd;
    struct fd_watch *watch;
    struct timer *timeout;
    bool answered[2]; /* A, AAAA */
    struct resolved found;
};

static const uint16_t types[2] = {DNS_A, DNS_AAAA};

static void read_file(const char *path, struct buf *b) {
    OWN(close_p) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) return;
    char piece[4096];
    for (ssize_t n; b->n < FILE_MAX_BYTES && (n = read(fd, piece, sizeof piece)) > 0;)
        buf_append(b, piece, (size_t)n);
}

/* ---- addresses ---- */

static bool add_text(struct resolved *r, const char *text, uint16_t port) {
    struct sockaddr_storage ss = {0};
    struct sockaddr_in *v4 = (void *)&ss;
    struct sockaddr_in6 *v6 = (void *)&ss;
    if (inet_pton(AF_INET, text, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons(port);
    } else if (inet_pton(AF_INET6, text, &v6->sin6_addr) == 1) {
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons(port);
    } else {
        return false;
    }
    if (r->n < RESOLVE_ADDRESSES_MAX) r->v[r->n++] = ss;
    return true;
}

static void add_bytes(struct resolved *r, const struct dns_address *a, uint16_t port) {
    char text[INET6_ADDRSTRLEN];
    if (inet_ntop(a->v6 ? AF_INET6 : AF_INET, a->bytes, text, sizeof text)) add_text(r, text, port);
}

/* The words of a line without its comment. */
static bool next_word(struct slice *line, struct slice *ret) {
    size_t i = 0;
    while (i < line->n && strchr(" \t\r", line->p[i])) i++;
    size_t start = i;
    while (i < line->n && !strchr(" \t\r#", line->p[i])) i++;
    *ret = slice_from(line->p + start, i - start);
    *line = i < line->n && line->p[i] == '#' ? SLICE("") : slice_from(line->p + i, line->n - i);
    return ret->n > 0;
}

static bool in_hosts(const char *name, uint16_t port, struct resolved *r) {
    OWN(buf_done) struct buf text = {0};
    read_file("/etc/hosts", &text);
    struct slice rest = buf_view(&text), line, word;
    while (rest.n && slice_cut(&rest, '\n', &line)) {
        char address[64] = "";
        if (!next_word(&line, &word) || word.n >= sizeof address) continue;
        memcpy(address, word.p, word.n);
        while (next_word(&line, &word))
            if (slice_ieq(word, name)) {
                add_text(r, address, port);
                break;
            }
    }
    return r->n > 0;
}

static void read_servers(struct resolve *q) {
    OWN(buf_done) struct buf text = {0};
    struct resolved list = {0};
    read_file("/etc/resolv.conf", &text);
    struct slice rest = buf_view(&text), line, word;
    while (rest.n && slice_cut(&rest, '\n', &line) && list.n < SERVERS_MAX) {
        char address[64] = "";
        if (!next_word(&line, &word) || !slice_is(word, "nameserver")) continue;
        if (!next_word(&line, &word) || word.n >= sizeof address) continue;
        memcpy(address, word.p, word.n);
        if (add_text(&list, address, 53) && list.n == 1)
            snprintf(q->server_text, sizeof q->server_text, "%s", address);
    }
    q->n_servers = list.n;
    memcpy(q->servers, list.v, sizeof q->servers);
}

/* ---- questions ---- */

static void stop_asking(struct resolve *q) {
    fd_watch_free(q->watch);
    q->watch = NULL;
    if (q->fd >= 0) close(q->fd);
    q->fd = -1;
}

void resolve_cancel(struct resolve *q) {
    if (!q) return;
    stop_asking(q);
    timer_free(q->timeout);
    free(q);
}

static void finish(struct resolve *q, const char *why) {
    struct err err = {0};
    if (!q->found.n)
        err_set(&err, ERR_UNAVAILABLE, "dial tcp: lookup %s%s%s: %s", q->name,
                *q->server_text ? " on " : "", q->server_text, why);
    resolve_fn *fn = q->fn;
    void *user = q->user;
    struct resolved found = q->found;
    resolve_cancel(q);
    fn(user, &found, &err);
}

static void ask(struct resolve *q);

static void ask_next(void *user) {
    struct resolve *q = user;
    stop_asking(q);
    if (q->found.n)
        finish(q, "");
    else if (++q->attempt < q->n_servers * ROUNDS)
        ask(q);
    else
        finish(q, "i/o timeout");
}

static void on_reply(struct resolve *q, struct slice m) {
    const unsigned char *b = (const unsigned char *)m.p;
    struct dns_address v[RESOLVE_ADDRESSES_MAX];
    enum dns_rcode rcode;
    size_t n;
    if (m.n < DNS_HEADER_BYTES || !(b[2] & 0x80)) return;
    uint16_t id = (uint16_t)(b[0] << 8 | b[1]);
    for (int i = 0; i < 2; i++) {
        if (q->answered[i] || id != q->ids[i]) continue;
        if (dns_read_addresses(m, v, ARRAY_LEN(v), &n, &rcode) < 0) return;
        if (rcode != DNS_OK && rcode != DNS_NAME_ERROR) return; /* the next server may know */
        q->answered[i] = true;
        for (size_t j = 0; j < n; j++) add_bytes(&q->found, &v[j], q->port);
    }
}

static void on_ready(void *user, unsigned events) {
    struct resolve *q = user;
    char m[DNS_UDP_MAX_BYTES + 512];
    ssize_t n;
    while ((n = recv(q->fd, m, sizeof m, MSG_DONTWAIT)) > 0) on_reply(q, slice_from(m, (size_t)n));
    if (q->answered[0] && q->answered[1]) {
        finish(q, "no such host");
        return;
    }
    if (n < 0 && errno != EAGAIN && errno != EINTR) ask_next(q); /* nobody listens there */
}

static void ask(struct resolve *q) {
    const struct sockaddr_storage *to = &q->servers[q->attempt % q->n_servers];
    socklen_t n =
        to->ss_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
    timer_start(q->timeout, TRY_MS, 0);
    q->fd = socket(to->ss_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (q->fd < 0 || connect(q->fd, (const struct sockaddr *)to, n) < 0)
        return; /* time will tell */
    for (int i = 0; i < 2; i++) {
        OWN(buf_done) struct buf query = {0};
        if (q->answered[i]) continue;
        if (getrandom(&q->ids[i], sizeof q->ids[i], 0) < 0) return;
        dns_write_query(&query, q->ids[i], q->name, types[i]);
        if (send(q->fd, query.p, query.n, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) break;
    }
    q->watch = fd_watch_new(q->loop, q->fd, FD_READ, on_ready, q);
}

/* Something that fits into a question. */
static bool is_name(const char *s) {
    size_t label = 0, n = strlen(s);
    if (n == 0 || n >= DNS_NAME_MAX - 2) return false;
    for (; *s; s++) {
        if (*s == '.' ? !label : (unsigned char)*s <= ' ' || *s == 0x7f) return false;
        label = *s == '.' ? 0 : label + 1;
        if (label > 63) return false;
    }
    return true;
}

void resolve_start(struct loop *l, const char *host, uint16_t port, resolve_fn *fn, void *user,
                   struct resolve **ret) {
    struct resolve *q = calloc(1, sizeof *q);
    if (!q) abort();
    *q = (struct resolve){.loop = l, .fn = fn, .user = user, .port = port, .fd = -1};
    *ret = NULL;
    size_t n = strlen(host);
    if (n && host[n - 1] == '.') n--;
    snprintf(q->name, sizeof q->name, "%.*s", (int)MIN_OF(n, sizeof q->name - 1), host);
    if (add_text(&q->found, q->name, port) || in_hosts(q->name, port, &q->found)) {
        finish(q, "");
        return;
    }
    read_servers(q);
    if (!is_name(q->name) || !q->n_servers) {
        finish(q, "no such host");
        return;
    }
    q->timeout = timer_new(l, ask_next, q);
    *ret = q;
    ask(q);
}
