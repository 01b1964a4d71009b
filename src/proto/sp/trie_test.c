#include "base/test.h"

#include <errno.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/limits.h"
#include "base/own.h"
#include "base/vec.h"
#include "proto/sp/trie.h"

static void trie_free_p(struct sp_trie **t) { sp_trie_free(*t); }

TEST(sp_trie_tells_first_and_last) {
    OWN(trie_free_p) struct sp_trie *t = sp_trie_new(0);
    assert_int_equal(sp_trie_add(t, SLICE("NASDAQ"), 1), SP_TRIE_EDGE);
    assert_int_equal(sp_trie_add(t, SLICE("NASDAQ"), 1), SP_TRIE_SAME);
    assert_int_equal(sp_trie_add(t, SLICE("NASDAQ"), 2), SP_TRIE_MORE);
    assert_int_equal(sp_trie_subscriptions(t), 2);
    assert_int_equal(sp_trie_prefixes(t), 1);
    assert_int_equal(sp_trie_remove(t, SLICE("NASDA"), 1), SP_TRIE_SAME);
    assert_int_equal(sp_trie_remove(t, SLICE("NASDAQ"), 1), SP_TRIE_MORE);
    assert_int_equal(sp_trie_remove(t, SLICE("NASDAQ"), 1), SP_TRIE_SAME);
    assert_int_equal(sp_trie_remove(t, SLICE("NASDAQ"), 2), SP_TRIE_EDGE);
    assert_int_equal(sp_trie_prefixes(t), 0);
    assert_false(sp_trie_wants(t, SLICE("NASDAQ")));
}

TEST(sp_trie_match_gives_each_subscriber_once) {
    OWN(trie_free_p) struct sp_trie *t = sp_trie_new(0);
    const uint32_t *v;
    sp_trie_add(t, SLICE(""), 7);
    assert_int_equal(sp_trie_match(t, SLICE("anything"), &v), 1);
    assert_int_equal(v[0], 7);
    sp_trie_add(t, SLICE("a"), 7);
    sp_trie_add(t, SLICE("anything goes here"), 7);
    sp_trie_add(t, SLICE("an"), 9);
    assert_int_equal(sp_trie_match(t, SLICE("anything goes here, too"), &v), 2);
    assert_int_equal(v[0] + v[1], 16);
    assert_int_equal(sp_trie_match(t, SLICE(""), &v), 1);
}

TEST(sp_trie_refuses_what_is_too_much) {
    OWN(trie_free_p) struct sp_trie *t = sp_trie_new(20000);
    char longest[LIMIT_SP_PREFIX_BYTES + 1] = {0};
    assert_int_equal(sp_trie_add(t, slice_from(longest, sizeof longest), 0), -EMSGSIZE);
    assert_int_equal(sp_trie_add(t, SLICE("a"), SP_TRIE_SUBSCRIBERS_MAX), -EINVAL);
    assert_int_equal(sp_trie_add(t, SLICE("a"), SP_TRIE_SUBSCRIBERS_MAX - 1), -ENOSPC);
    int r = 0;
    for (uint32_t i = 0; r >= 0 && i < 100000; i++) {
        r = sp_trie_add(t, slice_from(&i, sizeof i), i % 3);
        assert_true(sp_trie_bytes(t) <= 20000);
    }
    assert_int_equal(r, -ENOSPC);
}

TEST(sp_trie_takes_the_longest_prefixes) {
    OWN(trie_free_p) struct sp_trie *t = sp_trie_new(0);
    char longest[LIMIT_SP_PREFIX_BYTES] = {0};
    struct slice whole = slice_from(longest, sizeof longest);
    for (size_t n = 0; n <= sizeof longest; n += 64)
        assert_int_equal(sp_trie_add(t, slice_from(longest, n), 0), SP_TRIE_EDGE);
    const uint32_t *v;
    assert_int_equal(sp_trie_match(t, whole, &v), 1);
    sp_trie_drop(t, 0, NULL, NULL);
    assert_int_equal(sp_trie_match(t, whole, &v), 0);
}

/* ---- Against a plain list ---- */

struct entry {
    char prefix[12];
    size_t n;
    uint32_t subscriber;
};
typedef VEC(struct entry) entry_vec;

static struct slice prefix_of(const struct entry *e) { return slice_from(e->prefix, e->n); }
static bool begins(struct slice body, struct slice prefix) {
    return prefix.n <= body.n && memcmp(body.p, prefix.p, prefix.n) == 0;
}

static size_t holders(const entry_vec *list, struct slice prefix) {
    size_t n = 0;
    for (size_t i = 0; i < list->n; i++) n += slice_eq(prefix_of(&list->v[i]), prefix);
    return n;
}
static bool list_covered(const entry_vec *list, struct slice prefix) {
    for (size_t i = 0; i < list->n; i++)
        if (list->v[i].n < prefix.n && begins(prefix, prefix_of(&list->v[i]))) return true;
    return false;
}

static uint64_t random_state;
static uint32_t random_below(uint32_t n) {
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(random_state >> 33) % n;
}
static struct entry random_entry(uint32_t letters) {
    struct entry e = {.n = random_below(sizeof e.prefix + 1), .subscriber = random_below(9)};
    for (size_t i = 0; i < e.n; i++) e.prefix[i] = (char)random_below(letters);
    return e;
}

static void check_match(struct sp_trie *t, const entry_vec *list, struct slice body) {
    bool want[9] = {false}, seen[9] = {false};
    for (size_t i = 0; i < list->n; i++)
        if (begins(body, prefix_of(&list->v[i]))) want[list->v[i].subscriber] = true;
    const uint32_t *v;
    size_t n = sp_trie_match(t, body, &v);
    for (size_t i = 0; i < n; i++) {
        assert_true(v[i] < 9 && !seen[v[i]]);
        seen[v[i]] = true;
    }
    assert_memory_equal(want, seen, sizeof want);
    assert_int_equal(sp_trie_wants(t, body), n > 0);
}

struct seen_prefixes {
    const entry_vec *list;
    struct slice above;
    char last[LIMIT_SP_PREFIX_BYTES];
    size_t last_n, n;
};
static void see_below(void *user, struct slice p) {
    struct seen_prefixes *s = user;
    assert_true(p.n > s->above.n && begins(p, s->above));
    assert_true(holders(s->list, p) > 0);
    if (s->n++) {
        int order = memcmp(s->last, p.p, MIN_OF(s->last_n, p.n));
        assert_true(order < 0); /* ascending, and none covers the next */
    }
    memcpy(s->last, p.p, p.n);
    s->last_n = p.n;
}

/* How many prefixes below `above` have nothing between. */
static size_t tops_below(const entry_vec *list, struct slice above) {
    size_t n = 0;
    for (size_t i = 0; i < list->n; i++) {
        struct slice p = prefix_of(&list->v[i]);
        bool top = p.n > above.n && begins(p, above);
        for (size_t k = 0; top && k < list->n; k++) {
            struct slice q = prefix_of(&list->v[k]);
            if (slice_eq(p, q) ? k < i : q.n > above.n && q.n < p.n && begins(p, q)) top = false;
        }
        n += top;
    }
    return n;
}

static void check_below(struct sp_trie *t, const entry_vec *list, struct slice above) {
    struct seen_prefixes seen = {.list = list, .above = above};
    sp_trie_below(t, above, see_below, &seen);
    assert_int_equal(seen.n, tops_below(list, above));
    assert_int_equal(sp_trie_covered(t, above), list_covered(list, above));
    assert_int_equal(sp_trie_holds(t, above), holders(list, above) > 0);
}

static void count_gone(void *user, struct slice prefix) { ++*(size_t *)user; }

static void step(struct sp_trie *t, entry_vec *list, uint32_t letters, uint32_t adds_of_16) {
    struct entry e = random_entry(letters);
    struct slice p = prefix_of(&e);
    size_t at = 0;
    while (at < list->n &&
           !(slice_eq(prefix_of(&list->v[at]), p) && list->v[at].subscriber == e.subscriber))
        at++;
    bool there = at < list->n;
    size_t before = holders(list, p);
    if (random_below(16) < adds_of_16) {
        int want = there ? SP_TRIE_SAME : before ? SP_TRIE_MORE : SP_TRIE_EDGE;
        assert_int_equal(sp_trie_add(t, p, e.subscriber), want);
        if (!there) vec_push(list, e);
        return;
    }
    if (!there && list->n) { /* mostly nothing is there; then another one goes */
        at = random_below((uint32_t)list->n);
        e = list->v[at];
        p = prefix_of(&e);
        before = holders(list, p);
        there = true;
    }
    int want = !there ? SP_TRIE_SAME : before > 1 ? SP_TRIE_MORE : SP_TRIE_EDGE;
    assert_int_equal(sp_trie_remove(t, p, e.subscriber), want);
    if (there) vec_swap_remove(list, at);
}

static void drop_one(struct sp_trie *t, entry_vec *list) {
    uint32_t who = random_below(9);
    size_t gone = 0, before = sp_trie_prefixes(t);
    for (size_t i = 0; i < list->n;)
        if (list->v[i].subscriber == who)
            vec_swap_remove(list, i);
        else
            i++;
    sp_trie_drop(t, who, count_gone, &gone);
    assert_int_equal(sp_trie_prefixes(t), before - gone);
    assert_int_equal(sp_trie_subscriptions_of(t, who), 0);
    assert_int_equal(sp_trie_subscriptions(t), list->n);
}

TEST(sp_trie_is_a_list_of_prefixes_under_random_operations) {
    static const uint32_t letters[] = {2, 3, 20, 256};
    for (uint32_t seed = 0; seed < 24; seed++) {
        random_state = seed;
        OWN(trie_free_p) struct sp_trie *t = sp_trie_new(0);
        entry_vec list = {0};
        uint32_t alphabet = letters[seed % 4];
        for (uint32_t i = 0; i < 1500; i++) {
            step(t, &list, alphabet, i < 600 ? 14 : 6);
            assert_int_equal(sp_trie_subscriptions(t), list.n);
            struct entry e = random_entry(alphabet);
            check_match(t, &list, prefix_of(&e));
            if (i % 8 == 0) check_below(t, &list, slice_from(e.prefix, e.n % 4));
            if (random_below(400) == 0) drop_one(t, &list);
        }
        while (list.n) drop_one(t, &list);
        assert_int_equal(sp_trie_prefixes(t), 0);
        vec_done(&list);
    }
}

TEST(sp_trie_holds_a_million_in_64_bytes_each) {
    enum { N = 1000000, BYTES = 64 };
    OWN(trie_free_p) struct sp_trie *t = sp_trie_new(0);
    for (uint32_t i = 0; i < N; i++) {
        char p[32]; /* quotes/<exchange>/<symbol>, spread by a multiplication */
        uint32_t symbol = i * UINT32_C(2654435761);
        int n = snprintf(p, sizeof p, "%u/%08x", symbol % 97, symbol);
        assert_int_equal(sp_trie_add(t, slice_from(p, (size_t)n), i % 1000), SP_TRIE_EDGE);
    }
    assert_int_equal(sp_trie_subscriptions(t), N);
    assert_true(sp_trie_bytes(t) <= (size_t)N * BYTES);
}

TEST(sp_trie_forgets_where_a_changing_subscriber_has_been) {
    OWN(trie_free_p) struct sp_trie *t = sp_trie_new(0);
    sp_trie_add(t, SLICE("stays"), 0);
    for (int i = 0; i < 100000; i++) {
        assert_int_equal(sp_trie_add(t, SLICE("flickers"), 0), SP_TRIE_EDGE);
        assert_int_equal(sp_trie_remove(t, SLICE("flickers"), 0), SP_TRIE_EDGE);
    }
    assert_true(sp_trie_bytes(t) < 4096);
}
