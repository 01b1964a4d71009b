/*
 * ws and wss: messages as binary WebSocket messages, protocol header and body together; the role of
 * the listener is the subprotocol, which takes the place of the SP handshake (as nng and nanomsg do
 * it). Text messages are taken too, since a browser sends them easily; none are sent.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

#include "base/limits.h"
#include "base/own.h"
#include "proto/http.h"
#include "proto/websocket.h"
#include "sp/declare/topology.h"
#include "sp/links/edge.h"
#include "sp/links/link_private.h"
#include "sp/transports/tls.h"

enum { KEY_BYTES = 16, HEAD_MAX_BYTES = 16 * 1024 };

struct ws {
    struct sp_link *link;
    struct http1 *http; /* until the upgrade is done */
    struct websocket *ws;
    size_t head_bytes; /* of the upgrade so far */
    char key[32];      /* of the client */
    const char *subprotocol;
    bool upgraded;
    int result; /* of what was called back; < 0 closes */
    struct err *err;
};

static const struct sp_protocol forward_protocol = {.websocket = "forward.sp.atoll.dev"};

/* ---- which protocols ---- */

/* The subprotocol of a link on which the listener has this type. */
static const char *subprotocol_of(const struct sp_link *l, uint16_t listener_type) {
    const struct sp_protocol *p =
        l->dialect ? &forward_protocol : sp_protocol_of_type(listener_type);
    return p ? p->websocket : NULL;
}

/* What a client may ask us for; a pair takes both versions. */
static void supported(const struct sp_link *l, const char *ret[3]) {
    bool pair = sp_link_waits_for_greeting(l) && !l->dialect;
    ret[0] = subprotocol_of(l, pair ? SP_TYPE_PAIR0 : l->own_type);
    ret[1] = pair ? subprotocol_of(l, SP_TYPE_PAIR1) : NULL;
    ret[2] = NULL;
}

static uint16_t peer_type(const struct ws *s) {
    const struct sp_link *l = s->link;
    if (l->dialect) return l->dialect->peer;
    if (sp_link_waits_for_greeting(l))
        return str_eq(s->subprotocol, subprotocol_of(l, SP_TYPE_PAIR1)) ? SP_TYPE_PAIR1
                                                                        : SP_TYPE_PAIR0;
    return sp_protocol_of_type(l->own_type)->peer_type;
}

static uint16_t listener_type(const struct sp_link *l) {
    if (l->dialect) return l->dialect->peer;
    return sp_protocol_of_type(l->own_type)->peer_type;
}

/* ---- the upgrade ---- */

static void answer_error(struct ws *s, int status) {
    struct http_header v[] = {{"connection", "close"}, {"content-length", "0"}};
    http1_write_response(&s->link->out, status, &(struct http_headers){v, ARRAY_LEN(v)});
}

/* The path of the request, without its query. */
static bool path_fits(const struct sp_link *l, const char *target) {
    const struct sp_edge *e = l->pipe.edge;
    struct slice rest = slice_of(target), path;
    slice_cut(&rest, '?', &path);
    return !e || slice_is(path, str_or(e->config->address.path, "/"));
}

static int take_request(struct ws *s, const struct http1_head *h) {
    const char *names[3];
    int r = websocket_check_request(h->method, &h->headers, s->err);
    if (r < 0) {
        answer_error(s, 400);
        return r;
    }
    if (!path_fits(s->link, h->target)) {
        answer_error(s, 404);
        return err_set(s->err, ERR_NOT_FOUND, "WebSocket: the peer asks for another path");
    }
    supported(s->link, names);
    s->subprotocol = websocket_choose_protocol(&h->headers, names);
    if (!s->subprotocol) {
        answer_error(s, 400);
        return err_set(s->err, ERR_BAD_REQUEST,
                       "WebSocket: the peer does not offer \"%s\" but \"%s\"", names[0],
                       str_or(http_header(&h->headers, "sec-websocket-protocol"), ""));
    }
    websocket_write_answer(&s->link->out, &h->headers, s->subprotocol);
    return 0;
}

static int on_head(void *user, const struct http1_head *h) {
    struct ws *s = user;
    s->result = s->link->dialled
                    ? websocket_check_answer(h->status, &h->headers, s->key, s->subprotocol, s->err)
                    : take_request(s, h);
    s->upgraded = s->result == 0;
    return s->result;
}

static int on_body(void *user, struct slice data) { return -EBADMSG; }

static void write_request(struct ws *s) {
    unsigned char raw[KEY_BYTES];
    OWN(buf_done) struct buf key = {0}, host = {0};
    const struct sp_address *a = &s->link->pipe.edge->config->address;
    if (getrandom(raw, sizeof raw, 0) != (ssize_t)sizeof raw) abort();
    buf_base64(&key, raw, sizeof raw);
    memcpy(s->key, key.p, key.n + 1);
    buf_printf(&host, strchr(a->host, ':') ? "[%s]:%u" : "%s:%u", a->host, a->port);
    s->subprotocol = subprotocol_of(s->link, listener_type(s->link));
    websocket_write_request(&s->link->out, host.p, str_or(a->path, "/"), s->key, s->subprotocol);
}

/* ---- messages ---- */

static void new_mask(const struct sp_link *l, unsigned char ret[4]) {
    uint64_t bits = loop_random(l->pipe.topology->loop);
    memcpy(ret, &bits, 4);
}

static void send_control(struct sp_link *l, enum websocket_opcode op, struct slice data) {
    unsigned char mask[4];
    new_mask(l, mask);
    websocket_write(&l->out, op, data, l->dialled ? mask : NULL);
    sp_link_flush(l);
}

static int on_message(void *user, bool text, struct slice data) {
    struct ws *s = user;
    s->result = sp_link_payload(s->link, data, s->err);
    if (s->result < 0) return s->result;
    return sp_link_may_read(s->link) ? 0 : 1;
}

/* A peer that sends pings and takes no answers gets none. */
static int on_ping(void *user, struct slice data) {
    struct sp_link *l = ((struct ws *)user)->link;
    if (l->out.n < HEAD_MAX_BYTES) send_control(l, WEBSOCKET_PONG, data);
    return 0;
}

static int on_close(void *user, unsigned code, struct slice reason) {
    struct ws *s = user;
    static const char normal[] = {WEBSOCKET_NORMAL >> 8, (char)(WEBSOCKET_NORMAL & 0xff)};
    send_control(s->link, WEBSOCKET_CLOSE, slice_from(normal, sizeof normal));
    sp_pipe_hung_up(&s->link->pipe, "peer has closed");
    return 1;
}

/* ---- the codec ---- */

static int open_ws(struct sp_link *l, bool dialled, struct err *err) {
    static const struct http1_events http_events = {.head = on_head, .body = on_body};
    static const struct websocket_events ws_events = {
        .message = on_message, .ping = on_ping, .close = on_close};
    struct ws *s = calloc(1, sizeof *s);
    if (!s) abort();
    s->link = l;
    l->codec_state = s;
    s->http = http1_new(dialled ? HTTP1_RESPONSES : HTTP1_REQUESTS, &http_events, s);
    s->ws = websocket_new(dialled ? WEBSOCKET_CLIENT : WEBSOCKET_SERVER, &ws_events, s);
    websocket_limit(s->ws, l->limit_bytes);
    if (dialled) write_request(s);
    return 0;
}

/* 1: the upgrade is done, what follows is WebSocket. Nothing is flushed before the link is open: a
 * link that breaks until then is freed at once. */
static int upgrade(struct ws *s, struct slice *in, struct err *err) {
    struct sp_link *l = s->link;
    size_t used = 0;
    int r = http1_feed(s->http, *in, &used, err);
    *in = slice_from(in->p + used, in->n - used);
    s->head_bytes += used;
    if (s->result < 0) {
        r = s->result;
        sp_link_flush(l); /* says why */
        return r;
    }
    if (r < 0) return r;
    if (!s->upgraded) {
        if (s->head_bytes <= HEAD_MAX_BYTES) return 0;
        return err_set(err, ERR_TOO_LARGE, "WebSocket: the head of the upgrade is too long");
    }
    http1_free(TAKE(s->http));
    r = sp_link_opened(l, peer_type(s), err);
    if (r < 0) return r;
    sp_link_flush(l);
    return 1;
}

static int input(struct sp_link *l, struct slice *in, struct err *err) {
    struct ws *s = l->codec_state;
    s->err = err;
    if (!l->greeted) {
        int r = upgrade(s, in, err);
        if (r <= 0) return r;
    }
    if (!sp_link_may_read(l)) return 0;
    int r = websocket_take(s->ws, in, err);
    return r < 0 ? r : 0;
}

static size_t head(struct sp_link *l, struct slice extra, struct slice body,
                   unsigned char ret[SP_HEAD_MAX], struct buf *copy) {
    uint64_t n = (uint64_t)extra.n + body.n;
    if (!l->dialled) return websocket_head(ret, WEBSOCKET_BINARY, n, NULL);
    unsigned char mask[4];
    new_mask(l, mask);
    size_t start = copy->n;
    buf_slice(copy, extra);
    buf_slice(copy, body);
    if (n) websocket_mask(copy->p + start, (size_t)n, mask);
    return websocket_head(ret, WEBSOCKET_BINARY, n, mask);
}

static void close_ws(struct sp_link *l) {
    struct ws *s = TAKE(l->codec_state);
    http1_free(s->http);
    websocket_free(s->ws);
    free(s);
}

static const struct sp_codec codec = {
    .open = open_ws, .input = input, .head = head, .close = close_ws};

static const struct sp_transport ws = {.scheme = SP_SCHEME_WS,
                                       .codec = &codec,
                                       .listen = sp_tcp_listen,
                                       .dial = sp_tcp_dial,
                                       .resolves = true};
SP_TRANSPORT(ws);

static const struct sp_transport wss = {.scheme = SP_SCHEME_WSS,
                                        .stream = &sp_stream_tls,
                                        .codec = &codec,
                                        .listen = sp_tcp_listen,
                                        .dial = sp_tcp_dial,
                                        .resolves = true};
SP_TRANSPORT(wss);
