/*
 * Which connection is served next. One turn of the loop may find a thousand of them readable, and
 * what each one asks for takes some time. So an event only marks its connection, unless its client
 * has had little lately, and the marked ones are served when all events of the turn are known: a
 * slice of each turn, the client first that has had least. Then the loop looks again who has come.
 *
 * A client is who was authenticated on the connection; before that, who was verified to be at its
 * other end (an address, a user of this machine).
 */
#include <stdlib.h>

#include "base/clock.h"
#include "base/own.h"
#include "base/vec.h"
#include "server/transport/conn.h"
#include "server/transport/listener.h"
#include "server/transport/request_impl.h"

enum {
    WINDOW_NS = 4 * 1000 * 1000,
    CREDIT_NS = 1000 * 1000, /* of each window, before others are asked */
    SLICE_NS = 2 * CLOCK_SLICE_NS,
    LEAST_NS = 2 * 1000, /* what is not measured */
    EVENTS = 1000,       /* libuv asks again, 48 times, while it is told of 1024: a turn of 25 ms */
    CROWD = 128, /* more waiting ones are not asked about in every turn: that costs more than to
                    stop and to begin again */
};

struct client {
    struct conn *first, *last;
    uint64_t window_ns, spent_ns; /* lately */
    uint64_t virtual_ns;          /* what it has had, or would have had while it was absent */
};

struct ready {
    struct loop *loop;
    struct client clients[LISTENER_PEERS];
    VEC(struct client *) active; /* connections wait there */
    size_t waiting;
    uint64_t virtual_ns;        /* of the client served last */
    uint64_t turn_ns, until_ns; /* the slice of what is done at once: of which turn, its end */
    unsigned events;            /* in that turn, of connections that waited already */
    bool scheduled, over;       /* run will be called; and frees it */
};

struct ready *ready_new(struct loop *l) {
    struct ready *r = calloc(1, sizeof *r);
    if (!r) abort();
    r->loop = l;
    return r;
}

void ready_free(struct ready *r) {
    vec_done(&r->active);
    r->over = true;
    if (!r->scheduled) free(r);
}

static uint64_t least_active(const struct ready *r) {
    uint64_t least = UINT64_MAX;
    for (size_t i = 0; i < r->active.n; i++)
        if (r->active.v[i]->virtual_ns < least) least = r->active.v[i]->virtual_ns;
    return r->active.n ? least : r->virtual_ns;
}

static void run(void *user);

static void put(struct ready *r, struct conn *c, unsigned events) {
    struct client *k = &r->clients[c->ready.client];
    if (!k->first) {
        /* Having asked for nothing saves nothing up. */
        uint64_t least = least_active(r);
        if (k->virtual_ns < least) k->virtual_ns = least;
        vec_push(&r->active, k);
    }
    c->ready.waits = true;
    c->ready.events = events;
    c->ready.prev = k->last;
    c->ready.next = NULL;
    if (k->last)
        k->last->ready.next = c;
    else
        k->first = c;
    k->last = c;
    r->waiting++;
    if (r->scheduled) return;
    r->scheduled = true;
    loop_after_events(r->loop, run, r);
}

static void take(struct ready *r, struct conn *c) {
    struct client *k = &r->clients[c->ready.client];
    if (c->ready.prev)
        c->ready.prev->ready.next = c->ready.next;
    else
        k->first = c->ready.next;
    if (c->ready.next)
        c->ready.next->ready.prev = c->ready.prev;
    else
        k->last = c->ready.prev;
    c->ready.waits = false;
    r->waiting--;
    for (size_t i = 0; !k->first && i < r->active.n; i++)
        if (r->active.v[i] == k) vec_remove(&r->active, i);
}

void ready_forget(struct ready *r, struct conn *c) {
    if (c->ready.waits) take(r, c);
}

/* Returns the time at its end. */
static uint64_t serve(struct client *k, struct conn *c, unsigned events, uint64_t began) {
    conn_serve(c, events);
    uint64_t now = clock_span_ns();
    k->spent_ns += now - began + LEAST_NS;
    k->virtual_ns += now - began + LEAST_NS;
    return now;
}

static void run(void *user) {
    struct ready *r = user;
    if (r->over) {
        free(r);
        return;
    }
    uint64_t now = clock_span_ns(), until = loop_slice_end(r->loop, SLICE_NS);
    for (bool first = true; r->active.n && (first || now < until); first = false) {
        struct client *least = r->active.v[0];
        for (size_t i = 1; i < r->active.n; i++) /* of two, who has come last */
            if (r->active.v[i]->virtual_ns <= least->virtual_ns) least = r->active.v[i];
        struct conn *c = least->first;
        take(r, c);
        r->virtual_ns = least->virtual_ns;
        c->ready.chosen = true;
        now = serve(least, c, c->ready.events, now);
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
        r->events = 0;
        r->until_ns = loop_slice_end(r->loop, CLOCK_SLICE_NS);
    }
    return now < r->until_ns;
}

void ready_event(struct ready *r, struct conn *c, unsigned events) {
    if (c->ready.waits) {
        c->ready.events |= events;
        if (r->waiting <= CROWD) return;
        bool at_once = in_slice(r, clock_span_ns());
        if (++r->events > EVENTS || at_once) fd_watch_set(c->watch, c->watching = 0);
        return;
    }
    struct client *k = &r->clients[c->ready.client];
    if (k->first) { /* it has its order */
        put(r, c, events);
        return;
    }
    uint64_t now = clock_span_ns();
    if (in_slice(r, now) && has_credit(k, now))
        serve(k, c, events, now);
    else
        put(r, c, events);
}

void request_identify(struct request *q, struct slice name) {
    struct conn *c = q->impl->conn;
    if (c && !c->dead && !c->ready.waits) c->ready.client = listener_place(name);
}
