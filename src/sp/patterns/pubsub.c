/*
 * Publish and subscribe. A program at `sub` says `+prefix` and `-prefix` and gets the same bytes
 * back once that is so; peers on plain connections filter themselves and are given everything that
 * their edge lets through. The last messages can be kept for those who come later.
 */
#include "sp/patterns/pubsub.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "base/limits.h"
#include "base/map.h"
#include "base/own.h"
#include "sp/links/edge.h"
#include "sp/pattern.h"
#include "sp/patterns/fan_out.h"

/* A prefix that upstream has not confirmed yet, and whom to tell. */
struct pending {
    struct buf prefix;
    uint64_t ticket;
    size_t owed;
    VEC(uint32_t) pipes; /* ids */
    VEC(struct {
        uint32_t pipe;
        sp_pubsub_active_fn *fn;
    })
    awaiting;
};

struct pubsub {
    struct sp_trie *trie;
    struct sp_queue_limits keep; /* of retained */
    struct sp_queue retained;
    struct sp_upstream *upstreams;
    struct map pending; /* prefix → struct pending */
    struct map tickets; /* ticket → the same */
    uint64_t next_ticket;
    VEC(struct sp_pipe *) to; /* of the message that is being published */
};

/* ---- retained messages ---- */

static void configured(struct sp_topology *t) {
    struct pubsub *s = t->state;
    s->keep = (struct sp_queue_limits){
        .messages = t->config->retain, .bytes = LIMIT_SP_RETAINED_BYTES, .policy = SP_DROP_OLDEST};
    while (s->retained.n > s->keep.messages) sp_message_unref(sp_queue_take(&s->retained));
}

static void shed(struct sp_topology *t) {
    struct pubsub *s = t->state;
    for (uint32_t n = (s->retained.n + 1) / 2; n; n--)
        sp_message_unref(sp_queue_take(&s->retained));
}

static void retain(struct pubsub *s, struct sp_message *m) {
    if (s->keep.messages) sp_queue_put(&s->retained, sp_message_ref(m));
}

static bool starts_with(struct slice body, struct slice prefix) {
    return body.n >= prefix.n && (!prefix.n || memcmp(body.p, prefix.p, prefix.n) == 0);
}

/* Does the edge let it through? */
static bool passes_edge(const struct sp_pipe *p, struct slice body) {
    const struct sp_edge_config *c = p->edge ? p->edge->config : NULL;
    if (!c || !c->n_filters) return true;
    for (size_t i = 0; i < c->n_filters; i++)
        if (starts_with(body, c->filters[i])) return true;
    return false;
}

static void send_retained(struct sp_pipe *p, struct slice prefix) {
    struct pubsub *s = p->topology->state;
    for (uint32_t i = 0; i < s->retained.n && !p->closing; i++) {
        struct sp_message *m = sp_queue_at(&s->retained, i);
        if (starts_with(sp_message_body(m), prefix) && passes_edge(p, sp_message_body(m)))
            sp_pipe_send(p, m);
    }
}

/* ---- subscriptions ---- */

struct sp_trie *sp_pubsub_trie(struct sp_topology *t) {
    return ((struct pubsub *)t->state)->trie;
}

void sp_pubsub_upstream_add(struct sp_topology *t, struct sp_upstream *u) {
    struct pubsub *s = t->state;
    u->next = s->upstreams;
    s->upstreams = u;
}

void sp_pubsub_upstream_remove(struct sp_topology *t, struct sp_upstream *u) {
    struct pubsub *s = t->state;
    for (struct sp_upstream **at = &s->upstreams; *at; at = &(*at)->next) {
        if (*at != u) continue;
        *at = u->next;
        return;
    }
}

static void answer(struct sp_pipe *p, char sign, struct slice prefix) {
    struct sp_message *m = sp_message_new(0, slice_from(NULL, prefix.n + 1));
    char *body = sp_message_body_p(m);
    body[0] = sign;
    if (prefix.n) memcpy(body + 1, prefix.p, prefix.n);
    sp_pipe_control(p, m);
}

static void pending_free(struct pending *w) {
    vec_done(&w->pipes);
    vec_done(&w->awaiting);
    buf_done(&w->prefix);
    free(w);
}

static struct slice ticket_key(const uint64_t *ticket) {
    return slice_from(ticket, sizeof *ticket);
}

/* Tells upstream of a first subscriber. */
static void ask_upstream(struct pubsub *s, struct slice prefix) {
    uint64_t ticket = ++s->next_ticket;
    size_t owed = 0;
    for (struct sp_upstream *u = s->upstreams; u; u = u->next)
        if (u->added(u->user, prefix, ticket)) owed++;
    if (!owed) return;
    struct pending *w = calloc(1, sizeof *w);
    if (!w) abort();
    w->ticket = ticket;
    w->owed = owed;
    buf_slice(&w->prefix, prefix);
    map_put(&s->tickets, ticket_key(&w->ticket), w);
    struct pending *old = map_put(&s->pending, prefix, w);
    if (!old) return;
    for (size_t i = 0; i < old->pipes.n; i++) vec_push(&w->pipes, old->pipes.v[i]);
    for (size_t i = 0; i < old->awaiting.n; i++) vec_push(&w->awaiting, old->awaiting.v[i]);
    map_del(&s->tickets, ticket_key(&old->ticket));
    pending_free(old);
}

static void tell_gone(struct pubsub *s, struct slice prefix) {
    for (struct sp_upstream *u = s->upstreams; u; u = u->next) u->removed(u->user, prefix);
}

static void tell_active(struct sp_topology *t, const struct pending *w) {
    struct pubsub *s = t->state;
    struct slice prefix = buf_view(&w->prefix);
    for (size_t i = 0; i < w->pipes.n; i++) {
        struct sp_pipe *p = sp_topology_pipe(t, w->pipes.v[i]);
        if (!p || !sp_trie_has(s->trie, prefix, p->slot)) continue;
        answer(p, '+', prefix);
        send_retained(p, prefix);
    }
    for (size_t i = 0; i < w->awaiting.n; i++) {
        struct sp_pipe *p = sp_topology_pipe(t, w->awaiting.v[i].pipe);
        if (p) w->awaiting.v[i].fn(p, prefix);
    }
}

void sp_pubsub_confirm(struct sp_topology *t, uint64_t ticket) {
    struct pubsub *s = t->state;
    struct pending *w = map_get(&s->tickets, ticket_key(&ticket));
    if (!w || --w->owed) return;
    map_del(&s->tickets, ticket_key(&ticket));
    map_del(&s->pending, buf_view(&w->prefix));
    tell_active(t, w);
    pending_free(w);
}

static int subscribe(struct sp_pipe *p, struct slice prefix) {
    struct pubsub *s = p->topology->state;
    if (sp_trie_subscriptions_of(s->trie, p->slot) >= LIMIT_SP_SUBSCRIPTIONS_PER_PIPE)
        return -ENOSPC;
    int r = sp_trie_add(s->trie, prefix, p->slot);
    if (r == SP_TRIE_EDGE) ask_upstream(s, prefix);
    return r;
}

int sp_pubsub_subscribe(struct sp_pipe *p, struct slice prefix) {
    int r = subscribe(p, prefix);
    if (r == SP_TRIE_MORE || r == SP_TRIE_EDGE) send_retained(p, prefix);
    return r < 0 ? r : r != SP_TRIE_SAME;
}

bool sp_pubsub_await(struct sp_pipe *p, struct slice prefix, sp_pubsub_active_fn *fn) {
    struct pubsub *s = p->topology->state;
    struct pending *w = map_get(&s->pending, prefix);
    if (!w) return false;
    w->awaiting.v = vec_grow(w->awaiting.v, w->awaiting.n, &w->awaiting.cap, sizeof *w->awaiting.v);
    w->awaiting.v[w->awaiting.n].pipe = p->id;
    w->awaiting.v[w->awaiting.n++].fn = fn;
    return true;
}

int sp_pubsub_unsubscribe(struct sp_pipe *p, struct slice prefix) {
    struct pubsub *s = p->topology->state;
    int r = sp_trie_remove(s->trie, prefix, p->slot);
    if (r == SP_TRIE_EDGE) tell_gone(s, prefix);
    return r < 0 ? r : r != SP_TRIE_SAME;
}

/* `+prefix`: the answer goes before everything that it brings. */
static int control_subscribe(struct sp_pipe *p, struct slice prefix) {
    struct pubsub *s = p->topology->state;
    int r = subscribe(p, prefix);
    if (r < 0) return r;
    struct pending *w = map_get(&s->pending, prefix);
    if (w) {
        vec_push(&w->pipes, p->id);
        return 0;
    }
    answer(p, '+', prefix);
    if (r != SP_TRIE_SAME) send_retained(p, prefix);
    return 0;
}

static int control(struct sp_pipe *p, struct slice body) {
    if (p->raw || p->forwarded || body.n < 1) return -EOPNOTSUPP;
    struct slice prefix = {body.p + 1, body.n - 1};
    int r = -EOPNOTSUPP;
    if (body.p[0] == '+') r = control_subscribe(p, prefix);
    if (body.p[0] == '-') {
        r = sp_pubsub_unsubscribe(p, prefix);
        if (r >= 0) answer(p, '-', prefix);
    }
    if (r == -ENOSPC || r == -EMSGSIZE) sp_pipe_fault(p, "too many or too long subscriptions");
    return r == -EOPNOTSUPP ? r : 0;
}

/* ---- messages ---- */

static int publish(struct sp_topology *t, struct sp_message *m) {
    struct pubsub *s = t->state;
    const uint32_t *slots;
    size_t n = sp_trie_match(s->trie, sp_message_body(m), &slots);
    s->to.n = 0;
    for (size_t i = 0; i < n; i++) {
        struct sp_pipe *q = t->pipes.v[slots[i]];
        if (!q->closing && passes_edge(q, sp_message_body(m))) vec_push(&s->to, q);
    }
    int r = sp_fan_out(m, s->to.v, s->to.n);
    if (r < 0) return r;
    retain(s, m);
    sp_message_unref(m);
    return 0;
}

static int receive(struct sp_pipe *p, struct sp_message *m) {
    struct slice body = sp_message_body(m);
    if (p->role == SP_PUB && passes_edge(p, body)) return publish(p->topology, m);
    int r = 0;
    if (p->role == SP_PUB)
        p->counters.filtered++;
    else
        r = control(p, body);
    if (r == 0) sp_message_unref(m);
    return r;
}

/* ---- life ---- */

static void start(struct sp_topology *t) {
    struct pubsub *s = t->state;
    s->trie = sp_trie_new(LIMIT_SP_TRIE_BYTES);
    sp_queue_init(&s->retained, &s->keep);
    configured(t);
}

static void stop(struct sp_topology *t) {
    struct pubsub *s = t->state;
    struct map_entry *e;
    for (size_t i = 0; (e = map_next(&s->pending, &i));) pending_free(e->value);
    map_done(&s->pending);
    map_done(&s->tickets);
    vec_done(&s->to);
    sp_queue_done(&s->retained);
    sp_trie_free(s->trie);
}

static int attach(struct sp_pipe *p, struct err *err) {
    if (p->role != SP_SUB || !p->raw || p->forwarded) return 0;
    const struct sp_edge_config *c = p->edge ? p->edge->config : NULL;
    int r = c && c->n_filters ? 0 : sp_pubsub_subscribe(p, SLICE(""));
    for (size_t i = 0; c && r >= 0 && i < c->n_filters; i++)
        r = sp_pubsub_subscribe(p, c->filters[i]);
    return r < 0 ? err_errno(err, -r, "subscriptions") : 0;
}

struct gone {
    struct arena *arena;
    struct {
        struct slice *v;
        size_t n;
    } list;
};

static void note_gone(void *user, struct slice prefix) {
    struct gone *g = user;
    *ARENA_PUSH(g->arena, &g->list) =
        slice_from(arena_copy(g->arena, prefix.p, prefix.n), prefix.n);
}

/* The trie must not be looked at while it changes, so upstream hears of it afterwards. */
static void detach(struct sp_pipe *p) {
    struct pubsub *s = p->topology->state;
    if (p->role != SP_SUB) return;
    OWN(arena_free_p) struct arena *a = s->upstreams ? arena_new() : NULL;
    struct gone gone = {.arena = a};
    sp_trie_drop(s->trie, p->slot, a ? note_gone : NULL, &gone);
    for (size_t i = 0; i < gone.list.n; i++) tell_gone(s, gone.list.v[i]);
    sp_topology_resume(p->topology); /* it may have been the one that blocked */
}

static void describe(const struct sp_topology *t, struct buf *out) {
    const struct pubsub *s = t->state;
    buf_printf(out, "subscriptions %zu\nprefixes %zu\nsubscription_bytes %zu\nretained %u\n",
               sp_trie_subscriptions(s->trie), sp_trie_prefixes(s->trie), sp_trie_bytes(s->trie),
               s->retained.n);
}

static const struct sp_pattern_ops pubsub = {.name = "pubsub",
                                             .pattern = SP_PUBSUB,
                                             .state_bytes = sizeof(struct pubsub),
                                             .start = start,
                                             .stop = stop,
                                             .attach = attach,
                                             .detach = detach,
                                             .receive = receive,
                                             .has_room = sp_pattern_resume,
                                             .shed = shed,
                                             .configured = configured,
                                             .describe = describe};
SP_PATTERN(pubsub);
