#include "proto/http2.h"

#include <assert.h>
#include <errno.h>
#include <nghttp2/nghttp2.h>
#include <stdlib.h>

#include "base/limits.h"
#include "base/unset.h"

enum {
    WINDOW_BYTES = 2 * LIMIT_BODY_BYTES, /* request bodies in flight on one connection */
    STREAM_WINDOW_BYTES = 256 * 1024,
    HEADER_COST_BYTES = 32, /* per field, RFC 9113 section 6.5.2 */
    CHECK_BYTES = 4096,     /* a flood is noticed within this much input */
};

/* One token for every frame that makes work and moves nothing; refilled with time. */
struct bucket {
    uint64_t tokens, filled_ms;
};

struct stream { /* exists from its first header to the stream's end */
    struct stream *next, *prev;
    void *user;      /* NULL before head was called */
    struct arena *a; /* until head was called */
    struct http1_head h;
    size_t header_bytes;
    bool too_large;
};

struct http2 {
    nghttp2_session *session;
    struct http2_events ev;
    void *user;
    struct stream *streams;
    struct bucket nuisance;
    bool flooded;
};

static void spend(struct http2 *s) {
    if (s->nuisance.tokens == 0)
        s->flooded = true;
    else
        s->nuisance.tokens--;
}

static void refill(struct http2 *s, uint64_t now_ms) {
    struct bucket *b = &s->nuisance;
    if (now_ms <= b->filled_ms) return;
    uint64_t add = (now_ms - b->filled_ms) * LIMIT_HTTP2_NUISANCES_PER_S / 1000;
    if (add == 0) return;
    b->tokens += add;
    if (b->tokens > LIMIT_HTTP2_NUISANCES) b->tokens = LIMIT_HTTP2_NUISANCES;
    b->filled_ms = now_ms;
}

/* ---- Requests ---- */

static void free_stream(struct http2 *s, struct stream *st) {
    if (st->prev)
        st->prev->next = st->next;
    else
        s->streams = st->next;
    if (st->next) st->next->prev = st->prev;
    arena_free(st->a);
    free(st);
}

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *f, void *user) {
    if (f->hd.type != NGHTTP2_HEADERS || f->headers.cat != NGHTTP2_HCAT_REQUEST) return 0;
    struct stream *st = calloc(1, sizeof *st);
    if (!st) abort();
    st->a = arena_new();
    struct http2 *s = user;
    st->next = s->streams;
    if (st->next) st->next->prev = st;
    s->streams = st;
    nghttp2_session_set_stream_user_data(session, f->hd.stream_id, st);
    return 0;
}

static void take_header(struct stream *st, struct slice name, struct slice value) {
    struct http1_head *h = &st->h;
    if (slice_is(name, ":method")) {
        h->method = arena_strn(st->a, value);
    } else if (slice_is(name, ":path")) {
        h->target = arena_strn(st->a, value);
    } else if (slice_is(name, ":authority")) {
        *ARENA_PUSH(st->a, &h->headers) = (struct http_header){"host", arena_strn(st->a, value)};
    } else if (name.p[0] != ':') {
        *ARENA_PUSH(st->a, &h->headers) =
            (struct http_header){arena_strn(st->a, name), arena_strn(st->a, value)};
    }
}

static int on_header(nghttp2_session *session, const nghttp2_frame *f, const uint8_t *name,
                     size_t name_n, const uint8_t *value, size_t value_n, uint8_t flags,
                     void *user) {
    struct stream *st = nghttp2_session_get_stream_user_data(session, f->hd.stream_id);
    if (!st || !st->a || name_n == 0) return 0; /* a trailer: dropped */
    st->header_bytes += name_n + value_n + HEADER_COST_BYTES;
    if (st->header_bytes > LIMIT_HTTP_HEADER_BYTES || st->h.headers.n >= LIMIT_HTTP_HEADERS ||
        value_n > LIMIT_HTTP_LINE_BYTES)
        st->too_large = true;
    if (!st->too_large) take_header(st, slice_from(name, name_n), slice_from(value, value_n));
    return 0;
}

static void refuse_head(struct http2 *s, int32_t id, struct stream *st, int status) {
    arena_free(st->a);
    st->a = NULL;
    spend(s);
    http2_respond(s, id, status, NULL, false);
}

static void head_complete(struct http2 *s, int32_t id, struct stream *st, bool end) {
    bool clean = st->h.method && st->h.target && http_target_is_clean(st->h.target);
    if (st->too_large || !clean) {
        refuse_head(s, id, st, st->too_large ? 431 : 400);
        return;
    }
    struct http1_head *h = &st->h;
    h->keep_alive = true;
    h->has_body = !end;
    const char *length = http_header(&h->headers, "content-length");
    if (length) slice_u64(slice_of(length), &h->content_length);
    struct arena *a = st->a;
    st->a = NULL;
    st->user = s->ev.head(s->user, id, h, a, end);
    if (!st->user) http2_reset(s, id, HTTP2_REFUSED_STREAM);
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *f, void *user) {
    struct http2 *s = user;
    struct stream *st =
        f->hd.stream_id ? nghttp2_session_get_stream_user_data(session, f->hd.stream_id) : NULL;
    bool end = f->hd.flags & NGHTTP2_FLAG_END_STREAM;
    switch (f->hd.type) {
    case NGHTTP2_HEADERS:
        if (st && st->a)
            head_complete(s, f->hd.stream_id, st, end);
        else if (st && st->user && end)
            s->ev.end(s->user, st->user);
        break;
    case NGHTTP2_DATA:
        if (f->hd.length == 0 && !end) spend(s);
        if (st && st->user && end) s->ev.end(s->user, st->user);
        break;
    case NGHTTP2_WINDOW_UPDATE:
    case NGHTTP2_RST_STREAM: break; /* on_close counts the latter */
    default: spend(s);              /* settings, ping, priority, goaway */
    }
    return 0;
}

static int on_invalid(nghttp2_session *session, const nghttp2_frame *f, int code, void *user) {
    spend(user);
    return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *p, size_t n,
                   void *user) {
    struct http2 *s = user;
    struct stream *st = nghttp2_session_get_stream_user_data(session, id);
    nghttp2_session_consume_stream(session, id, n);
    if (st && st->user)
        s->ev.body(s->user, st->user, slice_from(p, n));
    else
        nghttp2_session_consume_connection(session, n);
    return 0;
}

static int on_close(nghttp2_session *session, int32_t id, uint32_t code, void *user) {
    struct http2 *s = user;
    struct stream *st = nghttp2_session_get_stream_user_data(session, id);
    if (code != NGHTTP2_NO_ERROR) spend(s);
    if (!st) return 0;
    nghttp2_session_set_stream_user_data(session, id, NULL);
    if (st->user) s->ev.closed(s->user, st->user, code);
    free_stream(s, st);
    return 0;
}

/* ---- Sessions ---- */

static nghttp2_session_callbacks *make_callbacks(void) {
    nghttp2_session_callbacks *cb;
    if (nghttp2_session_callbacks_new(&cb)) abort();
    nghttp2_session_callbacks_set_on_begin_headers_callback(cb, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame);
    nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(cb, on_invalid);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_close);
    return cb;
}

struct http2 *http2_new(const struct http2_events *ev, void *user, uint64_t now_ms) {
    struct http2 *s = calloc(1, sizeof *s);
    if (!s) abort();
    s->ev = *ev;
    s->user = user;
    s->nuisance = (struct bucket){LIMIT_HTTP2_NUISANCES, now_ms};
    nghttp2_option *option;
    nghttp2_session_callbacks *cb = make_callbacks();
    if (nghttp2_option_new(&option)) abort();
    nghttp2_option_set_no_auto_window_update(option, 1);
    nghttp2_option_set_no_closed_streams(option, 1);
    nghttp2_option_set_max_outbound_ack(option, 100);
    nghttp2_option_set_max_settings(option, 32);
    if (nghttp2_session_server_new2(&s->session, cb, s, option)) abort();
    nghttp2_option_del(option);
    nghttp2_session_callbacks_del(cb);
    const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, LIMIT_HTTP2_STREAMS},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, STREAM_WINDOW_BYTES},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, LIMIT_HTTP_HEADER_BYTES},
    };
    if (nghttp2_submit_settings(s->session, NGHTTP2_FLAG_NONE, settings,
                                sizeof settings / sizeof settings[0]) ||
        nghttp2_session_set_local_window_size(s->session, NGHTTP2_FLAG_NONE, 0, WINDOW_BYTES))
        abort();
    return s;
}

void http2_free(struct http2 *s) {
    if (!s) return;
    nghttp2_session_del(s->session);
    while (s->streams) free_stream(s, s->streams);
    free(s);
}

static int feed_part(struct http2 *s, struct slice part, struct err *err) {
    ssize_t n = nghttp2_session_mem_recv(s->session, (const uint8_t *)part.p, part.n);
    if (s->flooded || n == NGHTTP2_ERR_FLOODED) {
        nghttp2_session_terminate_session(s->session, HTTP2_ENHANCE_YOUR_CALM);
        err_set(err, ERR_TOO_MANY_REQUESTS, "HTTP/2 peer sends too many control frames or resets");
        return -EPROTO;
    }
    if (n < 0) {
        err_set(err, ERR_BAD_REQUEST, "HTTP/2: %s", nghttp2_strerror((int)n));
        return -EPROTO;
    }
    return 0;
}

int http2_feed(struct http2 *s, struct slice bytes, uint64_t now_ms, struct err *err) {
    refill(s, now_ms);
    while (bytes.n > 0) {
        size_t n = bytes.n < CHECK_BYTES ? bytes.n : CHECK_BYTES;
        int r = feed_part(s, slice_from(bytes.p, n), err);
        if (r < 0) return r;
        bytes = slice_from(bytes.p + n, bytes.n - n);
    }
    return 0;
}

struct slice http2_output(struct http2 *s) {
    const uint8_t *p = NULL;
    ssize_t n = nghttp2_session_mem_send(s->session, &p);
    return n > 0 ? slice_from(p, (size_t)n) : (struct slice){0};
}

bool http2_finished(const struct http2 *s) {
    return !nghttp2_session_want_read(s->session) && !nghttp2_session_want_write(s->session);
}

/* ---- Answers ---- */

static ssize_t on_read(nghttp2_session *session, int32_t id, uint8_t *out, size_t max,
                       uint32_t *flags, nghttp2_data_source *source, void *user) {
    struct http2 *s = user;
    struct stream *st = nghttp2_session_get_stream_user_data(session, id);
    if (!st || !st->user) return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    bool end = false;
    size_t n = s->ev.produce(s->user, st->user, (char *)out, max, &end);
    assert(n <= max);
    if (end) *flags |= NGHTTP2_DATA_FLAG_EOF;
    return n == 0 && !end ? (ssize_t)NGHTTP2_ERR_DEFERRED : (ssize_t)n;
}

/* RFC 9113 section 8.2.2. */
static bool only_http1(const char *name) {
    static const char *const names[] = {"connection", "keep-alive", "proxy-connection",
                                        "transfer-encoding", "upgrade"};
    enum { CASE = 0x20 };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if ((*name | CASE) == *names[i] && slice_ieq(slice_of(name), names[i])) return true;
    return false;
}

static nghttp2_nv pair(const char *name, const char *value) {
    /* No answer has the id of another one: it would push what repeats out of the peer's table. */
    bool once = str_eq(name, "audit-id");
    return (nghttp2_nv){(uint8_t *)(uintptr_t)name, (uint8_t *)(uintptr_t)value, strlen(name),
                        strlen(value), once ? NGHTTP2_NV_FLAG_NO_INDEX : NGHTTP2_NV_FLAG_NONE};
}

void http2_respond(struct http2 *s, int32_t id, int status, const struct http_headers *h,
                   bool has_body) {
    assert(status >= 100 && status <= 999);
    UNSET nghttp2_nv nv[LIMIT_HTTP_HEADERS + 1];
    const char status_text[] = {(char)('0' + status / 100), (char)('0' + status / 10 % 10),
                                (char)('0' + status % 10), 0};
    size_t n = 0;
    nv[n++] = pair(":status", status_text);
    for (size_t i = 0; h && i < h->n && n <= LIMIT_HTTP_HEADERS; i++)
        if (!only_http1(h->v[i].name)) nv[n++] = pair(h->v[i].name, h->v[i].value);
    const nghttp2_data_provider provider = {.read_callback = on_read};
    if (nghttp2_submit_response(s->session, id, nv, n, has_body ? &provider : NULL) ==
        NGHTTP2_ERR_NOMEM)
        abort();
}

void http2_resume(struct http2 *s, int32_t id) { nghttp2_session_resume_data(s->session, id); }

void http2_reset(struct http2 *s, int32_t id, uint32_t error_code) {
    nghttp2_submit_rst_stream(s->session, NGHTTP2_FLAG_NONE, id, error_code);
}

void http2_release(struct http2 *s, size_t body_bytes) {
    nghttp2_session_consume_connection(s->session, body_bytes);
}

void http2_shut(struct http2 *s) {
    nghttp2_submit_goaway(s->session, NGHTTP2_FLAG_NONE,
                          nghttp2_session_get_last_proc_stream_id(s->session), HTTP2_NO_ERROR, NULL,
                          0);
}
