#include "server/transport/listener.h"

#include <assert.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/own.h"
#include "base/vec.h"

enum {
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
    bool ticking;       /* tick_some will be called */
    bool over;          /* what will be called frees it */
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

static bool is_over(struct server *s) {
    bool over = s->over;
    if (over && !s->ticking && !s->handshakes.deferred) free(s);
    return over;
}

/* Thousands of connections take milliseconds. */
static void tick_some(void *user) {
    struct server *s = user;
    uint64_t now = loop_now_ms(s->loop), until = loop_slice_end(s->loop, CLOCK_SLICE_NS);
    s->ticking = false;
    if (is_over(s)) return;
    for (struct listener *l = s->listeners; l; l = l->next) {
        for (struct conn *c; (c = l->to_tick);) {
            if (clock_span_ns() >= until) {
                s->ticking = true;
                loop_defer(s->loop, tick_some, s);
                return;
            }
            l->to_tick = c->next; /* moves on when that goes */
            conn_tick(c, now);
        }
    }
}

static void on_tick(void *user) {
    struct server *s = user;
    update_date(s);
    for (struct listener *l = s->listeners; l; l = l->next) {
        accept_again(l);
        if (!l->to_tick) l->to_tick = l->conns;
    }
    if (!s->ticking) tick_some(s);
    ready_tick(s->ready);
    bool none = server_connections(s) == 0;
    arenas_free(none ? 0 : ARENAS_IDLE); /* a second's burst makes them again */
    if (none) timer_stop(s->tick);
}

void server_tick_soon(struct server *s) {
    if (timer_active(s->tick)) return;
    update_date(s);
    timer_start(s->tick, TICK_MS, TICK_MS);
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
    if (l->to_tick == c) l->to_tick = c->next;
    c->next = c->prev = NULL;
    room_leave(c);
}

void listener_admit(struct conn *c, unsigned place) {
    struct listener *l = c->listener;
    struct server *s = l->server;
    c->next = l->conns;
    if (l->conns) l->conns->prev = c;
    l->conns = c;
    c->place = place;
    server_tick_soon(s);
    conn_start(c, s, s->loop);
    room_enter(c);
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
    if (is_over(s)) return;
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

/* ---- listeners ---- */

static void add_listener(struct server *s, int fd, struct server_tls *tls) {
    struct listener *l = calloc(1, sizeof *l);
    if (!l) abort();
    l->next = s->listeners;
    l->server = s;
    l->loop = s->loop;
    l->fd = fd;
    l->tls = tls;
    s->listeners = l;
    accept_begin(l);
}

void server_listen_unix(struct server *s, int fd) { add_listener(s, fd, NULL); }

void server_listen_tls(struct server *s, int fd, struct server_tls *tls) {
    assert(tls);
    add_listener(s, fd, tls);
}

void server_close(struct server *s) {
    s->closing = true;
    for (struct listener *l = s->listeners; l; l = l->next) {
        accept_end(l);
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
        accept_end(l);
        while (l->conns) conn_kill(l->conns);
        accept_free(l);
    }
    for (size_t i = 0; i < s->handshakes.waiting.n; i++) conn_release(s->handshakes.waiting.v[i].c);
    vec_done(&s->handshakes.waiting);
    ready_free(s->ready);
    timer_free(s->tick);
    arenas_free(0);
    s->over = true;
    is_over(s);
}
