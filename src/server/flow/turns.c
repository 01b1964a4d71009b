/*
 * Turns of the loop, shared fairly between those who send requests, before anything is known of
 * them but their credentials: to verify a token costs more than most requests, so that a thousand
 * connections of one client would keep everybody else waiting before any level or queue is asked.
 * Who has had more than his part of the last milliseconds waits; those who wait get a bounded slice
 * of each turn, the one that has had least first. What the transport has chosen in the same way has
 * waited there.
 */
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/own.h"
#include "server/flow/flow_impl.h"
#include "server/transport/request_impl.h"

enum {
    SLOTS = 1024,
    WINDOW_NS = 4 * 1000 * 1000,
    CREDIT_NS = 1000 * 1000, /* of each window, without waiting */
    LEAST_NS = 10 * 1000,    /* reading and answering, which are not measured */
};

struct waiting { /* in the request's arena */
    struct waiting *next, *prev;
    struct request *r;
    struct slot *slot;
};

struct slot { /* of all credentials with this hash */
    uint64_t window_ns, spent_ns, virtual_ns;
    struct waiting *first, *last;
};

static struct turns {
    struct api *api;
    struct slot slots[SLOTS];
    VEC(struct slot *) active; /* somebody waits there */
    size_t waiting;
    uint64_t virtual_ns; /* of the slot served last */
    bool deferred;
} turns;

static uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static uint64_t mix(uint64_t h, uint64_t v) {
    h = (h ^ v) * 0x9e3779b97f4a7c15;
    return h ^ h >> 32;
}

static uint64_t mix_text(uint64_t h, const char *s) {
    size_t n = s ? strlen(s) : 0;
    enum { LAST = 64 }; /* the end of a token is its signature */
    if (n > LAST) s += n - LAST, n = LAST;
    for (; n >= 8; s += 8, n -= 8) {
        uint64_t v;
        memcpy(&v, s, sizeof v);
        h = mix(h, v);
    }
    for (; n; s++, n--) h = mix(h, (unsigned char)*s);
    return h;
}

static struct slot *slot_of(const struct request *r) {
    const struct peer *p = r->peer;
    uint64_t h = mix(p->kind, p->uid);
    const char *token = http_header(&r->headers, "authorization");
    if (token)
        h = mix_text(h, token);
    else
        h = mix_text(h, p->has_certificate ? p->common_name : p->address);
    return &turns.slots[h % SLOTS];
}

static void take(struct waiting *w) {
    struct slot *s = w->slot;
    if (w->prev)
        w->prev->next = w->next;
    else
        s->first = w->next;
    if (w->next)
        w->next->prev = w->prev;
    else
        s->last = w->prev;
    turns.waiting--;
    for (size_t i = 0; !s->first && i < turns.active.n; i++)
        if (turns.active.v[i] == s) turns.active.v[i] = turns.active.v[--turns.active.n];
}

static void on_close(struct request *r) { take(r->handler_data); }

/* Returns the time at its end. */
static uint64_t run(struct slot *s, struct request *r, uint64_t began) {
    request_works(r);
    api_handle(r, turns.api);
    uint64_t now = now_ns(), took = now - began + LEAST_NS;
    s->spent_ns += took;
    s->virtual_ns += took;
    return now;
}

static void slice(void *user) {
    uint64_t began = now_ns(), until = loop_slice_end(turns.api->loop, CLOCK_SLICE_NS);
    turns.deferred = false;
    while (turns.active.n && began < until) {
        struct slot *least = turns.active.v[0];
        for (size_t i = 1; i < turns.active.n; i++)
            if (turns.active.v[i]->virtual_ns < least->virtual_ns) least = turns.active.v[i];
        struct request *r = least->first->r;
        take(least->first);
        r->on_close = NULL;
        r->handler_data = NULL;
        turns.virtual_ns = least->virtual_ns;
        began = run(least, r, began);
    }
    if (!turns.active.n || turns.deferred) return;
    turns.deferred = true;
    loop_defer(turns.api->loop, slice, NULL);
}

static void wait(struct slot *s, struct request *r) {
    struct waiting *w = ARENA_NEW(r->arena, struct waiting);
    *w = (struct waiting){.r = r, .slot = s, .prev = s->last};
    if (s->last)
        s->last->next = w;
    else
        s->first = w;
    s->last = w;
    if (!w->prev) {
        vec_push(&turns.active, s);
        if (s->virtual_ns < turns.virtual_ns) s->virtual_ns = turns.virtual_ns;
    }
    turns.waiting++;
    r->handler_data = w;
    r->on_close = on_close;
    if (turns.deferred) return;
    turns.deferred = true;
    loop_defer(turns.api->loop, slice, NULL);
}

void flow_take(struct request *r, void *user) {
    struct slot *s = slot_of(r);
    uint64_t now = now_ns();
    turns.api = user;
    if (now - s->window_ns >= WINDOW_NS) {
        s->window_ns = now;
        s->spent_ns = 0;
    }
    if (r->chosen || (!s->first && s->spent_ns < CREDIT_NS))
        run(s, r, now);
    else if (turns.waiting < LIMIT_FLOW_WAITING)
        wait(s, r);
    else
        request_fail(r, 0, ERR_TOO_MANY_REQUESTS, "too many requests, please try again later");
}
