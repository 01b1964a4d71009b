#include "base/test.h"

#include <errno.h>
#include <stdlib.h>

#include "base/own.h"
#include "base/vec.h"
#include "proto/sp/forward.h"

/* Two sides and a wire on which frames wait until the test delivers them. A new connection loses
 * what is on its way, or lets it arrive late. */
struct frame {
    char *p;
    size_t n;
};
struct world {
    struct sp_trie *wanted, *installed; /* here; there */
    struct sp_forward_down *down;
    struct sp_forward_up *up;
    VEC(struct frame) to_up, to_down;
    VEC(uint64_t) inactive; /* sequences that wait for an upstream further on */
    bool slow_upstream;     /* subscriptions become active when the test says so */
    uint64_t tickets, epoch;
    struct {
        char prefix[8];
        size_t n;
        bool open;
    } ticket[100000];
    size_t confirmed, nodes;
    struct sp_forward_message last;
    uint64_t gaps;
    uint64_t random;
};

static uint32_t below(struct world *w, uint32_t n) {
    w->random = w->random * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(w->random >> 33) % n;
}

static struct frame frame_copy(struct slice s) {
    struct frame f = {malloc(s.n + 1), s.n};
    assert_non_null(f.p);
    memcpy(f.p, s.p, s.n);
    return f;
}
static void send_up(void *user, struct slice s) {
    struct world *w = user;
    vec_push(&w->to_up, frame_copy(s));
}
static void send_down(void *user, struct slice s) {
    struct world *w = user;
    vec_push(&w->to_down, frame_copy(s));
}
static void confirm(void *user, uint64_t ticket) {
    struct world *w = user;
    assert_true(w->ticket[ticket].open);
    w->ticket[ticket].open = false;
    w->confirmed++;
}
static int hello(void *user, uint64_t id, struct slice name, struct slice topology,
                 struct err *err) {
    if (id == 0) return -EBADMSG;
    assert_true(slice_is(name, "bank/n1") && slice_is(topology, "quotes"));
    return 0;
}
static int nodes(void *user, const struct sp_forward_node *v, size_t n, struct err *err) {
    struct world *w = user;
    w->nodes = n;
    assert_true(n < 2 || slice_is(v[1].name, "exchange/n2"));
    return 0;
}
static int subscribe(void *user, struct slice prefix, uint64_t sequence, struct err *err) {
    struct world *w = user;
    assert_int_equal(sp_trie_add(w->installed, prefix, 0), SP_TRIE_EDGE);
    if (w->slow_upstream)
        vec_push(&w->inactive, sequence);
    else
        sp_forward_up_active(w->up, sequence);
    return 0;
}
static void unsubscribe(void *user, struct slice prefix) {
    struct world *w = user;
    assert_int_equal(sp_trie_remove(w->installed, prefix, 0), SP_TRIE_EDGE);
}
static const struct sp_forward_down_ops down_ops = {send_up, confirm, hello, nodes};
static const struct sp_forward_up_ops up_ops = {send_down, subscribe, unsubscribe, hello};
static struct sp_forward_self self = {77, "bank/n1", "quotes", 1000};

static void down_connect(struct world *w) {
    sp_forward_down_free(w->down);
    w->down = sp_forward_down_new(&self, w->wanted, ++w->epoch, &down_ops, w);
}

static struct world *world_new(void) {
    struct world *w = calloc(1, sizeof *w);
    assert_non_null(w);
    w->wanted = sp_trie_new(0);
    w->installed = sp_trie_new(0);
    w->up = sp_forward_up_new(&self, &up_ops, w);
    down_connect(w);
    return w;
}

static struct frame take_first(struct world *w, bool up) {
    struct frame f = up ? w->to_up.v[0] : w->to_down.v[0];
    if (up)
        vec_remove(&w->to_up, 0);
    else
        vec_remove(&w->to_down, 0);
    return f;
}

/* One frame in one of the directions. */
static int deliver(struct world *w, bool up) {
    if ((up ? w->to_up.n : w->to_down.n) == 0) return 0;
    struct frame f = take_first(w, up);
    struct err err;
    uint64_t gap = 0;
    int r = up ? sp_forward_up_input(w->up, slice_from(f.p, f.n), &err)
               : sp_forward_down_input(w->down, slice_from(f.p, f.n), &w->last, &gap, &err);
    w->gaps += gap;
    free(f.p);
    return r;
}

static void activate_some(struct world *w) {
    while (w->inactive.n) {
        size_t i = below(w, (uint32_t)w->inactive.n);
        sp_forward_up_active(w->up, w->inactive.v[i]);
        vec_remove(&w->inactive, i);
    }
}

static void settle(struct world *w) {
    while (w->to_up.n || w->to_down.n || w->inactive.n) {
        assert_int_equal(deliver(w, true), 0);
        assert_int_equal(deliver(w, false), 0);
        activate_some(w);
    }
}

static void lose_everything(struct world *w) {
    while (w->to_up.n) free(take_first(w, true).p);
    while (w->to_down.n) free(take_first(w, false).p);
}

static void world_free(struct world *w) {
    lose_everything(w);
    sp_forward_down_free(w->down);
    for (uint64_t i = 0; i < w->tickets; i++) assert_false(w->ticket[i].open);
    sp_forward_up_free(w->up);
    sp_trie_free(w->wanted);
    sp_trie_free(w->installed);
    vec_done(&w->to_up);
    vec_done(&w->to_down);
    vec_done(&w->inactive);
    free(w);
}

static void want(struct world *w, struct slice prefix) {
    if (sp_trie_add(w->wanted, prefix, 0) != SP_TRIE_EDGE) return;
    uint64_t t = w->tickets++;
    w->ticket[t].open = true;
    w->ticket[t].n = MIN_OF(prefix.n, sizeof w->ticket[t].prefix);
    memcpy(w->ticket[t].prefix, prefix.p, w->ticket[t].n);
    if (!sp_forward_down_added(w->down, prefix, t)) w->ticket[t].open = false;
}
static void unwant(struct world *w, struct slice prefix) {
    if (sp_trie_remove(w->wanted, prefix, 0) == SP_TRIE_EDGE)
        sp_forward_down_removed(w->down, prefix);
}

static void only_installed(void *user, struct slice prefix) {
    struct world *w = user;
    assert_true(sp_trie_holds(w->wanted, prefix) && !sp_trie_covered(w->wanted, prefix));
}
static void all_installed(void *user, struct slice prefix) {
    struct world *w = user;
    assert_true(sp_trie_holds(w->installed, prefix));
}

/* There is exactly what has to be, or everything. */
static void check(struct world *w) {
    assert_int_equal(sp_forward_down_sent(w->down), sp_trie_prefixes(w->installed));
    assert_int_equal(sp_forward_up_held(w->up), sp_trie_prefixes(w->installed));
    if (sp_trie_holds(w->installed, SLICE(""))) {
        assert_int_equal(sp_trie_prefixes(w->installed), 1);
        assert_true(sp_forward_down_everything(w->down) || sp_trie_holds(w->wanted, SLICE("")));
        return;
    }
    sp_trie_below(w->installed, SLICE(""), only_installed, w);
    sp_trie_below(w->wanted, SLICE(""), all_installed, w);
}

TEST(sp_forward_only_uncovered_prefixes_travel) {
    struct world *w = world_new();
    want(w, SLICE("early")); /* before the greeting: part of the snapshot */
    settle(w);
    want(w, SLICE("NASDAQ.A"));
    want(w, SLICE("NASDAQ.B"));
    settle(w);
    check(w);
    assert_int_equal(sp_trie_prefixes(w->installed), 3);
    want(w, SLICE("NASDAQ"));
    settle(w);
    check(w);
    assert_int_equal(sp_trie_prefixes(w->installed), 2);
    want(w, SLICE("NASDAQ.C"));
    assert_int_equal(w->to_up.n, 0); /* covered: nothing travels */
    unwant(w, SLICE("NASDAQ"));
    settle(w);
    check(w);
    assert_int_equal(sp_trie_prefixes(w->installed), 4);
    world_free(w);
}

TEST(sp_forward_confirms_when_the_last_upstream_has) {
    struct world *w = world_new();
    settle(w);
    w->slow_upstream = true;
    want(w, SLICE("a"));
    want(w, SLICE("ab")); /* covered, but no sooner active */
    want(w, SLICE("c"));
    while (w->to_up.n) assert_int_equal(deliver(w, true), 0);
    while (w->to_down.n) assert_int_equal(deliver(w, false), 0);
    assert_int_equal(w->confirmed, 0);
    assert_int_equal(w->inactive.n, 2);
    sp_forward_up_active(w->up, w->inactive.v[1]); /* not in their order */
    assert_int_equal(w->to_down.n, 0);
    sp_forward_up_active(w->up, w->inactive.v[0]);
    w->inactive.n = 0;
    settle(w);
    assert_int_equal(w->confirmed, 3);
    want(w, SLICE("abc"));
    assert_false(w->ticket[3].open); /* nothing to wait for */
    world_free(w);
}

TEST(sp_forward_asks_for_everything_above_the_cap_and_returns_below) {
    struct world *w = world_new();
    settle(w);
    for (uint32_t i = 0; i < 3000; i++) want(w, slice_from(&i, sizeof i));
    settle(w);
    check(w);
    assert_true(sp_forward_down_everything(w->down));
    assert_int_equal(sp_trie_prefixes(w->installed), 1);
    for (uint32_t i = 0; i < 2900; i++) unwant(w, slice_from(&i, sizeof i));
    settle(w);
    check(w);
    assert_int_equal(sp_trie_prefixes(w->installed), 100);
    world_free(w);
}

TEST(sp_forward_asks_a_peer_in_a_loop_for_nothing) {
    struct world *w = world_new();
    settle(w);
    want(w, SLICE("a"));
    settle(w);
    sp_forward_down_suspend(w->down, true);
    want(w, SLICE("b"));
    assert_false(w->ticket[1].open);
    settle(w);
    assert_int_equal(sp_trie_prefixes(w->installed), 0);
    sp_forward_down_suspend(w->down, false);
    settle(w);
    check(w);
    assert_int_equal(sp_trie_prefixes(w->installed), 2);
    world_free(w);
}

TEST(sp_forward_counts_gaps_and_refuses_repeats) {
    struct world *w = world_new();
    settle(w);
    unsigned char head[SP_FORWARD_HEAD_BYTES];
    static const uint64_t sequences[] = {1, 2, 5, UINT64_C(0x010203040506)};
    for (size_t i = 0; i < ARRAY_LEN(sequences); i++) {
        OWN(buf_done) struct buf b = {0};
        struct sp_forward_message m = {sequences[i], 9, 3, SLICE("")};
        buf_append(&b, head, sp_forward_head(head, &m));
        buf_str(&b, "body");
        send_down(w, buf_view(&b));
        assert_int_equal(deliver(w, false), 1);
        assert_int_equal(w->last.origin, 9);
        assert_int_equal(w->last.hops, 3);
        if (i == 2) assert_int_equal(w->gaps, 2);
    }
    send_down(w, slice_from(head, sizeof head));
    assert_int_equal(deliver(w, false), -EBADMSG);
    world_free(w);
}

TEST(sp_forward_nodes_travel_down) {
    struct world *w = world_new();
    settle(w);
    struct sp_forward_node v[] = {{1, 1, 0, SLICE("bank/n1")}, {2, 2, 1, SLICE("exchange/n2")}};
    sp_forward_up_nodes(w->up, v, ARRAY_LEN(v));
    settle(w);
    assert_int_equal(w->nodes, 2);
    world_free(w);
}

TEST(sp_forward_refuses_what_breaks_the_rules) {
    static const struct slice frames[] = {
        {"", 0},         {"\x05", 1}, {"\x63", 1},
        {"\x01\x01", 2}, {"\x08", 1}, {"\x03\0\0\0\0\0\0\0\x09", 9},
    };
    for (size_t i = 0; i < ARRAY_LEN(frames); i++) {
        struct world *w = world_new();
        struct err err;
        assert_int_equal(sp_forward_up_input(w->up, frames[i], &err), -EBADMSG);
        uint64_t gap;
        assert_int_equal(sp_forward_down_input(w->down, frames[i], &w->last, &gap, &err), -EBADMSG);
        world_free(w);
    }
    struct world *w = world_new();
    settle(w);
    struct err err; /* a sequence left out; then an epoch that is over */
    assert_int_equal(sp_forward_up_input(w->up, SLICE("\5\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0\2x"), &err),
                     -EBADMSG);
    assert_int_equal(sp_forward_up_input(w->up, SLICE("\3\0\0\0\0\0\0\0\1"), &err), -EBADMSG);
    world_free(w);
}

static struct slice random_prefix(struct world *w, char room[8]) {
    size_t n = below(w, 40) == 0 ? 0 : 1 + below(w, 7);
    for (size_t i = 0; i < n; i++) room[i] = (char)('a' + below(w, 3));
    return slice_from(room, n);
}

/* Without any order between the two sides, with connections that break at any moment, and frames
 * of the one before that come late. */
TEST(sp_forward_agrees_after_any_course_of_events) {
    for (uint64_t seed = 0; seed < 60; seed++) {
        self.subscriptions_max = seed % 3 == 0 ? 20 : 100000;
        struct world *w = world_new();
        w->random = seed;
        w->slow_upstream = seed & 1;
        for (int i = 0; i < 3000; i++) {
            char room[8];
            struct slice p = random_prefix(w, room);
            if (below(w, 100) < (i < 1500 ? 70u : 35u))
                want(w, p);
            else
                unwant(w, p);
            for (uint32_t n = below(w, 4); n > 0; n--) {
                bool up = below(w, 2);
                assert_int_equal(deliver(w, up), 0);
            }
            if (below(w, 50) == 0) activate_some(w);
            bool more;
            if (below(w, 200) == 0) sp_forward_down_overdue(w->down, &more);
            if (below(w, 400) == 0) {
                settle(w);
                check(w);
            }
            if (below(w, 300) == 0) { /* the peer is there, but the connection is another */
                lose_everything(w);
                w->inactive.n = 0;
                sp_forward_up_free(w->up);
                sp_trie_drop(w->installed, 0, NULL, NULL);
                w->up = sp_forward_up_new(&self, &up_ops, w);
                down_connect(w);
            }
        }
        settle(w);
        check(w);
        for (uint64_t i = 0; i < w->tickets; i++) assert_false(w->ticket[i].open);
        world_free(w);
    }
    self.subscriptions_max = 1000;
}

TEST(sp_forward_snapshot_replaces_what_an_earlier_one_named) {
    struct world *w = world_new();
    struct err err;
    settle(w);
    want(w, SLICE("old"));
    want(w, SLICE("both"));
    settle(w);
#define EPOCH(n) "\0\0\0\0\0\0\0" n
    static const struct slice frames[] = {
        {"\3" EPOCH("\2"), 9},
        {"\5" EPOCH("\1") EPOCH("\3") "late", 21}, /* of the epoch before: nothing happens */
        {"\5" EPOCH("\2") EPOCH("\1") "both", 21},
        {"\3" EPOCH("\3"), 9}, /* broke before its end */
        {"\5" EPOCH("\3") EPOCH("\1") "new", 20},
        {"\4" EPOCH("\2"), 9},
    };
    for (size_t i = 0; i < ARRAY_LEN(frames); i++)
        assert_int_equal(sp_forward_up_input(w->up, frames[i], &err), 0);
    assert_int_equal(sp_trie_prefixes(w->installed), 3);
    assert_int_equal(sp_forward_up_input(w->up, SLICE("\4" EPOCH("\3")), &err), 0);
    assert_int_equal(sp_trie_prefixes(w->installed), 1);
    assert_true(sp_trie_holds(w->installed, SLICE("new")));
    world_free(w);
}

TEST(sp_forward_waits_for_a_peer_only_so_long) {
    struct world *w = world_new();
    bool more;
    settle(w);
    size_t before = w->confirmed;
    want(w, SLICE("a"));
    assert_int_equal(sp_forward_down_overdue(w->down, &more), 0);
    assert_true(more);
    want(w, SLICE("b"));
    assert_int_equal(sp_forward_down_overdue(w->down, &more), 1); /* a, which has waited */
    assert_true(more);
    assert_int_equal(sp_forward_down_overdue(w->down, &more), 1);
    assert_false(more);
    settle(w); /* the answers that come late confirm nothing again */
    assert_int_equal(w->confirmed, before + 2);
    check(w);
    world_free(w);
}

TEST(sp_forward_credit_bounds_what_is_on_its_way) {
    struct world *w = world_new();
    self.subscriptions_max = 100000;
    settle(w);
    sp_forward_up_free(w->up);
    w->up = sp_forward_up_new(&self, &up_ops, w);
    down_connect(w);
    settle(w);
    for (uint32_t i = 0; i < 50000; i++) want(w, slice_from(&i, sizeof i));
    assert_int_equal(w->to_up.n, SP_FORWARD_CREDIT);
    settle(w);
    check(w);
    assert_int_equal(sp_trie_prefixes(w->installed), 50000);
    self.subscriptions_max = 1000;
    world_free(w);
}
