#include "server/transport/transport_fixture.h"

#include <nghttp2/nghttp2.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/limits.h"

/* A client of nghttp2 on a socket of the fixture. */
struct client {
    struct fixture *f;
    nghttp2_session *session;
    int fd;
    struct buf seen; /* transcript */
    struct slice body;
    bool eof;
};

static int on_header(nghttp2_session *s, const nghttp2_frame *f, const uint8_t *name, size_t name_n,
                     const uint8_t *value, size_t value_n, uint8_t flags, void *user) {
    struct client *c = user;
    if (!slice_is(slice_from(name, name_n), "date"))
        buf_printf(&c->seen, "[%.*s %.*s]", (int)name_n, (const char *)name, (int)value_n,
                   (const char *)value);
    return 0;
}
static int on_data(nghttp2_session *s, uint8_t flags, int32_t id, const uint8_t *p, size_t n,
                   void *user) {
    buf_append(&((struct client *)user)->seen, p, n);
    return 0;
}
static int on_close(nghttp2_session *s, int32_t id, uint32_t code, void *user) {
    buf_printf(&((struct client *)user)->seen, "<end %d %u>", id, code);
    return 0;
}
static int on_frame(nghttp2_session *s, const nghttp2_frame *f, void *user) {
    if (f->hd.type == NGHTTP2_GOAWAY)
        buf_printf(&((struct client *)user)->seen, "<goaway %u>", f->goaway.error_code);
    return 0;
}
static ssize_t read_body(nghttp2_session *s, int32_t id, uint8_t *out, size_t max, uint32_t *flags,
                         nghttp2_data_source *source, void *user) {
    struct client *c = user;
    size_t n = c->body.n < max ? c->body.n : max;
    if (n) memcpy(out, c->body.p, n);
    c->body = slice_from(c->body.p + n, c->body.n - n);
    if (c->body.n == 0) *flags |= NGHTTP2_DATA_FLAG_EOF;
    return (ssize_t)n;
}

static struct client *client_new(struct fixture *f) {
    struct client *c = calloc(1, sizeof *c);
    c->f = f;
    nghttp2_session_callbacks *cb;
    nghttp2_session_callbacks_new(&cb);
    nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_close);
    nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame);
    assert_int_equal(nghttp2_session_client_new(&c->session, cb, c), 0);
    nghttp2_session_callbacks_del(cb);
    nghttp2_submit_settings(c->session, 0, NULL, 0);
    c->fd = fixture_connect(f);
    return c;
}

static void client_free(struct client *c) {
    nghttp2_session_del(c->session);
    buf_done(&c->seen);
    if (c->fd >= 0) close(c->fd);
    free(c);
}

/* Lets everything flow until nothing moves; the transcript since the last call. */
static const char *client_turn(struct client *c) {
    struct buf in = {0};
    for (int i = 0; i < 300; i++) {
        const uint8_t *p;
        ssize_t n;
        while ((n = nghttp2_session_mem_send(c->session, &p)) > 0)
            fixture_send(c->f, c->fd, slice_from(p, (size_t)n));
        buf_clear(&in);
        fixture_read(c->f, c->fd, &in, &c->eof);
        if (in.n > 0) nghttp2_session_mem_recv(c->session, (const uint8_t *)in.p, in.n);
        if ((in.n == 0 && !nghttp2_session_want_write(c->session)) || c->eof) break;
    }
    buf_done(&in);
    return c->seen.p ? c->seen.p : "";
}

static int32_t client_request(struct client *c, const char *method, const char *path,
                              struct slice body) {
#define NV(name, value)                                                                            \
    {(uint8_t *)(name), (uint8_t *)(uintptr_t)(value), strlen(name), strlen(value), 0}
    nghttp2_nv nv[] = {NV(":method", method), NV(":scheme", "http"), NV(":authority", "x"),
                       NV(":path", path)};
    c->body = body;
    nghttp2_data_provider provider = {.read_callback = read_body};
    int32_t id = nghttp2_submit_request(c->session, NULL, nv, 4, body.n ? &provider : NULL, NULL);
    assert_true(id > 0);
    return id;
}

TEST(http2_conn_answers_with_and_without_body) {
    struct fixture *f = fixture_new(NULL);
    struct client *c = client_new(f);
    client_request(c, "GET", "/echo", (struct slice){0});
    assert_string_equal(client_turn(c),
                        "[:status 200][content-type text/plain][content-length 0]<end 1 0>");
    buf_clear(&c->seen);
    client_request(c, "POST", "/echo?x=%20", SLICE("abc"));
    assert_string_equal(client_turn(c),
                        "[:status 200][content-type text/plain][content-length 3]abc<end 3 0>");
    buf_clear(&c->seen);
    client_request(c, "HEAD", "/none", (struct slice){0});
    assert_string_equal(client_turn(c),
                        "[:status 404][content-type text/plain][content-length 3]<end 5 0>");
    client_free(c);
    fixture_turn(f);
    assert_int_equal(server_connections(f->server), 0);
    fixture_free(f);
}

TEST(http2_conn_streams_run_beside_each_other) {
    struct fixture *f = fixture_new(NULL);
    struct client *c = client_new(f);
    client_request(c, "GET", "/hold/told", (struct slice){0});
    client_turn(c);
    request_stream_begin(f->last, 200, "text/plain", NULL);
    assert_int_equal(request_stream_write(f->last, SLICE("one ")), 0);
    client_request(c, "GET", "/none", (struct slice){0});
    client_turn(c);
    request_stream_write(f->last, SLICE("two "));
    request_stream_end(f->last);
    assert_string_equal(client_turn(c),
                        "[:status 200][content-type text/plain]one "
                        "[:status 404][content-type text/plain][content-length 3]no\n<end 3 0>"
                        "two <end 1 0>");
    client_free(c);
    fixture_free(f);
}

TEST(http2_conn_reset_tells_the_handler) {
    struct fixture *f = fixture_new(NULL);
    struct client *c = client_new(f);
    int32_t id = client_request(c, "GET", "/hold/told", (struct slice){0});
    client_turn(c);
    request_stream_begin(f->last, 200, "text/plain", NULL);
    nghttp2_submit_rst_stream(c->session, 0, id, NGHTTP2_CANCEL);
    client_turn(c);
    assert_int_equal(f->closed, 1);
    assert_int_equal(server_connections(f->server), 1);
    client_request(c, "GET", "/hold/told", (struct slice){0});
    client_turn(c);
    close(c->fd);
    c->fd = -1;
    fixture_turn(f);
    assert_int_equal(f->closed, 2);
    client_free(c);
    fixture_free(f);
}

TEST(http2_conn_request_without_on_close_outlives_stream_and_connection) {
    struct fixture *f = fixture_new(NULL);
    struct client *c = client_new(f);
    int32_t id = client_request(c, "POST", "/hold", SLICE("abc"));
    client_turn(c);
    nghttp2_submit_rst_stream(c->session, 0, id, NGHTTP2_CANCEL);
    client_turn(c);
    request_respond(f->last, 200, NULL, f->last->body, NULL);
    client_request(c, "POST", "/hold", SLICE("abc"));
    client_turn(c);
    client_free(c);
    fixture_turn(f);
    assert_true(slice_is(f->last->body, "abc"));
    request_stream_begin(f->last, 200, NULL, NULL);
    request_stream_write(f->last, SLICE("x"));
    request_stream_end(f->last);
    fixture_free(f);
}

TEST(http2_conn_refuses_large_bodies) {
    struct fixture *f = fixture_new(NULL);
    struct client *c = client_new(f);
    static char big[LIMIT_BODY_BYTES + 1];
    client_request(c, "POST", "/echo", slice_from(big, sizeof big));
    const char *seen = client_turn(c);
    assert_non_null(strstr(seen, "[:status 413]"));
    assert_non_null(strstr(seen, "\"reason\":\"RequestEntityTooLarge\",\"code\":413"));
    assert_int_equal(f->requests, 0);
    buf_clear(&c->seen);
    client_request(c, "GET", "/echo", (struct slice){0});
    assert_non_null(strstr(client_turn(c), "[:status 200]"));
    client_free(c);
    fixture_free(f);
}

TEST(http2_conn_takes_many_large_bodies) {
    struct fixture *f = fixture_new(NULL);
    struct client *c = client_new(f);
    static char big[LIMIT_BODY_BYTES];
    for (int i = 0; i < 5; i++) {
        client_request(c, "POST", "/none", slice_from(big, sizeof big));
        client_turn(c);
    }
    assert_int_equal(f->requests, 5);
    client_free(c);
    fixture_free(f);
}

TEST(http2_conn_refuses_large_headers) {
    struct fixture *f = fixture_new(NULL);
    struct client *c = client_new(f);
    struct buf path = {0};
    buf_str(&path, "/echo?");
    for (int i = 0; i < LIMIT_HTTP_LINE_BYTES; i++) buf_char(&path, 'a');
    client_request(c, "GET", path.p, (struct slice){0});
    assert_string_equal(client_turn(c), "[:status 431]<end 1 0>");
    assert_int_equal(f->requests, 0);
    buf_done(&path);
    client_free(c);
    fixture_free(f);
}

TEST(http2_conn_rapid_reset_is_cut_off) {
    struct fixture *f = fixture_new(NULL);
    struct client *c = client_new(f);
    for (int i = 0; i < LIMIT_HTTP2_NUISANCES + 100 && !c->eof; i++) {
        int32_t id = client_request(c, "GET", "/hold/told", (struct slice){0});
        const uint8_t *p;
        ssize_t n;
        while ((n = nghttp2_session_mem_send(c->session, &p)) > 0)
            (void)!send(c->fd, p, (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL);
        nghttp2_submit_rst_stream(c->session, 0, id, NGHTTP2_CANCEL);
        if (i % 20 == 0) client_turn(c);
    }
    client_turn(c);
    assert_non_null(strstr(c->seen.p, "<goaway 11>"));
    assert_true(c->eof);
    assert_true(f->requests <= LIMIT_HTTP2_NUISANCES + 50);
    client_free(c);
    fixture_free(f);
}

TEST(http2_conn_ping_flood_is_cut_off) {
    struct fixture *f = fixture_new(NULL);
    struct client *c = client_new(f);
    for (int i = 0; i < LIMIT_HTTP2_NUISANCES + 100 && !c->eof; i++) {
        nghttp2_submit_ping(c->session, 0, NULL);
        if (i % 20 == 0) client_turn(c);
    }
    client_turn(c);
    assert_non_null(strstr(c->seen.p, "<goaway 11>"));
    assert_true(c->eof);
    client_free(c);
    fixture_free(f);
}

TEST(http2_conn_pings_at_leisure_are_answered) {
    struct fixture *f = fixture_new(NULL);
    struct client *c = client_new(f);
    client_request(c, "GET", "/hold/told", (struct slice){0});
    for (int i = 0; i < 2000; i++) {
        nghttp2_submit_ping(c->session, 0, NULL);
        if (i % 50 == 0) {
            client_turn(c);
            fixture_pass(f, 500);
        }
    }
    client_turn(c);
    assert_false(c->eof);
    client_free(c);
    fixture_free(f);
}

TEST(http2_conn_idle_and_closing_say_goaway) {
    struct fixture *f = fixture_new(NULL);
    struct client *idle = client_new(f), *busy = client_new(f);
    client_turn(idle);
    client_request(busy, "GET", "/hold", (struct slice){0});
    client_turn(busy);
    fixture_pass(f, LIMIT_HTTP_IDLE_MS + 2000);
    assert_string_equal(client_turn(idle), "<goaway 0>");
    assert_true(idle->eof);
    server_close(f->server);
    assert_string_equal(client_turn(busy), "<goaway 0>");
    assert_false(busy->eof);
    request_respond(f->last, 204, NULL, (struct slice){0}, NULL);
    assert_string_equal(client_turn(busy), "<goaway 0>[:status 204]<end 1 0>");
    assert_true(busy->eof);
    client_free(idle);
    client_free(busy);
    fixture_free(f);
}

TEST(http2_conn_queue_of_a_stream_drains) {
    struct fixture *f = fixture_new(NULL);
    struct client *c = client_new(f);
    client_request(c, "GET", "/hold/told", (struct slice){0});
    client_turn(c);
    static char big[1 << 20];
    request_stream_begin(f->last, 200, "text/plain", NULL);
    assert_true(request_stream_write(f->last, slice_from(big, sizeof big)) > 0);
    client_turn(c);
    assert_int_equal(f->drained, 1);
    assert_true(c->seen.n > sizeof big);
    request_stream_abort(f->last);
    client_turn(c);
    assert_string_equal(c->seen.p + c->seen.n - strlen("<end 1 2>"), "<end 1 2>");
    client_free(c);
    fixture_free(f);
}

TEST(http2_conn_half_a_request_times_out) {
    struct fixture *f = fixture_new(NULL);
    struct client *c = client_new(f);
    client_request(c, "POST", "/echo", SLICE("abc"));
    nghttp2_session_set_local_window_size(c->session, 0, 0, 1 << 20);
    const uint8_t *p;
    ssize_t n = nghttp2_session_mem_send(c->session, &p); /* preface */
    fixture_send(f, c->fd, slice_from(p, (size_t)n));
    for (int i = 0; i < 3; i++) { /* settings, window, headers; the body stays back */
        n = nghttp2_session_mem_send(c->session, &p);
        if (n > 3 && p[3] == NGHTTP2_DATA) break;
        fixture_send(f, c->fd, slice_from(p, (size_t)n));
    }
    fixture_pass(f, LIMIT_HTTP_REQUEST_MS + 12000);
    struct buf in = {0};
    fixture_read(f, c->fd, &in, &c->eof);
    nghttp2_session_mem_recv(c->session, (const uint8_t *)in.p, in.n);
    assert_non_null(c->seen.p);
    assert_non_null(strstr(c->seen.p, "<end 1 8>"));
    buf_done(&in);
    client_free(c);
    fixture_free(f);
}

TEST(http2_conn_broken_frames_end_the_connection) {
    struct fixture *f = fixture_new(NULL);
    int fd = fixture_connect(f);
    fixture_send(f, fd, SLICE("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"));
    fixture_send(f, fd, SLICE("\0\0\1\6\0\0\0\0\0x"));
    struct buf in = {0};
    bool eof;
    fixture_read(f, fd, &in, &eof);
    assert_true(eof);
    buf_done(&in);
    close(fd);
    fixture_free(f);
}
