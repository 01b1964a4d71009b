#include "server/transport/listener.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/own.h"

enum { ACCEPTS_PER_EVENT = 64, TICK_MS = 1000, SCRATCH_BYTES = 64 * 1024 };

struct server {
    struct loop *loop;
    request_fn *fn;
    void *user;
    struct listener *listeners;
    struct timer *tick; /* runs only while there are connections */
    bool closing;
    char date[40];
    char scratch[SCRATCH_BYTES];
    char record[SERVER_RECORD_BYTES];
};

char *server_record(struct server *s) { return s->record; }

char *server_scratch(struct server *s, size_t *ret_size) {
    *ret_size = sizeof s->scratch;
    return s->scratch;
}

const char *server_date(const struct server *s) { return s->date; }

void server_dispatch(struct server *s, struct request *r) { s->fn(r, s->user); }

bool server_is_closing(const struct server *s) { return s->closing; }

size_t server_connections(const struct server *s) {
    size_t n = 0;
    for (const struct listener *l = s->listeners; l; l = l->next) n += l->n_conns;
    return n;
}

static void update_date(struct server *s) {
    time_t now = (time_t)(loop_wall_ns(s->loop) / 1000000000);
    struct tm tm;
    if (!gmtime_r(&now, &tm)) return;
    strftime(s->date, sizeof s->date, "%a, %d %b %Y %H:%M:%S GMT", &tm);
}

static void on_accept(void *user, unsigned events);

static void on_tick(void *user) {
    struct server *s = user;
    uint64_t now = loop_now_ms(s->loop);
    update_date(s);
    for (struct listener *l = s->listeners; l; l = l->next) {
        if (l->watch && !s->closing) fd_watch_set(l->watch, FD_READ); /* after EMFILE */
        struct conn *next;
        for (struct conn *c = l->conns; c; c = next) {
            next = c->next;
            if (next) conn_hold(next); /* the protocol may kill any connection */
            conn_tick(c, now);
            bool gone = next && next->dead;
            if (next) conn_release(next);
            if (gone) break; /* the rest gets its turn a second later */
        }
    }
    if (server_connections(s) == 0) timer_stop(s->tick);
}

struct server *server_new(struct loop *l, request_fn *fn, void *user) {
    struct server *s = calloc(1, sizeof *s);
    if (!s) abort();
    s->loop = l;
    s->fn = fn;
    s->user = user;
    s->tick = timer_new(l, on_tick, s);
    return s;
}

/* ---- Connections ---- */

void listener_forget(struct conn *c) {
    struct listener *l = c->listener;
    if (c->prev)
        c->prev->next = c->next;
    else
        l->conns = c->next;
    if (c->next) c->next->prev = c->prev;
    c->next = c->prev = NULL;
    l->n_conns--;
}

/* Makes room by closing the connection that has been idle longest, or that has longest been there
 * without ever having sent a request. */
static bool evict_idle(struct listener *l) {
    struct conn *oldest = NULL;
    for (struct conn *c = l->conns; c; c = c->next)
        if ((c->idle || !c->served) && (!oldest || c->deadline_ms < oldest->deadline_ms))
            oldest = c;
    if (oldest) conn_kill(oldest);
    return oldest != NULL;
}

static bool set_unix_peer(struct conn *c) {
    struct ucred cred;
    socklen_t n = sizeof cred;
    if (getsockopt(c->fd, SOL_SOCKET, SO_PEERCRED, &cred, &n) < 0) return false;
    c->peer.kind = PEER_UNIX;
    c->peer.uid = cred.uid;
    return true;
}

static void set_tcp_peer(struct conn *c, const struct sockaddr_storage *from) {
    char text[INET6_ADDRSTRLEN] = "";
    const void *address = from->ss_family == AF_INET6
                              ? (const void *)&((const struct sockaddr_in6 *)from)->sin6_addr
                              : (const void *)&((const struct sockaddr_in *)from)->sin_addr;
    inet_ntop(from->ss_family, address, text, sizeof text);
    int on = 1;
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(c->fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    c->arena = arena_new();
    c->peer.kind = PEER_TLS;
    c->peer.uid = (uid_t)-1;
    c->peer.address = arena_str(c->arena, text);
}

static void admit(struct listener *l, int fd_in, const struct sockaddr_storage *from) {
    OWN(close_p) int fd = fd_in;
    if (l->n_conns >= LIMIT_HTTP_CONNECTIONS && !evict_idle(l)) return;
    SSL *ssl = l->tls ? tls_accept(l->tls, fd) : NULL;
    if (l->tls && !ssl) return;
    struct conn *c = conn_open(l, TAKE_FD(fd), ssl);
    c->next = l->conns;
    if (l->conns) l->conns->prev = c;
    l->conns = c;
    l->n_conns++;
    struct server *s = l->server;
    if (!timer_active(s->tick)) {
        update_date(s);
        timer_start(s->tick, TICK_MS, TICK_MS);
    }
    conn_start(c, s, s->loop);
    if (l->tls)
        set_tcp_peer(c, from);
    else if (!set_unix_peer(c))
        conn_kill(c);
}

static void on_accept(void *user, unsigned events) {
    struct listener *l = user;
    for (int i = 0; i < ACCEPTS_PER_EVENT; i++) {
        struct sockaddr_storage from = {0};
        socklen_t n = sizeof from;
        int fd = accept4(l->fd, (struct sockaddr *)&from, &n, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd >= 0) {
            admit(l, fd, &from);
            continue;
        }
        /* Out of descriptors: the tick tries again, instead of a busy loop. */
        if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
            if (!evict_idle(l)) fd_watch_set(l->watch, 0);
            timer_start(l->server->tick, TICK_MS, TICK_MS);
            return;
        }
        if (errno != ECONNABORTED && errno != EINTR) return;
    }
}

static void add_listener(struct server *s, int fd, struct server_tls *tls) {
    struct listener *l = calloc(1, sizeof *l);
    if (!l) abort();
    *l = (struct listener){.next = s->listeners, .server = s, .fd = fd, .tls = tls};
    s->listeners = l;
    l->watch = fd_watch_new(s->loop, fd, FD_READ, on_accept, l);
}

void server_listen_unix(struct server *s, int fd) { add_listener(s, fd, NULL); }

void server_listen_tls(struct server *s, int fd, struct server_tls *tls) {
    assert(tls);
    add_listener(s, fd, tls);
}

void server_close(struct server *s) {
    s->closing = true;
    for (struct listener *l = s->listeners; l; l = l->next) {
        fd_watch_free(l->watch);
        l->watch = NULL;
        struct conn *next;
        for (struct conn *c = l->conns; c; c = next) {
            next = c->next;
            if (c->protocol)
                c->protocol->shut(c);
            else
                conn_kill(c);
        }
    }
}

void server_free(struct server *s) {
    if (!s) return;
    struct listener *next;
    for (struct listener *l = s->listeners; l; l = next) {
        next = l->next;
        fd_watch_free(l->watch);
        while (l->conns) conn_kill(l->conns);
        free(l);
    }
    timer_free(s->tick);
    free(s);
}
