/*
 * Prefix subscriptions of one topology: a compressed radix trie in packed arrays, made for a
 * million of them (≤ 64 bytes each, a match ≤ 1 µs). A subscription is a pair (prefix, subscriber)
 * and is there once, however often it is added. Subscribers are small dense numbers, indices of
 * their holder's table. No I/O; not for several threads.
 */
#pragma once

#include <stdbool.h>

#include "base/slice.h"

enum { SP_TRIE_SUBSCRIBERS_MAX = 1 << 24 };

struct sp_trie;
/* limit_bytes: of all memory it may hold, 0 = none. */
struct sp_trie *sp_trie_new(size_t limit_bytes);
void sp_trie_free(struct sp_trie *t); /* NULL is allowed */

enum sp_trie_change {
    SP_TRIE_SAME = 0, /* was there (add), was not there (remove) */
    SP_TRIE_MORE = 1, /* changed, but others hold the same prefix */
    SP_TRIE_EDGE = 2, /* first subscriber of this very prefix, or the last one gone */
};
/* enum sp_trie_change; -EINVAL: number of the subscriber, -EMSGSIZE: prefix longer than
 * LIMIT_SP_PREFIX_BYTES, -ENOSPC: above the limit. */
int sp_trie_add(struct sp_trie *t, struct slice prefix, uint32_t subscriber);
int sp_trie_remove(struct sp_trie *t, struct slice prefix, uint32_t subscriber);
/* All subscriptions of one subscriber, at the cost of these alone. `gone` (may be NULL) hears each
 * prefix that nobody holds any more; it must not change the trie. */
typedef void sp_trie_prefix_fn(void *user, struct slice prefix);
void sp_trie_drop(struct sp_trie *t, uint32_t subscriber, sp_trie_prefix_fn *gone, void *user);
bool sp_trie_has(const struct sp_trie *t, struct slice prefix, uint32_t subscriber);

/* Everybody who holds a prefix of the body, each once, in no order. *ret is valid until the next
 * call on this trie. */
size_t sp_trie_match(struct sp_trie *t, struct slice body, const uint32_t **ret);
/* Does anybody? The cheap question of an edge that filters again. */
bool sp_trie_wants(const struct sp_trie *t, struct slice body);

/* ---- Subsumption: what has to travel upstream ---- */

/* Does somebody hold a proper prefix of this one, so that it need not travel? */
bool sp_trie_covered(const struct sp_trie *t, struct slice prefix);
/* The prefixes strictly below `prefix` that no other one strictly below it covers, in ascending
 * order of bytes. With "" and !sp_trie_holds(t, ""): all that has to travel. */
void sp_trie_below(const struct sp_trie *t, struct slice prefix, sp_trie_prefix_fn *fn, void *user);
bool sp_trie_holds(const struct sp_trie *t, struct slice prefix); /* anybody, exactly this */

/* ---- Counters ---- */

size_t sp_trie_subscriptions(const struct sp_trie *t);
size_t sp_trie_subscriptions_of(const struct sp_trie *t, uint32_t subscriber);
size_t sp_trie_prefixes(const struct sp_trie *t); /* different ones */
size_t sp_trie_bytes(const struct sp_trie *t);    /* memory held */
