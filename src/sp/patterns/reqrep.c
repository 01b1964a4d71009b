/*
 * Requests and replies, at least once. A request goes to one worker with room: local ones first,
 * then by priority. It is kept until its reply has come, and goes to another worker when the first
 * one is lost or takes longer than requestResendMs. A program at `rep` gets one request at a time,
 * so that its next message is the reply to it. A new request of a program at `req` ends the one
 * before; when requestTimeoutMs is declared and passes, its connection ends.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "base/limits.h"
#include "base/map.h"
#include "base/own.h"
#include "sp/declare/topology.h"
#include "sp/pattern.h"
#include "sp/patterns/choose.h"

enum { TICKS = 4, TICK_MAX_MS = 1000 };

struct request {
    struct sp_message *message; /* its header, the source's id first, is the key */
    uint32_t source, worker;    /* ids of pipes; worker 0: it waits for one */
    uint64_t made_ms, sent_ms;
    struct request *next, **link; /* in the line of those that wait; link NULL: not there */
};

struct reqrep {
    struct sp_chooser workers;
    struct map requests; /* header → struct request */
    struct request *waiting, **tail;
    struct timer *timer;
    uint32_t last_id;
    uint64_t resent;
};

struct member {
    struct request *request; /* req: the one that runs; of programs only */
    struct sp_message *busy; /* rep: what it works on; of programs only */
};

/* ---- the line ---- */

static void line_leave(struct reqrep *s, struct request *q) {
    if (!q->link) return;
    *q->link = q->next;
    if (q->next)
        q->next->link = q->link;
    else
        s->tail = q->link;
    q->link = NULL;
}

static void line_join(struct reqrep *s, struct request *q, bool first) {
    if (q->link) return;
    q->worker = 0;
    q->link = first ? &s->waiting : s->tail;
    q->next = first ? s->waiting : NULL;
    if (q->next) q->next->link = &q->next;
    if (!q->next) s->tail = &q->next;
    *q->link = q;
}

static void request_end(struct sp_topology *t, struct request *q) {
    struct reqrep *s = t->state;
    struct sp_pipe *source = sp_topology_pipe(t, q->source);
    struct member *m = source ? source->state : NULL;
    if (m && m->request == q) m->request = NULL;
    line_leave(s, q);
    map_del(&s->requests, sp_message_header(q->message));
    sp_message_unref(q->message);
    free(q);
}

/* ---- to workers ---- */

static bool can_work(struct sp_pipe *p) {
    const struct member *m = p->state;
    return !m->busy && sp_pipe_has_room(p);
}

/* False: nobody has room. */
static bool give(struct sp_topology *t, struct request *q) {
    struct reqrep *s = t->state;
    struct sp_pipe *p = sp_chooser_next(&s->workers, can_work);
    if (!p) return false;
    enum sp_put put = sp_pipe_send(p, q->message);
    if (put != SP_PUT_OK && put != SP_PUT_DROPPED) return false;
    struct member *m = p->state;
    if (!p->raw) m->busy = sp_message_ref(q->message);
    q->worker = p->id;
    q->sent_ms = sp_topology_now_ms(t);
    return true;
}

/* Those that wait, in their order; then sources may send more. */
static void go_on(struct sp_topology *t) {
    struct reqrep *s = t->state;
    while (s->waiting && give(t, s->waiting)) line_leave(s, s->waiting);
    if (!s->waiting) sp_topology_resume(t);
}

/* ---- time ---- */

static uint32_t tick_ms(const struct sp_config *c) {
    uint32_t least = c->request_resend_ms;
    if (c->request_timeout_ms) least = MIN_OF(least, c->request_timeout_ms);
    return MAX_OF(MIN_OF(least / TICKS, (uint32_t)TICK_MAX_MS), 1u);
}

static void timed_out(struct sp_topology *t, struct request *q) {
    struct sp_pipe *source = sp_topology_pipe(t, q->source);
    if (source && !source->raw) sp_pipe_close(source, "request timed out");
    if (source) source->counters.errors++;
    request_end(t, q);
}

static void on_timer(void *user) {
    struct sp_topology *t = user;
    struct reqrep *s = t->state;
    uint64_t now = sp_topology_now_ms(t);
    uint32_t limit = t->config->request_timeout_ms;
    struct map_entry *e;
    for (size_t i = 0; (e = map_next(&s->requests, &i));) {
        struct request *q = e->value;
        if (limit && now - q->made_ms >= limit) {
            timed_out(t, q);
            i = 0; /* the map has changed */
        } else if (q->worker && now - q->sent_ms >= t->config->request_resend_ms) {
            s->resent++;
            line_join(s, q, true);
        }
    }
    go_on(t);
    sp_pipes_flush();
    if (!s->requests.n) timer_stop(s->timer);
}

/* ---- messages ---- */

static int request(struct sp_pipe *p, struct sp_message *m) {
    struct sp_topology *t = p->topology;
    struct reqrep *s = t->state;
    struct member *own = p->state;
    if (s->requests.n >= LIMIT_SP_REQUESTS || (p->raw && s->waiting)) return -EAGAIN;
    if (own->request) request_end(t, own->request);
    if (!p->raw) {
        s->last_id = (s->last_id + 1) & ~SP_TAG_END;
        sp_message_push(m, s->last_id | SP_TAG_END);
    }
    if (!sp_message_push(m, p->id)) return -ELOOP;
    struct request *q = map_get(&s->requests, sp_message_header(m));
    if (q) request_end(t, q); /* the peer has sent it again */
    q = calloc(1, sizeof *q);
    if (!q) abort();
    q->message = m;
    q->source = p->id;
    q->made_ms = sp_topology_now_ms(t);
    map_put(&s->requests, sp_message_header(m), q);
    if (!p->raw) own->request = q;
    if (s->waiting || !give(t, q)) line_join(s, q, false);
    if (!timer_active(s->timer)) timer_start(s->timer, tick_ms(t->config), tick_ms(t->config));
    return 0;
}

static void deliver(struct sp_pipe *source, struct sp_message *m, struct sp_pipe *worker) {
    uint32_t id;
    sp_message_pop(m, &id);
    if (!source || sp_pipe_send(source, m) == SP_PUT_FULL) worker->counters.dropped++;
}

static int reply(struct sp_pipe *p, struct sp_message *m) {
    struct sp_topology *t = p->topology;
    struct reqrep *s = t->state;
    struct member *own = p->state;
    if (!p->raw) {
        if (!own->busy) return -ELOOP; /* nobody has asked */
        m = sp_message_copy_header(m, own->busy);
        sp_message_unref(own->busy);
        own->busy = NULL;
    }
    struct request *q = map_get(&s->requests, sp_message_header(m));
    if (q) {
        struct sp_pipe *source = sp_topology_pipe(t, q->source);
        request_end(t, q);
        deliver(source, m, p);
    } else {
        p->counters.filtered++; /* answered before, or given up */
    }
    sp_message_unref(m);
    go_on(t);
    return 0;
}

static int receive(struct sp_pipe *p, struct sp_message *m) {
    return p->role == SP_REQ ? request(p, m) : reply(p, m);
}

/* ---- life ---- */

static void start(struct sp_topology *t) {
    struct reqrep *s = t->state;
    s->tail = &s->waiting;
    s->timer = timer_new(t->loop, on_timer, t);
}

static void stop(struct sp_topology *t) {
    struct reqrep *s = t->state;
    struct map_entry *e;
    for (size_t i = 0; (e = map_next(&s->requests, &i)); i = 0) request_end(t, e->value);
    map_done(&s->requests);
    sp_chooser_done(&s->workers);
    timer_free(s->timer);
}

static int attach(struct sp_pipe *p, struct err *err) {
    struct reqrep *s = p->topology->state;
    if (p->role == SP_REP) sp_chooser_add(&s->workers, p);
    return 0;
}

/* What a lost worker had is given to others before all that waits; nobody waits for the replies to
 * a lost source. */
static void detach(struct sp_pipe *p) {
    struct sp_topology *t = p->topology;
    struct reqrep *s = t->state;
    struct member *own = p->state;
    struct map_entry *e;
    if (p->role == SP_REP) sp_chooser_remove(&s->workers, p);
    for (size_t i = 0; (e = map_next(&s->requests, &i));) {
        struct request *q = e->value;
        if (q->source == p->id) {
            request_end(t, q);
            i = 0;
        } else if (q->worker == p->id) {
            s->resent++;
            line_join(s, q, true);
        }
    }
    sp_message_unref(own->busy);
    if (!t->stopping) go_on(t);
}

static void has_room(struct sp_pipe *p) { go_on(p->topology); }

static void describe(const struct sp_topology *t, struct buf *out) {
    const struct reqrep *s = t->state;
    uint64_t waiting = 0;
    for (const struct request *q = s->waiting; q; q = q->next) waiting++;
    buf_printf(out, "requests %zu\nrequests_waiting %llu\nrequests_resent %llu\n", s->requests.n,
               (unsigned long long)waiting, (unsigned long long)s->resent);
}

static const struct sp_pattern_ops reqrep = {.name = "reqrep",
                                             .pattern = SP_REQREP,
                                             .state_bytes = sizeof(struct reqrep),
                                             .pipe_bytes = sizeof(struct member),
                                             .start = start,
                                             .stop = stop,
                                             .attach = attach,
                                             .detach = detach,
                                             .receive = receive,
                                             .has_room = has_room,
                                             .describe = describe};
SP_PATTERN(reqrep);
