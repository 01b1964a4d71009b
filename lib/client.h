/*
 * A program's end of a topology (struct sp of atoll/sp.h), inside of libatoll-sp.
 *
 * Two doors: rings, where the service only introduces peers to each other (session.c), and its
 * plain socket file (plain.c) where it offers none. Everything below is under the lock of the
 * client, which is given up while it sleeps.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>

#include "atoll/sp.h"
#include "proto/sp/ring.h"
#include "proto/sp/session.h"
#include "proto/sp/trie.h"
#include "proto/sp/wire.h"

#define EXPORT __attribute__((visibility("default")))

/* Somebody with whom memory is shared. */
struct peer {
    uint32_t id;
    bool is_service, is_reader, has_in, has_out, ended;
    bool rings, blocks; /* is_reader: we wake it; its position counts */
    void *memory;       /* ring or lane */
    size_t memory_bytes;
    const struct sp_side *side; /* the peer's; NULL for sources that nobody waits for */
    int bell;                   /* the peer's, -1 none */
    bool bell_empties;
    uint16_t own_slot, peer_slot;
    uint32_t rung;
    bool dirty; /* put and not published yet */
    struct sp_ring in;
    struct sp_ring_cursor cursor;
    uint64_t shown; /* our position, as last shown */
    struct sp_ring_writer out;
};

/* Subscriptions: one is compared, many are looked up. */
struct subscriptions {
    struct sp_trie *trie; /* NULL until there is one */
    bool all;
    unsigned char *only; /* the only one */
    size_t only_n;
    size_t n;
};

/* Bytes that are needed later, the oldest first. Zeroed: empty. */
struct pending {
    struct pending *next;
    size_t n;
    unsigned char bytes[];
};
struct pending_list {
    struct pending *first, *last;
};
int pending_add(struct pending_list *l, const void *bytes, size_t n);
void pending_drop(struct pending_list *l); /* the first one, which is there */
void pending_done(struct pending_list *l);

struct sp {
    _Atomic uint32_t lock, lock_forks;
    uint32_t forks;      /* when it was opened: a child of fork has another number */
    uint32_t generation; /* grows when the pollable descriptor becomes another one */
    char directory[108];
    const struct sp_protocol *protocol;
    bool ring;    /* else plain */
    bool broken;  /* cut off: ECONNRESET from now on */
    int ctl;      /* session, or the plain socket */
    int bell;     /* ours; what the program polls. plain: -1 */
    int bell_far; /* the end at which we are rung: to fill it exactly, or to ring for ourselves */
    bool bell_empties, bell_full;
    struct sp_side *side;
    const struct sp_side *service;
    uint32_t news, ticks;
    uint32_t flags; /* SP_SESSION_* of the welcome */
    uint32_t maximum_bytes, resend_ms;
    int send_ms, receive_ms;
    struct peer **peers;
    size_t n_peers, n_ringing; /* is_reader with rings stand first */
    size_t turn_in, turn_out;
    uint32_t in_a_row;
    uint64_t lost; /* of peers that are gone */
    uint32_t bad;  /* peers whose memory was broken, untold */
    uint32_t spin_ns, waits;
    /* pub */
    struct sp_ring_writer out;
    void *out_memory;
    size_t out_bytes;
    /* sub */
    struct subscriptions subscriptions;
    uint32_t asked, active;      /* numbers of changes of subscription */
    struct pending_list pending; /* messages for us alone */
    /* The next message to be received, if it was looked for already; it lies in the stage of a peer
     * or is the first of those pending. */
    const unsigned char *ahead;
    size_t ahead_n;
    struct peer *ahead_of;
    unsigned char *newest; /* under conflation it is here */
    size_t newest_room;
    /* req and rep */
    uint64_t request; /* the running one, or the one last received */
    bool requesting;
    uint32_t partner; /* id of the peer it went to, or came from */
    void *request_copy;
    size_t request_n;
    uint64_t sent_ms;
};

void client_lock(struct sp *s);
void client_unlock(struct sp *s);
uint64_t client_now_ms(void);

/* All functions below: 0 or -errno, under the lock. */

/* session.c: joins by the ring door. -ENOENT: there is none for this role. */
int session_open(struct sp *s);
void session_close(struct sp *s);
/* Takes what the service has said; `always` asks the kernel, else only when there is news.
 * -ECONNRESET. */
int session_listen(struct sp *s, bool always);
void session_complain(const struct sp *s, uint32_t id); /* what this peer writes is broken */
int session_subscribe(struct sp *s, const void *prefix, size_t n, bool on);
static inline bool session_has_news(const struct sp *s) {
    return atomic_load_explicit(&s->service->news, memory_order_acquire) != s->news;
}

/* peers.c */
int peers_add(struct sp *s, const struct sp_session_message *m, int *fds, size_t n_fds);
void peers_gone(struct sp *s, uint32_t id);
void peers_free(struct sp *s);
void peers_drop(struct sp *s, size_t i);
void bell_ring(int fd, bool empties);
/* Maps a sealed memfd of at least `least` bytes. */
int map_memfd(int fd, size_t least, bool writable, void **ret, size_t *ret_bytes);

/* receive.c: looks for the next message, s->ahead. 1, 0 there is none, -errno. */
int ring_fetch(struct sp *s);
/* Copies it and passes on; call after ring_fetch has returned 1. Returns its whole length. */
size_t ring_take(struct sp *s, void *buffer, size_t n);
/* There may be something new; cheap. */
bool ring_pending(const struct sp *s);
/* Shows the peers how far we have read: all of them, or those for whom it is time. */
void ring_show(struct sp *s, bool all);
int subscriptions_add(struct subscriptions *t, const void *prefix, size_t n);
int subscriptions_remove(struct subscriptions *t, const void *prefix, size_t n);
void subscriptions_done(struct subscriptions *t);

/* send.c: puts; ring_wake shows it to the peers. -EAGAIN: no room. */
int ring_send(struct sp *s, const void *message, size_t n);
void ring_wake(struct sp *s);
/* A measure of the room as it was when a message found none, and as it is now: another figure means
 * that it is worth trying again. */
uint64_t ring_room_known(const struct sp *s);
uint64_t ring_room(struct sp *s);
/* The peers are asked to tell when there is room. False: it is not as `before` any more. */
bool ring_want_room(struct sp *s, uint64_t before);
void ring_want_none(struct sp *s);
int ring_resend(struct sp *s); /* the running request, to another peer if there is one */

enum { BELL_MS = 1000 }; /* SO_RCVTIMEO of the bell */

/* wait.c: sleeps until there may be something to receive, or room to send. Deadline in ms of
 * client_now_ms, UINT64_MAX none. -ETIMEDOUT, -ECONNRESET, -EINTR. */
int wait_receive(struct sp *s, uint64_t deadline);
int wait_send(struct sp *s, uint64_t deadline);
void writable_again(struct sp *s);
/* Makes the bell tell the truth before somebody polls it. True: a receive would find something. */
bool arm_receive(struct sp *s);

/* plain.c */
int plain_open(struct sp *s);
void plain_times(const struct sp *s); /* as the client's time-outs are */
int plain_subscribe(struct sp *s, const void *prefix, size_t n, bool on);
int plain_send(struct sp *s, const void *message, size_t n, int flags);
ssize_t plain_receive(struct sp *s, void *buffer, size_t n, int flags);

/* client.c: after a fork the child opens anew; call first, under the lock. */
int client_mine(struct sp *s);
int client_open(const char *directory, const struct sp_protocol *protocol, struct sp **ret);
int client_pollable(const struct sp *s);
