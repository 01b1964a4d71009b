/*
 * How subscriptions travel between two Atolls: a protocol of its own (SP type 0xf000 on both sides;
 * HELLO says which is which) on its own connection, inside ordinary SP frames. Pure: frames in,
 * frames out by a callback.
 *
 *   down (receives messages)                     up (sends them)
 *   HELLO id, organisation/node, topology   ⇄   HELLO …, most subscriptions it takes, credit
 *   SNAPSHOT epoch, SUBSCRIBE …, END        →
 *   SUBSCRIBE, UNSUBSCRIBE epoch, sequence  →   passes them on to its own upstreams
 *                                           ←   ACK epoch, sequence: active, all the way up
 *                                           ←   NODES: the nodes whose messages may come
 *                                           ←   MESSAGE sequence, origin, hops, body
 *
 * Only prefixes travel that no shorter one covers; with more of them than the peer takes, down asks
 * for everything. At most `credit` SUBSCRIBE and UNSUBSCRIBE may be without ACK. A node that finds
 * itself among the NODES of a peer is in a loop and ends the connection (sp/links/forward.c).
 */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "proto/sp/trie.h"

enum {
    SP_FORWARD_CREDIT = 8192,
    SP_FORWARD_NAME_MAX = 255,
    SP_FORWARD_NODES_MAX = 1024,
    SP_FORWARD_HEAD_BYTES = 12,
};

struct sp_forward_node {
    uint64_t id;       /* random, of this run of the service */
    uint32_t number;   /* by which MESSAGE names it on this connection */
    uint8_t distance;  /* hops; 0: the sender of NODES itself */
    struct slice name; /* organisation/node */
};

struct sp_forward_self {
    uint64_t id;
    const char *name;           /* organisation/node */
    const char *topology;       /* what we call the one that the connection is for */
    uint32_t subscriptions_max; /* of the edge */
};

/* ---- Messages ---- */

struct sp_forward_message {
    uint64_t
        sequence;    /* 48 bits; messages offered to this peer so far, with those that were lost */
    uint32_t origin; /* a number of NODES */
    uint8_t hops;    /* connections passed before this one */
    struct slice body;
};
size_t sp_forward_head(unsigned char ret[SP_FORWARD_HEAD_BYTES],
                       const struct sp_forward_message *m); /* body is not looked at */

/* ---- Down: who receives messages ---- */

struct sp_forward_down_ops {
    void (*send)(void *user, struct slice frame);
    /* All that had been asked for by then is active upstream, or never will be. */
    void (*confirm)(void *user, uint64_t ticket);
    /* The peer has greeted: who it is and how it calls the topology. < 0 ends the connection. */
    int (*hello)(void *user, uint64_t id, struct slice name, struct slice topology,
                 struct err *err);
    /* All nodes whose messages may come from there, each time anew. < 0 ends the connection. */
    int (*nodes)(void *user, const struct sp_forward_node *v, size_t n, struct err *err);
};
struct sp_forward_down;
/* wanted: borrowed, read only; what subscribers here hold. epoch: higher than that of any
 * connection before. Sends HELLO. */
struct sp_forward_down *sp_forward_down_new(const struct sp_forward_self *self,
                                            const struct sp_trie *wanted, uint64_t epoch,
                                            const struct sp_forward_down_ops *ops, void *user);
/* To be called at intervals while somebody waits: confirms what has waited since the call before,
 * since a peer that never answers must not hold up those who subscribe here. Returns how many;
 * *more: others wait. */
size_t sp_forward_down_overdue(struct sp_forward_down *d, bool *more);
void sp_forward_down_free(struct sp_forward_down *d); /* confirms whatever waits; NULL is allowed */
/* 1: *ret is a message, with its gap counted; 0: something else was done; < 0: to be closed. */
int sp_forward_down_input(struct sp_forward_down *d, struct slice frame,
                          struct sp_forward_message *ret, uint64_t *ret_gap, struct err *err);
/* `wanted` has got its first holder of this prefix. True: confirm(ticket) will follow (not from
 * within this call). */
bool sp_forward_down_added(struct sp_forward_down *d, struct slice prefix, uint64_t ticket);
void sp_forward_down_removed(struct sp_forward_down *d, struct slice prefix); /* lost its last */
size_t sp_forward_down_sent(const struct sp_forward_down *d); /* subscriptions at the peer */
/* The peer is in a loop with us: it is asked for nothing until that is over. */
void sp_forward_down_suspend(struct sp_forward_down *d, bool suspended);
bool sp_forward_down_everything(const struct sp_forward_down *d);

/* ---- Up: who sends messages ---- */

struct sp_forward_up_ops {
    void (*send)(void *user, struct slice frame);
    /* sp_forward_up_active(sequence) is to be called once it is active, or within this call. */
    int (*subscribe)(void *user, struct slice prefix, uint64_t sequence, struct err *err);
    void (*unsubscribe)(void *user, struct slice prefix);
    int (*hello)(void *user, uint64_t id, struct slice name, struct slice topology,
                 struct err *err);
};
struct sp_forward_up;
struct sp_forward_up *sp_forward_up_new(const struct sp_forward_self *self,
                                        const struct sp_forward_up_ops *ops, void *user);
void sp_forward_up_free(struct sp_forward_up *u); /* NULL is allowed */
int sp_forward_up_input(struct sp_forward_up *u, struct slice frame, struct err *err);
void sp_forward_up_active(struct sp_forward_up *u, uint64_t sequence);
void sp_forward_up_nodes(struct sp_forward_up *u, const struct sp_forward_node *v, size_t n);
size_t sp_forward_up_held(const struct sp_forward_up *u);
