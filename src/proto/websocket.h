/*
 * WebSocket (RFC 6455): handshake values and framing; bytes in, messages out, no I/O. Strict about
 * masking, reserved bits, control frames, UTF-8 of text and close codes. No extensions.
 */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "proto/http.h"

/* ---- Handshake ---- */

enum { WEBSOCKET_ACCEPT_MAX = 29 };
/* Is the request a WebSocket upgrade we can take? ERR_BAD_REQUEST says what is missing. */
int websocket_check_request(const char *method, const struct http_headers *h, struct err *err);
void websocket_accept(const char *key, char out[WEBSOCKET_ACCEPT_MAX]); /* Sec-WebSocket-Accept */
/* The first protocol that the client offers and that is in the NULL-terminated list; NULL: none. */
const char *websocket_choose_protocol(const struct http_headers *h, const char *const *supported);
/* The whole 101 answer to a checked request; protocol may be NULL. */
void websocket_write_answer(struct buf *b, const struct http_headers *request,
                            const char *protocol);

/* The client's side: key is 16 random bytes in base64. */
void websocket_write_request(struct buf *b, const char *host, const char *target, const char *key,
                             const char *protocol);
int websocket_check_answer(int status, const struct http_headers *h, const char *key,
                           const char *protocol, struct err *err);

/* What kubectl and client libraries offer (k8s.io/apimachinery remotecommand, portforward). */
extern const char *const websocket_channel_protocols[]; /* exec, attach: v5, v4, v1 */

/* ---- Frames ---- */

enum websocket_opcode {
    WEBSOCKET_TEXT = 1,
    WEBSOCKET_BINARY = 2,
    WEBSOCKET_CLOSE = 8,
    WEBSOCKET_PING = 9,
    WEBSOCKET_PONG = 10,
};
enum { /* close codes */
       WEBSOCKET_NORMAL = 1000,
       WEBSOCKET_GOING_AWAY = 1001,
       WEBSOCKET_PROTOCOL_ERROR = 1002,
       WEBSOCKET_NO_CODE = 1005, /* the peer gave none; never sent */
       WEBSOCKET_TOO_BIG = 1009,
       WEBSOCKET_INTERNAL = 1011,
};
enum websocket_role { WEBSOCKET_SERVER, WEBSOCKET_CLIENT }; /* whose side we are */

/* Non-zero stops: websocket_feed returns it and takes no more. NULL members are skipped. */
struct websocket_events {
    int (*message)(void *user, bool text, struct slice data); /* whole, reassembled */
    int (*ping)(void *user, struct slice data);               /* to be answered by a pong */
    int (*pong)(void *user, struct slice data);
    int (*close)(void *user, unsigned code, struct slice reason); /* last; answer with a close */
};

struct websocket;
struct websocket *websocket_new(enum websocket_role role, const struct websocket_events *ev,
                                void *user);
void websocket_free(struct websocket *w);
void websocket_limit(struct websocket *w, uint64_t bytes); /* of one message; at first 1 MiB */
/* Eats everything. ERR_BAD_REQUEST (answer: close 1002) or ERR_TOO_LARGE (1009): the connection is
 * to be closed. What follows a close frame is dropped. */
int websocket_feed(struct websocket *w, struct slice bytes, struct err *err);
/* The same, but *in keeps what comes after an event that stopped; to be gone on with. */
int websocket_take(struct websocket *w, struct slice *in, struct err *err);

/* One unfragmented frame. mask: four unpredictable bytes on the client side, NULL on the server's.
 */
void websocket_write(struct buf *b, enum websocket_opcode op, struct slice data,
                     const unsigned char mask[4]);
/* The parts of it, for who sends data from where it lies. Returns the bytes of the head. */
enum { WEBSOCKET_HEAD_MAX = 14 };
size_t websocket_head(unsigned char ret[WEBSOCKET_HEAD_MAX], enum websocket_opcode op, uint64_t n,
                      const unsigned char mask[4]);
void websocket_mask(char *p, size_t n, const unsigned char mask[4]);
/* The k8s channel protocols: binary, the channel number before the data. */
void websocket_write_channel(struct buf *b, unsigned char channel, struct slice data);
void websocket_write_close(struct buf *b, unsigned code, const char *reason); /* server's side */
