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

#include "base/clock.h"
#include "base/limits.h"
#include "base/own.h"
#include "base/vec.h"

enum {
    ACCEPTS_PER_EVENT = 16,
    TICK_MS = 1000,
    SCRATCH_BYTES = 64 * 1024,
    HANDSHAKE_WINDOW_NS = 2 * 1000 * 1000, /* a slice of each without waiting */
    ARENAS_KEPT = 1024, /* as many as requests are under way, until the next tick */
    ARENAS_IDLE = 4,
    ARENA_BYTES = 8000, /* enough for most requests */
};

struct server {
    struct loop *loop;
    request_fn *fn;
    void *user;
    struct listener *listeners;
    struct ready *ready;
    struct timer *tick; /* runs only while there are connections */
    bool closing;
    struct {
        VEC(struct waiting_handshake {
            struct conn *c;
            unsigned place;
        })
        waiting;
        uint64_t window_ns, spent_ns;
        unsigned last_place;
        bool deferred;
    } handshakes;
    char date[40];
    char scratch[SCRATCH_BYTES];
    char record[SERVER_RECORD_BYTES];
};

struct ready *server_ready(struct server *s) {
    return s->ready;
}

char *server_record(struct server *s) { return s->record; }

char *server_scratch(struct server *s, size_t *ret_size) {
    *ret_size = sizeof s->scratch;
    return s->scratch;
}

static struct {
    struct arena *v[ARENAS_KEPT];
    size_t n;
} arenas;

struct arena *server_arena_take(void) {
    return arenas.n ? arenas.v[--arenas.n] : arena_new_sized(ARENA_BYTES);
}

void server_arena_give(struct arena *a) {
    arena_reset(a);
    if (arenas.n < ARENAS_KEPT)
        arenas.v[arenas.n++] = a;
    else
        arena_free(a);
}

static void arenas_free(size_t but) {
    while (arenas.n > but) arena_free(arenas.v[--arenas.n]);
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
    ready_tick(s->ready);
    bool none = server_connections(s) == 0;
    arenas_free(none ? 0 : ARENAS_IDLE); /* a second's burst makes them again */
    if (none) timer_stop(s->tick);
}

struct server *server_new(struct loop *l, request_fn *fn, void *user) {
    struct server *s = calloc(1, sizeof *s);
    if (!s) abort();
    s->loop = l;
    s->fn = fn;
    s->user = user;
    s->ready = ready_new(l);
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
    room_leave(c);
}

unsigned listener_place(struct slice who) {
    uint32_t h = 2166136261u; /* FNV-1a */
    for (size_t i = 0; i < who.n; i++) h = (h ^ (unsigned char)who.p[i]) * 16777619u;
    return (h ^ h >> 16) % LISTENER_PEERS;
}

void listener_identify(struct conn *c, struct slice who) {
    room_move(c, listener_place(who));
    ready_move(c->listener->server->ready, c, c->place);
}

/* ---- handshakes ---- */

/* The next one; those of one peer and of others take turns. */
static struct conn *next_handshake(struct server *s) {
    __auto_type w = &s->handshakes.waiting;
    size_t at = 0;
    while (at < w->n && w->v[at].place == s->handshakes.last_place) at++;
    if (at == w->n) at = 0;
    struct conn *c = w->v[at].c;
    s->handshakes.last_place = w->v[at].place;
    vec_remove(w, at);
    return c;
}

static void run_handshakes(void *user) {
    struct server *s = user;
    uint64_t until = loop_slice_end(s->loop, CLOCK_SLICE_NS);
    s->handshakes.deferred = false;
    do {
        struct conn *c = next_handshake(s);
        c->queued = false;
        if (!c->dead) conn_handshake(c);
        conn_release(c);
    } while (s->handshakes.waiting.n && clock_span_ns() < until);
    if (!s->handshakes.waiting.n) vec_done(&s->handshakes.waiting);
    if (!s->handshakes.waiting.n || s->handshakes.deferred) return;
    s->handshakes.deferred = true;
    loop_defer(s->loop, run_handshakes, s);
}

void server_handshake(struct conn *c) {
    struct server *s = c->server;
    uint64_t now = clock_span_ns();
    if (now - s->handshakes.window_ns >= HANDSHAKE_WINDOW_NS) {
        s->handshakes.window_ns = now;
        s->handshakes.spent_ns = 0;
    }
    if (!s->handshakes.waiting.n && s->handshakes.spent_ns < CLOCK_SLICE_NS) {
        conn_handshake(c);
        s->handshakes.spent_ns += clock_span_ns() - now;
        return;
    }
    c->queued = true;
    ready_watch(c, 0);
    conn_hold(c);
    vec_push(&s->handshakes.waiting, (struct waiting_handshake){c, c->place});
    if (s->handshakes.deferred) return;
    s->handshakes.deferred = true;
    loop_defer(s->loop, run_handshakes, s);
}

/* ---- accepting ---- */

static unsigned place_of_address(const struct sockaddr_storage *from) {
    const struct sockaddr_in6 *six = (const void *)from;
    const struct sockaddr_in *four = (const void *)from;
    enum { NETWORK_BYTES = 8 }; /* who has one address of IPv6 has all of its network */
    if (from->ss_family != AF_INET6) return listener_place(slice_from(&four->sin_addr, 4));
    bool mapped = IN6_IS_ADDR_V4MAPPED(&six->sin6_addr);
    const char *p = (const char *)&six->sin6_addr;
    return listener_place(mapped ? slice_from(p + 12, 4) : slice_from(p, NETWORK_BYTES));
}

static bool is_here(const struct sockaddr_storage *from) {
    const struct sockaddr_in6 *six = (const void *)from;
    const struct sockaddr_in *four = (const void *)from;
    enum { LOOPBACK = 127 };
    if (from->ss_family != AF_INET6) return *(const unsigned char *)&four->sin_addr == LOOPBACK;
    if (IN6_IS_ADDR_V4MAPPED(&six->sin6_addr)) return six->sin6_addr.s6_addr[12] == LOOPBACK;
    return IN6_IS_ADDR_LOOPBACK(&six->sin6_addr);
}

/* There is no path to measure and nothing to pace: the simplest control costs least. */
static void without_pacing(const struct conn *c) {
    static const char simplest[] = "reno";
    setsockopt(c->fd, IPPROTO_TCP, TCP_CONGESTION, simplest, sizeof simplest - 1);
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
    if (is_here(from)) without_pacing(c);
    c->arena = arena_new();
    c->peer.kind = PEER_TLS;
    c->peer.uid = (uid_t)-1;
    c->peer.address = arena_str(c->arena, text);
}

static void admit(struct listener *l, int fd_in, const struct sockaddr_storage *from) {
    OWN(close_p) int fd = fd_in;
    struct ucred cred = {.uid = (uid_t)-1};
    socklen_t cred_n = sizeof cred;
    if (!l->tls && getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &cred_n) < 0) return;
    unsigned place =
        l->tls ? place_of_address(from) : listener_place(slice_from(&cred.uid, sizeof cred.uid));
    if (l->n_conns >= LIMIT_HTTP_CONNECTIONS && !room_make(l, place)) return;
    SSL *ssl = l->tls ? tls_accept(l->tls, fd) : NULL;
    if (l->tls && !ssl) return;
    struct conn *c = conn_open(l, TAKE_FD(fd), ssl);
    c->next = l->conns;
    if (l->conns) l->conns->prev = c;
    l->conns = c;
    c->place = place;
    struct server *s = l->server;
    if (!timer_active(s->tick)) {
        update_date(s);
        timer_start(s->tick, TICK_MS, TICK_MS);
    }
    conn_start(c, s, s->loop);
    room_enter(c);
    c->peer = (struct peer){.kind = PEER_UNIX, .uid = cred.uid};
    if (l->tls) set_tcp_peer(c, from);
}

static void on_accept(void *user, unsigned events) {
    struct listener *l = user;
    uint64_t until = loop_slice_end(l->server->loop, CLOCK_SLICE_NS);
    for (int i = 0; i < ACCEPTS_PER_EVENT; i++) {
        struct sockaddr_storage from = {0};
        socklen_t n = sizeof from;
        int fd = accept4(l->fd, (struct sockaddr *)&from, &n, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd >= 0) {
            admit(l, fd, &from);
            if (clock_span_ns() >= until) return;
            continue;
        }
        /* Out of descriptors: the tick tries again, instead of a busy loop. */
        if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
            if (!room_evict(l, room_biggest_peer(l))) fd_watch_set(l->watch, 0);
            timer_start(l->server->tick, TICK_MS, TICK_MS);
            return;
        }
        if (errno != ECONNABORTED && errno != EINTR) return;
    }
}

static void add_listener(struct server *s, int fd, struct server_tls *tls) {
    struct listener *l = calloc(1, sizeof *l);
    if (!l) abort();
    l->next = s->listeners;
    l->server = s;
    l->fd = fd;
    l->tls = tls;
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
    for (size_t i = 0; i < s->handshakes.waiting.n; i++) conn_release(s->handshakes.waiting.v[i].c);
    vec_done(&s->handshakes.waiting);
    ready_free(s->ready);
    timer_free(s->tick);
    arenas_free(0);
    free(s);
}
