/*
 * Which nodes' messages come by which forwarding link, and what a node tells its peers downstream
 * of that: the path vector of forwarding. Private to forward.c.
 */
#pragma once

#include "base/map.h"
#include "proc/loop.h"
#include "proto/sp/forward.h"
#include "sp/links/link.h"
#include "sp/patterns/pubsub.h"

struct forward_node;

/* A node as one peer names it. */
struct heard {
    uint32_t theirs; /* its number there */
    uint8_t distance;
    bool chosen; /* its messages are taken from this peer */
    struct forward_node *node;
};

struct forward { /* one link */
    struct sp_link *link;
    struct sp_forward_up *up; /* one of the two */
    struct sp_forward_down *down;
    struct sp_upstream upstream; /* down */
    struct timer *loop_timer;
    struct timer *patience;  /* down: runs while the peer owes confirmations */
    VEC(struct heard) heard; /* by their number */
    bool looped, suspended;
    struct map waiting; /* up: prefix → sequence that is not active yet */
    uint64_t told;      /* up: digest of the nodes it was told of */
    bool greeted;
    uint32_t counted; /* subscriptions */
    struct forward *next;
};

/* Of a topology in this run of the service: random, since names alone may be those of others. */
uint64_t sp_forward_own_id(const struct sp_topology *t);
void sp_forward_own_name(const struct sp_topology *t, char ret[SP_FORWARD_NAME_MAX + 1]);
/* The link's dialect_state. */
struct forward *sp_forward_new(struct sp_link *l);
void sp_forward_leave(struct forward *f); /* it counts no more */
void sp_forward_free(struct forward *f);

void sp_forward_nodes_heard(struct forward *f, const struct sp_forward_node *v, size_t n);
/* Chooses anew from whom each node's messages are taken, and tells those downstream. */
void sp_forward_nodes_update(struct sp_topology *t);
/* Is a message of the node with this number taken from this peer? *ret: our number for it. */
bool sp_forward_nodes_take(struct forward *f, uint32_t theirs, uint32_t *ret);
