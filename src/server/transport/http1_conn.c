/*
 * HTTP/1.1 on a connection: one request at a time, in order. The strings of a request point into
 * the parser, which is not fed again before the request is over.
 */
#include <assert.h>
#include <stdlib.h>

#include "base/limits.h"
#include "base/own.h"
#include "base/unset.h"
#include "server/transport/budget.h"
#include "server/transport/conn.h"
#include "server/transport/request_impl.h"

enum {
    STOP_REQUEST = 1, /* a whole request has arrived */
    STOP_TOO_LARGE = 2,
    STOP_BUSY = 3,                  /* too many bodies are under way */
    EARLY_MAX_BYTES = 64 * 1024,    /* input kept while a request runs; then reading stops */
    UNREAD_MAX_BYTES = 1024 * 1024, /* answers that wait before further requests are taken */
    UNREAD_SHORT_BYTES = 16 * 1024, /* the same when memory is short */
};

struct h1 {
    struct conn *c;
    struct http1 *parser;
    struct buf in;   /* bytes behind the running request */
    struct buf body; /* of the request */
    size_t budgeted; /* bytes of it */
    struct buf head; /* of the answer; reused */
    struct request r;
    struct request_impl impl;
    const struct http1_head *message;
    uint64_t message_ms; /* when the message's first byte came */
    const struct tunnel_events *tunnel;
    void *tunnel_user;
    bool in_message; /* some of a message was read, not yet all */
    bool active;     /* the handler has the request */
    bool streaming, chunked, bodyless, keep_alive;
    bool timed_out; /* was answered with 504; what the handler says is dropped */
    bool running;   /* http1_run is on the stack */
    bool resuming;  /* http1_run is deferred */
};

static const struct request_ops ops;

static struct h1 *of(struct request *r) { return r->impl->owner; }

/* ---- Answers ---- */

static void put(struct http_headers *h, const char *name, const char *value) {
    h->v[h->n++] = (struct http_header){name, value};
}

enum { LENGTH_NONE = -1 }; /* or the number of bytes */

static void queue_head(struct h1 *h, int status, const char *content_type, int64_t length,
                       const struct http_headers *extra) {
    struct arena *a = h->r.arena;
    char digits[REQUEST_DIGITS];
    size_t n_extra = extra ? extra->n : 0;
    struct http_headers all = {ARENA_ARRAY(a, struct http_header, n_extra + h->r.always.n + 5), 0};
    if (content_type) put(&all, "content-type", content_type);
    if (length >= 0) put(&all, "content-length", request_digits(digits, (uint64_t)length));
    if (h->chunked) put(&all, "transfer-encoding", "chunked");
    put(&all, "date", server_date(h->c->server));
    if (!h->keep_alive) put(&all, "connection", "close");
    for (size_t i = 0; i < h->r.always.n; i++) all.v[all.n++] = h->r.always.v[i];
    for (size_t i = 0; i < n_extra; i++) put(&all, extra->v[i].name, extra->v[i].value);
    buf_clear(&h->head);
    http1_write_response(&h->head, status, &all);
    outq_copy(&h->c->out, buf_view(&h->head));
}

static void resume_later(struct h1 *h);

static void drop_body(struct h1 *h) {
    budget_body_give(h->budgeted);
    h->budgeted = 0;
    buf_give(&h->body);
}

/* The request is over, in whatever way; its memory is free for the next one. */
static void request_over(struct h1 *h) {
    assert(h->active);
    request_tell_over(&h->r);
    h->active = h->streaming = h->chunked = h->timed_out = false;
    h->r.always = (struct http_headers){0};
    h->tunnel = NULL;
    server_arena_give(h->r.arena);
    h->r.arena = NULL;
    drop_body(h);
    struct conn *c = h->c;
    if (!c->dead) {
        c->deadline_ms = loop_turn_ms(c->loop) + LIMIT_HTTP_IDLE_MS;
        if (h->keep_alive) conn_idles(c);
        if (!h->keep_alive)
            conn_finish(c);
        else if (!h->running && (h->in.n > 0 || c->paused))
            resume_later(h);
        conn_flush(c);
    }
    conn_release(c);
}

static bool status_has_body(int status) { return status >= 200 && status != 204 && status != 304; }

static void respond(struct request *r, int status, const char *content_type, struct slice body,
                    struct bytes *shared, const struct http_headers *extra) {
    struct h1 *h = of(r);
    if (!h->c->dead && !h->timed_out) {
        bool has_body = status_has_body(status);
        if (h->impl.must_end) h->keep_alive = false;
        queue_head(h, status, content_type, has_body ? (int64_t)body.n : LENGTH_NONE, extra);
        if (has_body && !h->bodyless) {
            if (shared)
                outq_share(&h->c->out, shared);
            else
                outq_copy(&h->c->out, body);
        }
    }
    request_over(h);
}

static void begin(struct request *r, int status, const char *content_type,
                  const struct http_headers *extra) {
    struct h1 *h = of(r);
    if (h->c->dead || h->timed_out) return;
    h->streaming = true;
    h->c->deadline_ms = 0;
    if (!status_has_body(status)) h->bodyless = true;
    bool has_length = h->bodyless || (extra && http_header(extra, "content-length"));
    h->chunked = !has_length && !h->message->http10;
    if ((!has_length && !h->chunked) || h->impl.must_end) h->keep_alive = false;
    queue_head(h, status, content_type, LENGTH_NONE, extra);
    conn_flush(h->c);
}

/* What has to wait; then a drained call is promised. */
static size_t promise_drained(struct h1 *h) {
    size_t queued = conn_queued(h->c);
    if (queued > 0) conn_owe_drain(h->c);
    return queued;
}

enum { CHUNK_HEAD_BYTES = 2 * sizeof(size_t) + 2 };

/* In its last bytes. Written for every event to every watcher: printf would take longer than the
 * rest of the way to the socket. */
static struct slice chunk_head(char to[CHUNK_HEAD_BYTES], size_t n) {
    size_t at = CHUNK_HEAD_BYTES;
    to[--at] = '\n';
    to[--at] = '\r';
    do to[--at] = "0123456789abcdef"[n & 15];
    while (n >>= 4);
    return slice_from(to + at, CHUNK_HEAD_BYTES - at);
}

static size_t write_piece(struct request *r, struct slice data, struct bytes *shared) {
    struct h1 *h = of(r);
    struct conn *c = h->c;
    bool lend = !shared && data.n >= OUTQ_LEND_MIN_BYTES && c->out.bytes == 0 && !c->corked;
    if (c->dead || c->broken || h->bodyless || h->timed_out) return 0;
    if (data.n == 0) return conn_queued(c);
    if (h->chunked) {
        char head[CHUNK_HEAD_BYTES];
        outq_copy(&c->out, chunk_head(head, data.n));
    }
    if (shared)
        outq_share(&c->out, shared);
    else if (lend)
        outq_lend(&c->out, data);
    else
        outq_copy(&c->out, data);
    if (h->chunked) outq_copy(&c->out, SLICE("\r\n"));
    conn_flush(c);
    if (lend) outq_keep(&c->out);
    return promise_drained(h);
}

static void end(struct request *r) {
    struct h1 *h = of(r);
    if (!h->c->dead && h->chunked) outq_copy(&h->c->out, SLICE("0\r\n\r\n"));
    request_over(h);
}

static void abort_answer(struct request *r) {
    struct h1 *h = of(r);
    h->keep_alive = true; /* no orderly end: the cut must be seen */
    conn_fail(h->c);
    request_over(h);
}

/* An error that no request exists for: it was malformed, too large or late. */
static void refuse(struct h1 *h, int code, enum err_reason reason, const char *message) {
    OWN(buf_done) struct buf json = {0};
    status_json(&json, code, reason, message);
    h->keep_alive = false;
    if (!h->r.arena) h->r.arena = arena_new();
    queue_head(h, code, "application/json", (int64_t)json.n, NULL);
    outq_copy(&h->c->out, buf_view(&json));
    h->in_message = false;
    drop_body(h);
    conn_finish(h->c);
}

/* ---- Tunnels ---- */

static void tunnel(struct request *r, const struct http_headers *answer,
                   const struct tunnel_events *ev, void *user) {
    struct h1 *h = of(r);
    h->tunnel = ev;
    h->c->deadline_ms = 0;
    h->tunnel_user = user;
    h->keep_alive = false;
    if (h->c->dead) return;
    buf_clear(&h->head);
    http1_write_response(&h->head, 101, answer);
    outq_copy(&h->c->out, buf_view(&h->head));
    conn_flush(h->c);
    resume_later(h);
}

static size_t tunnel_write(struct request *r, struct slice data) {
    struct h1 *h = of(r);
    if (h->c->dead || h->c->broken) return 0;
    outq_copy(&h->c->out, data);
    conn_flush(h->c);
    return promise_drained(h);
}

static void tunnel_pause(struct request *r, bool paused) {
    if (!of(r)->c->dead) conn_pause(of(r)->c, paused);
}

static void tunnel_half_close(struct request *r) {
    if (!of(r)->c->dead) conn_half_close(of(r)->c);
}

static const struct request_ops ops = {
    .respond = respond,
    .begin = begin,
    .write = write_piece,
    .end = end,
    .abort = abort_answer,
    .tunnel = tunnel,
    .tunnel_write = tunnel_write,
    .tunnel_pause = tunnel_pause,
    .tunnel_half_close = tunnel_half_close,
    .tunnel_close = end,
};

/* ---- Requests ---- */

static int on_head(void *user, const struct http1_head *m) {
    struct h1 *h = user;
    h->message = m;
    h->keep_alive = m->keep_alive && !server_is_closing(h->c->server);
    h->bodyless = strcmp(m->method, "HEAD") == 0;
    if (m->content_length > LIMIT_BODY_BYTES) return STOP_TOO_LARGE;
    h->c->deadline_ms = h->message_ms + LIMIT_HTTP_REQUEST_MS;
    const char *expect = m->has_body ? http_header(&m->headers, "expect") : NULL;
    if (expect && slice_ieq(slice_of(expect), "100-continue"))
        outq_copy(&h->c->out, SLICE("HTTP/1.1 100 Continue\r\n\r\n"));
    return 0;
}

static int on_body(void *user, struct slice data) {
    struct h1 *h = user;
    if (h->body.n + data.n > LIMIT_BODY_BYTES) return STOP_TOO_LARGE;
    if (!budget_body_take(h->body.n, data.n)) return STOP_BUSY;
    h->budgeted += data.n;
    if (!h->body.cap) h->body = buf_take();
    buf_slice(&h->body, data);
    return 0;
}

static int on_end(void *user) { return STOP_REQUEST; }

static const struct http1_events parser_events = {on_head, on_body, on_end};

static void dispatch(struct h1 *h) {
    struct conn *c = h->c;
    const struct http1_head *m = h->message;
    struct arena *a = h->r.arena ? h->r.arena : server_arena_take();
    h->impl = (struct request_impl){
        .ops = &ops, .loop = c->loop, .owner = h, .conn = c, .upgrade = m->upgrade};
    h->r = (struct request){
        .arena = a,
        .method = m->method,
        .target = m->target,
        .headers = m->headers,
        .body = buf_view(&h->body),
        .peer = &c->peer,
        .received_ms = h->message_ms,
        .impl = &h->impl,
        .chosen = conn_was_chosen(c),
    };
    h->in_message = false;
    h->active = true;
    conn_hold(c);
    conn_serves(c);
    c->deadline_ms = 0;
    UNSET struct err err;
    if (http_split_target(a, m->target, &h->r.path, &h->r.query, &err) < 0)
        request_fail(&h->r, 0, err.reason, err.text);
    else
        server_dispatch(c->server, &h->r);
    /* Not at once: then somebody watches over the time it takes. */
    if (h->active && !h->streaming && !h->tunnel && !c->dead) c->deadline_ms = h->r.deadline_ms;
}

/* The handler took too long. */
static void time_out(struct h1 *h) {
    struct conn *c = h->c;
    OWN(buf_done) struct buf json = {0};
    c->deadline_ms = 0;
    status_json(&json, 504, ERR_TIMEOUT, REQUEST_TIMED_OUT);
    h->keep_alive = false;
    queue_head(h, 504, "application/json", (int64_t)json.n, NULL);
    if (!h->bodyless) outq_copy(&c->out, buf_view(&json));
    h->timed_out = true;
    conn_flush(c);
    if (!h->r.on_close) return; /* it will answer */
    h->r.on_close(&h->r);
    request_over(h);
}

static void refuse_malformed(struct h1 *h, const struct err *err) {
    bool large = err->reason == ERR_TOO_LARGE;
    refuse(h, large ? 431 : 400, err->reason, err->text);
}

/* Handles what can be handled of s; the rest waits in h->in. */
static void http1_run(struct h1 *h, struct slice s) {
    struct conn *c = h->c;
    h->running = true;
    while (s.n > 0 && !h->active && !c->finishing && !c->dead && !c->broken &&
           conn_queued(c) < (budget_is_short() ? UNREAD_SHORT_BYTES : UNREAD_MAX_BYTES)) {
        if (!h->in_message) {
            h->in_message = true;
            h->message_ms = loop_turn_ms(c->loop);
            c->deadline_ms = h->message_ms + LIMIT_HTTP_HEAD_MS;
            conn_begins(c);
        }
        size_t used;
        UNSET struct err err;
        int r = http1_feed(h->parser, s, &used, &err);
        s = slice_from(s.p + used, s.n - used);
        if (r == STOP_REQUEST)
            dispatch(h);
        else if (r == STOP_TOO_LARGE)
            refuse(h, 413, ERR_TOO_LARGE, "the request body is larger than 3 MiB");
        else if (r == STOP_BUSY)
            refuse(h, 503, ERR_UNAVAILABLE, TOO_MANY_BODIES);
        else if (r < 0)
            refuse_malformed(h, &err);
    }
    h->running = false;
    if (s.n == 0 || c->finishing || c->dead || c->broken) return;
    buf_slice(&h->in, s);
    if (h->active) return;
    conn_pause(c, true); /* it sends requests and does not read the answers */
    conn_owe_drain(c);
}

static void input(struct conn *c, struct slice bytes) {
    struct h1 *h = c->state;
    if (h->tunnel && h->in.n == 0 && !h->resuming) {
        h->tunnel->data(h->tunnel_user, bytes);
    } else if (h->active || h->in.n > 0 || h->resuming) {
        buf_slice(&h->in, bytes);
        if (h->in.n >= EARLY_MAX_BYTES) conn_pause(c, true);
    } else {
        http1_run(h, bytes);
    }
}

/* Goes on with bytes that arrived while a request ran. */
static void resume(void *user) {
    struct h1 *h = user;
    struct conn *c = h->c;
    h->resuming = false;
    if (!c->dead) {
        OWN(buf_done) struct buf early = h->in;
        h->in = (struct buf){0};
        conn_pause(c, false);
        c->corked = true;
        if (early.n > 0) input(c, buf_view(&early));
        c->corked = false;
        if (!c->dead) conn_flush(c);
    }
    conn_release(c);
}

static void resume_later(struct h1 *h) {
    if (h->resuming) return;
    h->resuming = true;
    conn_hold(h->c);
    loop_defer(h->c->loop, resume, h);
}

/* ---- Events of the connection ---- */

static void eof(struct conn *c) {
    struct h1 *h = c->state;
    if (h->tunnel)
        h->tunnel->eof(h->tunnel_user);
    else if (!h->active && conn_queued(c) > 0)
        conn_finish(c);
    else
        conn_kill(c);
}

static void drained(struct conn *c) {
    struct h1 *h = c->state;
    if (h->tunnel)
        h->tunnel->drained(h->tunnel_user);
    else if (h->streaming && h->r.on_drain)
        h->r.on_drain(&h->r);
    else if (!h->active && h->in.n > 0)
        resume_later(h);
}

static void expired(struct conn *c) {
    struct h1 *h = c->state;
    if (h->active && !h->streaming && !h->tunnel && h->r.deadline_ms)
        time_out(h);
    else if (conn_queued(c) > 0)
        c->deadline_ms += LIMIT_HTTP_IDLE_MS; /* still sending; stalled_ms watches over that */
    else if (h->in_message && !c->finishing)
        refuse(h, 408, ERR_TIMEOUT, "the request did not arrive in time");
    else
        conn_kill(c);
}

static void shut(struct conn *c) {
    struct h1 *h = c->state;
    if (h->active)
        h->keep_alive = false;
    else if (!h->in_message)
        conn_kill(c);
}

static void closed(struct conn *c) {
    struct h1 *h = c->state;
    if (!h->active) return;
    if (h->tunnel) {
        h->tunnel->closed(h->tunnel_user);
        request_over(h);
    } else if (h->r.on_close) {
        h->r.on_close(&h->r);
        request_over(h);
    }
}

static void released(struct conn *c) {
    struct h1 *h = c->state;
    http1_free(h->parser);
    buf_done(&h->in);
    drop_body(h);
    buf_done(&h->body);
    buf_done(&h->head);
    arena_free(h->r.arena);
    free(h);
}

static const struct conn_protocol http1_conn_protocol = {
    .input = input,
    .eof = eof,
    .drained = drained,
    .expired = expired,
    .shut = shut,
    .closed = closed,
    .released = released,
};

void http1_conn_start(struct conn *c) {
    struct h1 *h = calloc(1, sizeof *h);
    if (!h) abort();
    h->c = c;
    h->parser = http1_new(HTTP1_REQUESTS, &parser_events, h);
    c->state = h;
    c->protocol = &http1_conn_protocol;
}
