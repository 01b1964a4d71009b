/*
 * HTTP/2 server sessions (RFC 9113) over nghttp2: bytes in, requests out; answers in, bytes out. No
 * I/O, no clock: the caller passes the time. Bounded against floods: streams, header lists, resets
 * by either side (rapid reset, CVE-2023-44487 and its kin), settings, pings, empty frames. Bodies
 * are flow-controlled: what the caller has not released holds the connection's window.
 */
#pragma once

#include "base/err.h"
#include "proto/http.h"

struct http2;

struct http2_events {
    /* A request head. Returns the caller's stream, or NULL to refuse it (503-like RST). h and its
     * strings live in a, which belongs to the caller from here (also when it returns NULL).
     * ":authority" is given as "host". end: no body follows. */
    void *(*head)(void *user, int32_t id, const struct http1_head *h, struct arena *a, bool end);
    void (*body)(void *user, void *stream, struct slice data);
    void (*end)(void *user, void *stream); /* the request is complete; not called if head had end */
    /* Copies up to max bytes of the answer's body to out. 0 without *ret_end: nothing now; call
     * http2_resume when there is more. */
    size_t (*produce)(void *user, void *stream, char *out, size_t max, bool *ret_end);
    void (*closed)(void *user, void *stream, uint32_t error_code); /* last call for this stream */
};

struct http2 *http2_new(const struct http2_events *ev, void *user, uint64_t now_ms);
void http2_free(struct http2 *s); /* no callbacks */

/* Eats everything. ERR_BAD_REQUEST / ERR_TOO_MANY_REQUESTS: send what http2_output has, then close.
 */
int http2_feed(struct http2 *s, struct slice bytes, uint64_t now_ms, struct err *err);
/* The next bytes to send, valid until the next call; n == 0: none now. Not inside callbacks. */
struct slice http2_output(struct http2 *s);
bool http2_finished(const struct http2 *s); /* nothing more to read or write */

/* These may be called inside callbacks. Header names are lower-cased; those that only concern
 * HTTP/1.1 connections are dropped. has_body: produce will be asked. */
void http2_respond(struct http2 *s, int32_t id, int status, const struct http_headers *h,
                   bool has_body);
void http2_resume(struct http2 *s, int32_t id);
enum {
    HTTP2_NO_ERROR = 0,
    HTTP2_INTERNAL_ERROR = 2,
    HTTP2_REFUSED_STREAM = 7,
    HTTP2_CANCEL = 8,
    HTTP2_ENHANCE_YOUR_CALM = 11,
};
void http2_reset(struct http2 *s, int32_t id, uint32_t error_code);
void http2_release(struct http2 *s, size_t body_bytes); /* opens the connection's window again */
void http2_shut(struct http2 *s);                       /* GOAWAY: running streams may end */
