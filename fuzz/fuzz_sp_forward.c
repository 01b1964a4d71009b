/* Forwarding of subscriptions: hostile frames on both sides, between changes of what is wanted. The
 * input is a list of u8 operation, u8 length, bytes. */
#include "base/own.h"
#include "fuzz/fuzz.h"
#include "proto/sp/forward.h"

enum { SUBSCRIPTIONS_MAX = 8 };

struct state {
    struct sp_forward_up *up;
    struct sp_trie *wanted, *installed;
    uint64_t tickets, open, last;
};

static void send_frame(void *user, struct slice frame) { FUZZ_ASSERT(frame.n > 0); }
static void confirm(void *user, uint64_t ticket) { ((struct state *)user)->open--; }
static int hello(void *user, uint64_t id, struct slice name, struct slice topology,
                 struct err *err) {
    FUZZ_ASSERT(name.n <= SP_FORWARD_NAME_MAX && topology.n <= SP_FORWARD_NAME_MAX);
    return 0;
}
static int nodes(void *user, const struct sp_forward_node *v, size_t n, struct err *err) {
    FUZZ_ASSERT(n <= SP_FORWARD_NODES_MAX);
    for (size_t i = 0; i < n; i++) FUZZ_ASSERT(v[i].name.n <= SP_FORWARD_NAME_MAX);
    return 0;
}
static int subscribe(void *user, struct slice prefix, uint64_t sequence, struct err *err) {
    struct state *s = user;
    FUZZ_ASSERT(sp_trie_add(s->installed, prefix, 0) == SP_TRIE_EDGE);
    s->last = sequence;
    if (sequence % 3) sp_forward_up_active(s->up, sequence);
    return 0;
}
static void unsubscribe(void *user, struct slice prefix) {
    struct state *s = user;
    FUZZ_ASSERT(sp_trie_remove(s->installed, prefix, 0) == SP_TRIE_EDGE);
}

static bool next(struct slice *in, uint8_t *op, struct slice *bytes) {
    if (in->n < 2) return false;
    *op = (uint8_t)in->p[0];
    size_t n = MIN_OF((size_t)(uint8_t)in->p[1], in->n - 2);
    *bytes = slice_from(in->p + 2, n);
    *in = slice_from(in->p + 2 + n, in->n - 2 - n);
    return true;
}

static void want(struct state *s, struct sp_forward_down *down, struct slice prefix) {
    if (sp_trie_add(s->wanted, prefix, 0) != SP_TRIE_EDGE) return;
    s->open++;
    if (!sp_forward_down_added(down, prefix, s->tickets++)) s->open--;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const struct sp_forward_down_ops down_ops = {send_frame, confirm, hello, nodes};
    static const struct sp_forward_up_ops up_ops = {send_frame, subscribe, unsubscribe, hello};
    static const struct sp_forward_self self = {1, "o/n", "t", SUBSCRIPTIONS_MAX};
    struct state s = {.wanted = sp_trie_new(0), .installed = sp_trie_new(0)};
    struct sp_forward_down *down = sp_forward_down_new(&self, s.wanted, 1, &down_ops, &s);
    s.up = sp_forward_up_new(&self, &up_ops, &s);
    struct slice in = slice_from(data, size), bytes;
    bool up_open = true, down_open = true;
    uint8_t op;
    while (next(&in, &op, &bytes)) {
        struct sp_forward_message m;
        uint64_t gap;
        struct err err;
        if (op % 8 < 3 && up_open)
            up_open = sp_forward_up_input(s.up, bytes, &err) >= 0;
        else if (op % 8 < 5 && down_open)
            down_open = sp_forward_down_input(down, bytes, &m, &gap, &err) >= 0;
        else if (op % 8 == 5)
            want(&s, down, bytes);
        else if (op % 8 == 6 && sp_trie_remove(s.wanted, bytes, 0) == SP_TRIE_EDGE)
            sp_forward_down_removed(down, bytes);
        else if (op % 8 == 7)
            sp_forward_up_active(s.up, op / 8);
        FUZZ_ASSERT(sp_forward_up_held(s.up) <= 2 * SUBSCRIPTIONS_MAX + 1);
        FUZZ_ASSERT(sp_forward_up_held(s.up) == sp_trie_prefixes(s.installed));
        FUZZ_ASSERT(sp_forward_down_sent(down) <= 2 * SUBSCRIPTIONS_MAX + 1);
    }
    sp_forward_down_free(down);
    FUZZ_ASSERT(s.open == 0);
    sp_forward_up_free(s.up);
    sp_trie_free(s.wanted);
    sp_trie_free(s.installed);
    return 0;
}
