/* Forwarding of subscriptions, the side that sends messages: passes subscriptions on and says when
 * they are active. */
#include <errno.h>
#include <stdlib.h>

#include "base/own.h"
#include "proto/sp/forward_frame.h"

enum { OUTSTANDING_MAX = SP_FORWARD_CREDIT, GENERATIONS_MAX = 64 };

struct sp_forward_up {
    const struct sp_forward_up_ops *ops;
    void *user;
    struct sp_trie *held; /* subscribers are the snapshots that named the prefix */
    struct buf frame;
    uint64_t epoch, sequence, acked;
    uint32_t subscriptions_max, generation, oldest;
    bool greeted;
    bool active[OUTSTANDING_MAX]; /* by sequence: done, but one before it is not */
};

static void up_send(struct sp_forward_up *u) {
    u->ops->send(u->user, buf_view(&u->frame));
    buf_clear(&u->frame);
}

struct sp_forward_up *sp_forward_up_new(const struct sp_forward_self *self,
                                        const struct sp_forward_up_ops *ops, void *user) {
    struct sp_forward_up *u = calloc(1, sizeof *u);
    if (!u) abort();
    u->ops = ops;
    u->user = user;
    u->held = sp_trie_new(0);
    u->subscriptions_max = self->subscriptions_max;
    forward_hello_write(&u->frame, self, true);
    up_send(u);
    return u;
}

void sp_forward_up_free(struct sp_forward_up *u) {
    if (!u) return;
    sp_trie_free(u->held);
    buf_done(&u->frame);
    free(u);
}

void sp_forward_up_active(struct sp_forward_up *u, uint64_t sequence) {
    if (sequence <= u->acked || sequence > u->sequence) return; /* of an epoch before */
    u->active[sequence % OUTSTANDING_MAX] = true;
    uint64_t before = u->acked;
    while (u->acked < u->sequence && u->active[(u->acked + 1) % OUTSTANDING_MAX])
        u->active[++u->acked % OUTSTANDING_MAX] = false;
    if (u->acked == before) return;
    forward_put(&u->frame, ACK, 1);
    forward_put(&u->frame, u->epoch, 8);
    forward_put(&u->frame, u->acked, 8);
    up_send(u);
}

void sp_forward_up_nodes(struct sp_forward_up *u, const struct sp_forward_node *v, size_t n) {
    n = MIN_OF(n, (size_t)SP_FORWARD_NODES_MAX);
    forward_put(&u->frame, NODES, 1);
    forward_put(&u->frame, n, 2);
    for (size_t i = 0; i < n; i++) {
        forward_put(&u->frame, v[i].number, 4);
        forward_put(&u->frame, v[i].id, 8);
        forward_put(&u->frame, v[i].distance, 1);
        forward_put_text(&u->frame, v[i].name);
    }
    up_send(u);
}

static int up_snapshot(struct sp_forward_up *u, struct forward_reader *r, struct err *err) {
    uint64_t epoch = forward_get(r, 8);
    if (r->bad || r->left.n) return forward_broken(err, "snapshot is malformed");
    if (epoch <= u->epoch) return forward_broken(err, "snapshot of an epoch that is over");
    if (u->generation - u->oldest >= GENERATIONS_MAX)
        return forward_broken(err, "snapshots are begun and not ended");
    u->epoch = epoch;
    u->generation++;
    u->sequence = u->acked = 0;
    memset(u->active, 0, sizeof u->active);
    return 0;
}

static void up_gone(void *user, struct slice prefix) {
    struct sp_forward_up *u = user;
    u->ops->unsubscribe(u->user, prefix);
}

/* What the snapshot did not name is not wanted any more. */
static int up_end(struct sp_forward_up *u, struct forward_reader *r, struct err *err) {
    uint64_t epoch = forward_get(r, 8);
    if (r->bad || r->left.n) return forward_broken(err, "end of a snapshot is malformed");
    if (epoch != u->epoch) return 0;
    for (; u->oldest < u->generation; u->oldest++) sp_trie_drop(u->held, u->oldest, up_gone, u);
    return 0;
}

/* 1: go on; 0: of an epoch before, nothing to do. */
static int up_next(struct sp_forward_up *u, struct forward_reader *r, uint64_t *ret,
                   struct err *err) {
    uint64_t epoch = forward_get(r, 8), sequence = forward_get(r, 8);
    if (r->bad) return forward_broken(err, "subscription is malformed");
    if (epoch != u->epoch || epoch == 0) return 0;
    if (sequence != u->sequence + 1) return forward_broken(err, "subscriptions out of sequence");
    if (sequence - u->acked > OUTSTANDING_MAX) return forward_broken(err, "more than the credit");
    *ret = u->sequence = sequence;
    return 1;
}

static int up_subscribe(struct sp_forward_up *u, struct forward_reader *r, struct err *err) {
    uint64_t sequence;
    int e = up_next(u, r, &sequence, err);
    if (e <= 0) return e;
    bool fresh = !sp_trie_holds(u->held, r->left);
    /* Twice as many, for the moment in which others take the place of those that go. */
    if (fresh && sp_trie_prefixes(u->held) >= 2 * (uint64_t)u->subscriptions_max + 1)
        return forward_broken(err, "more subscriptions than are taken");
    e = sp_trie_add(u->held, r->left, u->generation);
    if (e < 0) return forward_broken(err, "prefix is too long");
    if (fresh) return u->ops->subscribe(u->user, r->left, sequence, err);
    sp_forward_up_active(u, sequence);
    return 0;
}

static int up_unsubscribe(struct sp_forward_up *u, struct forward_reader *r, struct err *err) {
    uint64_t sequence;
    int e = up_next(u, r, &sequence, err);
    if (e <= 0) return e;
    for (uint32_t g = u->oldest; g <= u->generation; g++)
        if (sp_trie_remove(u->held, r->left, g) == SP_TRIE_EDGE)
            u->ops->unsubscribe(u->user, r->left);
    sp_forward_up_active(u, sequence);
    return 0;
}

static int up_hello(struct sp_forward_up *u, struct forward_reader *r, struct err *err) {
    struct forward_hello h;
    int e = forward_hello_read(r, false, &h, err);
    if (e < 0) return e;
    if (u->greeted) return forward_broken(err, "greeted twice");
    u->greeted = true;
    return u->ops->hello(u->user, h.id, h.name, h.topology, err);
}

int sp_forward_up_input(struct sp_forward_up *u, struct slice frame, struct err *err) {
    static int (*const table[])(struct sp_forward_up *, struct forward_reader *, struct err *) = {
        [HELLO] = up_hello,         [SNAPSHOT] = up_snapshot,       [END] = up_end,
        [SUBSCRIBE] = up_subscribe, [UNSUBSCRIBE] = up_unsubscribe,
    };
    struct forward_reader r = {.left = frame};
    unsigned kind = (unsigned)forward_get(&r, 1);
    if (r.bad || kind >= ARRAY_LEN(table) || !table[kind])
        return forward_broken(err, "frame of an unknown kind");
    if (kind != HELLO && !u->greeted) return forward_broken(err, "peer has not greeted");
    return table[kind](u, &r, err);
}

size_t sp_forward_up_held(const struct sp_forward_up *u) { return sp_trie_prefixes(u->held); }
