#include "sp/pipe.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "base/limits.h"
#include "sp/declare/topology.h"
#include "sp/links/edge.h"
#include "sp/sp_service.h"

enum { SLOT_BITS = 14, GENERATIONS = (1 << (31 - SLOT_BITS)) - 1 };
_Static_assert(LIMIT_SP_PIPES <= 1 << SLOT_BITS, "an id has room for each slot");

/* One loop per process: what has something to send, and what goes. */
static struct sp_pipe *dirty, *closing;
static bool close_deferred;

static const char above_rate[] = "above the rate of its edge";
static const struct sp_queue_limits control_limits = {4096, 4 * 1024 * 1024, SP_BLOCK, 0};

/* ---- opening ---- */

static uint32_t slot_take(struct sp_topology *t) {
    for (uint32_t i = t->first_free; i < t->pipes.n; i++) {
        if (t->pipes.v[i]) continue;
        t->first_free = i + 1;
        return i;
    }
    vec_push(&t->pipes, NULL);
    t->first_free = (uint32_t)t->pipes.n;
    return (uint32_t)t->pipes.n - 1;
}

static void count(const struct sp_pipe *p, int change) {
    struct sp_topology *t = p->topology;
    t->n_pipes = (size_t)((ssize_t)t->n_pipes + change);
    t->changed = true;
    if (t->on_pipes && !t->stopping) t->on_pipes(t);
    if (!t->service) return;
    sp_service_changed(t->service);
    t->service->n_pipes = (size_t)((ssize_t)t->service->n_pipes + change);
    if (!p->edge) sp_service_user_count(t->service, sp_credentials_account(&p->who), change);
}

static void slot_give(struct sp_pipe *p) {
    struct sp_topology *t = p->topology;
    t->pipes.v[p->slot] = NULL;
    if (p->slot < t->first_free) t->first_free = p->slot;
    count(p, -1);
}

static int admit(const struct sp_pipe *p, struct err *err) {
    const struct sp_topology *t = p->topology;
    size_t all = t->service ? t->service->n_pipes : t->n_pipes;
    if (!sp_role_in(p->role, t->config->pattern)) {
        err_set(err, ERR_BAD_REQUEST, "%s is no role of %s", sp_protocol_of_role(p->role)->name,
                t->pattern->name);
        return -EOPNOTSUPP;
    }
    if (all >= LIMIT_SP_PIPES) {
        err_set(err, ERR_TOO_MANY_REQUESTS, "the service has %d connections", LIMIT_SP_PIPES);
        return -ENFILE;
    }
    return 0;
}

static void state_done(struct sp_pipe *p) {
    sp_queue_done(&p->out);
    sp_queue_done(&p->controls);
    vec_done(&p->held);
    free(p->state);
    p->state = NULL;
}

static void tell_of_room(struct sp_pipe *p) {
    const struct sp_pattern_ops *pattern = p->topology->pattern;
    if (pattern->has_room) pattern->has_room(p);
}

int sp_pipe_open(struct sp_pipe *p, struct err *err) {
    struct sp_topology *t = p->topology;
    int r = admit(p, err);
    if (r < 0) return r;
    sp_queue_init(&p->out, p->edge ? &p->edge->config->queue : &t->config->queue);
    sp_queue_init(&p->controls, &control_limits);
    p->slot = slot_take(t);
    t->generation = t->generation % GENERATIONS + 1;
    p->id = t->generation << SLOT_BITS | p->slot;
    p->opened_ms = sp_topology_now_ms(t);
    p->state = calloc(1, t->pattern->pipe_bytes + 1);
    if (!p->state) abort();
    t->pipes.v[p->slot] = p;
    count(p, 1);
    if (t->pattern->attach) r = t->pattern->attach(p, err);
    if (r < 0) {
        slot_give(p);
        state_done(p);
        p->id = 0;
        return r;
    }
    tell_of_room(p);
    return 0;
}

/* ---- closing ---- */

static void list_remove(struct sp_pipe **list, struct sp_pipe *p, size_t next_at) {
    for (struct sp_pipe **at = list; *at; at = (struct sp_pipe **)((char *)*at + next_at)) {
        if (*at != p) continue;
        *at = *(struct sp_pipe **)((char *)p + next_at);
        return;
    }
}

static void waiting_remove(struct sp_pipe *p) {
    struct sp_topology *t = p->topology;
    if (!p->waiting) return;
    p->waiting = false;
    list_remove(&t->waiting, p, offsetof(struct sp_pipe, next_waiting));
    t->waiting_tail = &t->waiting;
    while (*t->waiting_tail) t->waiting_tail = &(*t->waiting_tail)->next_waiting;
}

void sp_counters_add(struct sp_counters *sum, const struct sp_counters *c) {
    sum->messages_in += c->messages_in;
    sum->bytes_in += c->bytes_in;
    sum->messages_out += c->messages_out;
    sum->bytes_out += c->bytes_out;
    sum->dropped += c->dropped;
    sum->filtered += c->filtered;
    sum->gaps += c->gaps;
    sum->errors += c->errors;
}

static void tear_down(struct sp_pipe *p) {
    struct sp_topology *t = p->topology;
    if (p->dirty) list_remove(&dirty, p, offsetof(struct sp_pipe, next_dirty));
    p->dirty = false;
    waiting_remove(p);
    if (t->pattern->detach) t->pattern->detach(p);
    slot_give(p);
    p->counters.dropped += p->held.n;
    for (size_t i = 0; i < p->held.n; i++) sp_message_unref(p->held.v[i]);
    sp_counters_add(&t->gone[p->role], &p->counters);
    sp_counters_add(p->edge ? &p->edge->gone : &t->gone_local[p->role], &p->counters);
    state_done(p);
    p->ops->freed(p);
}

static void close_deferred_now(void *user) {
    (void)user;
    close_deferred = false;
    while (closing) {
        struct sp_pipe *p = closing;
        closing = p->next_closing;
        tear_down(p);
    }
    sp_pipes_flush();
}

void sp_pipe_close(struct sp_pipe *p, const char *why) {
    if (p->closing) return;
    p->closing = true;
    p->why_closed = why;
    p->next_closing = closing;
    closing = p;
    if (!close_deferred) loop_defer(p->topology->loop, close_deferred_now, NULL);
    close_deferred = true;
}

void sp_pipe_close_now(struct sp_pipe *p, const char *why) {
    if (p->closing)
        list_remove(&closing, p, offsetof(struct sp_pipe, next_closing));
    else
        p->why_closed = why;
    p->closing = true;
    tear_down(p);
}

/* ---- coming in ---- */

bool sp_pipe_may_read(const struct sp_pipe *p) { return !p->paused && !p->closing; }

static void wait_in_line(struct sp_pipe *p, bool first) {
    struct sp_topology *t = p->topology;
    if (p->waiting) return;
    p->waiting = true;
    if (!t->waiting) t->waiting_tail = &t->waiting;
    if (first) {
        p->next_waiting = t->waiting;
        t->waiting = p;
        if (!p->next_waiting) t->waiting_tail = &p->next_waiting;
        return;
    }
    p->next_waiting = NULL;
    *t->waiting_tail = p;
    t->waiting_tail = &p->next_waiting;
}

/* What the pattern says to a message; true: it is gone from here. */
static bool hand_on(struct sp_pipe *p, struct sp_message *m) {
    size_t bytes = sp_message_size(m);
    int r = p->topology->pattern->receive(p, m);
    if (r == -EAGAIN) return false;
    if (p->edge) sp_edge_passed(p->edge, bytes);
    if (r == 0) return true;
    sp_message_unref(m);
    if (r == -ELOOP)
        sp_pipe_lost(p, 1, "nobody has asked, or too many hops");
    else
        sp_pipe_fault(p, r == -EOPNOTSUPP ? "wrong role" : "broken message");
    return true;
}

static void stop_reading(struct sp_pipe *p) {
    if (p->paused) return;
    p->paused = true;
    p->ops->pause(p, true);
}

void sp_pipe_hold(struct sp_pipe *p) {
    wait_in_line(p, false);
    stop_reading(p);
}

/* ---- the rate of an edge: under the policy block what is above it waits, else it is lost ---- */

static bool waits_for_rate(const struct sp_pipe *p) {
    return p->edge && p->out.limits->policy == SP_BLOCK;
}

static bool rate_admits(struct sp_pipe *p) {
    return !p->edge || sp_edge_admits(p->edge, waits_for_rate(p));
}

void sp_pipe_rested(struct sp_pipe *p) {
    if (p->closing) return;
    if (p->resting) wait_in_line(p, false);
    p->resting = false;
    if (p->full) sp_pipe_flush(p);
}

bool sp_pipe_received(struct sp_pipe *p, struct sp_message *m) {
    p->counters.messages_in++;
    p->counters.bytes_in += m->body_n;
    m->source = p->id;
    bool too_large = m->body_n > p->topology->config->message_max_bytes;
    bool admitted = rate_admits(p);
    if (p->closing || too_large || (!admitted && !waits_for_rate(p))) {
        sp_pipe_lost(p, 1, too_large ? "above maxMessageBytes" : above_rate);
        sp_message_unref(m);
        return sp_pipe_may_read(p);
    }
    if (!p->held.n && admitted && hand_on(p, m)) return sp_pipe_may_read(p);
    vec_push(&p->held, m);
    p->resting |= !admitted;
    if (p->resting)
        stop_reading(p);
    else
        sp_pipe_hold(p);
    return false;
}

/* True: all that was held is gone. */
static bool held_go_on(struct sp_pipe *p, size_t *ret_n) {
    size_t n = 0;
    while (n < p->held.n && !p->closing && !p->resting) {
        p->resting = !rate_admits(p);
        if (p->resting || !hand_on(p, p->held.v[n])) break;
        n++;
    }
    *ret_n = n;
    p->held.n -= n;
    for (size_t i = 0; i < p->held.n; i++) p->held.v[i] = p->held.v[i + n];
    return p->held.n == 0;
}

void sp_topology_resume(struct sp_topology *t) {
    while (t->waiting) {
        struct sp_pipe *p = t->waiting;
        size_t n;
        t->waiting = p->next_waiting;
        p->waiting = false;
        if (p->closing) continue;
        if (!held_go_on(p, &n)) {
            if (p->closing || p->resting) continue;
            wait_in_line(p, n == 0);
            return;
        }
        vec_done(&p->held);
        p->paused = false;
        p->ops->pause(p, false);
    }
}

void sp_pipe_hung_up(struct sp_pipe *p, const char *why) {
    if (p->closing) return;
    if (!p->paused) {
        sp_pipe_close(p, why);
        return;
    }
    if (!p->hung_up_ms) p->hung_up_ms = sp_topology_now_ms(p->topology);
    sp_topology_tick(p->topology);
}

bool sp_pipe_is_over(struct sp_pipe *p) {
    if (!p->closing && p->ops->notice_end) p->ops->notice_end(p);
    return p->closing;
}

/* ---- going out ---- */

static void make_dirty(struct sp_pipe *p) {
    if (p->dirty) return;
    p->dirty = true;
    p->next_dirty = dirty;
    dirty = p;
}

static bool has_already(const struct sp_pipe *p, const struct sp_message *m) {
    if (!p->ops->has_already || !m->source) return false;
    const struct sp_pipe *source = sp_topology_pipe(p->topology, m->source);
    return source && p->ops->has_already(p, source);
}

/* A queue that is full only because this pass is not over yet is no slow receiver. */
static void make_room(struct sp_pipe *p) {
    if (!sp_queue_has_room(&p->out) && !p->closing) p->ops->flush(p);
}

enum sp_put sp_pipe_send(struct sp_pipe *p, struct sp_message *m) {
    if (p->closing) return SP_PUT_DISCONNECT;
    if (has_already(p, m)) return SP_PUT_OK;
    if (!rate_admits(p)) {
        if (waits_for_rate(p)) {
            p->full = true;
            return SP_PUT_FULL;
        }
        sp_pipe_lost(p, 1, above_rate);
        return SP_PUT_DROPPED;
    }
    make_room(p);
    uint64_t dropped = p->out.dropped;
    size_t size = sp_message_size(m);
    enum sp_put put = sp_queue_put(&p->out, sp_message_ref(m));
    sp_pipe_lost(p, p->out.dropped - dropped, "its queue is full");
    if (put == SP_PUT_FULL || put == SP_PUT_DISCONNECT) {
        sp_message_unref(m);
        p->full = true;
        if (put == SP_PUT_DISCONNECT) sp_pipe_fault(p, "too slow");
        return put;
    }
    if (p->edge) sp_edge_passed(p->edge, size);
    make_dirty(p);
    return put;
}

bool sp_pipe_has_room(struct sp_pipe *p) {
    make_room(p);
    if (p->closing) return false;
    bool room = sp_queue_has_room(&p->out) && (!waits_for_rate(p) || rate_admits(p));
    if (!room) p->full = true;
    return room;
}

void sp_pipe_control(struct sp_pipe *p, struct sp_message *m) {
    if (p->closing || sp_queue_put(&p->controls, m) != SP_PUT_OK) {
        sp_message_unref(m);
        sp_pipe_fault(p, "does not read the answers to its controls");
        return;
    }
    make_dirty(p);
}

struct sp_message *sp_pipe_peek(const struct sp_pipe *p, uint32_t i) {
    if (i < p->controls.n) return sp_queue_at(&p->controls, i);
    i -= p->controls.n;
    return i < p->out.n ? sp_queue_at(&p->out, i) : NULL;
}

void sp_pipe_sent(struct sp_pipe *p, uint32_t n) {
    for (; n && p->controls.n; n--) sp_message_unref(sp_queue_take(&p->controls));
    for (; n; n--) {
        struct sp_message *m = sp_queue_take(&p->out);
        p->counters.messages_out++;
        p->counters.bytes_out += m->body_n;
        sp_message_unref(m);
    }
}

void sp_pipe_unsendable(struct sp_pipe *p) {
    sp_message_unref(sp_queue_take(p->controls.n ? &p->controls : &p->out));
    sp_pipe_lost(p, 1, "larger than its socket's buffer can be");
}

void sp_pipe_flush(struct sp_pipe *p) {
    if (p->closing) return;
    if (sp_pipe_waiting(p)) p->ops->flush(p);
    if (!p->full || p->closing || !sp_queue_is_low(&p->out)) return;
    p->full = false;
    p->blocks_since_ms = 0;
    tell_of_room(p);
}

void sp_pipes_flush(void) {
    while (dirty) {
        struct sp_pipe *p = dirty;
        dirty = p->next_dirty;
        p->dirty = false;
        sp_pipe_flush(p);
    }
}

void sp_pipe_blocks(struct sp_pipe *p) {
    p->full = true;
    if (!p->blocks_since_ms) p->blocks_since_ms = sp_topology_now_ms(p->topology);
    sp_topology_tick(p->topology);
}
