/* Seats, queues, and turns. */
#include <inttypes.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/own.h"
#include "server/flow/flow_impl.h"
#include "server/lifetime.h"

enum {
    WINDOW_NS = 4 * 1000 * 1000, /* a flow that has had CREDIT_NS of it waits in its queue */
    CREDIT_NS = 2 * 1000 * 1000,
    LEAST_NS = 20 * 1000, /* every request counts for so much at least: reading and answering */
    WAIT_MS = 15 * 1000,  /* upstream: a quarter of the request time-out */
    REFUSE_MS = 250,      /* refusals take their time: who asks again at once would keep us busy */
    STREAM_MS = 2000,     /* a list that is sent for so long waits for its reader, not for us */
    TICK_MS = 10,
    REFUSALS_PER_TICK = 6, /* together less than a slice */
};

static uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* ---- lists of tickets ---- */

static void list_add(struct flow_ticket_list *l, struct flow_ticket *t) {
    t->next = NULL;
    t->prev = l->last;
    if (l->last)
        l->last->next = t;
    else
        l->first = t;
    l->last = t;
    l->n++;
}

static void list_take(struct flow_ticket_list *l, struct flow_ticket *t) {
    if (t->prev)
        t->prev->next = t->next;
    else
        l->first = t->next;
    if (t->next)
        t->next->prev = t->prev;
    else
        l->last = t->prev;
    t->next = t->prev = NULL;
    l->n--;
}

static struct flow_ticket *ticket_new(struct flow *f) {
    struct flow_ticket *t = f->free_tickets;
    if (t)
        f->free_tickets = t->next;
    else if (!(t = malloc(sizeof *t)))
        abort();
    *t = (struct flow_ticket){.flow = f};
    return t;
}

static void ticket_free(struct flow_ticket *t) {
    t->next = t->flow->free_tickets;
    t->flow->free_tickets = t;
}

/* ---- seats ---- */

/* Of what other levels have and do not use, so much may be borrowed just now. */
static unsigned borrowable(const struct flow *f, const struct flow_level *l) {
    unsigned lent = 0, borrowed = 0;
    for (size_t i = 0; i < f->levels.n; i++) {
        const struct flow_level *o = f->levels.v[i];
        if (o->exempt || o->gone) continue;
        if (o != l && o->in_use < o->nominal) lent += MIN_OF(o->lendable, o->nominal - o->in_use);
        if (o != l && o->in_use > o->nominal) borrowed += o->in_use - o->nominal;
    }
    return MIN_OF(lent > borrowed ? lent - borrowed : 0, l->borrow_max);
}

static bool has_seats(const struct flow *f, const struct flow_level *l,
                      const struct flow_ticket *t) {
    unsigned width = t->width;
    /* Long lists sit for long: a quarter of the level is kept for those who soon are gone. */
    if (t->is_list && width > 1 && l->by_lists && l->by_lists + width > l->nominal - l->nominal / 4)
        return false;
    if (l->in_use == 0 || l->in_use + width <= l->nominal) return true;
    return l->in_use + width <= l->nominal + borrowable(f, l);
}

static void dispatch_later(struct flow *f);

static void tick_if_needed(struct flow *f) {
    bool needed = f->seated.n || f->refused.n || f->waiting;
    if (needed && !timer_active(f->timer)) timer_start(f->timer, TICK_MS, TICK_MS);
    if (!needed && timer_active(f->timer)) timer_stop(f->timer);
}

static void stand_up(struct flow_ticket *t) {
    if (!t->seated) return;
    t->seated = false;
    t->level->in_use -= t->width;
    if (t->is_list) t->level->by_lists -= t->width;
    list_take(&t->flow->seated, t);
    if (t->flow->waiting) dispatch_later(t->flow);
}

static void leave_queue(struct flow_ticket *t) {
    struct flow_level *l = t->level;
    struct flow_queue *q = t->queue;
    if (!q) return;
    list_take(&q->waiting, t);
    t->queue = NULL;
    t->credit->waiting--;
    l->waiting--;
    l->waiting_bytes -= t->bytes;
    t->flow->waiting--;
    for (size_t i = 0; q->waiting.n == 0 && i < l->active.n; i++)
        if (&l->queues[l->active.v[i]] == q) l->active.v[i] = l->active.v[--l->active.n];
}

/* The request has ended, however. */
static void on_over(void *user) {
    struct flow_ticket *t = user;
    leave_queue(t);
    if (t->refused) list_take(&t->flow->refused, t);
    t->refused = false;
    stand_up(t);
    t->over = true;
    if (!t->running) ticket_free(t);
}

/* Waits, and its client went away. */
static void on_close(struct request *r) {}

/* ---- running ---- */

/* Returns the time it took. */
static uint64_t start(struct flow_ticket *t, struct call *c) {
    struct flow_level *l = t->level;
    bool brief = !request_is_long_running(&c->route);
    uint64_t began = now_ns();
    t->running = t->seated = true;
    t->since_ms = loop_now_ms(t->flow->api->loop);
    l->in_use += t->width;
    if (t->is_list) l->by_lists += t->width;
    l->dispatched++;
    list_add(&t->flow->seated, t);
    t->run(c);
    t->running = false;
    uint64_t took = now_ns() - began + LEAST_NS;
    t->credit->spent_ns += took;
    if (t->over)
        ticket_free(t);
    else if (!brief)
        stand_up(t); /* counted only at its start */
    return took;
}

static void start_waiting(struct flow_ticket *t) {
    struct flow_queue *q = t->queue;
    struct flow_level *l = t->level;
    struct call *c = t->call;
    leave_queue(t);
    request_works(c->r);
    c->r->on_close = NULL;
    l->virtual_ns = q->virtual_ns;
    unsigned width = t->width;
    q->virtual_ns += start(t, c) * width;
}

void flow_level_release_all(struct flow *f, struct flow_level *l) {
    while (l->active.n) start_waiting(l->queues[l->active.v[0]].waiting.first);
}

/* The queue that has had least, of those whose next request has seats; of two, who came last. */
static struct flow_queue *next_queue(const struct flow *f, const struct flow_level *l) {
    struct flow_queue *least = NULL;
    for (size_t i = 0; i < l->active.n; i++) {
        struct flow_queue *q = &l->queues[l->active.v[i]];
        if ((!least || q->virtual_ns <= least->virtual_ns) && has_seats(f, l, q->waiting.first))
            least = q;
    }
    return least;
}

/* One request of the next level that can; false: none can. */
static bool dispatch_one(struct flow *f) {
    for (size_t i = 0; i < f->levels.n; i++) {
        struct flow_level *l = f->levels.v[(f->next_level + i) % f->levels.n];
        struct flow_queue *q = l->waiting ? next_queue(f, l) : NULL;
        if (!q) continue;
        f->next_level = (f->next_level + i + 1) % f->levels.n;
        start_waiting(q->waiting.first);
        return true;
    }
    return false;
}

static void dispatch(void *user) {
    struct flow *f = user;
    uint64_t until = loop_slice_end(f->api->loop, CLOCK_SLICE_NS);
    bool more = true;
    f->dispatching = false;
    while (f->waiting && (more = dispatch_one(f)) && now_ns() < until)
        ;
    if (f->waiting && more) dispatch_later(f);
    tick_if_needed(f);
}

static void dispatch_later(struct flow *f) {
    if (f->dispatching) return;
    f->dispatching = true;
    loop_defer(f->api->loop, dispatch, f);
}

/* ---- refusals ---- */

static void refuse(struct flow_ticket *t) {
    leave_queue(t);
    t->call->r->on_close = on_close;
    t->refused = true;
    t->since_ms = loop_now_ms(t->flow->api->loop);
    list_add(&t->flow->refused, t);
    tick_if_needed(t->flow);
}

static void answer_refusal(struct call *c) {
    c->r->on_close = NULL;
    reply_failure(c, ERR_TOO_MANY_REQUESTS,
                  &(struct failure){.message = "too many requests, please try again later",
                                    .retry_after_s = 1});
}

static void tick(void *user) {
    struct flow *f = user;
    uint64_t now = loop_now_ms(f->api->loop);
    for (size_t i = 0; i < f->levels.n; i++) {
        struct flow_level *l = f->levels.v[i];
        for (size_t j = 0; j < l->active.n;) {
            struct flow_queue *q = &l->queues[l->active.v[j]];
            struct flow_ticket *t = q->waiting.first;
            if (now < t->since_ms + WAIT_MS) {
                j++;
                continue;
            }
            l->refused_late++;
            refuse(t); /* the queue may leave `active` */
        }
    }
    struct flow_ticket *next;
    for (struct flow_ticket *t = f->seated.first; t; t = next) {
        next = t->next;
        if (now < t->since_ms + STREAM_MS) break; /* they stand in the order of their start */
        if (t->is_list) stand_up(t);
    }
    for (int i = 0;
         i < REFUSALS_PER_TICK && f->refused.first && now >= f->refused.first->since_ms + REFUSE_MS;
         i++)
        answer_refusal(f->refused.first->call);
    tick_if_needed(f);
}

void flow_dispatch_init(struct flow *f) { f->timer = timer_new(f->api->loop, tick, f); }

/* ---- arriving ---- */

static unsigned width_of(const struct call *c) {
    uint64_t limit = 0;
    if (!c->route.is_resource || !str_eq(c->route.verb, "list")) return 1;
    const struct api_kind *k =
        api_kind_by_plural(c->route.group, c->route.version, c->route.plural);
    struct resource *res = k ? cache_of_kind(&c->api->cache, k) : NULL;
    if (!res) return 1;
    const char *text = http_query_get(&c->r->query, "limit");
    size_t n = res->index.n;
    if (text && slice_u64(slice_of(text), &limit) == 0 && limit && limit < n) n = limit;
    return (unsigned)MIN_OF(n / FLOW_WIDTH_OBJECTS + 1, (size_t)FLOW_WIDTH_MAX);
}

/* What is read from memory is over before the next request begins. It needs no free seat: those may
 * all be held by writes that wait for the disk. */
static bool is_over_at_once(const struct call *c) {
    if (!c->route.is_resource || !str_eq(c->route.verb, "get") || *c->route.subresource)
        return false;
    const struct api_kind *k =
        api_kind_by_plural(c->route.group, c->route.version, c->route.plural);
    return k && cache_of_kind(&c->api->cache, k);
}

/* The shortest of the flow's hand of queues. */
static unsigned choose_queue(const struct flow_level *l, uint64_t hash) {
    unsigned hand[64];
    flow_deal(hash, l->n_queues, l->hand, hand);
    unsigned best = hand[0], n = MIN_OF(l->hand, l->n_queues);
    for (unsigned i = 1; i < n; i++)
        if (l->queues[hand[i]].waiting.n < l->queues[best].waiting.n) best = hand[i];
    return best;
}

static uint64_t least_active(const struct flow_level *l) {
    uint64_t least = UINT64_MAX;
    for (size_t i = 0; i < l->active.n; i++)
        least = MIN_OF(least, l->queues[l->active.v[i]].virtual_ns);
    return l->active.n ? least : l->virtual_ns;
}

static void enqueue(struct flow_ticket *t, struct call *c, uint64_t hash) {
    struct flow_level *l = t->level;
    c->r->on_close = on_close;
    t->call = c;
    t->since_ms = loop_now_ms(t->flow->api->loop);
    t->bytes = c->r->body.n + sizeof *c;
    unsigned at = l->reject ? 0 : choose_queue(l, hash);
    if (l->reject || l->queues[at].waiting.n >= l->queue_limit ||
        l->waiting_bytes + t->bytes > LIMIT_FLOW_WAITING_BYTES) {
        l->refused_full++;
        refuse(t);
        return;
    }
    struct flow_queue *q = &l->queues[at];
    if (q->waiting.n == 0) {
        /* Having asked for nothing saves nothing up, but who comes is not behind anybody. */
        uint64_t least = least_active(l);
        if (q->virtual_ns < least) q->virtual_ns = least;
        vec_push(&l->active, at);
    }
    t->queue = q;
    t->credit->waiting++;
    list_add(&q->waiting, t);
    l->waiting++;
    l->waiting_bytes += t->bytes;
    t->flow->waiting++;
    dispatch_later(t->flow);
    tick_if_needed(t->flow);
}

static bool has_credit(struct flow_credit *credit) {
    uint64_t now = now_ns();
    if (credit->waiting) return false; /* not before those of the same flow */
    if (now - credit->window_ns < WINDOW_NS) return credit->spent_ns < CREDIT_NS;
    *credit = (struct flow_credit){.window_ns = now};
    return true;
}

static void put_headers(struct call *c, const struct flow_schema *s) {
    const char *uid = s->object->metadata.uid;
    struct http_header *h = ARENA_ARRAY(c->a, struct http_header, 2);
    h[0] = (struct http_header){"x-kubernetes-pf-flowschema-uid", arena_str(c->a, str_or(uid, ""))};
    h[1] =
        (struct http_header){"x-kubernetes-pf-prioritylevel-uid", arena_str(c->a, s->level->uid)};
    c->r->always = (struct http_headers){h, 2};
}

void flow_run(struct call *c, void (*run)(struct call *c)) {
    struct flow *f = c->api->flow;
    struct flow_schema *s = flow_classify(f, c);
    if (s) put_headers(c, s);
    if (!s || s->level->exempt) {
        if (s) s->level->dispatched++;
        run(c);
        return;
    }
    uint64_t hash = flow_hash(s, c);
    struct flow_ticket *t = ticket_new(f);
    t->level = s->level;
    t->run = run;
    t->width = (uint8_t)width_of(c);
    t->is_list = t->width > 1 || str_eq(c->route.verb, "list");
    t->credit = &f->credits[hash % FLOW_CREDITS];
    c->r->on_over = on_over;
    c->r->on_over_user = t;
    bool at_once = t->level->reject ? t->level->waiting == 0 : has_credit(t->credit);
    if (at_once && (has_seats(f, t->level, t) || is_over_at_once(c))) {
        start(t, c);
        tick_if_needed(f);
    } else {
        enqueue(t, c, hash);
    }
}

/* ---- figures ---- */

static void put_figure(const struct flow *f, struct buf *b, const char *name, const char *type,
                       const char *help, const char *reason,
                       uint64_t (*value)(const struct flow_level *l), bool head) {
    if (head)
        buf_printf(b, "# HELP apiserver_flowcontrol_%s %s\n# TYPE apiserver_flowcontrol_%s %s\n",
                   name, help, name, type);
    for (size_t i = 0; i < f->levels.n; i++)
        buf_printf(b, "apiserver_flowcontrol_%s{priority_level=\"%s\"%s} %" PRIu64 "\n", name,
                   f->levels.v[i]->name, reason, value(f->levels.v[i]));
}

static uint64_t dispatched(const struct flow_level *l) { return l->dispatched; }
static uint64_t refused_full(const struct flow_level *l) { return l->refused_full; }
static uint64_t refused_late(const struct flow_level *l) { return l->refused_late; }
static uint64_t waiting(const struct flow_level *l) { return l->waiting; }
static uint64_t in_use(const struct flow_level *l) { return l->in_use; }
static uint64_t nominal(const struct flow_level *l) { return l->nominal; }

void flow_metrics(const struct flow *f, struct buf *b) {
    put_figure(f, b, "dispatched_requests_total", "counter", "Requests that were run.", "",
               dispatched, true);
    put_figure(f, b, "rejected_requests_total", "counter", "Requests that were refused.",
               ",reason=\"queue-full\"", refused_full, true);
    put_figure(f, b, "rejected_requests_total", "", "", ",reason=\"time-out\"", refused_late,
               false);
    put_figure(f, b, "current_inqueue_requests", "gauge", "Requests that wait.", "", waiting, true);
    put_figure(f, b, "current_executing_seats", "gauge", "Seats taken.", "", in_use, true);
    put_figure(f, b, "nominal_limit_seats", "gauge", "Seats that are a level's own.", "", nominal,
               true);
}
