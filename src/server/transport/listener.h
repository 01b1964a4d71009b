/*
 * Accepts connections on the sockets that init handed over and gives each one its protocol. The
 * public face is server_… in request.h; this header has what the rest of the transport needs.
 */
#pragma once

#include "server/transport/conn.h"

enum { LISTENER_PEERS = 1024, ARRIVALS_MAX = 6144 };

/* Accepted, and not let in yet. */
struct arrival {
    int fd;
    unsigned place; /* of whom */
    uid_t uid;
};

/* Connections that could go, those that came first in front. */
struct resting {
    struct conn *first, *last;
};

struct listener {
    struct listener *next;
    struct server *server;
    struct loop *loop;
    int fd;
    struct server_tls *tls; /* NULL: unix socket */
    struct fd_watch *watch;
    struct {
        struct arrival v[ARRIVALS_MAX];
        size_t first, n;
    } waiting;
    unsigned evictions; /* that may still happen for them before the next pause */
    struct timer *pause;
    bool accepts, over;   /* accept_some will be called; and frees it */
    struct conn *conns;   /* newest first */
    struct conn *to_tick; /* this one and those after it */
    size_t n_conns;
    uint16_t peers[LISTENER_PEERS]; /* connections by who is at their other end (a hash of it) */
    unsigned most;                  /* who had most when they were last counted */
    uint16_t others_most;           /* nobody else has more */
    struct resting_peer {
        struct resting idle, unserved;
    } resting[LISTENER_PEERS];
};

size_t server_connections(const struct server *s);

/* accept.c */
void accept_begin(struct listener *l);
void accept_again(struct listener *l); /* after there had been no descriptor left */
void accept_end(struct listener *l);
void accept_free(struct listener *l); /* after its end: frees the listener, perhaps later */

void server_tick_soon(struct server *s); /* when it does not run: in a second */
/* Of an open connection, at its beginning. */
void listener_admit(struct conn *c, unsigned place);

/* room.c: connections by whose they are. */
void room_enter(struct conn *c); /* c->place has been set */
void room_leave(struct conn *c);
void room_move(struct conn *c, unsigned place);
/* Closes a connection of a peer: the one that has been idle longest, or has longest been there
 * without ever having sent a request. false: there is none such. In event context, like
 * room_make. */
bool room_evict(struct listener *l, unsigned place);
unsigned room_biggest_peer(struct listener *l);
/* There are too many: who has most makes room, with a connection that is not used or, for somebody
 * at `place` who has fewer, with the one that came last. false: nobody does. */
bool room_make(struct listener *l, unsigned place);
