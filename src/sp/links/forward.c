/*
 * Subscriptions travel between Atolls: the dialect of edges with forwarding. Towards a peer that
 * publishes, this end is `down`: it fetches what subscribers here want, and their answers wait for
 * it. Towards a peer that subscribes it is `up`. Each node tells its peers downstream which nodes'
 * messages they get by it. So of several ways from one node only the shortest is taken, and a node
 * that hears its own name is in a loop: there it asks for nothing.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/own.h"
#include "proto/sp/forward.h"
#include "sp/links/edge.h"
#include "sp/links/forward_nodes.h"
#include "sp/links/link.h"
#include "sp/patterns/pubsub.h"
#include "sp/sp_service.h"

enum { HOPS_MAX = 32, LOOP_WAIT_MS = 300, LOOP_SPREAD_MS = 1700, NUMBER_BITS = 24 };
enum { PATIENCE_MS = 3000 };
enum { UNREAD_MAX_BYTES = 4 << 20 };

static void subscriptions_count(struct forward *f) {
    struct sp_edge *e = f->link->pipe.edge;
    size_t n = f->down ? sp_forward_down_sent(f->down) : sp_forward_up_held(f->up);
    e->subscriptions = e->subscriptions - f->counted + (uint32_t)n;
    f->counted = (uint32_t)n;
    f->link->pipe.topology->changed = true;
}

/* ---- both sides ---- */

/* What down sends is bounded by the credit it has; a peer that asks and never reads is cut off. */
static void send_frame(void *user, struct slice frame) {
    const struct forward *f = user;
    if (f->up && f->link->out.n > UNREAD_MAX_BYTES)
        sp_link_close(f->link, "does not read what it asked for");
    else
        sp_link_control(f->link, frame);
}

/* The peer calls itself organisation/node; between organisations that must be the partner. */
static int peer_greeted(struct forward *f, struct slice name, struct slice topology,
                        struct err *err) {
    const struct sp_edge_config *c = f->link->pipe.edge->config;
    const char *want = str_or(c->topology, ""); /* who listens may leave it open */
    struct slice rest = name, organisation;
    slice_cut(&rest, '/', &organisation);
    if (*want && !slice_is(topology, want))
        return err_set(err, ERR_FORBIDDEN, "forwarding: the peer's topology is %.*s, not %s",
                       (int)topology.n, topology.p, want);
    if (!str_empty(c->organisation) && !slice_is(organisation, c->organisation))
        return err_set(err, ERR_FORBIDDEN, "forwarding: the peer is of organisation %.*s, not %s",
                       (int)organisation.n, organisation.p, c->organisation);
    f->greeted = true;
    return 0;
}

/* ---- down ---- */

static void confirm(void *user, uint64_t ticket) {
    sp_pubsub_confirm(((struct forward *)user)->link->pipe.topology, ticket);
}

static int down_hello(void *user, uint64_t id, struct slice name, struct slice topology,
                      struct err *err) {
    return peer_greeted(user, name, topology, err);
}

static void suspend(struct forward *f, bool suspended) {
    struct sp_edge *e = f->link->pipe.edge;
    struct sp_topology *t = f->link->pipe.topology;
    timer_stop(f->loop_timer);
    if (f->suspended == suspended) return;
    f->suspended = suspended;
    snprintf(e->last_error, sizeof e->last_error, "%s",
             suspended ? "loop: the peer's messages come from here" : "");
    if (t->service)
        sp_log(t->service, suspended ? "forwarding_loop" : "forwarding_loop_over",
               "topology=%s edge=%s peer=\"%s\"", t->config->name, e->config->name,
               f->link->pipe.who.name);
    sp_forward_down_suspend(f->down, suspended);
    sp_forward_nodes_update(t);
}

static void on_loop_timer(void *user) {
    struct forward *f = user;
    if (f->looped) suspend(f, true);
}

/* All nodes of a loop see it at once and one of them has to give way: the one with the smallest id,
 * or whoever has waited the shortest. */
static void loop_seen(struct forward *f, const struct sp_forward_node *v, size_t n) {
    uint64_t own = sp_forward_own_id(f->link->pipe.topology), smallest = own;
    f->looped = false;
    for (size_t i = 0; i < n; i++) {
        f->looped |= v[i].id == own;
        smallest = MIN_OF(smallest, v[i].id);
    }
    if (!f->looped) {
        suspend(f, false);
    } else if (smallest == own) {
        suspend(f, true);
    } else if (!f->suspended && !timer_active(f->loop_timer)) {
        struct loop *l = f->link->pipe.topology->loop;
        timer_start(f->loop_timer, LOOP_WAIT_MS + loop_random(l) % LOOP_SPREAD_MS, 0);
    }
}

static int down_nodes(void *user, const struct sp_forward_node *v, size_t n, struct err *err) {
    struct forward *f = user;
    sp_forward_nodes_heard(f, v, n);
    loop_seen(f, v, n);
    sp_forward_nodes_update(f->link->pipe.topology);
    return 0;
}

/* Subscribers here are told after one to two of these that it holds, as far as that can be. */
static void on_patience(void *user) {
    struct forward *f = user;
    struct sp_topology *t = f->link->pipe.topology;
    bool more;
    size_t n = sp_forward_down_overdue(f->down, &more);
    if (more) timer_start(f->patience, PATIENCE_MS, 0);
    if (n && t->service)
        sp_log(t->service, "subscriptions_unconfirmed", "topology=%s edge=%s peer=\"%s\" n=%zu",
               t->config->name, f->link->pipe.edge->config->name, f->link->pipe.who.name, n);
    sp_pipes_flush();
}

static bool upstream_added(void *user, struct slice prefix, uint64_t ticket) {
    struct forward *f = user;
    bool waits = sp_forward_down_added(f->down, prefix, ticket);
    if (waits && !timer_active(f->patience)) timer_start(f->patience, PATIENCE_MS, 0);
    subscriptions_count(f);
    return waits;
}

static void upstream_removed(void *user, struct slice prefix) {
    struct forward *f = user;
    sp_forward_down_removed(f->down, prefix);
    subscriptions_count(f);
}

static void down_message(struct forward *f, const struct sp_forward_message *in) {
    struct sp_pipe *p = &f->link->pipe;
    uint32_t origin = 0;
    if (f->suspended || !sp_forward_nodes_take(f, in->origin, &origin)) {
        p->counters.filtered++; /* comes by another way, or went out from here */
        return;
    }
    if (in->hops >= HOPS_MAX) {
        sp_pipe_lost(p, 1, "too many hops");
        return;
    }
    struct sp_message *m = sp_message_new(0, in->body);
    m->travelled = origin | (uint32_t)(in->hops + 1) << NUMBER_BITS;
    sp_pipe_received(p, m);
}

static int down_input(struct forward *f, struct slice frame, struct err *err) {
    struct sp_forward_message m;
    uint64_t gap = 0;
    int r = sp_forward_down_input(f->down, frame, &m, &gap, err);
    if (r == 1) {
        f->link->pipe.counters.gaps += gap;
        down_message(f, &m);
        return 0;
    }
    if (r == 0) subscriptions_count(f);
    return r;
}

/* ---- up ---- */

static int up_hello(void *user, uint64_t id, struct slice name, struct slice topology,
                    struct err *err) {
    struct forward *f = user;
    int r = peer_greeted(f, name, topology, err);
    if (r == 0) sp_forward_nodes_update(f->link->pipe.topology);
    return r;
}

/* A sequence number is never 0, so it can be a map's value. */
static void activate(struct forward *f, struct slice prefix) {
    void *sequence = map_del(&f->waiting, prefix);
    if (sequence) sp_forward_up_active(f->up, (uint64_t)(uintptr_t)sequence);
}

static void on_active(struct sp_pipe *p, struct slice prefix) {
    activate(((struct sp_link *)p)->dialect_state, prefix);
}

static int up_subscribe(void *user, struct slice prefix, uint64_t sequence, struct err *err) {
    struct forward *f = user;
    int r = sp_pubsub_subscribe(&f->link->pipe, prefix);
    if (r < 0) {
        err_set(err, ERR_TOO_LARGE, "forwarding: too many subscriptions");
        return r;
    }
    if (sp_pubsub_await(&f->link->pipe, prefix, on_active))
        map_put(&f->waiting, prefix, (void *)(uintptr_t)sequence);
    else
        sp_forward_up_active(f->up, sequence);
    return 0;
}

static void up_unsubscribe(void *user, struct slice prefix) {
    struct forward *f = user;
    sp_pubsub_unsubscribe(&f->link->pipe, prefix);
    activate(f, prefix);
}

/* Which of all messages for this peer it is, those that were lost in its queue included. */
static uint64_t sequence_of(const struct sp_queue *q, uint32_t place) {
    uint64_t offered = q->put + (q->limits->policy == SP_DROP_NEWEST ? q->dropped : 0);
    return offered - q->n + place + 1;
}

static size_t extra(struct sp_link *l, const struct sp_message *m, uint32_t place,
                    unsigned char ret[SP_EXTRA_MAX]) {
    _Static_assert((int)SP_FORWARD_HEAD_BYTES <= (int)SP_EXTRA_MAX, "does not fit");
    struct sp_forward_message head = {.sequence = sequence_of(&l->pipe.out, place),
                                      .origin = m->travelled & ((1u << NUMBER_BITS) - 1),
                                      .hops = (uint8_t)(m->travelled >> NUMBER_BITS)};
    return sp_forward_head(ret, &head);
}

/* ---- the dialect ---- */

static void opened(struct sp_link *l) {
    static const struct sp_forward_down_ops down_ops = {send_frame, confirm, down_hello,
                                                        down_nodes};
    static const struct sp_forward_up_ops up_ops = {send_frame, up_subscribe, up_unsubscribe,
                                                    up_hello};
    static uint64_t epoch;
    struct sp_topology *t = l->pipe.topology;
    if (t->config->pattern != SP_PUBSUB) {
        sp_link_close(l, "forwarding is of pubsub only");
        return;
    }
    struct forward *f = sp_forward_new(l);
    char name[SP_FORWARD_NAME_MAX + 1];
    sp_forward_own_name(t, name);
    struct sp_forward_self self = {sp_forward_own_id(t), name, t->config->name,
                                   l->pipe.edge->config->subscriptions_max};
    if (l->pipe.role != SP_PUB) {
        f->up = sp_forward_up_new(&self, &up_ops, f);
        return;
    }
    f->loop_timer = timer_new(t->loop, on_loop_timer, f);
    f->patience = timer_new(t->loop, on_patience, f);
    f->down = sp_forward_down_new(&self, sp_pubsub_trie(t), ++epoch, &down_ops, f);
    f->upstream =
        (struct sp_upstream){.added = upstream_added, .removed = upstream_removed, .user = f};
    sp_pubsub_upstream_add(t, &f->upstream);
}

static int payload(struct sp_link *l, struct slice bytes, struct err *err) {
    struct forward *f = l->dialect_state;
    if (!f) return 0;
    if (f->down) return down_input(f, bytes, err);
    int r = sp_forward_up_input(f->up, bytes, err);
    if (r == 0) subscriptions_count(f);
    return r;
}

static void closed(struct sp_link *l) {
    struct forward *f = TAKE(l->dialect_state);
    if (!f) return;
    if (l->pipe.edge) l->pipe.edge->subscriptions -= f->counted;
    sp_forward_leave(f);
    if (f->down) {
        sp_forward_down_free(f->down);
        sp_pubsub_upstream_remove(l->pipe.topology, &f->upstream);
        timer_free(f->loop_timer);
        timer_free(f->patience);
        if (!l->pipe.topology->stopping) sp_forward_nodes_update(l->pipe.topology);
    }
    sp_forward_up_free(f->up);
    sp_forward_free(f);
}

static const struct sp_dialect dialect = {.name = "forward",
                                          .own = SP_TYPE_FORWARD,
                                          .peer = SP_TYPE_FORWARD,
                                          .opened = opened,
                                          .payload = payload,
                                          .extra = extra,
                                          .closed = closed};
const struct sp_dialect *const sp_dialect_forward = &dialect;
