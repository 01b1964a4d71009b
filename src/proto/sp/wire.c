#include "proto/sp/wire.h"

#include <errno.h>

#include "base/own.h"

/* ---- Protocols ---- */

static const char *const pattern_names[SP_PATTERN_COUNT] = {
    [SP_PUBSUB] = "pubsub", [SP_PIPELINE] = "pipeline", [SP_REQREP] = "reqrep",
    [SP_SURVEY] = "survey", [SP_BUSES] = "bus",         [SP_PAIRS] = "pair",
};

#define WEBSOCKET(name) name ".sp.nanomsg.org"
/* One row per role, by its number; PAIR1 stands behind them. */
static const struct sp_protocol protocols[] = {
    {"pub", SP_PUBSUB, SP_PUB, SP_SUB, 0x20, 0x21, SP_HEADER_NONE, true, false, WEBSOCKET("pub")},
    {"sub", SP_PUBSUB, SP_SUB, SP_PUB, 0x21, 0x20, SP_HEADER_NONE, false, true, WEBSOCKET("sub")},
    {"push", SP_PIPELINE, SP_PUSH, SP_PULL, 0x50, 0x51, SP_HEADER_NONE, true, false,
     WEBSOCKET("push")},
    {"pull", SP_PIPELINE, SP_PULL, SP_PUSH, 0x51, 0x50, SP_HEADER_NONE, false, true,
     WEBSOCKET("pull")},
    {"req", SP_REQREP, SP_REQ, SP_REP, 0x30, 0x31, SP_HEADER_TAGS, true, true, WEBSOCKET("req")},
    {"rep", SP_REQREP, SP_REP, SP_REQ, 0x31, 0x30, SP_HEADER_TAGS, true, true, WEBSOCKET("rep")},
    {"surveyor", SP_SURVEY, SP_SURVEYOR, SP_RESPONDENT, 0x62, 0x63, SP_HEADER_TAGS, true, true,
     WEBSOCKET("surveyor")},
    {"respondent", SP_SURVEY, SP_RESPONDENT, SP_SURVEYOR, 0x63, 0x62, SP_HEADER_TAGS, true, true,
     WEBSOCKET("respondent")},
    {"bus", SP_BUSES, SP_BUS, SP_BUS, 0x70, 0x70, SP_HEADER_NONE, true, true, WEBSOCKET("bus")},
    {"pair", SP_PAIRS, SP_PAIR, SP_PAIR, SP_TYPE_PAIR0, SP_TYPE_PAIR0, SP_HEADER_NONE, true, true,
     WEBSOCKET("pair")},
    {"pair", SP_PAIRS, SP_PAIR, SP_PAIR, SP_TYPE_PAIR1, SP_TYPE_PAIR1, SP_HEADER_HOPS, true, true,
     WEBSOCKET("pair1")},
};

const struct sp_protocol *sp_protocol_of_role(enum sp_role role) { return &protocols[role]; }

const struct sp_protocol *sp_protocol_of_name(const char *name) {
    for (size_t i = 0; i < ARRAY_LEN(protocols); i++)
        if (str_eq(protocols[i].name, name)) return &protocols[i];
    return NULL;
}

const struct sp_protocol *sp_protocol_of_type(uint16_t type) {
    for (size_t i = 0; i < ARRAY_LEN(protocols); i++)
        if (protocols[i].type == type) return &protocols[i];
    return NULL;
}

const char *sp_pattern_name(enum sp_pattern pattern) { return pattern_names[pattern]; }

int sp_pattern_of_name(const char *name, enum sp_pattern *ret) {
    for (unsigned i = 0; i < SP_PATTERN_COUNT; i++)
        if (str_eq(pattern_names[i], name)) {
            *ret = (enum sp_pattern)i;
            return 0;
        }
    return -EINVAL;
}

bool sp_role_in(enum sp_role role, enum sp_pattern pattern) {
    return protocols[role].pattern == pattern;
}

/* ---- Numbers ---- */

static void put_u32(unsigned char *p, uint32_t v) {
    for (int i = 0; i < 4; i++) p[i] = (unsigned char)(v >> (24 - 8 * i));
}

static uint32_t get_u32(const void *from) {
    const unsigned char *p = from;
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static uint64_t get_u64(const unsigned char *p) {
    return (uint64_t)get_u32(p) << 32 | get_u32(p + 4);
}

/* ---- Handshake ---- */

void sp_handshake_write(unsigned char ret[SP_HANDSHAKE_BYTES], uint16_t type) {
    const unsigned char bytes[SP_HANDSHAKE_BYTES] = {
        0, 'S', 'P', 0, (unsigned char)(type >> 8), (unsigned char)type, 0, 0};
    memcpy(ret, bytes, sizeof bytes);
}

int sp_handshake_read(struct slice bytes, uint16_t *ret, struct err *err) {
    static const unsigned char want[SP_HANDSHAKE_BYTES] = {0, 'S', 'P', 0, 0, 0, 0, 0};
    static const bool type[SP_HANDSHAKE_BYTES] = {[4] = true, [5] = true};
    const unsigned char *p = (const unsigned char *)bytes.p;
    size_t n = MIN_OF(bytes.n, (size_t)SP_HANDSHAKE_BYTES);
    for (size_t i = 0; i < n; i++)
        if (!type[i] && p[i] != want[i]) {
            err_set(err, ERR_BAD_REQUEST, "handshake: byte %zu is 0x%02x, not 0x%02x", i, p[i],
                    want[i]);
            return -EBADMSG;
        }
    if (n < SP_HANDSHAKE_BYTES) return 0;
    *ret = (uint16_t)(p[4] << 8 | p[5]);
    return 1;
}

int sp_handshake_check(uint16_t own, uint16_t peer, struct err *err) {
    const struct sp_protocol *p = sp_protocol_of_type(own);
    if (peer == (p ? p->peer_type : own)) return 0;
    const struct sp_protocol *other = sp_protocol_of_type(peer);
    err_set(err, ERR_BAD_REQUEST,
            "handshake: peer is 0x%04x (%s), which 0x%04x (%s) cannot talk to", peer,
            other ? other->name : "unknown", own, p ? p->name : "unknown");
    return -EBADMSG;
}

/* ---- Frames ---- */

static unsigned head_bytes(enum sp_framing framing) { return framing == SP_FRAMING_IPC ? 9 : 8; }

size_t sp_frame_head(unsigned char ret[SP_FRAME_HEAD_MAX], enum sp_framing framing, uint64_t n) {
    unsigned char *p = ret;
    if (framing == SP_FRAMING_IPC) *p++ = 1;
    put_u32(p, (uint32_t)(n >> 32));
    put_u32(p + 4, (uint32_t)n);
    return head_bytes(framing);
}

void sp_frames_done(struct sp_frames *f) { buf_done(&f->part); }

static int refuse(struct sp_frames *f) {
    f->bad = true;
    buf_done(&f->part);
    return -EBADMSG;
}

static struct slice take(struct slice *in, size_t n) {
    struct slice s = {in->p, n};
    in->p += n;
    in->n -= n;
    return s;
}

/* 1: the head is complete and good. */
static int read_head(struct sp_frames *f, struct slice *in, struct err *err) {
    unsigned whole = head_bytes(f->framing);
    struct slice s = take(in, MIN_OF(in->n, (size_t)(whole - f->head_n)));
    if (s.n) memcpy(f->head + f->head_n, s.p, s.n);
    f->head_n += (unsigned)s.n;
    if (f->framing == SP_FRAMING_IPC && f->head_n > 0 && f->head[0] != 1) {
        err_set(err, ERR_BAD_REQUEST, "frame: message type 0x%02x, not 0x01", f->head[0]);
        return refuse(f);
    }
    if (f->head_n < whole) return 0;
    uint64_t n = get_u64(f->head + whole - 8);
    if (n > f->limit_bytes) {
        err_set(err, ERR_TOO_LARGE, "frame: %llu bytes announced, at most %llu are taken",
                (unsigned long long)n, (unsigned long long)f->limit_bytes);
        return refuse(f);
    }
    f->head_n = 0;
    f->want = n;
    return 1;
}

/* What had to be gathered and was large is not kept. */
enum { PART_KEEP_BYTES = 16 * 1024 };

int sp_frames_next(struct sp_frames *f, struct slice *in, struct slice *ret, struct err *err) {
    if (f->bad) {
        err_set(err, ERR_BAD_REQUEST, "frame: the stream was malformed before");
        return -EBADMSG;
    }
    if (!f->in_payload) {
        int r = read_head(f, in, err);
        if (r <= 0) return r;
        f->in_payload = true;
        if (f->part.cap > PART_KEEP_BYTES) buf_done(&f->part);
        buf_clear(&f->part);
    }
    struct slice s = take(in, (size_t)MIN_OF((uint64_t)in->n, f->want));
    f->want -= s.n;
    if (f->part.n > 0 || f->want > 0) buf_slice(&f->part, s);
    if (f->want > 0) return 0;
    f->in_payload = false;
    *ret = f->part.n > 0 ? buf_view(&f->part) : s;
    return 1;
}

/* ---- Tag stack ---- */

int sp_tags_read(struct slice payload, unsigned ttl, struct slice *ret_body) {
    struct slice left = payload;
    for (unsigned n = 0;; n++) {
        if (left.n < 4) return -EBADMSG;
        if (n >= MIN_OF(ttl, (unsigned)SP_TAGS_MAX)) return -ELOOP;
        if (get_u32(take(&left, 4).p) & SP_TAG_END) break;
    }
    *ret_body = left;
    return 0;
}

/* ---- PAIR1 ---- */

int sp_hops_read(struct slice payload, unsigned ttl, uint32_t *ret_hops, struct slice *ret_body) {
    if (payload.n < SP_HOPS_BYTES) return -EBADMSG;
    uint32_t hops = get_u32(payload.p);
    if (hops > 0xff) return -EBADMSG;
    if (hops > ttl) return -ELOOP;
    *ret_hops = hops;
    *ret_body = slice_from(payload.p + SP_HOPS_BYTES, payload.n - SP_HOPS_BYTES);
    return 0;
}

void sp_hops_write(unsigned char ret[SP_HOPS_BYTES], uint32_t hops) { put_u32(ret, hops); }
