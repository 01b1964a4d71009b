#include "dns/forward.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/own.h"

struct forward {
    struct loop *loop;
    struct sockaddr_in servers[FORWARD_SERVERS_MAX];
    size_t n_servers;
    struct pending *first;
    size_t n_pending;
};

struct pending {
    struct forward *f;
    struct pending *next, **at;
    struct buf query, answer;
    uint16_t client_id, id;
    bool tcp, connected;
    size_t sent, server;
    int fd;
    struct fd_watch *watch;
    struct timer *timeout;
    forward_fn *done;
    void *user;
};

struct forward *forward_new(struct loop *l, const char *resolv_conf, const char *const *avoid,
                            size_t n_avoid) {
    struct forward *f = calloc(1, sizeof *f);
    if (!f) abort();
    f->loop = l;
    struct slice rest = slice_of(resolv_conf), line;
    while (f->n_servers < FORWARD_SERVERS_MAX && slice_cut(&rest, '\n', &line)) {
        char text[64], ip[46];
        bool skip = false;
        snprintf(text, sizeof text, "%.*s", (int)MIN_OF(line.n, sizeof text - 1), line.p);
        struct sockaddr_in *s = &f->servers[f->n_servers];
        if (sscanf(text, "nameserver %45s", ip) != 1 || inet_pton(AF_INET, ip, &s->sin_addr) != 1)
            continue;
        for (size_t i = 0; i < n_avoid; i++) skip |= strcmp(avoid[i], ip) == 0;
        if (skip) continue;
        s->sin_family = AF_INET;
        s->sin_port = htons(53);
        f->n_servers++;
    }
    return f;
}

static void finish(struct pending *p, struct slice answer) {
    struct forward *f = p->f;
    if (p->next) p->next->at = p->at;
    *p->at = p->next;
    f->n_pending--;
    fd_watch_free(p->watch);
    if (p->fd >= 0) close(p->fd);
    timer_free(p->timeout);
    p->done(p->user, answer);
    buf_done(&p->query);
    buf_done(&p->answer);
    free(p);
}

static void attempt(struct pending *p);

static void next_server(struct pending *p) {
    fd_watch_free(p->watch);
    p->watch = NULL;
    if (p->fd >= 0) close(p->fd);
    p->fd = -1;
    if (++p->server < p->f->n_servers)
        attempt(p);
    else
        finish(p, (struct slice){0});
}

static void timed_out(void *user) { next_server(user); }

/* The answer must repeat the id and the question, or it is somebody's guess. */
static bool is_ours(const struct pending *p, struct slice m) {
    const unsigned char *b = (const unsigned char *)m.p;
    size_t head = p->tcp ? 2 : 0;
    if (m.n < 12 || (b[0] << 8 | b[1]) != p->id || !(b[2] & 0x80)) return false;
    size_t question = 12;
    while (question + head < p->query.n && p->query.p[head + question])
        question += (unsigned char)p->query.p[head + question] + 1u;
    question += 5;
    return m.n >= question && p->query.n >= head + question &&
           memcmp(m.p + 12, p->query.p + head + 12, question - 12) == 0;
}

static void answered(struct pending *p, char *m, size_t n) {
    m[0] = (char)(p->client_id >> 8);
    m[1] = (char)p->client_id;
    finish(p, slice_from(m, n));
}

static void read_udp(struct pending *p) {
    char m[4096];
    ssize_t n = recv(p->fd, m, sizeof m, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n < 0)
        next_server(p);
    else if (is_ours(p, slice_from(m, (size_t)n)))
        answered(p, m, (size_t)n);
}

static void read_tcp(struct pending *p) {
    char m[4096];
    ssize_t n = recv(p->fd, m, sizeof m, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n <= 0) {
        next_server(p);
        return;
    }
    buf_append(&p->answer, m, (size_t)n);
    if (p->answer.n < 2) return;
    size_t want = (size_t)((unsigned char)p->answer.p[0] << 8 | (unsigned char)p->answer.p[1]);
    if (p->answer.n < want + 2) return;
    if (is_ours(p, slice_from(p->answer.p + 2, want)))
        answered(p, p->answer.p + 2, want);
    else
        next_server(p);
}

static void ready(void *user, unsigned events) {
    struct pending *p = user;
    if (p->tcp && p->sent < p->query.n) {
        ssize_t n = send(p->fd, p->query.p + p->sent, p->query.n - p->sent, MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN && errno != EINTR) {
            next_server(p);
            return;
        }
        if (n > 0) p->sent += (size_t)n;
        if (p->sent == p->query.n) fd_watch_set(p->watch, FD_READ);
        return;
    }
    if (!(events & (FD_READ | FD_HANGUP))) return;
    if (p->tcp)
        read_tcp(p);
    else
        read_udp(p);
}

static void attempt(struct pending *p) {
    const struct sockaddr_in *to = &p->f->servers[p->server];
    buf_clear(&p->answer);
    p->sent = 0;
    p->fd = socket(AF_INET, (p->tcp ? SOCK_STREAM : SOCK_DGRAM) | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (p->fd < 0 ||
        (connect(p->fd, (const struct sockaddr *)to, sizeof *to) < 0 && errno != EINPROGRESS)) {
        next_server(p);
        return;
    }
    if (!p->tcp && send(p->fd, p->query.p, p->query.n, MSG_NOSIGNAL) < 0) {
        next_server(p);
        return;
    }
    p->watch = fd_watch_new(p->f->loop, p->fd, p->tcp ? FD_WRITE : FD_READ, ready, p);
    timer_start(p->timeout, FORWARD_TIMEOUT_MS, 0);
}

void forward_query(struct forward *f, struct slice message, bool tcp, forward_fn *done,
                   void *user) {
    if (!f->n_servers || f->n_pending >= FORWARD_PENDING_MAX || message.n < 12) {
        done(user, (struct slice){0});
        return;
    }
    struct pending *p = calloc(1, sizeof *p);
    if (!p) abort();
    *p = (struct pending){.f = f,
                          .tcp = tcp,
                          .fd = -1,
                          .done = done,
                          .user = user,
                          .next = f->first,
                          .at = &f->first};
    if (f->first) f->first->at = &p->next;
    f->first = p;
    f->n_pending++;
    p->client_id = (uint16_t)((unsigned char)message.p[0] << 8 | (unsigned char)message.p[1]);
    if (getrandom(&p->id, sizeof p->id, 0) != (ssize_t)sizeof p->id) abort();
    char head[4] = {(char)(message.n >> 8), (char)message.n, (char)(p->id >> 8), (char)p->id};
    buf_append(&p->query, tcp ? head : head + 2, tcp ? 4 : 2);
    buf_append(&p->query, message.p + 2, message.n - 2);
    p->timeout = timer_new(f->loop, timed_out, p);
    attempt(p);
}
