#include "proto/sp/trie.h"

#include <errno.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/limits.h"
#include "base/own.h"
#include "proto/sp/trie_store.h"

struct sp_trie *sp_trie_new(size_t limit_bytes) {
    struct sp_trie *t = calloc(1, sizeof *t);
    if (!t) abort();
    t->limit_bytes = limit_bytes;
    t->bytes = sizeof *t;
    trie_node_new(t, 0, NULL, 0);
    return t;
}

void sp_trie_free(struct sp_trie *t) {
    if (!t) return;
    for (uint32_t i = 0; i < t->lists_n; i++) free(t->lists[i]);
    for (uint32_t i = 0; i < t->subscribers_n; i++) free(t->subscribers[i].nodes);
    trie_arrays_free(t);
    free(t->lists);
    free(t->free_lists);
    free(t->subscribers);
    free(t->found);
    free(t);
}

/* ---- Walking down ---- */

/* A place on the way along some bytes: node's prefix is their first `at` bytes. */
struct walk {
    const struct sp_trie *t;
    struct slice bytes;
    uint32_t node;
    size_t at;
};

static struct walk walk_from_root(const struct sp_trie *t, struct slice bytes) {
    return (struct walk){t, bytes, 0, 0};
}

/* Bytes that the label shares with what is left of the way. */
static size_t shared(const struct walk *w, const struct trie_node *child) {
    size_t n = MIN_OF((size_t)child->label_n, w->bytes.n - w->at), i = 0;
    const char *p = w->bytes.p + w->at;
    while (i < n && child->label[i] == (uint8_t)p[i]) i++;
    return i;
}

/* The child that begins as the way goes on; 0: none. */
static uint32_t walk_ahead(const struct walk *w) {
    if (w->at == w->bytes.n) return 0;
    return trie_child(w->t, &w->t->nodes[w->node], (uint8_t)w->bytes.p[w->at]);
}

/* To that child, if all of its label lies on the way. */
static inline bool walk_down(struct walk *w) {
    uint32_t child = walk_ahead(w);
    if (!child) return false;
    const struct trie_node *c = &w->t->nodes[child];
    if (shared(w, c) < c->label_n) return false;
    w->node = child;
    w->at += c->label_n;
    return true;
}

/* The node of exactly these bytes; -1: none. */
static int64_t find(const struct sp_trie *t, struct slice prefix) {
    struct walk w = walk_from_root(t, prefix);
    while (walk_down(&w)) continue;
    return w.at == prefix.n ? (int64_t)w.node : -1;
}

/* ---- Changing ---- */

/* Puts a node in the middle of a child's label, after n of its bytes. */
static uint32_t split(struct sp_trie *t, uint32_t child, size_t n) {
    uint32_t parent = t->nodes[child].parent;
    uint8_t label[TRIE_LABEL_BYTES];
    memcpy(label, t->nodes[child].label, sizeof label);
    uint32_t middle = trie_node_new(t, parent, label, n);
    trie_child_replace(t, parent, label[0], middle);
    struct trie_node *c = &t->nodes[child];
    c->parent = middle;
    c->label_n = (uint8_t)(c->label_n - n);
    memmove(c->label, label + n, c->label_n);
    trie_child_add(t, middle, c->label[0], child);
    return middle;
}

/* The node of exactly this prefix, made when it is not there. */
static uint32_t reach(struct sp_trie *t, struct slice prefix) {
    struct walk w = walk_from_root(t, prefix);
    while (walk_down(&w)) continue;
    uint32_t child = walk_ahead(&w);
    if (child) {
        size_t n = shared(&w, &t->nodes[child]);
        w.node = split(t, child, n);
        w.at += n;
    }
    while (w.at < prefix.n) {
        size_t n = MIN_OF(prefix.n - w.at, (size_t)TRIE_LABEL_BYTES);
        const char *label = prefix.p + w.at;
        uint32_t next = trie_node_new(t, w.node, label, n);
        trie_child_add(t, w.node, (uint8_t)label[0], next);
        w.node = next;
        w.at += n;
    }
    return w.node;
}

/* A node that only leads on to one child goes into that child's label, where both fit. */
static void join(struct sp_trie *t, uint32_t node) {
    struct trie_node *n = &t->nodes[node];
    if (node == 0 || n->set || n->n_children != 1) return;
    uint32_t child = n->children;
    struct trie_node *c = &t->nodes[child];
    if (c->label_n + n->label_n > TRIE_LABEL_BYTES) return;
    memmove(c->label + n->label_n, c->label, c->label_n);
    memcpy(c->label, n->label, n->label_n);
    c->label_n = (uint8_t)(c->label_n + n->label_n);
    c->parent = n->parent;
    trie_child_replace(t, n->parent, n->label[0], child);
    trie_node_free(t, node);
}

/* After a set became empty: removes what leads nowhere. */
static void prune(struct sp_trie *t, uint32_t node) {
    while (node && !t->nodes[node].set && t->nodes[node].n_children == 0) {
        uint32_t parent = t->nodes[node].parent;
        trie_child_remove(t, parent, t->nodes[node].label[0]);
        trie_node_free(t, node);
        node = parent;
    }
    join(t, node);
}

/* The most that one more subscription can take, arrays that have to grow included. */
static size_t worst_growth(const struct sp_trie *t, struct slice prefix, uint32_t subscriber) {
    size_t new_nodes = prefix.n / TRIE_LABEL_BYTES + 3;
    size_t rows = subscriber < t->subscribers_n
                      ? 0
                      : MAX_OF(t->subscribers_n / 8 + 8u, subscriber + 1u - t->subscribers_n);
    return new_nodes * (sizeof(struct trie_node) + 16) + 4096 + rows * sizeof *t->subscribers +
           trie_growth(t->nodes_n + new_nodes, t->nodes_cap, sizeof *t->nodes) +
           trie_growth(t->words_n + 512, t->words_cap, sizeof *t->words);
}

int sp_trie_add(struct sp_trie *t, struct slice prefix, uint32_t subscriber) {
    if (subscriber >= SP_TRIE_SUBSCRIBERS_MAX) return -EINVAL;
    if (prefix.n > LIMIT_SP_PREFIX_BYTES) return -EMSGSIZE;
    if (sp_trie_has(t, prefix, subscriber)) return SP_TRIE_SAME;
    if (t->limit_bytes && t->bytes + worst_growth(t, prefix, subscriber) > t->limit_bytes)
        return -ENOSPC;
    trie_subscriber_need(t, subscriber);
    uint32_t node = reach(t, prefix);
    bool first = t->nodes[node].set == 0;
    trie_set_add(t, &t->nodes[node].set, subscriber);
    trie_subscriber_joined(t, subscriber, node);
    t->subscriptions++;
    if (first) t->prefixes++;
    return first ? SP_TRIE_EDGE : SP_TRIE_MORE;
}

/* True: that was the last subscriber; the node is to be pruned. */
static bool leave(struct sp_trie *t, uint32_t node, uint32_t subscriber) {
    trie_set_remove(t, &t->nodes[node].set, subscriber);
    t->subscribers[subscriber].count--;
    t->subscriptions--;
    if (t->nodes[node].set) return false;
    t->prefixes--;
    return true;
}

static void forget_nodes(struct sp_trie *t, struct trie_subscriber *s) {
    t->bytes -= s->cap * sizeof *s->nodes;
    free(s->nodes);
    s->nodes = NULL;
    s->n = s->cap = 0;
}

int sp_trie_remove(struct sp_trie *t, struct slice prefix, uint32_t subscriber) {
    int64_t at = find(t, prefix);
    if (at < 0 || !trie_set_has(t, t->nodes[at].set, subscriber)) return SP_TRIE_SAME;
    bool last = leave(t, (uint32_t)at, subscriber);
    if (last) prune(t, (uint32_t)at);
    if (t->subscribers[subscriber].count == 0) forget_nodes(t, &t->subscribers[subscriber]);
    return last ? SP_TRIE_EDGE : SP_TRIE_MORE;
}

/* The prefix of a node, written from the end of the room to its front. */
static struct slice prefix_of(const struct sp_trie *t, uint32_t node, char *room, size_t room_n) {
    char *p = room + room_n;
    for (; node; node = t->nodes[node].parent) {
        const struct trie_node *n = &t->nodes[node];
        p -= n->label_n;
        memcpy(p, n->label, n->label_n);
    }
    return slice_from(p, (size_t)(room + room_n - p));
}

void sp_trie_drop(struct sp_trie *t, uint32_t subscriber, sp_trie_prefix_fn *gone, void *user) {
    if (subscriber >= t->subscribers_n) return;
    struct trie_subscriber *s = &t->subscribers[subscriber];
    char room[LIMIT_SP_PREFIX_BYTES];
    for (uint32_t i = 0; i < s->n; i++) {
        uint32_t node = s->nodes[i];
        if (!trie_set_has(t, t->nodes[node].set, subscriber)) continue;
        if (!leave(t, node, subscriber)) continue;
        if (gone) gone(user, prefix_of(t, node, room, sizeof room));
        prune(t, node);
    }
    forget_nodes(t, s);
}

/* ---- Asking ---- */

bool sp_trie_has(const struct sp_trie *t, struct slice prefix, uint32_t subscriber) {
    int64_t at = find(t, prefix);
    return at >= 0 && trie_set_has(t, t->nodes[at].set, subscriber);
}

bool sp_trie_holds(const struct sp_trie *t, struct slice prefix) {
    int64_t at = find(t, prefix);
    return at >= 0 && t->nodes[at].set != 0;
}

bool sp_trie_wants(const struct sp_trie *t, struct slice body) {
    struct walk w = walk_from_root(t, body);
    do {
        if (t->nodes[w.node].set) return true;
    } while (walk_down(&w));
    return false;
}

bool sp_trie_covered(const struct sp_trie *t, struct slice prefix) {
    return prefix.n > 0 && sp_trie_wants(t, slice_from(prefix.p, prefix.n - 1));
}

static void found_add(struct sp_trie *t, uint32_t set) {
    uint32_t one;
    const uint32_t *v;
    size_t n = trie_set_view(t, set, &one, &v);
    if (t->found_n + n > t->found_cap) {
        size_t cap = t->found_n + n + t->found_cap / 2 + 16;
        uint32_t *grown = realloc(t->found, cap * sizeof *grown);
        if (!grown) abort();
        t->bytes += (cap - t->found_cap) * sizeof *grown;
        t->found = grown;
        t->found_cap = cap;
    }
    for (size_t i = 0; i < n; i++) {
        struct trie_subscriber *s = &t->subscribers[v[i]];
        if (s->mark == t->mark) continue;
        s->mark = t->mark;
        t->found[t->found_n++] = v[i];
    }
}

static void begin_marks(struct sp_trie *t) {
    t->found_n = 0;
    if (++t->mark) return;
    for (uint32_t i = 0; i < t->subscribers_n; i++) t->subscribers[i].mark = 0;
    t->mark = 1;
}

size_t sp_trie_match(struct sp_trie *t, struct slice body, const uint32_t **ret) {
    struct walk w = walk_from_root(t, body);
    uint32_t only = 0;
    bool several = false;
    do {
        uint32_t set = t->nodes[w.node].set;
        if (!set) continue;
        if (only == 0) {
            only = set;
            continue;
        }
        if (!several) {
            several = true;
            begin_marks(t);
            found_add(t, only);
        }
        found_add(t, set);
    } while (walk_down(&w));
    if (!several) return trie_set_view(t, only, &t->one, ret);
    *ret = t->found;
    return t->found_n;
}

/* ---- What lies below a prefix ---- */

/* The next node in the order of bytes that is not below this one; 0: `top` is done. Takes the
 * labels it leaves off the text. */
static uint32_t next_beside(const struct sp_trie *t, uint32_t node, uint32_t top,
                            struct buf *text) {
    while (node != top) {
        const struct trie_node *n = &t->nodes[node];
        uint32_t next = trie_child_after(t, &t->nodes[n->parent], n->label[0]);
        text->n -= n->label_n;
        if (next) return next;
        node = n->parent;
    }
    return 0;
}

static void each_top(const struct sp_trie *t, uint32_t top, struct buf *text, sp_trie_prefix_fn *fn,
                     void *user) {
    uint32_t node = trie_child_after(t, &t->nodes[top], -1);
    while (node) {
        const struct trie_node *n = &t->nodes[node];
        buf_append(text, n->label, n->label_n);
        uint32_t next = n->set ? 0 : trie_child_after(t, n, -1);
        if (n->set) fn(user, buf_view(text));
        node = next ? next : next_beside(t, node, top, text);
    }
}

void sp_trie_below(const struct sp_trie *t, struct slice prefix, sp_trie_prefix_fn *fn,
                   void *user) {
    struct walk w = walk_from_root(t, prefix);
    while (walk_down(&w)) continue;
    OWN(buf_done) struct buf text = {0};
    buf_append(&text, prefix.p, w.at);
    if (w.at == prefix.n) {
        each_top(t, w.node, &text, fn, user);
        return;
    }
    uint32_t child = walk_ahead(&w); /* the prefix may end within its label */
    if (!child || shared(&w, &t->nodes[child]) < prefix.n - w.at) return;
    buf_append(&text, t->nodes[child].label, t->nodes[child].label_n);
    if (t->nodes[child].set)
        fn(user, buf_view(&text));
    else
        each_top(t, child, &text, fn, user);
}

/* ---- Counters ---- */

size_t sp_trie_subscriptions(const struct sp_trie *t) { return t->subscriptions; }
size_t sp_trie_prefixes(const struct sp_trie *t) { return t->prefixes; }
size_t sp_trie_bytes(const struct sp_trie *t) { return t->bytes; }
size_t sp_trie_subscriptions_of(const struct sp_trie *t, uint32_t subscriber) {
    return subscriber < t->subscribers_n ? t->subscribers[subscriber].count : 0;
}
