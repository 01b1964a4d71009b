/*
 * SPDY/3.1 frames (the SPDY Protocol, draft 3.1), as client-go and kubectl speak them for exec,
 * attach and port-forward: bytes in, frames out, no I/O. Header blocks are zlib streams with the
 * protocol's dictionary, one per direction and connection. Which streams exist is the caller's
 * business; so is flow control (client-go announces windows and ignores them).
 */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "proto/http.h"

enum spdy_status { /* of RST_STREAM */
                   SPDY_PROTOCOL_ERROR = 1,
                   SPDY_INVALID_STREAM = 2,
                   SPDY_REFUSED_STREAM = 3,
                   SPDY_CANCEL = 5,
                   SPDY_INTERNAL_ERROR = 6,
};

/* Non-zero stops: spdy_feed returns it and takes no more. NULL members are skipped. Headers live
 * until the callback returns; a value that was sent several times comes several times. */
struct spdy_events {
    int (*syn_stream)(void *user, uint32_t id, const struct http_headers *h, bool fin);
    int (*syn_reply)(void *user, uint32_t id, const struct http_headers *h, bool fin);
    int (*headers)(void *user, uint32_t id, const struct http_headers *h, bool fin);
    /* A part of a frame; fin with the last part: the peer sends no more on this stream. */
    int (*data)(void *user, uint32_t id, struct slice data, bool fin);
    int (*rst)(void *user, uint32_t id, uint32_t status);
    int (*ping)(void *user,
                uint32_t id); /* odd ids are the client's: answer with spdy_write_ping */
    int (*goaway)(void *user, uint32_t last_id);
    int (*window_update)(void *user, uint32_t id, uint32_t delta);
};

/* ---- Handshake: an HTTP/1.1 upgrade, GET or POST ---- */

bool spdy_wanted(const struct http_headers *h); /* does it ask for Upgrade: SPDY/3.1? */
/* The first of X-Stream-Protocol-Version (several headers, or one list) that is in the
 * NULL-terminated list; NULL: none. */
const char *spdy_choose_protocol(const struct http_headers *h, const char *const *supported);
void spdy_write_answer(struct buf *b, const char *protocol); /* 101 */

/* ---- Frames ---- */

struct spdy;
struct spdy *spdy_new(const struct spdy_events *ev, void *user);
void spdy_free(struct spdy *s);
/* Eats everything. ERR_BAD_REQUEST or ERR_TOO_LARGE: the connection is to be closed. */
int spdy_feed(struct spdy *s, struct slice bytes, struct err *err);

/* Frames with headers must be sent in the order they are written: they share the compressor. */
void spdy_write_syn_stream(struct spdy *s, struct buf *b, uint32_t id, const struct http_headers *h,
                           bool fin);
void spdy_write_syn_reply(struct spdy *s, struct buf *b, uint32_t id, const struct http_headers *h,
                          bool fin);
void spdy_write_data(struct buf *b, uint32_t id, struct slice data, bool fin);
void spdy_write_rst(struct buf *b, uint32_t id, enum spdy_status status);
void spdy_write_ping(struct buf *b, uint32_t id);
void spdy_write_goaway(struct buf *b, uint32_t last_id);
void spdy_write_window_update(struct buf *b, uint32_t id, uint32_t delta);
