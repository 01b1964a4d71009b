/*
 * What a program that asks for rings and the service say to each other: SEQPACKET messages at
 * run/atoll/sp/TOPOLOGY/.ring/ROLE, native byte order, descriptors beside them (SCM_RIGHTS) in the
 * order given here. The service stays the authority: it says who shares memory with whom, and takes
 * it away again.
 *
 *   service  WELCOME   its side for this client, both ends of its bell; flags: policy; size: of the
 *                      ring that a pub makes
 *   client   HELLO     its side; pub: the ring that it writes
 *   service  SOURCE…   to sub: a ring to be read, from position value and message `sequence` on
 *            READER…   to pub: somebody who reads its ring
 *            LANE…     to push, pull, req, rep: rings that it shares with one peer
 *            READY     the beginning is complete; the same messages may come at any later time
 *            GONE      what came under this id ends: drain it, then let go
 *   client   SUBSCRIBE, UNSUBSCRIBE with the prefix; service ACTIVE with the same number
 *   client   BROKEN    what the source of this id writes is no ring (any more); it reads no more
 *   service  DATA      a message for this client alone (retained ones)
 *
 * A side is a memfd of SP_SIDE_BYTES that only its owner can write: mapped by it, then sealed with
 * SHRINK, GROW and FUTURE_WRITE. So is the ring of a pub. Lanes are made by the service and written
 * by both peers, each its own half; a writer never reads what it has written there.
 *
 * A bell is a pair of connected stream sockets, made by the service: the client polls the one end,
 * its peers ring at the other by sending a byte. Those of push and pub work the other way round, so
 * that a full one means "not writable": the client fills its end, and is rung by receiving all of
 * it (SP_SESSION_BELL_EMPTIES). Sockets, since only their calls can be told not to block whatever a
 * peer does to the shared descriptor. The service itself is rung by a message of one byte.
 */
#pragma once

#include <stdint.h>

enum {
    SP_SESSION_VERSION = 1,
    SP_SESSION_BYTES_MAX = 64 * 1024,
    SP_SESSION_FDS_MAX = 3,
    SP_LANE_BYTES = 256 * 1024,
    SP_LANE_REQUEST_BYTES = 8, /* before a request and its reply: which one */
    SP_READERS_RUNG = 16,      /* so many a pub wakes itself; the service wakes the others */
};

enum sp_session_kind {
    SP_SESSION_WELCOME = 1,
    SP_SESSION_HELLO,
    SP_SESSION_SOURCE,
    SP_SESSION_READER,
    SP_SESSION_LANE,
    SP_SESSION_READY,
    SP_SESSION_GONE,
    SP_SESSION_SUBSCRIBE,
    SP_SESSION_UNSUBSCRIBE,
    SP_SESSION_ACTIVE,
    SP_SESSION_DATA,
    SP_SESSION_BROKEN
};

enum {
    SP_SESSION_BLOCK = 1 << 0,        /* WELCOME, SOURCE, READER: the reader's position counts */
    SP_SESSION_CONFLATE = 1 << 1,     /* WELCOME: only the newest message matters */
    SP_SESSION_DISCONNECT = 1 << 2,   /* WELCOME: who is lapped has to go */
    SP_SESSION_RING = 1 << 3,         /* READER: wake it yourself */
    SP_SESSION_BELL_EMPTIES = 1 << 4, /* the bell that comes along is rung by reading it */
    SP_SESSION_SECOND = 1 << 5,       /* LANE: the second half of the memory is written by you */
    SP_SESSION_DUPLEX = 1 << 6,       /* LANE: two halves; else one ring, from push to pull */
    SP_SESSION_SERVICE = 1 << 7, /* LANE: the peer is the service: only when there is no other */
};

struct sp_session_message {
    uint16_t kind;     /* enum sp_session_kind */
    uint16_t own_slot; /* of the receiver's side: where it shows how far it has read */
    uint32_t id;       /* of the peer, or of a subscription; 0 is the service */
    uint32_t flags;
    uint16_t peer_slot; /* of the peer's side: how far that has read what you write */
    uint16_t version;
    uint64_t size;  /* of messages in a ring, in bytes */
    uint64_t value; /* WELCOME: maximum message (high half), resend after ms (low half) */
    uint64_t sequence;
    /* bytes follow: prefix, message */
};

_Static_assert(sizeof(struct sp_session_message) == 40, "no holes");
