/*
 * What forwarding needs of publish/subscribe: pipes of other Atolls subscribe by frames of their
 * own instead of `+prefix`, and links to where messages come from learn which prefixes are wanted.
 */
#pragma once

#include "proto/sp/trie.h"
#include "sp/declare/topology.h"

/* For a pipe of role sub. subscribe: 1 = new, 0 = it had it; -ENOSPC, -EMSGSIZE. Retained messages
 * that fit are put into its queue. */
int sp_pubsub_subscribe(struct sp_pipe *p, struct slice prefix);
/* After subscribe. True: upstream has not confirmed the prefix yet; fn follows once, unless the
 * pipe closes before. */
typedef void sp_pubsub_active_fn(struct sp_pipe *p, struct slice prefix);
bool sp_pubsub_await(struct sp_pipe *p, struct slice prefix, sp_pubsub_active_fn *fn);
int sp_pubsub_unsubscribe(struct sp_pipe *p, struct slice prefix);
struct sp_trie *sp_pubsub_trie(struct sp_topology *t); /* read only; subscribers are pipe slots */

/* Somebody who fetches subscriptions from upstream: one per forwarding link to senders. */
struct sp_upstream {
    /* The first subscriber of this very prefix has come. True: sp_pubsub_confirm(t, ticket) follows
     * once it is active there (or can not be had); false: nothing to wait for. */
    bool (*added)(void *user, struct slice prefix, uint64_t ticket);
    void (*removed)(void *user, struct slice prefix); /* the last one is gone */
    void *user;
    struct sp_upstream *next; /* private */
};
void sp_pubsub_upstream_add(struct sp_topology *t, struct sp_upstream *u);
/* Tickets it owes count as confirmed by the caller's sp_pubsub_confirm before this. */
void sp_pubsub_upstream_remove(struct sp_topology *t, struct sp_upstream *u);
void sp_pubsub_confirm(struct sp_topology *t, uint64_t ticket);
