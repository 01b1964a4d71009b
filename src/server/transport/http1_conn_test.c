#include "server/transport/transport_fixture.h"

#include <sys/socket.h>
#include <unistd.h>

#include "base/limits.h"

#define H "Host: x\r\n"
#define OK_EMPTY "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 0\r\n\r\n"
#define OK_ABC "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 3\r\n\r\nabc"
#define STATUS(code, text, reason, message, json_n)                                                \
    "HTTP/1.1 " code " " text "\r\ncontent-type: application/json\r\ncontent-length: " json_n      \
    "\r\nconnection: close\r\n\r\n{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{},"     \
    "\"status\":\"Failure\",\"message\":\"" message "\",\"reason\":\"" reason "\",\"code\":" code  \
    "}\n<eof>"

TEST(http1_conn_answers_and_keeps_the_connection) {
    struct fixture *f = fixture_new(NULL);
    int fd = fixture_connect(f);
    fixture_expect(f, fd, "GET /echo HTTP/1.1\r\n" H "\r\n", OK_EMPTY);
    fixture_expect(f, fd, "POST /echo HTTP/1.1\r\n" H "Content-Length: 3\r\n\r\nabc", OK_ABC);
    fixture_expect(f, fd,
                   "PUT /echo HTTP/1.1\r\n" H
                   "Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n2\r\nbc\r\n0\r\n\r\n",
                   OK_ABC);
    fixture_expect(f, fd, "GET /echo HTTP/1.1\r\n" H "Connection: close\r\n\r\n",
                   "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 0\r\n"
                   "connection: close\r\n\r\n<eof>");
    assert_int_equal(f->requests, 4);
    close(fd);
    fixture_free(f);
}

TEST(http1_conn_takes_requests_byte_by_byte) {
    struct fixture *f = fixture_new(NULL);
    int fd = fixture_connect(f);
    static const char text[] = "POST /echo HTTP/1.1\r\n" H "Content-Length: 3\r\n\r\nabc";
    for (const char *p = text; p[1]; p++) fixture_send(f, fd, slice_from(p, 1));
    fixture_expect(f, fd, "c", OK_ABC);
    close(fd);
    fixture_free(f);
}

TEST(http1_conn_answers_pipelined_requests_in_order) {
    struct fixture *f = fixture_new(NULL);
    int fd = fixture_connect(f);
    fixture_expect(f, fd,
                   "GET /echo HTTP/1.1\r\n" H "\r\nGET /hold HTTP/1.1\r\n" H
                   "\r\nPOST /echo HTTP/1.1\r\n" H "Content-Length: 3\r\n\r\nabc",
                   OK_EMPTY);
    assert_int_equal(f->requests, 2);
    request_respond(f->last, 204, NULL, (struct slice){0}, NULL);
    fixture_expect(f, fd, "", "HTTP/1.1 204 No Content\r\n\r\n" OK_ABC);
    close(fd);
    fixture_free(f);
}

TEST(http1_conn_takes_no_more_requests_while_answers_are_not_read) {
    enum { REQUESTS = 60, BYTES = 100000 };
    struct fixture *f = fixture_new(NULL);
    int fd = fixture_connect(f);
    struct buf in = {0}, out = {0};
    buf_printf(&in, "POST /echo HTTP/1.1\r\n" H "Content-Length: %d\r\n\r\n", BYTES);
    buf_reserve(&in, BYTES);
    memset(in.p + in.n, 'y', BYTES);
    in.n += BYTES;
    size_t sent = 0;
    for (int stuck = 0; stuck < 5 && sent < REQUESTS * in.n;) {
        size_t at = sent % in.n;
        ssize_t n = send(fd, in.p + at, in.n - at, MSG_DONTWAIT);
        stuck = n > 0 ? 0 : stuck + 1;
        if (n > 0) sent += (size_t)n;
        fixture_turn(f);
    }
    assert_in_range(f->requests, 5, 30);
    bool eof;
    size_t total = 0;
    while (sent < REQUESTS * in.n) {
        size_t at = sent % in.n;
        ssize_t n = send(fd, in.p + at, in.n - at, MSG_DONTWAIT);
        if (n > 0) sent += (size_t)n;
        buf_clear(&out);
        fixture_read(f, fd, &out, &eof);
        assert_true(n > 0 || out.n > 0);
        total += out.n;
    }
    buf_clear(&out);
    fixture_read(f, fd, &out, &eof);
    assert_int_equal(f->requests, REQUESTS);
    assert_true(total + out.n > (size_t)REQUESTS * BYTES);
    buf_done(&in);
    buf_done(&out);
    close(fd);
    fixture_free(f);
}

TEST(http1_conn_head_has_length_but_no_body) {
    struct fixture *f = fixture_new(NULL);
    int fd = fixture_connect(f);
    fixture_expect(f, fd, "HEAD /none HTTP/1.1\r\n" H "\r\n",
                   "HTTP/1.1 404 Not Found\r\ncontent-type: text/plain\r\ncontent-length: 3\r\n"
                   "\r\n");
    fixture_expect(f, fd, "GET /echo HTTP/1.1\r\n" H "\r\n", OK_EMPTY);
    close(fd);
    fixture_free(f);
}

TEST(http1_conn_refuses_malformed_requests) {
    struct fixture *f = fixture_new(NULL);
    int fd = fixture_connect(f);
    fixture_expect(f, fd, "GET / HTTP/1.1\r\nHost : x\r\n\r\nGET /echo HTTP/1.1\r\n" H "\r\n",
                   STATUS("400", "Bad Request", "BadRequest",
                          "malformed HTTP/1.1 message: header name", "154"));
    close(fd);
    assert_int_equal(f->requests, 0);
    fixture_free(f);
}

TEST(http1_conn_refuses_large_bodies_both_ways) {
    static const char *const heads[] = {
        "POST /echo HTTP/1.1\r\n" H "Content-Length: 3145729\r\n\r\n",
        "POST /echo HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n300001\r\n"};
    struct buf body = {0};
    buf_reserve(&body, LIMIT_BODY_BYTES + 1);
    memset(body.p, 'x', LIMIT_BODY_BYTES + 1);
    body.n = LIMIT_BODY_BYTES + 1;
    for (int i = 0; i < 2; i++) {
        struct fixture *f = fixture_new(NULL);
        int fd = fixture_connect(f);
        fixture_send(f, fd, slice_of(heads[i]));
        if (i == 1) fixture_send(f, fd, buf_view(&body));
        fixture_expect(f, fd, "",
                       STATUS("413", "Request Entity Too Large", "RequestEntityTooLarge",
                              "the request body is larger than 3 MiB", "163"));
        assert_int_equal(f->requests, 0);
        close(fd);
        fixture_free(f);
    }
    buf_done(&body);
}

TEST(http1_conn_takes_the_largest_body) {
    struct fixture *f = fixture_new(NULL);
    int fd = fixture_connect(f);
    struct buf in = {0}, out = {0};
    buf_printf(&in, "POST /echo HTTP/1.1\r\n" H "Content-Length: %d\r\n\r\n", LIMIT_BODY_BYTES);
    size_t head = in.n;
    buf_reserve(&in, LIMIT_BODY_BYTES);
    memset(in.p + head, 'y', LIMIT_BODY_BYTES);
    in.n += LIMIT_BODY_BYTES;
    fixture_send(f, fd, buf_view(&in));
    bool eof;
    fixture_read(f, fd, &out, &eof);
    assert_false(eof);
    assert_true(out.n > LIMIT_BODY_BYTES);
    assert_memory_equal(out.p + out.n - LIMIT_BODY_BYTES, in.p + head, LIMIT_BODY_BYTES);
    buf_done(&in);
    buf_done(&out);
    close(fd);
    fixture_free(f);
}

TEST(http1_conn_says_continue) {
    struct fixture *f = fixture_new(NULL);
    int fd = fixture_connect(f);
    fixture_expect(f, fd,
                   "POST /echo HTTP/1.1\r\n" H "Content-Length: 3\r\nExpect: 100-continue\r\n\r\n",
                   "HTTP/1.1 100 Continue\r\n\r\n");
    fixture_expect(f, fd, "abc", OK_ABC);
    close(fd);
    fixture_free(f);
}

TEST(http1_conn_streams_in_chunks) {
    struct fixture *f = fixture_new(NULL);
    int fd = fixture_connect(f);
    fixture_send(f, fd, SLICE("GET /hold HTTP/1.1\r\n" H "\r\n"));
    request_stream_begin(f->last, 200, "text/plain", NULL);
    fixture_expect(f, fd, "",
                   "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ntransfer-encoding: chunked\r\n"
                   "\r\n");
    assert_int_equal(request_stream_write(f->last, SLICE("hello")), 0);
    fixture_expect(f, fd, "", "5\r\nhello\r\n");
    request_stream_end(f->last);
    fixture_expect(f, fd, "GET /echo HTTP/1.1\r\n" H "\r\n", "0\r\n\r\n" OK_EMPTY);
    close(fd);
    fixture_free(f);
}

TEST(http1_conn_streams_to_http10_until_the_end) {
    struct fixture *f = fixture_new(NULL);
    int fd = fixture_connect(f);
    fixture_send(f, fd, SLICE("GET /hold HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"));
    request_stream_begin(f->last, 200, "text/plain", NULL);
    request_stream_write(f->last, SLICE("hello"));
    request_stream_end(f->last);
    fixture_expect(f, fd, "",
                   "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\nconnection: close\r\n\r\nhello"
                   "<eof>");
    close(fd);
    fixture_free(f);
}

TEST(http1_conn_aborted_stream_has_no_last_chunk) {
    struct fixture *f = fixture_new(NULL);
    int fd = fixture_connect(f);
    fixture_send(f, fd, SLICE("GET /hold/told HTTP/1.1\r\n" H "\r\n"));
    request_stream_begin(f->last, 200, NULL, NULL);
    request_stream_write(f->last, SLICE("hello"));
    request_stream_abort(f->last);
    fixture_expect(f, fd, "",
                   "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n<eof>");
    assert_int_equal(f->closed, 0);
    close(fd);
    fixture_free(f);
}

TEST(http1_conn_tells_when_the_client_leaves) {
    struct fixture *f = fixture_new(NULL);
    int fd = fixture_connect(f);
    fixture_send(f, fd, SLICE("GET /hold/told HTTP/1.1\r\n" H "\r\n"));
    request_stream_begin(f->last, 200, "text/plain", NULL);
    close(fd);
    fixture_turn(f);
    assert_int_equal(f->closed, 1);
    assert_int_equal(server_connections(f->server), 0);
    fixture_free(f);
}

TEST(http1_conn_request_without_on_close_outlives_its_client) {
    struct fixture *f = fixture_new(NULL);
    int fd = fixture_connect(f);
    fixture_send(f, fd, SLICE("POST /hold HTTP/1.1\r\n" H "Content-Length: 3\r\n\r\nabc"));
    close(fd);
    fixture_turn(f);
    assert_int_equal(server_connections(f->server), 0);
    assert_true(slice_is(f->last->body, "abc"));
    request_respond(f->last, 200, "text/plain", f->last->body, NULL);
    fixture_free(f);
}

TEST(http1_conn_slow_reader_is_queued_and_drained) {
    struct fixture *f = fixture_new(NULL);
    int fd = fixture_connect(f);
    fixture_send(f, fd, SLICE("GET /hold/told HTTP/1.1\r\n" H "\r\n"));
    request_stream_begin(f->last, 200, "text/plain", NULL);
    struct buf big = {0};
    buf_reserve(&big, 1 << 20);
    memset(big.p, 'z', big.n = 1 << 20);
    struct bytes *shared = bytes_new(buf_view(&big));
    size_t queued = request_stream_write(f->last, buf_view(&big));
    assert_true(queued > 0);
    assert_true(request_stream_write_bytes(f->last, shared) > queued);
    bytes_unref(shared);
    fixture_turn(f);
    assert_int_equal(f->drained, 0);
    struct buf out = {0};
    bool eof;
    fixture_read(f, fd, &out, &eof);
    assert_true(out.n > 2 << 20);
    assert_int_equal(f->drained, 1);
    assert_int_equal(request_stream_write(f->last, SLICE("x")), 0);
    request_stream_end(f->last);
    buf_done(&big);
    buf_done(&out);
    close(fd);
    fixture_free(f);
}

TEST(http1_conn_reader_that_stops_is_cut_off) {
    struct fixture *f = fixture_new(NULL);
    int fd = fixture_connect(f);
    fixture_send(f, fd, SLICE("GET /hold/told HTTP/1.1\r\n" H "\r\n"));
    request_stream_begin(f->last, 200, "text/plain", NULL);
    static char big[1 << 20];
    request_stream_write(f->last, slice_from(big, sizeof big));
    fixture_pass(f, LIMIT_HTTP_REQUEST_MS - 2000);
    assert_int_equal(f->closed, 0);
    fixture_pass(f, 4000);
    assert_int_equal(f->closed, 1);
    close(fd);
    fixture_free(f);
}

TEST(http1_conn_has_time_limits) {
    struct fixture *f = fixture_new(NULL);
    int idle = fixture_connect(f);
    fixture_expect(f, idle, "GET /echo HTTP/1.1\r\n" H "\r\n", OK_EMPTY);
    int slow_head = fixture_connect(f);
    fixture_send(f, slow_head, SLICE("GET / HT"));
    int silent = fixture_connect(f);
    int slow_body = fixture_connect(f);
    fixture_send(f, slow_body, SLICE("POST / HTTP/1.1\r\n" H "Content-Length: 3\r\n\r\na"));
    assert_int_equal(server_connections(f->server), 4);
    fixture_pass(f, LIMIT_HTTP_HEAD_MS + 1000);
    fixture_expect(
        f, slow_head, "",
        STATUS("408", "Request Timeout", "Timeout", "the request did not arrive in time", "146"));
    fixture_expect(f, silent, "", "<eof>");
    fixture_expect(f, slow_body, "", "");
    fixture_pass(f, LIMIT_HTTP_REQUEST_MS);
    struct buf b = {0};
    bool eof;
    fixture_read(f, slow_body, &b, &eof);
    assert_true(str_starts(b.p, "HTTP/1.1 408 ") && eof);
    fixture_expect(f, idle, "", "");
    fixture_pass(f, LIMIT_HTTP_IDLE_MS);
    fixture_expect(f, idle, "", "<eof>");
    assert_int_equal(server_connections(f->server), 0);
    buf_done(&b);
    close(idle), close(slow_head), close(silent), close(slow_body);
    fixture_free(f);
}

TEST(http1_conn_server_close_ends_idle_and_lets_running_finish) {
    struct fixture *f = fixture_new(NULL);
    int idle = fixture_connect(f);
    fixture_expect(f, idle, "GET /echo HTTP/1.1\r\n" H "\r\n", OK_EMPTY);
    int busy = fixture_connect(f);
    fixture_send(f, busy, SLICE("GET /hold HTTP/1.1\r\n" H "\r\n"));
    server_close(f->server);
    fixture_expect(f, idle, "", "<eof>");
    fixture_expect(f, busy, "", "");
    request_respond(f->last, 200, "text/plain", SLICE(""), NULL);
    fixture_expect(f, busy, "",
                   "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 0\r\n"
                   "connection: close\r\n\r\n<eof>");
    close(idle), close(busy);
    fixture_free(f);
}

TEST(http1_conn_knows_the_unix_peer) {
    struct fixture *f = fixture_new(NULL);
    int fd = fixture_connect(f);
    fixture_send(f, fd, SLICE("GET /hold?a=1 HTTP/1.1\r\n" H "\r\n"));
    assert_int_equal(f->last->peer->kind, PEER_UNIX);
    assert_int_equal(f->last->peer->uid, getuid());
    assert_string_equal(f->last->path, "/hold");
    assert_string_equal(f->last->target, "/hold?a=1");
    assert_string_equal(http_query_get(&f->last->query, "a"), "1");
    request_respond(f->last, 200, NULL, SLICE(""), NULL);
    close(fd);
    fixture_free(f);
}
