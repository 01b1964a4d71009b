/*
 * One connection to a peer over a stream: handshake with a time limit, then frames both ways,
 * written with one writev for many messages. It is a pipe of its topology as soon as both sides
 * have greeted. What messages mean beyond the plain protocol is a dialect: forward.c brings the one
 * that Atolls speak to each other.
 */
#pragma once

#include "sp/pipe.h"
#include "sp/transport.h"

struct fd_watch;
struct timer;
struct sp_link;

enum { SP_EXTRA_MAX = 16 };

/* What is spoken once the bytes flow. NULL members: as the plain protocol does it. */
struct sp_dialect {
    const char *name;
    /* Types for the handshake; own is what we send. */
    uint16_t own, peer;
    void (*opened)(struct sp_link *l);                                      /* the pipe is open */
    int (*payload)(struct sp_link *l, struct slice bytes, struct err *err); /* one frame */
    /* What stands before the payload of a message of the pattern, within its frame; returns how
     * many bytes. place: the message's in pipe.out. */
    size_t (*extra)(struct sp_link *l, const struct sp_message *m, uint32_t place,
                    unsigned char ret[SP_EXTRA_MAX]);
    void (*closed)(struct sp_link *l); /* before the pipe goes */
};
/* The dialect of edges with forwarding; forward.c defines it. */
extern const struct sp_dialect *const sp_dialect_forward __attribute__((weak));

struct sp_link {
    struct sp_pipe pipe; /* first */
    const struct sp_transport *transport;
    const struct sp_dialect *dialect; /* NULL: plain */
    void *dialect_state;
    void *stream_state, *codec_state;
    int fd;
    struct fd_watch *watch;
    struct timer *limit; /* of the handshake */
    bool dialled, connecting, shaking /* hands, of the stream */, greeted, open, ended;
    bool paused, hangup_seen;
    enum sp_role role; /* the peer's */
    unsigned want;     /* FD_* that the stream needs besides (TLS) */
    uint16_t own_type, peer_type;
    uint64_t limit_bytes; /* of one payload */
    struct sp_frames frames;
    struct buf in;  /* read and not yet understood */
    struct buf out; /* to be sent before the next message: greetings, controls, the rest of one */
    size_t out_at;  /* so much of it is gone */
    bool send_blocked;
    enum sp_header header; /* of each payload, as the peer's protocol has it */
    char reason[160];      /* why it was refused */
};

/* Takes over fd (connected, or connecting when dialled); edge NULL: a program at an .ipc file, of
 * the given role. The link frees itself. */
struct sp_link *sp_link_new(struct sp_topology *t, struct sp_edge *edge,
                            const struct sp_transport *transport, int fd, bool dialled,
                            enum sp_role peer_role, const struct sp_credentials *who);
void sp_link_close(struct sp_link *l, const char *why);
void sp_link_close_now(struct sp_link *l, const char *why); /* only when its edge goes */

/* ---- for codecs and streams ---- */

void sp_link_want(struct sp_link *l, unsigned events); /* FD_READ, FD_WRITE: in a handshake */
int sp_link_opened(struct sp_link *l, uint16_t peer_type,
                   struct err *err);            /* the peer has greeted */
bool sp_link_may_read(const struct sp_link *l); /* false: stop decoding for now */
int sp_link_payload(struct sp_link *l, struct slice bytes, struct err *err); /* one message */
/* For dialects: a frame of one's own, before all messages that wait. */
void sp_link_control(struct sp_link *l, struct slice payload);
/* For codecs: our greeting depends on that of the peer (pair: which version). */
bool sp_link_waits_for_greeting(const struct sp_link *l);
