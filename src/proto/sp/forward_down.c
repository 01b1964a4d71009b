/* Forwarding of subscriptions, the side that receives messages: keeps what the peer holds equal to
 * what is wanted here, as far as the peer's credit goes. */
#include <errno.h>
#include <stdlib.h>

#include "base/own.h"
#include "base/vec.h"
#include "proto/sp/forward_frame.h"

struct waiting {
    uint64_t ticket;
    uint64_t sequence; /* whose ACK it waits for; NEXT_SYNC until that is known */
};
#define NEXT_SYNC UINT64_MAX

struct sp_forward_down {
    const struct sp_forward_down_ops *ops;
    void *user;
    const struct sp_trie *wanted;
    struct sp_trie *sent; /* what the peer holds once it has read all we sent */
    struct buf frame;
    uint64_t epoch, sequence, acked, last_message;
    uint64_t looked_at; /* tickets below this waited when time was last looked at */
    uint32_t subscriptions_max, credit;
    bool greeted, dirty, everything, snapshot, suspended;
    VEC(struct waiting) waiting; /* ascending; those before waiting_at are confirmed */
    size_t waiting_at;
};

static void down_send(struct sp_forward_down *d) {
    d->ops->send(d->user, buf_view(&d->frame));
    buf_clear(&d->frame);
}

struct sp_forward_down *sp_forward_down_new(const struct sp_forward_self *self,
                                            const struct sp_trie *wanted, uint64_t epoch,
                                            const struct sp_forward_down_ops *ops, void *user) {
    struct sp_forward_down *d = calloc(1, sizeof *d);
    if (!d) abort();
    d->ops = ops;
    d->user = user;
    d->wanted = wanted;
    d->sent = sp_trie_new(0);
    d->epoch = epoch;
    d->subscriptions_max = self->subscriptions_max;
    forward_hello_write(&d->frame, self, false);
    down_send(d);
    return d;
}

static void confirm_until(struct sp_forward_down *d, uint64_t sequence) {
    while (d->waiting_at < d->waiting.n && d->waiting.v[d->waiting_at].sequence <= sequence)
        d->ops->confirm(d->user, d->waiting.v[d->waiting_at++].ticket);
    if (d->waiting_at * 2 < d->waiting.n || d->waiting.n == 0) return;
    d->waiting.n -= d->waiting_at;
    memmove(d->waiting.v, d->waiting.v + d->waiting_at, d->waiting.n * sizeof *d->waiting.v);
    d->waiting_at = 0;
}

size_t sp_forward_down_overdue(struct sp_forward_down *d, bool *more) {
    size_t before = d->waiting_at;
    while (d->waiting_at < d->waiting.n && d->waiting.v[d->waiting_at].ticket < d->looked_at)
        d->ops->confirm(d->user, d->waiting.v[d->waiting_at++].ticket);
    *more = d->waiting_at < d->waiting.n;
    if (*more) d->looked_at = d->waiting.v[d->waiting.n - 1].ticket + 1;
    return d->waiting_at - before;
}

void sp_forward_down_free(struct sp_forward_down *d) {
    if (!d) return;
    confirm_until(d, NEXT_SYNC);
    vec_done(&d->waiting);
    sp_trie_free(d->sent);
    buf_done(&d->frame);
    free(d);
}

/* ---- Telling the peer ---- */

/* False: no credit is left; a later sync does it. */
static bool down_tell(struct sp_forward_down *d, enum forward_kind kind, struct slice prefix) {
    if (d->sequence - d->acked >= d->credit) {
        d->dirty = true;
        return false;
    }
    forward_put(&d->frame, kind, 1);
    forward_put(&d->frame, d->epoch, 8);
    forward_put(&d->frame, ++d->sequence, 8);
    buf_slice(&d->frame, prefix);
    down_send(d);
    if (kind == SUBSCRIBE)
        sp_trie_add(d->sent, prefix, 0);
    else
        sp_trie_remove(d->sent, prefix, 0);
    return true;
}

/* Prefixes are collected before anything is told, since telling changes the trie walked over. */
struct collected {
    struct buf text;
    VEC(size_t) ends;
    const struct sp_trie *without; /* those it holds are left out; NULL: none */
};

static void collect(void *user, struct slice prefix) {
    struct collected *c = user;
    if (c->without && sp_trie_holds(c->without, prefix)) return;
    buf_slice(&c->text, prefix);
    vec_push(&c->ends, c->text.n);
}

static void collected_done(struct collected *c) {
    buf_done(&c->text);
    vec_done(&c->ends);
}

static bool tell_collected(struct sp_forward_down *d, enum forward_kind kind, struct collected *c) {
    bool all = true;
    for (size_t i = 0, from = 0; all && i < c->ends.n; from = c->ends.v[i++])
        all = down_tell(d, kind, slice_from(c->text.p + from, c->ends.v[i] - from));
    collected_done(c);
    return all;
}

/* ---- What has to travel: everything, or each prefix that no other covers ---- */

static bool wants_all(const struct sp_forward_down *d) {
    if (d->suspended) return false;
    return d->everything || sp_trie_holds(d->wanted, SLICE(""));
}

static bool has_to_travel(const struct sp_forward_down *d, struct slice prefix) {
    if (d->suspended) return false;
    if (wants_all(d)) return prefix.n == 0;
    return sp_trie_holds(d->wanted, prefix) && !sp_trie_covered(d->wanted, prefix);
}

static void count(void *user, struct slice prefix) { ++*(size_t *)user; }

struct surplus {
    const struct sp_forward_down *d;
    struct collected c;
};
static void collect_surplus(void *user, struct slice prefix) {
    struct surplus *s = user;
    if (!has_to_travel(s->d, prefix)) collect(&s->c, prefix);
}

static void each_surplus(const struct sp_forward_down *d, struct surplus *s) {
    if (sp_trie_holds(d->sent, SLICE(""))) collect_surplus(s, SLICE(""));
    sp_trie_below(d->sent, SLICE(""), collect_surplus, s);
}

/* Nothing is left to be told: the snapshot is complete, and who waits knows for what. */
static void down_synced(struct sp_forward_down *d) {
    if (d->snapshot) {
        forward_put(&d->frame, END, 1);
        forward_put(&d->frame, d->epoch, 8);
        down_send(d);
        d->snapshot = false;
    }
    for (size_t i = d->waiting.n; i-- > d->waiting_at && d->waiting.v[i].sequence == NEXT_SYNC;)
        d->waiting.v[i].sequence = d->sequence;
    confirm_until(d, d->acked);
}

/* Makes the peer hold what has to travel, as far as the credit goes: first what is new, so that
 * nothing is missed meanwhile, then what is too much. */
static void down_sync(struct sp_forward_down *d) {
    d->dirty = false;
    size_t n = 0;
    if (!wants_all(d) && !d->suspended) sp_trie_below(d->wanted, SLICE(""), count, &n);
    if (n > d->subscriptions_max) d->everything = true;
    struct collected news = {.without = d->sent};
    if (wants_all(d))
        collect(&news, SLICE(""));
    else if (!d->suspended)
        sp_trie_below(d->wanted, SLICE(""), collect, &news);
    if (!tell_collected(d, SUBSCRIBE, &news)) return;
    for (bool more = true; more;) { /* below a prefix that goes, others may come to light */
        struct surplus s = {.d = d};
        each_surplus(d, &s);
        more = s.c.ends.n > 0;
        if (!tell_collected(d, UNSUBSCRIBE, &s.c)) return;
    }
    down_synced(d);
}

bool sp_forward_down_added(struct sp_forward_down *d, struct slice prefix, uint64_t ticket) {
    if (!d->greeted || d->suspended) return false;
    if (!d->dirty && !sp_trie_wants(d->sent, prefix)) {
        struct collected below = {.without = NULL};
        sp_trie_below(d->sent, prefix, collect, &below);
        if (sp_trie_prefixes(d->sent) - below.ends.n >= d->subscriptions_max) {
            collected_done(&below);
            down_sync(d);
        } else if (down_tell(d, SUBSCRIBE, prefix)) {
            tell_collected(d, UNSUBSCRIBE, &below);
        } else {
            collected_done(&below);
        }
    }
    uint64_t wait_for = d->dirty ? NEXT_SYNC : d->sequence;
    if (wait_for <= d->acked) return false;
    vec_push(&d->waiting, (struct waiting){ticket, wait_for});
    return true;
}

void sp_forward_down_removed(struct sp_forward_down *d, struct slice prefix) {
    if (!d->greeted || d->suspended || d->dirty) return;
    if (d->everything) {
        if (sp_trie_prefixes(d->wanted) > d->subscriptions_max / 2) return;
        d->everything = false;
        down_sync(d);
        return;
    }
    if (!sp_trie_holds(d->sent, prefix)) return;
    struct collected below = {.without = NULL};
    sp_trie_below(d->wanted, prefix, collect, &below);
    if (sp_trie_prefixes(d->sent) - 1 + below.ends.n > d->subscriptions_max) {
        collected_done(&below);
        down_sync(d);
    } else if (tell_collected(d, SUBSCRIBE, &below)) {
        down_tell(d, UNSUBSCRIBE, prefix);
    }
}

void sp_forward_down_suspend(struct sp_forward_down *d, bool suspended) {
    if (d->suspended == suspended) return;
    d->suspended = suspended;
    if (d->greeted) down_sync(d);
}

/* ---- What the peer says ---- */

static int down_hello(struct sp_forward_down *d, struct forward_reader *r, struct err *err) {
    struct forward_hello h;
    int e = forward_hello_read(r, true, &h, err);
    if (e < 0) return e;
    if (d->greeted) return forward_broken(err, "greeted twice");
    e = d->ops->hello(d->user, h.id, h.name, h.topology, err);
    if (e < 0) return e;
    d->greeted = d->snapshot = true;
    d->credit = h.credit;
    d->subscriptions_max = MIN_OF(d->subscriptions_max, h.subscriptions_max);
    forward_put(&d->frame, SNAPSHOT, 1);
    forward_put(&d->frame, d->epoch, 8);
    down_send(d);
    down_sync(d);
    return 0;
}

static int down_ack(struct sp_forward_down *d, struct forward_reader *r, struct err *err) {
    uint64_t epoch = forward_get(r, 8), sequence = forward_get(r, 8);
    if (r->bad || r->left.n) return forward_broken(err, "acknowledgement is malformed");
    if (epoch != d->epoch) return 0; /* meant for a connection before this one */
    if (sequence > d->sequence || sequence < d->acked)
        return forward_broken(err, "acknowledgement of what was not sent");
    d->acked = sequence;
    confirm_until(d, sequence);
    if (d->dirty && d->sequence - d->acked <= d->credit / 2) down_sync(d);
    return 0;
}

/* NODES: count u16, then each: number u32, id u64, distance u8, name */
static int down_nodes(struct sp_forward_down *d, struct forward_reader *r, struct err *err) {
    size_t n = forward_get(r, 2);
    if (n > SP_FORWARD_NODES_MAX) return forward_broken(err, "more nodes than are taken");
    OWN(free_p) struct sp_forward_node *v = calloc(n + 1, sizeof *v);
    if (!v) abort();
    for (size_t i = 0; i < n && !r->bad; i++) {
        v[i].number = (uint32_t)forward_get(r, 4);
        v[i].id = forward_get(r, 8);
        v[i].distance = (uint8_t)forward_get(r, 1);
        v[i].name = forward_get_text(r);
    }
    if (r->bad || r->left.n) return forward_broken(err, "list of nodes is malformed");
    return d->ops->nodes(d->user, v, n, err);
}

static int down_message(struct sp_forward_down *d, struct forward_reader *r,
                        struct sp_forward_message *ret, uint64_t *ret_gap, struct err *err) {
    struct sp_forward_message m = {.sequence = forward_get(r, 6)};
    m.hops = (uint8_t)forward_get(r, 1);
    m.origin = (uint32_t)forward_get(r, 4);
    if (r->bad) return forward_broken(err, "message without its head");
    if (m.sequence <= d->last_message) return forward_broken(err, "message out of sequence");
    m.body = r->left;
    *ret_gap = m.sequence - d->last_message - 1;
    d->last_message = m.sequence;
    *ret = m;
    return 1;
}

int sp_forward_down_input(struct sp_forward_down *d, struct slice frame,
                          struct sp_forward_message *ret, uint64_t *ret_gap, struct err *err) {
    struct forward_reader r = {.left = frame};
    unsigned kind = (unsigned)forward_get(&r, 1);
    if (kind == HELLO) return down_hello(d, &r, err);
    if (!d->greeted) return forward_broken(err, "peer has not greeted");
    if (kind == MESSAGE) return down_message(d, &r, ret, ret_gap, err);
    if (kind == ACK) return down_ack(d, &r, err);
    if (kind == NODES) return down_nodes(d, &r, err);
    return forward_broken(err, "frame of an unknown kind");
}

size_t sp_forward_down_sent(const struct sp_forward_down *d) { return sp_trie_prefixes(d->sent); }
bool sp_forward_down_everything(const struct sp_forward_down *d) { return d->everything; }
