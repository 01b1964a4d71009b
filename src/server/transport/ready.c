/*
 * Which connection is served next. One turn of the loop may find a thousand of them readable, and
 * what each one asks for takes some time. So the connections of a client are a group of their own:
 * an event tells only that some of them are ready, and they are served at once if their client has
 * had little lately. When all events of the turn are known, the others are: a slice of each turn,
 * the client first that has had least, a few of its connections asked for at a time. Then the loop
 * looks again who has come.
 *
 * A client is who was authenticated on the connection; before that, who was verified to be at its
 * other end (an address, a user of this machine).
 */
#include <stdlib.h>

#include "base/clock.h"
#include "base/own.h"
#include "base/vec.h"
#include "proc/fd_group.h"
#include "server/transport/conn.h"
#include "server/transport/listener.h"
#include "server/transport/request_impl.h"

enum {
    WINDOW_NS = 4 * 1000 * 1000,
    CREDIT_NS = 1000 * 1000, /* of each window, before others are asked */
    SLICE_NS = 2 * CLOCK_SLICE_NS,
    LEAST_NS = 2 * 1000, /* what is not measured */
    FOUND_MAX = 16,      /* connections that are asked for at a time */
    CROWD = 512,         /* connections of one client */
    LATELY_NS = 100 * 1000 * 1000,
    SHARED_SLICE_NS = CLOCK_SLICE_NS / 2,
    ALONE_SLICE_NS = 2 * CLOCK_SLICE_NS,
};

struct client {
    struct ready *ready;
    struct fd_group *group; /* NULL: nobody has been here lately */
    size_t conns;
    struct fd_ready found[FOUND_MAX]; /* from `at` to n: ready, and not served yet */
    unsigned at, n;
    bool all;                     /* no others were ready */
    bool waits;                   /* is active */
    bool quiet;                   /* the group does not tell */
    uint64_t window_ns, spent_ns; /* lately */
    uint64_t virtual_ns;          /* what it has had, or would have had while it was absent */
};

struct ready {
    struct loop *loop;
    struct client *clients[LISTENER_PEERS];
    VEC(struct client *) active; /* connections are ready there */
    uint64_t virtual_ns;         /* of the client served last */
    uint64_t turn_ns, until_ns;  /* the slice of what is done at once: of which turn, its end */
    const struct client *last;   /* served */
    uint64_t changed_ns;         /* when that was another one */
    bool scheduled, over;        /* run will be called; and frees it */
};

static void on_group(void *user, unsigned events);

/* Without descriptors left for a group of its own, a client shares the first one's. */
static struct client *client_at(struct ready *r, unsigned place) {
    struct client *k = r->clients[place];
    if (!k) {
        k = r->clients[place] = calloc(1, sizeof *k);
        if (!k) abort();
        k->ready = r;
    }
    if (!k->group) k->group = fd_group_new(r->loop, on_group, k);
    return k->group ? k : r->clients[0];
}

struct ready *ready_new(struct loop *l) {
    struct ready *r = calloc(1, sizeof *r);
    if (!r) abort();
    r->loop = l;
    if (!client_at(r, 0)->group) abort();
    return r;
}

void ready_free(struct ready *r) {
    for (size_t i = 0; i < LISTENER_PEERS; i++) {
        if (r->clients[i]) fd_group_free(r->clients[i]->group);
        free(r->clients[i]);
    }
    vec_done(&r->active);
    r->over = true;
    if (!r->scheduled) free(r);
}

void ready_tick(struct ready *r) {
    for (size_t i = 1; i < LISTENER_PEERS; i++) {
        struct client *k = r->clients[i];
        if (!k || k->conns || k->waits) continue;
        fd_group_free(k->group);
        k->group = NULL;
    }
}

/* ---- connections of a client ---- */

void ready_watch(struct conn *c, unsigned events) {
    fd_group_watch(c->ready.client->group, c->fd, c->watching, events, c);
    c->watching = events;
}

void ready_enter(struct ready *r, struct conn *c, unsigned place) {
    c->ready.client = client_at(r, place);
    c->ready.client->conns++;
}

void ready_leave(struct conn *c) {
    struct client *k = c->ready.client;
    if (c->ready.waits) k->found[c->ready.at].user = NULL;
    c->ready.waits = false;
    ready_watch(c, 0);
    k->conns--;
}

void ready_move(struct ready *r, struct conn *c, unsigned place) {
    if (r->clients[place] == c->ready.client || c->ready.waits) return;
    unsigned events = c->watching;
    ready_leave(c);
    ready_enter(r, c, place);
    ready_watch(c, events);
}

bool ready_in_crowd(const struct conn *c) { return c->ready.client->conns >= CROWD; }

/* The next one that is ready; NULL: none is. */
static struct conn *next_ready(struct client *k, unsigned *ret_events) {
    for (;;) {
        while (k->at < k->n) {
            struct fd_ready *f = &k->found[k->at++];
            struct conn *c = f->user;
            if (!c) continue; /* it has been closed */
            c->ready.waits = false;
            *ret_events = f->events & c->watching;
            return c;
        }
        k->at = k->n = 0;
        if (!k->all) k->n = (unsigned)fd_group_take(k->group, k->found, FOUND_MAX);
        k->all = k->n > 0 && k->n < FOUND_MAX;
        if (!k->n) return NULL;
        for (unsigned i = 0; i < k->n; i++) {
            struct conn *c = k->found[i].user;
            c->ready.waits = true;
            c->ready.at = i;
        }
    }
}

/* ---- clients ---- */

static uint64_t least_active(const struct ready *r) {
    uint64_t least = UINT64_MAX;
    for (size_t i = 0; i < r->active.n; i++)
        if (r->active.v[i]->virtual_ns < least) least = r->active.v[i]->virtual_ns;
    return r->active.n ? least : r->virtual_ns;
}

static void run(void *user);

static void put(struct client *k) {
    struct ready *r = k->ready;
    /* Having asked for nothing saves nothing up. */
    uint64_t least = least_active(r);
    if (k->virtual_ns < least) k->virtual_ns = least;
    k->waits = true;
    vec_push(&r->active, k);
    if (r->scheduled) return;
    r->scheduled = true;
    loop_after_events(r->loop, run, r);
}

static void take(struct client *k) {
    struct ready *r = k->ready;
    for (size_t i = 0; k->waits && i < r->active.n; i++) {
        if (r->active.v[i] != k) continue;
        vec_remove(&r->active, i);
        k->waits = false;
    }
    if (k->quiet) fd_group_tell(k->group, true);
    k->quiet = false;
}

/* Whoever else has asked lately may ask again, and would wait for the end of the turn. */
static void choose_slice(struct ready *r, const struct client *k, uint64_t now) {
    if (k != r->last) r->changed_ns = now;
    r->last = k;
    bool alone = now - r->changed_ns >= LATELY_NS;
    loop_set_slice(r->loop, alone ? ALONE_SLICE_NS : SHARED_SLICE_NS);
}

/* Returns the time at its end. */
static uint64_t serve(struct client *k, struct conn *c, unsigned events, uint64_t began) {
    conn_serve(c, events);
    uint64_t now = clock_span_ns();
    k->spent_ns += now - began + LEAST_NS;
    k->virtual_ns += now - began + LEAST_NS;
    choose_slice(k->ready, k, now);
    return now;
}

static void run(void *user) {
    struct ready *r = user;
    if (r->over) {
        free(r);
        return;
    }
    uint64_t now = clock_span_ns(), until = loop_slice_end(r->loop, SLICE_NS);
    for (bool served = false; r->active.n && (!served || now < until);) {
        struct client *least = r->active.v[0];
        for (size_t i = 1; i < r->active.n; i++) /* of two, who has come last */
            if (r->active.v[i]->virtual_ns <= least->virtual_ns) least = r->active.v[i];
        unsigned events;
        struct conn *c = next_ready(least, &events);
        if (!c) {
            take(least);
            continue;
        }
        r->virtual_ns = least->virtual_ns;
        c->ready.chosen = served = true;
        now = serve(least, c, events, now);
    }
    r->scheduled = r->active.n > 0;
    if (r->scheduled) loop_after_events(r->loop, run, r);
}

static bool has_credit(struct client *k, uint64_t now) {
    if (now - k->window_ns >= WINDOW_NS) {
        k->window_ns = now;
        k->spent_ns = 0;
    }
    return k->spent_ns < CREDIT_NS;
}

/* Whether something may be done at once, while events are still handed out. */
static bool in_slice(struct ready *r, uint64_t now) {
    uint64_t turn = loop_turn_began_ns(r->loop);
    if (turn != r->turn_ns) {
        r->turn_ns = turn;
        r->until_ns = loop_slice_end(r->loop, CLOCK_SLICE_NS);
    }
    return now < r->until_ns;
}

static void on_group(void *user, unsigned group_events) {
    struct client *k = user;
    if (k->waits) { /* told again, it is not told a third time before it has been served */
        fd_group_tell(k->group, false);
        k->quiet = true;
        return;
    }
    uint64_t now = clock_span_ns();
    while (in_slice(k->ready, now) && has_credit(k, now)) {
        unsigned events;
        struct conn *c = next_ready(k, &events);
        if (!c) return;
        now = serve(k, c, events, now);
    }
    put(k);
}

void request_works(const struct request *q) {
    const struct conn *c = q->impl ? q->impl->conn : NULL; /* none: a test's */
    if (c && !c->dead) choose_slice(server_ready(c->server), c->ready.client, clock_span_ns());
}

void request_identify(struct request *q, struct slice name) {
    struct conn *c = q->impl->conn;
    if (c && !c->dead) ready_move(server_ready(c->server), c, listener_place(name));
}
