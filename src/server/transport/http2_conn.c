/*
 * HTTP/2 on a connection: up to LIMIT_HTTP2_STREAMS requests at once. Each stream has its own
 * queue; the connection takes from the queues only what the socket is about to take.
 */
#include <assert.h>
#include <stdlib.h>

#include "base/limits.h"
#include "base/own.h"
#include "base/unset.h"
#include "proto/http2.h"
#include "server/transport/budget.h"
#include "server/transport/conn.h"
#include "server/transport/request_impl.h"

enum { FILL_BYTES = 128 * 1024, LATE_CHECK_MS = 1000 };

struct h2;

struct h2_stream { /* lives in its own request's arena */
    struct request r;
    struct request_impl impl;
    struct h2 *h;
    struct h2_stream *next, *prev;
    int32_t id;
    struct buf body;
    size_t budgeted; /* bytes of it */
    struct outq out;
    size_t unreleased; /* body bytes that hold the connection's window */
    uint64_t since_ms; /* the last progress */
    bool complete;     /* the request has arrived and went to the handler (or was refused) */
    bool active;       /* the handler has not ended it */
    bool gone;         /* nghttp2 knows it no more */
    bool streaming, bodyless;
    bool ended;      /* no more will be queued */
    bool owes_drain; /* on_drain is due once the queue is empty */
    bool drained;    /* it is: call it */
    bool timed_out;  /* was answered with 504; what the handler says is dropped */
    bool told;       /* on_close was called or is not wanted */
};

struct h2 {
    struct conn *c;
    struct http2 *session;
    struct h2_stream *streams;
    size_t n_streams;
    bool reaping;
};

static const struct request_ops ops;

static struct h2_stream *of(struct request *r) { return r->impl->owner; }

/* With streams the dead-line is a regular look for late and stuck ones, else the idle limit. */
static void update_deadline(struct h2 *h) {
    struct conn *c = h->c;
    bool idle = h->n_streams == 0;
    if (!idle && !c->idle && c->deadline_ms) return;
    c->deadline_ms = loop_turn_ms(c->loop) + (idle ? LIMIT_HTTP_IDLE_MS : LATE_CHECK_MS);
    if (idle)
        conn_idles(c);
    else
        conn_begins(c);
}

/* ---- Streams ---- */

/* Frees the stream once both nghttp2 and the handler are done with it. */
static void stream_put(struct h2_stream *st) {
    if (!st->gone || st->active) return;
    struct h2 *h = st->h;
    struct conn *c = h->c;
    if (st->prev)
        st->prev->next = st->next;
    else
        h->streams = st->next;
    if (st->next) st->next->prev = st->prev;
    h->n_streams--;
    budget_body_give(st->budgeted);
    buf_done(&st->body);
    outq_done(&st->out);
    arena_free(st->r.arena);
    if (!c->dead) {
        update_deadline(h);
        if (h->n_streams == 0 && server_is_closing(c->server)) conn_finish(c);
    }
    conn_release(c);
}

static void release_body(struct h2_stream *st) {
    if (st->unreleased && !st->gone) http2_release(st->h->session, st->unreleased);
    st->unreleased = 0;
    budget_body_give(st->budgeted);
    st->budgeted = 0;
    buf_done(&st->body);
}

static void request_over(struct h2_stream *st) {
    assert(st->active);
    request_tell_over(&st->r);
    st->active = st->streaming = false;
    if (!st->h->c->dead) st->since_ms = loop_turn_ms(st->h->c->loop);
    release_body(st);
    struct conn *c = st->h->c;
    bool others = st->h->n_streams > 1;
    conn_hold(c);
    stream_put(st);
    if (!c->dead) (others ? conn_flush_soon : conn_flush)(c);
    conn_release(c);
}

/* ---- Answers ---- */

static void send_head(struct h2_stream *st, int status, const char *content_type, int64_t length,
                      const struct http_headers *extra, bool has_body) {
    size_t n_extra = extra ? extra->n : 0;
    struct http_headers all = {
        ARENA_ARRAY(st->r.arena, struct http_header, n_extra + st->r.always.n + 3), 0};
    char digits[REQUEST_DIGITS];
    if (content_type) all.v[all.n++] = (struct http_header){"content-type", content_type};
    if (length >= 0)
        all.v[all.n++] =
            (struct http_header){"content-length", request_digits(digits, (uint64_t)length)};
    all.v[all.n++] = (struct http_header){"date", server_date(st->h->c->server)};
    for (size_t i = 0; i < st->r.always.n; i++) all.v[all.n++] = st->r.always.v[i];
    for (size_t i = 0; i < n_extra; i++) all.v[all.n++] = extra->v[i];
    http2_respond(st->h->session, st->id, status, &all, has_body);
}

static bool status_has_body(int status) { return status >= 200 && status != 204 && status != 304; }

static void queue(struct h2_stream *st, struct slice data, struct bytes *shared) {
    if (shared)
        outq_share(&st->out, shared);
    else
        outq_copy(&st->out, data);
}

static void respond(struct request *r, int status, const char *content_type, struct slice body,
                    struct bytes *shared, const struct http_headers *extra) {
    struct h2_stream *st = of(r);
    if (!st->gone && !st->timed_out) {
        bool has_body = status_has_body(status);
        bool send_body = has_body && !st->bodyless && body.n > 0;
        st->ended = true;
        if (send_body) queue(st, body, shared);
        send_head(st, status, content_type, has_body ? (int64_t)body.n : -1, extra, send_body);
    }
    request_over(st);
}

static void begin(struct request *r, int status, const char *content_type,
                  const struct http_headers *extra) {
    struct h2_stream *st = of(r);
    if (st->gone || st->timed_out) return;
    st->streaming = true;
    if (!status_has_body(status)) st->bodyless = true;
    send_head(st, status, content_type, -1, extra, !st->bodyless);
    conn_flush(st->h->c);
}

static size_t write_piece(struct request *r, struct slice data, struct bytes *shared) {
    struct h2_stream *st = of(r);
    if (st->gone || st->bodyless || st->timed_out) return 0;
    bool lend = !shared && data.n >= OUTQ_LEND_MIN_BYTES && st->out.bytes == 0;
    if (lend)
        outq_lend(&st->out, data);
    else
        queue(st, data, shared);
    http2_resume(st->h->session, st->id);
    conn_flush(st->h->c);
    if (lend) outq_keep(&st->out);
    if (st->out.bytes > 0) st->owes_drain = true;
    return st->out.bytes;
}

static void end(struct request *r) {
    struct h2_stream *st = of(r);
    st->ended = true;
    if (!st->gone) http2_resume(st->h->session, st->id);
    request_over(st);
}

static void abort_answer(struct request *r) {
    struct h2_stream *st = of(r);
    if (!st->gone) http2_reset(st->h->session, st->id, HTTP2_INTERNAL_ERROR);
    request_over(st);
}

static const struct request_ops ops = {
    .respond = respond, .begin = begin, .write = write_piece, .end = end, .abort = abort_answer};

/* ---- Events of the session ---- */

static void dispatch(struct h2_stream *st) {
    struct request *r = &st->r;
    r->body = buf_view(&st->body);
    st->complete = st->active = true;
    update_deadline(st->h);
    conn_serves(st->h->c);
    UNSET struct err err;
    if (http_split_target(r->arena, r->target, &r->path, &r->query, &err) < 0)
        request_fail(r, 0, err.reason, err.text);
    else
        server_dispatch(st->h->c->server, r);
}

static void refuse_body(struct h2_stream *st) {
    st->complete = st->active = true;
    request_fail(&st->r, 413, ERR_TOO_LARGE, "the request body is larger than 3 MiB");
}

static void refuse_busy(struct h2_stream *st) {
    st->complete = st->active = true;
    request_fail(&st->r, 503, ERR_UNAVAILABLE, TOO_MANY_BODIES);
}

static void *on_head(void *user, int32_t id, const struct http1_head *m, struct arena *a,
                     bool end_of_request) {
    struct h2 *h = user;
    struct conn *c = h->c;
    struct h2_stream *st = ARENA_NEW(a, struct h2_stream);
    st->h = h;
    st->id = id;
    st->since_ms = loop_turn_ms(c->loop);
    st->bodyless = strcmp(m->method, "HEAD") == 0;
    st->impl = (struct request_impl){.ops = &ops, .loop = c->loop, .owner = st, .conn = c};
    st->r = (struct request){
        .arena = a,
        .method = m->method,
        .target = m->target,
        .headers = m->headers,
        .peer = &c->peer,
        .received_ms = st->since_ms,
        .impl = &st->impl,
        .chosen = conn_was_chosen(c),
    };
    st->next = h->streams;
    if (st->next) st->next->prev = st;
    h->streams = st;
    h->n_streams++;
    conn_hold(c);
    if (m->content_length > LIMIT_BODY_BYTES)
        refuse_body(st);
    else if (end_of_request)
        dispatch(st);
    update_deadline(h);
    return st;
}

static void on_body(void *user, void *stream, struct slice data) {
    struct h2_stream *st = stream;
    if (st->complete) { /* was refused: what still comes is dropped */
        http2_release(st->h->session, data.n);
        return;
    }
    st->unreleased += data.n;
    if (st->body.n + data.n > LIMIT_BODY_BYTES)
        refuse_body(st);
    else if (!budget_body_take(st->body.n, data.n))
        refuse_busy(st);
    else
        st->budgeted += data.n, buf_slice(&st->body, data);
}

static void on_end(void *user, void *stream) {
    struct h2_stream *st = stream;
    if (!st->complete) dispatch(st);
}

static size_t on_produce(void *user, void *stream, char *out, size_t max, bool *ret_end) {
    struct h2_stream *st = stream;
    size_t n = outq_peek(&st->out, out, max);
    outq_consume(&st->out, n);
    if (n > 0) st->since_ms = loop_turn_ms(st->h->c->loop);
    if (st->out.bytes > 0) return n;
    *ret_end = st->ended;
    if (st->owes_drain && !st->ended) {
        st->owes_drain = false;
        st->drained = true;
        conn_owe_drain(st->h->c);
    }
    return n;
}

/* Tells handlers whose client went away; event context. */
static void tell_gone(struct h2_stream *st) {
    if (!st->gone || !st->active || st->told) return;
    st->told = true;
    if (!st->r.on_close) return; /* it will be answered, and then freed */
    st->r.on_close(&st->r);
    request_over(st);
}

static void reap(void *user) {
    struct h2 *h = user;
    struct conn *c = h->c;
    h->reaping = false;
    struct h2_stream *st = h->streams;
    while (st) {
        bool due = st->gone && st->active && !st->told;
        tell_gone(st);
        st = due ? h->streams : st->next; /* the handler may have ended other streams too */
    }
    conn_release(c);
}

static void on_closed(void *user, void *stream, uint32_t error_code) {
    struct h2_stream *st = stream;
    struct h2 *h = st->h;
    st->unreleased = 0;
    st->gone = true;
    outq_done(&st->out); /* nobody takes it any more */
    if (st->active && !h->reaping) {
        h->reaping = true;
        conn_hold(h->c);
        loop_defer(h->c->loop, reap, h);
    }
    stream_put(st);
}

static const struct http2_events session_events = {
    .head = on_head, .body = on_body, .end = on_end, .produce = on_produce, .closed = on_closed};

/* ---- Events of the connection ---- */

static void fill(struct conn *c) {
    struct h2 *h = c->state;
    while (c->out.bytes < FILL_BYTES) {
        struct slice s = http2_output(h->session);
        if (s.n == 0) break;
        outq_copy(&c->out, s);
    }
    if (http2_finished(h->session)) c->finishing = true; /* after GOAWAY, by either side */
}

static void input(struct conn *c, struct slice bytes) {
    struct h2 *h = c->state;
    UNSET struct err err;
    if (c->finishing) return;
    int r = http2_feed(h->session, bytes, loop_turn_ms(c->loop), &err);
    if (c->dead) return;
    bool over = r < 0 || http2_finished(h->session);
    if (over || (server_is_closing(c->server) && h->n_streams == 0)) {
        fill(c);
        conn_finish(c);
    }
}

static void eof(struct conn *c) { conn_kill(c); }

static void drained(struct conn *c) {
    struct h2 *h = c->state;
    struct h2_stream *st = h->streams;
    while (st && !c->dead) {
        bool due = st->drained;
        st->drained = false;
        if (due && st->streaming && !st->gone && st->r.on_drain) st->r.on_drain(&st->r);
        st = due ? h->streams : st->next;
    }
}

/* The handler took too long. It may end other streams, too. */
static void time_out(struct h2_stream *st) {
    OWN(buf_done) struct buf json = {0};
    status_json(&json, 504, ERR_TIMEOUT, REQUEST_TIMED_OUT);
    st->timed_out = st->ended = true;
    if (!st->bodyless) outq_copy(&st->out, buf_view(&json));
    send_head(st, 504, "application/json", (int64_t)json.n, NULL, !st->bodyless);
    st->told = true;
    if (!st->r.on_close) return; /* it will answer, and then be freed */
    st->r.on_close(&st->r);
    request_over(st);
}

static void time_out_late(struct h2 *h, uint64_t now) {
    struct h2_stream *st = h->streams;
    while (st) {
        bool late = st->active && !st->gone && !st->streaming && !st->timed_out &&
                    st->r.deadline_ms && now >= st->r.deadline_ms;
        if (late) time_out(st);
        st = late ? h->streams : st->next;
    }
}

static void expired(struct conn *c) {
    struct h2 *h = c->state;
    uint64_t now = loop_now_ms(c->loop);
    if (h->n_streams == 0) {
        if (c->finishing) {
            conn_kill(c);
            return;
        }
        http2_shut(h->session);
        fill(c);
        conn_finish(c);
        return;
    }
    for (struct h2_stream *st = h->streams; st; st = st->next) {
        bool stuck = !st->active && !st->gone; /* half a request, or an answer that no one reads */
        if (stuck && now > st->since_ms + LIMIT_HTTP_REQUEST_MS)
            http2_reset(h->session, st->id, HTTP2_CANCEL);
    }
    c->deadline_ms = now + LATE_CHECK_MS;
    time_out_late(h, now);
    if (!c->dead) conn_flush(c);
}

static void shut(struct conn *c) {
    struct h2 *h = c->state;
    http2_shut(h->session);
    if (h->n_streams == 0) {
        fill(c);
        conn_finish(c);
    } else {
        conn_flush(c);
    }
}

static void closed(struct conn *c) {
    struct h2 *h = c->state;
    struct h2_stream *next;
    for (struct h2_stream *st = h->streams; st; st = st->next) st->gone = true;
    struct h2_stream *st = h->streams;
    while (st) {
        bool due = st->active && !st->told;
        next = st->next;
        if (due)
            tell_gone(st);
        else
            stream_put(st);
        st = due ? h->streams : next;
    }
}

static void released(struct conn *c) {
    struct h2 *h = c->state;
    http2_free(h->session);
    free(h);
}

static const struct conn_protocol http2_conn_protocol = {
    .input = input,
    .eof = eof,
    .fill = fill,
    .drained = drained,
    .expired = expired,
    .shut = shut,
    .closed = closed,
    .released = released,
};

void http2_conn_start(struct conn *c) {
    struct h2 *h = calloc(1, sizeof *h);
    if (!h) abort();
    h->c = c;
    h->session = http2_new(&session_events, h, loop_now_ms(c->loop));
    c->state = h;
    c->protocol = &http2_conn_protocol;
    update_deadline(h);
}
