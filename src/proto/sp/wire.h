/*
 * The wire of scalability protocols (drafts sp-tcp-mapping-01 and sp-request-reply-01, as nng 1.5
 * and nanomsg 1.1 speak them): the table of protocols, the 8-byte handshake, frames, tag stacks and
 * the hop count of PAIR1. Bytes in, slices out, no I/O. Nothing is allocated for a length that has
 * only been announced.
 */
#pragma once

#include <stdbool.h>

#include "base/buf.h"
#include "base/err.h"

/* ---- Protocols ---- */

enum sp_pattern {
    SP_PUBSUB,
    SP_PIPELINE,
    SP_REQREP,
    SP_SURVEY,
    SP_BUSES,
    SP_PAIRS,
    SP_PATTERN_COUNT
};

enum sp_role {
    SP_PUB,
    SP_SUB,
    SP_PUSH,
    SP_PULL,
    SP_REQ,
    SP_REP,
    SP_SURVEYOR,
    SP_RESPONDENT,
    SP_BUS,
    SP_PAIR, /* version 0, the only one that nanomsg speaks; see sp_protocol_of_type for 1 */
    SP_ROLE_COUNT
};

enum sp_header { SP_HEADER_NONE, SP_HEADER_TAGS, SP_HEADER_HOPS };

/* Types on the wire that the table's users name. */
enum {
    SP_TYPE_PAIR0 = 0x10,
    SP_TYPE_PAIR1 = 0x11,
    SP_TYPE_FORWARD = 0xf000, /* Atoll's own: subscriptions travel upstream (proto/sp/forward.h) */
};

struct sp_protocol {
    const char *name; /* of the role and its socket file */
    enum sp_pattern pattern;
    enum sp_role role, peer_role;
    uint16_t type, peer_type;
    enum sp_header header;
    bool sends, receives;
    const char *websocket; /* subprotocol when this role listens */
};

const struct sp_protocol *sp_protocol_of_role(enum sp_role role);
const struct sp_protocol *sp_protocol_of_name(const char *name); /* NULL: no such role */
const struct sp_protocol *sp_protocol_of_type(uint16_t type);    /* NULL; knows PAIR1 too */
const char *sp_pattern_name(enum sp_pattern pattern);            /* "pubsub", "pipeline", … */
int sp_pattern_of_name(const char *name, enum sp_pattern *ret);  /* -EINVAL */
bool sp_role_in(enum sp_role role, enum sp_pattern pattern);

/* ---- Handshake: 00 'S' 'P' 00 | type u16 BE | 00 00, sent by each side at once ---- */

enum { SP_HANDSHAKE_BYTES = 8, SP_NEGOTIATE_MS = 10000 };
void sp_handshake_write(unsigned char ret[SP_HANDSHAKE_BYTES], uint16_t type);
/* -EBADMSG: to be closed and counted. Shorter input than 8 bytes is judged as far as it goes: 0 and
 * *ret untouched means that more is needed; 1: *ret is the peer's type. */
int sp_handshake_read(struct slice bytes, uint16_t *ret, struct err *err);
/* May a socket of type `own` talk to this peer? -EBADMSG says both types. */
int sp_handshake_check(uint16_t own, uint16_t peer, struct err *err);

/* ---- Frames: tcp, tls: u64 BE length | payload; ipc: 01 before the length ---- */

enum sp_framing { SP_FRAMING_TCP, SP_FRAMING_IPC };
enum { SP_FRAME_HEAD_MAX = 9 };
/* Head for a payload (protocol header and body together) of n bytes; returns its length. */
size_t sp_frame_head(unsigned char ret[SP_FRAME_HEAD_MAX], enum sp_framing framing, uint64_t n);

/* Zero-initialise, then set framing and limit_bytes (of one payload). */
struct sp_frames {
    enum sp_framing framing;
    uint64_t limit_bytes;
    /* private */
    bool bad;
    unsigned char head[SP_FRAME_HEAD_MAX];
    unsigned head_n;
    bool in_payload;
    uint64_t want;   /* payload bytes that are still to come */
    struct buf part; /* a payload that did not arrive in one piece; grows with what arrives */
};
void sp_frames_done(struct sp_frames *f);
/* Takes bytes off the front of *in. 1: *ret is one payload (valid until the next call and as long
 * as the input lives), 0: all eaten, more is needed; -EBADMSG (ERR_BAD_REQUEST: malformed,
 * ERR_TOO_LARGE: above the limit): to be closed; it stays so. */
int sp_frames_next(struct sp_frames *f, struct slice *in, struct slice *ret, struct err *err);
/* For a reader that wants to read a large payload without copying: bytes of the current payload
 * that are still to come, 0 between frames. */
static inline uint64_t sp_frames_missing(const struct sp_frames *f) { return f->want; }

/* ---- Tag stack (req, rep, surveyor, respondent): u32 BE words, the last has its top bit set ----
 */

enum { SP_TTL_DEFAULT = 8, SP_TAGS_MAX = 16, SP_TAGS_BYTES_MAX = 4 * SP_TAGS_MAX };
#define SP_TAG_END UINT32_C(0x80000000)
/* What stands behind the stack of a payload. 0; -EBADMSG: no terminator (close); -ELOOP: more words
 * than ttl (drop silently, count). */
int sp_tags_read(struct slice payload, unsigned ttl, struct slice *ret_body);

/* ---- PAIR1: u32 BE hop count before the body ---- */

enum { SP_HOPS_BYTES = 4 };
/* 0; -EBADMSG: too short or above 0xff (close); -ELOOP: above ttl (drop). */
int sp_hops_read(struct slice payload, unsigned ttl, uint32_t *ret_hops, struct slice *ret_body);
void sp_hops_write(unsigned char ret[SP_HOPS_BYTES], uint32_t hops); /* a first sender puts 1 */
