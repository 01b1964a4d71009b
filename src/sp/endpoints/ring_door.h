/*
 * The door for those who share memory (proto/sp/ring.h, proto/sp/session.h): a socket file
 * .ring/ROLE. The service introduces programs to each other (ring_links.c): who publishes to who
 * subscribes, who pushes to who pulls, who asks to who answers; their messages then do not pass
 * through it. What has to (other doors, edges, retained messages) does so by a ring that it shares
 * with each of them, or, of a publisher, by reading its ring like everybody else.
 */
#pragma once

#include <stdatomic.h>

#include "proto/sp/ring.h"
#include "proto/sp/session.h"
#include "sp/endpoints/endpoint.h"

struct ring_client;

/* Two programs that share memory. `from` writes; with a duplex lane `to` writes as well. */
struct ring_link {
    struct ring_client *from, *to;
    uint16_t from_slot, to_slot; /* of their sides */
    uint64_t start;              /* of the publisher's ring */
    int lane;                    /* memfd, -1: the publisher's ring */
    bool told_from, told_to;
    bool rings;             /* `from` wakes `to` itself */
    uint32_t rung;          /* else: we do */
    uint64_t seen, seen_ms; /* how far `to` had come when it was looked at, since when */
};

struct ring_client {
    struct sp_pipe pipe;   /* first */
    enum sp_policy policy; /* as it was told; another one closes it */
    bool joined, ended, ready_told, blocked;
    int ctl, side_fd, bell, ring_fd; /* of the client: its side, where it is rung, its ring */
    struct fd_watch *ctl_watch;
    struct timer *limit, *again; /* of the greeting; to look at a ring once more */
    const struct sp_side *side;  /* the client's */
    struct sp_side *own;         /* ours for this client */
    int own_fd;
    void *lane; /* between it and us */
    size_t lane_bytes;
    int lane_fd;
    struct sp_ring in; /* what it writes: its half of the lane, or the publisher's ring */
    struct sp_ring_cursor cursor;
    uint64_t shown;
    struct sp_ring_writer out;
    uint32_t rung;
    bool has_in, has_out, reading, service_told;
    uint64_t number; /* of the request that is under way */
    uint32_t asked;  /* number of the last change of subscription */
    uint64_t scanned, counted, counted_bytes;
    VEC(struct ring_link *) links;
    VEC(uint32_t) gone; /* ids that it was told of and that ended */
    uint32_t untold, next_slot;
};

/* ring_door.c */
void ring_client_ring(const struct ring_client *c); /* its bell */
/* False: later, or it is closing. */
bool ring_client_tell(struct ring_client *c, const struct sp_session_message *m, const void *bytes,
                      size_t n, const int *fds, size_t n_fds);
void ring_client_tell_all(struct ring_client *c);
void ring_client_watch(struct ring_client *c);
void ring_client_freed(struct sp_pipe *p);
bool ring_empties(enum sp_role role); /* its bell is rung by reading */
int ring_memfd(const char *name, size_t bytes, void **ret, int *ret_fd, int seals);

/* ring_io.c */
void ring_client_look(struct ring_client *c); /* it has written or read; may close it */
void ring_client_again(void *client);
void ring_client_count(struct ring_client *c); /* a publisher's messages that we do not read */
void ring_pipes_changed(struct sp_topology *t);

/* ring_links.c */
void ring_links_join(struct ring_client *c);
void ring_links_leave(struct ring_client *c);
/* Tells what has not been told yet. False: later. */
bool ring_links_tell(struct ring_client *c);
/* The subscriber says that what this publisher writes is broken. */
void ring_links_break(struct ring_client *to, uint32_t from_id);
bool ring_links_has(const struct ring_client *to, const struct ring_client *from);
/* Wakes those readers of a publisher that it does not wake itself. */
void ring_links_wake(struct ring_client *from);
/* Somebody reads a publisher's messages by another way than a link. */
bool ring_links_need_us(const struct ring_client *from);
/* Somebody takes what a push or req sends with whom it shares no memory. */
bool ring_links_help(const struct ring_client *c);
/* Closes who holds up a publisher for too long. */
void ring_links_watch(struct ring_client *from, uint64_t now_ms);
extern const struct sp_pipe_ops ring_pipe_ops; /* ring_io.c */
