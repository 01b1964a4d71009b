/* node.sock: connections, request heads, framing of answers. One request per connection. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/log.h"
#include "base/own.h"
#include "node/streams/spdy_channels.h"
#include "node/streams/stream.h"
#include "node/streams/streams.h"
#include "proto/spdy.h"
#include "proto/websocket.h"

enum { CONNECTIONS_MAX = 1024, CHANNELS_OPEN_MS = 30 * 1000 };

struct streams {
    struct agent *agent;
    int fd;
    struct fd_watch *watch;
    size_t n;
};

enum stream_mode { MODE_HEAD, MODE_WAITING, MODE_CHUNKED, MODE_WEBSOCKET, MODE_SPDY };

struct stream {
    struct streams *owner;
    int fd;
    struct fd_watch *watch;
    struct arena *arena;
    struct http1 *parser;
    struct websocket *ws;
    struct spdy_channels *channels; /* MODE_SPDY: NULL = the handler reads the frames */
    struct timer *opening;          /* until the channels are open */
    struct stream_request request;
    const struct http1_head *head;
    enum stream_mode mode;
    const struct stream_ops *ops;
    void *state;
    struct buf out;
    bool ending, dead, paused, was_full;
};

struct arena *stream_arena(struct stream *s) {
    return s->arena;
}
size_t stream_queued(const struct stream *s) { return s->out.n; }

static void stream_free(void *user) {
    struct stream *s = user;
    if (s->ops && s->ops->closed) s->ops->closed(s->state);
    fd_watch_free(s->watch);
    close_p(&s->fd);
    http1_free(s->parser);
    websocket_free(s->ws);
    spdy_channels_free(s->channels);
    timer_free(s->opening);
    buf_done(&s->out);
    arena_free(s->arena);
    s->owner->n--;
    free(s);
}

/* Freed from the loop, never below a caller that still uses it. */
static void die(struct stream *s) {
    if (s->dead) return;
    s->dead = true;
    fd_watch_set(s->watch, 0);
    loop_defer(s->owner->agent->loop, stream_free, s);
}

static void watch(struct stream *s) {
    if (s->dead) return;
    fd_watch_set(s->watch, (s->paused || s->ending ? 0 : FD_READ) | (s->out.n ? FD_WRITE : 0));
}

static void flush(struct stream *s) {
    while (s->out.n && !s->dead) {
        ssize_t n = send(s->fd, s->out.p, s->out.n, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EINTR)) break;
        if (n < 0) {
            die(s);
            return;
        }
        buf_consume(&s->out, (size_t)n);
    }
    if (!s->out.n && s->ending) {
        shutdown(s->fd, SHUT_WR);
        die(s);
        return;
    }
    watch(s);
    if (!s->out.n && s->was_full && !s->dead) {
        s->was_full = false;
        if (s->ops && s->ops->drain) s->ops->drain(s->state);
    }
}

static size_t queued(struct stream *s) {
    if (s->dead) return 0;
    if (s->out.n > LIMIT_WATCH_QUEUE_BYTES) { /* a handler that does not stop */
        die(s);
        return s->out.n;
    }
    size_t n = s->out.n;
    if (n) {
        flush(s);
        n = s->dead ? 0 : s->out.n;
    }
    if (n > STREAM_HIGH_BYTES / 2) s->was_full = true;
    return n;
}

void stream_set(struct stream *s, const struct stream_ops *ops, void *state) {
    s->ops = ops;
    s->state = state;
    if (s->ws && ops->ready) ops->ready(state);
}

void stream_end(struct stream *s) {
    if (s->dead || s->ending) return;
    if (s->mode == MODE_CHUNKED) http1_write_last_chunk(&s->out);
    s->ending = true;
    flush(s);
}

void stream_begin(struct stream *s, int status, const char *content_type) {
    struct http_header v[] = {
        {"content-type", content_type}, {"transfer-encoding", "chunked"}, {"connection", "close"}};
    struct http_headers h = {v, ARRAY_LEN(v)};
    if (s->dead) return;
    s->mode = MODE_CHUNKED;
    http1_write_response(&s->out, status, &h);
    queued(s);
}

size_t stream_write(struct stream *s, struct slice data) {
    if (s->dead || s->ending) return 0;
    http1_write_chunk(&s->out, data);
    return queued(s);
}

void stream_fail(struct stream *s, const struct err *err) {
    OWN(buf_done) struct buf body = {0}, length = {0};
    int status = err_http(err->reason);
    if (s->dead) return;
    buf_str(&body,
            "{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{},\"status\":\"Failure\","
            "\"message\":");
    buf_json_str(&body, slice_of(err->text));
    buf_printf(&body, ",\"reason\":\"%s\",\"code\":%d}\n", err_reason_name(err->reason), status);
    buf_u64(&length, body.n);
    struct http_header v[] = {{"content-type", "application/json"},
                              {"content-length", length.p},
                              {"connection", "close"}};
    struct http_headers h = {v, ARRAY_LEN(v)};
    http1_write_response(&s->out, status, &h);
    buf_append(&s->out, body.p, body.n);
    s->mode = MODE_WAITING;
    s->ending = true;
    flush(s);
}

/* ---- Channels and messages ---- */

size_t stream_channel(struct stream *s, unsigned char channel, struct slice data) {
    if (s->dead || s->ending) return 0;
    if (s->channels)
        spdy_channels_write(s->channels, channel, data);
    else
        websocket_write_channel(&s->out, channel, data);
    return queued(s);
}

size_t stream_message(struct stream *s, struct slice data) {
    if (s->dead || s->ending) return 0;
    if (s->ws)
        websocket_write(&s->out, WEBSOCKET_BINARY, data, NULL);
    else
        buf_slice(&s->out, data);
    return queued(s);
}

void stream_close(struct stream *s, unsigned code) {
    if (s->dead || s->ending) return;
    if (s->ws) websocket_write_close(&s->out, code, "");
    if (s->channels) spdy_channels_end(s->channels);
    s->ending = true;
    flush(s);
}

/* ---- WebSocket ---- */

static int on_message(void *user, bool text, struct slice data) {
    struct stream *s = user;
    if (s->ops && s->ops->message) s->ops->message(s->state, text, data);
    return s->dead || s->ending;
}

static int on_ping(void *user, struct slice data) {
    struct stream *s = user;
    websocket_write(&s->out, WEBSOCKET_PONG, data, NULL);
    queued(s);
    return s->dead;
}

static int on_close(void *user, unsigned code, struct slice reason) {
    stream_close(user, WEBSOCKET_NORMAL);
    return 1;
}

static const struct websocket_events ws_events = {on_message, on_ping, NULL, on_close};

int stream_upgrade(struct stream *s, const char *const *protocols, const char **ret_protocol,
                   struct err *err) {
    const char *protocol = websocket_choose_protocol(&s->request.headers, protocols);
    int rc = websocket_check_request(s->request.method, &s->request.headers, err);
    if (rc < 0) return rc;
    if (!protocol && http_header(&s->request.headers, "sec-websocket-protocol"))
        return err_set(err, ERR_BAD_REQUEST,
                       "none of the offered WebSocket protocols is supported");
    websocket_write_answer(&s->out, &s->request.headers, protocol);
    s->ws = websocket_new(WEBSOCKET_SERVER, &ws_events, s);
    s->mode = MODE_WEBSOCKET;
    *ret_protocol = str_or(protocol, "");
    queued(s);
    return 0;
}

/* ---- SPDY ---- */

static void on_channels_ready(void *user) {
    struct stream *s = user;
    timer_stop(s->opening);
    if (s->ops && s->ops->ready) s->ops->ready(s->state);
}

static void channel_message(struct stream *s, unsigned char channel, struct slice data) {
    OWN(buf_done) struct buf b = {0};
    if (s->dead || s->ending) return;
    buf_char(&b, (char)channel);
    buf_slice(&b, data);
    on_message(s, false, buf_view(&b));
}

static void on_channel_data(void *user, enum channel channel, struct slice data) {
    channel_message(user, (unsigned char)channel, data);
}

static void on_channel_end(void *user, enum channel channel) {
    char which = (char)channel;
    channel_message(user, CHANNEL_CLOSE, slice_from(&which, 1));
}

static const struct spdy_channels_events channels_events = {on_channels_ready, on_channel_data,
                                                            on_channel_end};

static void on_opening_late(void *user) { stream_end(user); }

int stream_upgrade_spdy(struct stream *s, const char *const *protocols, struct err *err) {
    const char *protocol = spdy_choose_protocol(&s->request.headers, protocols);
    if (!str_eq(s->request.method, "GET") && !str_eq(s->request.method, "POST"))
        return err_set(err, ERR_BAD_REQUEST,
                       "an upgrade to SPDY/3.1 must be a GET or POST request");
    if (!protocol)
        return err_set(err, ERR_FORBIDDEN,
                       "unable to upgrade: none of X-Stream-Protocol-Version is supported, only %s",
                       protocols[0]);
    spdy_write_answer(&s->out, protocol);
    s->mode = MODE_SPDY;
    queued(s);
    return 0;
}

int stream_upgrade_channels(struct stream *s, unsigned channels, struct channels_manner *ret,
                            struct err *err) {
    static const char *const spdy_protocols[] = {"v4.channel.k8s.io", NULL};
    const char *protocol;
    if (!spdy_wanted(&s->request.headers)) {
        int rc = stream_upgrade(s, websocket_channel_protocols, &protocol, err);
        if (rc < 0) return rc;
        ret->input_can_end = str_eq(protocol, "v5.channel.k8s.io");
        ret->plain_status = str_eq(protocol, "channel.k8s.io");
        return 0;
    }
    int rc = stream_upgrade_spdy(s, spdy_protocols, err);
    if (rc < 0) return rc;
    ret->input_can_end = true;
    s->channels = spdy_channels_new(channels, &s->out, &channels_events, s);
    s->opening = timer_new(s->owner->agent->loop, on_opening_late, s);
    timer_start(s->opening, CHANNELS_OPEN_MS, 0);
    return 0;
}

static void feed_spdy(struct stream *s, struct slice bytes) {
    struct err err = {0};
    if (!s->channels) {
        on_message(s, false, bytes);
        return;
    }
    if (spdy_channels_feed(s->channels, bytes, &err) < 0)
        stream_end(s);
    else
        queued(s);
}

/* ---- requests ---- */

static const struct {
    const char *prefix;
    stream_handler *handler;
} routes[] = {
    {"/logs/", stream_logs},
    {"/exec/", stream_exec},
    {"/attach/", stream_attach},
    {"/portforward/", stream_portforward},
    {"/containerLogs/", stream_logs}, /* the names of the kubelet's own server */
    {"/portForward/", stream_portforward},
};

/* Paths without anything behind them. */
static stream_handler *whole_path(const char *path) {
    if (stream_is_report(path)) return stream_report;
    if (str_eq(path, "/healthz")) return stream_health;
    if (str_eq(path, "/pods") || str_eq(path, "/pods/")) return stream_pods;
    return str_eq(path, "/logs/") ? stream_log_index : NULL;
}

static void dispatch(struct stream *s) {
    struct err err = {0};
    stream_handler *whole = whole_path(s->request.path);
    if (whole) {
        whole(s->owner->agent, s, &s->request);
        return;
    }
    for (size_t i = 0; i < ARRAY_LEN(routes); i++) {
        if (!str_starts(s->request.path, routes[i].prefix)) continue;
        routes[i].handler(s->owner->agent, s, &s->request);
        return;
    }
    err_set(&err, ERR_NOT_FOUND, "the server could not find the requested resource");
    stream_fail(s, &err);
}

static int on_head(void *user, const struct http1_head *h) {
    struct stream *s = user;
    struct err err = {0};
    s->mode = MODE_WAITING;
    s->request.method = arena_str(s->arena, h->method);
    for (size_t i = 0; i < h->headers.n; i++)
        *ARENA_PUSH(s->arena, &s->request.headers) = (struct http_header){
            arena_str(s->arena, h->headers.v[i].name), arena_str(s->arena, h->headers.v[i].value)};
    if (http_split_target(s->arena, h->target, &s->request.path, &s->request.query, &err) < 0) {
        stream_fail(s, &err);
        return 1;
    }
    if (h->upgrade && h->has_body) {
        err_set(&err, ERR_BAD_REQUEST, "a request to upgrade must not have a body");
        stream_fail(s, &err);
        return 1;
    }
    if (h->upgrade) { /* what follows the head is not HTTP */
        dispatch(s);
        return s->dead || s->ending;
    }
    return 0;
}

static int on_body(void *user, struct slice data) { return 0; }

static int on_end(void *user) {
    struct stream *s = user;
    if (s->mode == MODE_WAITING && !s->ending && !s->ops && !s->ws) dispatch(s);
    return 1;
}

static const struct http1_events http_events = {on_head, on_body, on_end};

static void feed(struct stream *s, struct slice bytes) {
    struct err err = {0};
    if (s->mode == MODE_HEAD || (s->mode == MODE_WAITING && !s->ops && !s->ending)) {
        size_t used = 0;
        int rc = http1_feed(s->parser, bytes, &used, &err);
        if (rc < 0) {
            stream_fail(s, &err);
            return;
        }
        bytes = slice_from(bytes.p + used, bytes.n - used);
    }
    if (!bytes.n || s->dead || s->ending) return;
    if (s->mode == MODE_SPDY) feed_spdy(s, bytes);
    if (!s->ws) return;
    int rc = websocket_feed(s->ws, bytes, &err);
    if (rc < 0)
        stream_close(s, err.reason == ERR_TOO_LARGE ? WEBSOCKET_TOO_BIG : WEBSOCKET_PROTOCOL_ERROR);
}

static void on_ready(void *user, unsigned events) {
    struct stream *s = user;
    char tmp[32 * 1024];
    if (s->dead) return;
    if (events & FD_WRITE) flush(s);
    if (s->dead || s->ending || s->paused || !(events & FD_READ)) return;
    ssize_t n = recv(s->fd, tmp, sizeof tmp, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n <= 0) {
        die(s);
        return;
    }
    feed(s, slice_from(tmp, (size_t)n));
}

void stream_pause(struct stream *s, bool pause) {
    if (s->paused == pause) return;
    s->paused = pause;
    watch(s);
}

static bool permitted(int fd) {
    struct ucred c;
    socklen_t n = sizeof c;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &c, &n) < 0) return false;
    return c.uid == 0 || c.uid == service_uid("api");
}

static void on_accept(void *user, unsigned events) {
    struct streams *o = user;
    OWN(close_p) int fd = accept4(o->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0 || o->n >= CONNECTIONS_MAX || !permitted(fd)) return;
    struct stream *s = calloc(1, sizeof *s);
    if (!s) abort();
    s->owner = o;
    s->fd = TAKE_FD(fd);
    s->arena = arena_new();
    s->parser = http1_new(HTTP1_REQUESTS, &http_events, s);
    s->watch = fd_watch_new(o->agent->loop, s->fd, FD_READ, on_ready, s);
    o->n++;
}

int streams_start(struct agent *g, int listen_fd, struct streams **ret, struct err *err) {
    if (listen_fd < 0)
        return err_set(err, ERR_INTERNAL, "no descriptor named listen was handed over");
    struct streams *o = calloc(1, sizeof *o);
    if (!o) abort();
    *o = (struct streams){.agent = g, .fd = listen_fd};
    o->watch = fd_watch_new(g->loop, listen_fd, FD_READ, on_accept, o);
    *ret = o;
    return 0;
}
