#include "server/transport/transport_fixture.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/own.h"
#include "wire/egress.h"

/* A backend whose every byte the test writes. */
struct backend {
    struct fixture *f;
    char path[80];
    int listen_fd, fd;
    struct buf in;
    bool eof;
};

static struct backend *backend_new(struct fixture *f) {
    struct backend *b = calloc(1, sizeof *b);
    b->f = f;
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    snprintf(b->path, sizeof b->path, "/tmp/atoll-backend-%d.sock", getpid());
    memcpy(a.sun_path, b->path, strlen(b->path) + 1);
    unlink(b->path);
    b->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    b->fd = -1;
    assert_int_equal(bind(b->listen_fd, (struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(listen(b->listen_fd, 4), 0);
    return b;
}

static void backend_free(struct backend *b) {
    if (b->fd >= 0) close(b->fd);
    close(b->listen_fd);
    unlink(b->path);
    buf_done(&b->in);
    free(b);
}

/* What the proxy has sent since the last call. */
static const char *backend_read(struct backend *b) {
    buf_clear(&b->in);
    if (b->fd < 0) b->fd = accept(b->listen_fd, NULL, NULL);
    fixture_read(b->f, b->fd, &b->in, &b->eof);
    return b->in.p ? b->in.p : "";
}

static void backend_send(struct backend *b, const char *text) {
    fixture_send(b->f, b->fd, slice_of(text));
}

/* The client's request is held by the fixture; the test proxies it. */
static int start(struct fixture *f, struct backend *b, const char *request) {
    int fd = fixture_connect(f);
    fixture_send(f, fd, slice_of(request));
    assert_non_null(f->last);
    struct http_header v[] = {{"x-remote-user", "admin"}};
    request_proxy(f->last, b->path, "/exec/p?x=1", &(struct http_headers){v, 1});
    fixture_turn(f);
    return fd;
}

#define UPGRADE                                                                                    \
    "GET /hold HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n"   \
    "Sec-WebSocket-Key: k\r\nAuthorization: Bearer secret\r\nX-Remote-User: evil\r\n\r\n"
#define SWITCHED                                                                                   \
    "HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\n"            \
    "sec-websocket-accept: a\r\n\r\n"

TEST(proxy_forwards_a_request_and_its_answer) {
    struct fixture *f = fixture_new(NULL);
    struct backend *b = backend_new(f);
    int fd = start(f, b,
                   "POST /hold HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer secret\r\nAccept: a\r\n"
                   "Content-Length: 3\r\n\r\nabc");
    assert_string_equal(backend_read(b),
                        "POST /exec/p?x=1 HTTP/1.1\r\nhost: localhost\r\naccept: a\r\n"
                        "connection: close\r\ncontent-length: 3\r\nx-remote-user: admin\r\n\r\n"
                        "abc");
    backend_send(b, "HTTP/1.1 201 Created\r\nContent-Type: text/x\r\nX-Y: z\r\nContent-Length: 2"
                    "\r\nConnection: close\r\n\r\nok");
    fixture_expect(
        f, fd, "GET /echo HTTP/1.1\r\nHost: x\r\n\r\n",
        "HTTP/1.1 201 Created\r\ncontent-type: text/x\r\nx-y: z\r\ncontent-length: 2\r\n"
        "\r\nokHTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 0\r\n\r\n");
    close(fd);
    backend_free(b);
    fixture_free(f);
}

TEST(proxy_streams_a_chunked_answer_as_it_comes) {
    struct fixture *f = fixture_new(NULL);
    struct backend *b = backend_new(f);
    int fd = start(f, b, "GET /hold HTTP/1.1\r\nHost: x\r\n\r\n");
    backend_read(b);
    backend_send(b, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
    fixture_expect(f, fd, "", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n");
    backend_send(b, "2\r\nde\r\n");
    fixture_expect(f, fd, "", "2\r\nde\r\n");
    close(b->fd);
    b->fd = -1;
    fixture_expect(f, fd, "", "<eof>"); /* cut: no last chunk */
    close(fd);
    backend_free(b);
    fixture_free(f);
}

TEST(proxy_client_that_leaves_closes_the_backend) {
    struct fixture *f = fixture_new(NULL);
    struct backend *b = backend_new(f);
    int fd = start(f, b, "GET /hold HTTP/1.1\r\nHost: x\r\n\r\n");
    backend_read(b);
    assert_false(b->eof);
    close(fd);
    backend_read(b);
    assert_true(b->eof);
    backend_free(b);
    fixture_free(f);
}

TEST(proxy_without_backend_is_unavailable) {
    struct fixture *f = fixture_new(NULL);
    struct backend *b = backend_new(f);
    close(b->listen_fd);
    unlink(b->path);
    int fd = start(f, b, "GET /hold HTTP/1.1\r\nHost: x\r\n\r\n");
    struct buf out = {0};
    bool eof;
    fixture_read(f, fd, &out, &eof);
    assert_true(str_starts(out.p, "HTTP/1.1 503 "));
    assert_non_null(strstr(out.p, "\"reason\":\"ServiceUnavailable\",\"code\":503"));
    buf_done(&out);
    close(fd);
    backend_free(b);
    fixture_free(f);
}

TEST(proxy_broken_answers_are_unavailable) {
#define TWICE "Content-Length: 1\r\nContent-Length: 1\r\n"
    static const char *const answers[] = {"", "HTTP/1.1 2", "hello\r\n\r\n",
                                          "HTTP/1.1 200 OK\r\n" TWICE "\r\na"};
    for (size_t i = 0; i < ARRAY_LEN(answers); i++) {
        struct fixture *f = fixture_new(NULL);
        struct backend *b = backend_new(f);
        int fd = start(f, b, "GET /hold HTTP/1.1\r\nHost: x\r\n\r\n");
        backend_read(b);
        backend_send(b, answers[i]);
        close(b->fd);
        b->fd = -1;
        struct buf out = {0};
        bool eof;
        fixture_read(f, fd, &out, &eof);
        assert_true(str_starts(out.p, "HTTP/1.1 503 "));
        buf_done(&out);
        close(fd);
        backend_free(b);
        fixture_free(f);
    }
}

TEST(proxy_tunnel_carries_early_data_both_ways) {
    struct fixture *f = fixture_new(NULL);
    struct backend *b = backend_new(f);
    int fd = start(f, b, UPGRADE "early");
    assert_string_equal(backend_read(b),
                        "GET /exec/p?x=1 HTTP/1.1\r\nhost: localhost\r\nsec-websocket-key: k\r\n"
                        "connection: upgrade\r\nupgrade: websocket\r\nx-remote-user: admin\r\n"
                        "\r\n");
    backend_send(b, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n"
                    "Upgrade: websocket\r\nSec-WebSocket-Accept: a\r\n\r\nfirst");
    fixture_expect(f, fd, "", SWITCHED "first");
    assert_string_equal(backend_read(b), "early");
    fixture_send(f, fd, SLICE("more"));
    assert_string_equal(backend_read(b), "more");
    backend_send(b, "answer");
    fixture_expect(f, fd, "", "answer");
    close(fd);
    backend_read(b);
    assert_true(b->eof);
    backend_free(b);
    fixture_free(f);
}

static int tunnelled(struct fixture *f, struct backend *b) {
    int fd = start(f, b, UPGRADE);
    backend_read(b);
    backend_send(b, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n"
                    "Upgrade: websocket\r\nSec-WebSocket-Accept: a\r\n\r\n");
    fixture_expect(f, fd, "", SWITCHED);
    return fd;
}

TEST(proxy_tunnel_half_closes) {
    struct fixture *f = fixture_new(NULL);
    struct backend *b = backend_new(f);
    int fd = tunnelled(f, b);
    fixture_send(f, fd, SLICE("last"));
    shutdown(fd, SHUT_WR);
    assert_string_equal(backend_read(b), "last");
    assert_true(b->eof);
    backend_send(b, "still here");
    fixture_expect(f, fd, "", "still here");
    close(b->fd);
    b->fd = -1;
    fixture_expect(f, fd, "", "<eof>");
    fixture_pass(f, 5000);
    assert_int_equal(server_connections(f->server), 0);
    close(fd);
    backend_free(b);
    fixture_free(f);
}

TEST(proxy_tunnel_backend_half_closes) {
    struct fixture *f = fixture_new(NULL);
    struct backend *b = backend_new(f);
    int fd = tunnelled(f, b);
    backend_send(b, "last");
    shutdown(b->fd, SHUT_WR);
    fixture_expect(f, fd, "", "last<eof>");
    fixture_send(f, fd, SLICE("still here"));
    assert_string_equal(backend_read(b), "still here");
    assert_int_equal(server_connections(f->server), 1);
    close(b->fd);
    b->fd = -1;
    fixture_pass(f, 6000);
    assert_int_equal(server_connections(f->server), 0);
    close(fd);
    backend_free(b);
    fixture_free(f);
}

TEST(proxy_tunnel_dead_backend_closes_the_client) {
    struct fixture *f = fixture_new(NULL);
    struct backend *b = backend_new(f);
    int fd = tunnelled(f, b);
    close(b->fd);
    b->fd = -1;
    fixture_expect(f, fd, "", "<eof>");
    fixture_pass(f, 5000); /* the client that does not close is not waited for */
    assert_int_equal(server_connections(f->server), 0);
    close(fd);
    backend_free(b);
    fixture_free(f);
}

/* Sends until neither side takes more; the number of bytes that went in. */
static size_t stuff(struct fixture *f, int fd) {
    static char piece[65536];
    size_t total = 0;
    for (int stuck = 0; stuck < 5 && total < 64u << 20;) {
        ssize_t n = send(fd, piece, sizeof piece, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n > 0) total += (size_t)n;
        stuck = n > 0 ? 0 : stuck + 1;
        fixture_turn(f);
    }
    return total;
}

TEST(proxy_tunnel_has_back_pressure_both_ways) {
    struct fixture *f = fixture_new(NULL);
    struct backend *b = backend_new(f);
    int fd = tunnelled(f, b);
    for (int way = 0; way < 2; way++) {
        size_t sent = stuff(f, way ? b->fd : fd);
        assert_in_range(sent, 256 * 1024, 4 << 20);
        struct buf got = {0};
        bool eof;
        fixture_read(f, way ? fd : b->fd, &got, &eof);
        assert_int_equal(got.n, sent);
        assert_false(eof);
        buf_done(&got);
    }
    close(fd);
    backend_free(b);
    fixture_free(f);
}

TEST(proxy_declined_upgrade_is_an_answer_and_the_end) {
    struct fixture *f = fixture_new(NULL);
    struct backend *b = backend_new(f);
    int fd = start(f, b, UPGRADE "GET /echo HTTP/1.1\r\nHost: x\r\n\r\n");
    backend_read(b);
    backend_send(b, "HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno");
    fixture_expect(f, fd, "",
                   "HTTP/1.1 404 Not Found\r\nconnection: close\r\ncontent-length: 2\r\n\r\nno"
                   "<eof>");
    assert_int_equal(f->requests, 1);
    close(fd);
    backend_free(b);
    fixture_free(f);
}

TEST(proxy_unasked_switch_is_a_bad_gateway) {
    struct fixture *f = fixture_new(NULL);
    struct backend *b = backend_new(f);
    int fd = start(f, b, "GET /hold HTTP/1.1\r\nHost: x\r\n\r\n");
    backend_read(b);
    backend_send(b, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n"
                    "Upgrade: websocket\r\n\r\nboo");
    struct buf out = {0};
    bool eof;
    fixture_read(f, fd, &out, &eof);
    assert_true(str_starts(out.p, "HTTP/1.1 502 "));
    buf_done(&out);
    close(fd);
    backend_free(b);
    fixture_free(f);
}

/* The same by way of the egress service: a prelude, its answer, then the request's. */
static int start_out(struct fixture *f, struct backend *b, const char *prefix) {
    OWN(buf_done) struct buf prelude = {0};
    int fd = fixture_connect(f);
    fixture_send(f, fd, SLICE("GET /hold HTTP/1.1\r\nHost: x\r\nAccept-Encoding: gzip\r\n\r\n"));
    egress_prelude_pack(&prelude, &(struct egress_prelude){.policy = EGRESS_BY_TENANT,
                                                           .identity = EGRESS_ANONYMOUS,
                                                           .port = 80,
                                                           .timeout_ms = 1000,
                                                           .host = "10.0.0.1",
                                                           .server_name = "",
                                                           .ca_pem = ""});
    request_proxy_to(f->last, &(struct proxy_plan){.socket_path = b->path,
                                                   .target = "/a",
                                                   .prelude = buf_view(&prelude),
                                                   .host = "10.0.0.1:80",
                                                   .trouble = "error trying to reach service: ",
                                                   .prefix = prefix});
    fixture_turn(f);
    backend_read(b);
    assert_true(b->in.n > prelude.n);
    assert_memory_equal(b->in.p, prelude.p, prelude.n);
    buf_consume(&b->in, prelude.n);
    return fd;
}

static void say_word(struct backend *b, enum egress_status status, const char *text,
                     const char *more) {
    OWN(buf_done) struct buf word = {0};
    egress_answer_pack(&word, &(struct egress_answer){(uint8_t)status, text});
    buf_str(&word, more);
    fixture_send(b->f, b->fd, buf_view(&word));
}

TEST(proxy_waits_for_the_word_of_egress) {
    struct fixture *f = fixture_new(NULL);
    struct backend *b = backend_new(f);
    int fd = start_out(f, b, NULL);
    assert_string_equal(b->in.p, "GET /a HTTP/1.1\r\nhost: 10.0.0.1:80\r\n"
                                 "accept-encoding: gzip\r\nconnection: close\r\n\r\n");
    say_word(b, EGRESS_OK, "", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    fixture_expect(f, fd, "", "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
    close(fd);
    backend_free(b);
    fixture_free(f);
}

TEST(proxy_tells_why_egress_could_not_connect) {
    struct fixture *f = fixture_new(NULL);
    struct backend *b = backend_new(f);
    OWN(buf_done) struct buf got = {0};
    bool eof;
    int fd = start_out(f, b, NULL);
    say_word(b, EGRESS_UNREACHABLE, "dial tcp 10.0.0.1:80: connect: connection refused", "");
    fixture_read(f, fd, &got, &eof);
    assert_true(str_starts(got.p, "HTTP/1.1 503 "));
    assert_non_null(strstr(got.p, "\"message\":\"error trying to reach service: dial tcp "
                                  "10.0.0.1:80: connect: connection refused\""));
    close(fd);
    backend_free(b);
    fixture_free(f);
}

TEST(proxy_moves_links_and_redirections_below_its_prefix) {
    struct fixture *f = fixture_new(NULL);
    struct backend *b = backend_new(f);
    int fd = start_out(f, b, "/api/v1/p/proxy");
    assert_null(strstr(b->in.p, "accept-encoding"));
    say_word(b, EGRESS_OK, "",
             "HTTP/1.1 302 Found\r\nContent-Type: text/html; charset=utf-8\r\n"
             "Location: http://10.0.0.1:80/x\r\nContent-Length: 14\r\n\r\n<a href=\"/y\">.");
    fixture_expect(f, fd, "",
                   "HTTP/1.1 302 Found\r\ncontent-type: text/html; charset=utf-8\r\n"
                   "transfer-encoding: chunked\r\nlocation: /api/v1/p/proxy/x\r\n\r\n"
                   "1d\r\n<a href=\"/api/v1/p/proxy/y\">.\r\n0\r\n\r\n");
    close(fd);
    backend_free(b);
    fixture_free(f);
}
