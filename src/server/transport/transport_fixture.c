#include "server/transport/transport_fixture.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"

static void on_close(struct request *r) {
    struct fixture *f = r->handler_data;
    f->closed++;
    f->last = NULL;
}

static void on_drain(struct request *r) { ((struct fixture *)r->handler_data)->drained++; }

/* /work/X: X is who asks; takes a while. */
static void work(struct fixture *f, struct request *r) {
    enum { WORK_NS = 100 * 1000 };
    const char *who = r->path + strlen("/work/");
    size_t n = strlen(f->order);
    if (n + 1 < sizeof f->order) f->order[n] = *who;
    request_identify(r, slice_of(who));
    for (uint64_t until = clock_span_ns() + WORK_NS; clock_span_ns() < until;) continue;
    request_respond(r, 204, NULL, (struct slice){0}, NULL);
}

/* /echo: the body back; /hold…: left to the test; /hold/told with on_close; else 404. */
static void handle(struct request *r, void *user) {
    struct fixture *f = user;
    f->requests++;
    free(f->last_body);
    f->last_body = strndup(r->body.n ? r->body.p : "", r->body.n);
    if (str_starts(r->path, "/work/")) {
        work(f, r);
    } else if (str_starts(r->path, "/hold")) {
        f->last = r;
        r->handler_data = f;
        if (str_eq(r->path, "/hold/told")) {
            r->on_close = on_close;
            r->on_drain = on_drain;
        }
    } else if (str_eq(r->path, "/echo")) {
        request_respond(r, 200, "text/plain", r->body, NULL);
    } else {
        request_respond(r, 404, "text/plain", SLICE("no\n"), NULL);
    }
}

static uint64_t mono_ms(void *user) { return ((struct fixture *)user)->now_ms; }

static void listen_unix(struct fixture *f) {
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    snprintf(f->path, sizeof f->path, "/tmp/atoll-transport-%d.sock", getpid());
    memcpy(a.sun_path, f->path, strlen(f->path) + 1);
    unlink(f->path);
    f->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(f->listen_fd, (struct sockaddr *)&a, sizeof a), 0);
}

static void listen_tcp(struct fixture *f) {
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    f->listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(f->listen_fd, (struct sockaddr *)&a, sizeof a), 0);
}

struct fixture *fixture_new(struct server_tls *tls) {
    struct fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    f->now_ms = 1000;
    f->env = (struct loop_env){.mono_ms = mono_ms, .user = f};
    f->loop = loop_new(&f->env);
    f->server = server_new(f->loop, handle, f);
    if (tls)
        listen_tcp(f);
    else
        listen_unix(f);
    assert_int_equal(listen(f->listen_fd, 64), 0);
    if (tls)
        server_listen_tls(f->server, f->listen_fd, tls);
    else
        server_listen_unix(f->server, f->listen_fd);
    return f;
}

void fixture_free(struct fixture *f) {
    server_free(f->server);
    fixture_turn(f);
    loop_free(f->loop);
    close(f->listen_fd);
    if (f->path[0]) unlink(f->path);
    free(f->last_body);
    free(f);
}

int fixture_connect(struct fixture *f) {
    struct sockaddr_storage a;
    socklen_t n = sizeof a;
    assert_int_equal(getsockname(f->listen_fd, (struct sockaddr *)&a, &n), 0);
    int fd = socket(a.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&a, n), 0);
    int on = 1; /* virtual time does not wait for a delayed acknowledgement */
    if (a.ss_family == AF_INET) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    fixture_turn(f);
    return fd;
}

void fixture_turn(struct fixture *f) {
    for (int i = 0; i < 30; i++) loop_run_once(f->loop, 0);
}

void fixture_pass(struct fixture *f, uint64_t ms) {
    for (; ms >= 1000; ms -= 1000) {
        f->now_ms += 1000;
        loop_run_once(f->loop, 0);
    }
    f->now_ms += ms;
    fixture_turn(f);
}

void fixture_send(struct fixture *f, int fd, struct slice s) {
    for (int idle = 0; s.n > 0 && idle < 1000; idle++) {
        ssize_t n = send(fd, s.p, s.n, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN) break; /* the server closed: reading will show why */
        if (n > 0) {
            s = slice_from(s.p + n, s.n - (size_t)n);
            idle = 0;
        }
        loop_run_once(f->loop, 0);
    }
    fixture_turn(f);
}

void fixture_read(struct fixture *f, int fd, struct buf *b, bool *ret_eof) {
    static char piece[65536];
    *ret_eof = false;
    fixture_turn(f);
    for (int idle = 0; idle < 5;) {
        ssize_t n = recv(fd, piece, sizeof piece, MSG_DONTWAIT);
        if (n > 0) buf_append(b, piece, (size_t)n);
        idle = n > 0 ? 0 : idle + 1;
        *ret_eof = n == 0 || (n < 0 && errno != EAGAIN);
        if (*ret_eof) return;
        fixture_turn(f);
    }
}

static void cut_dates(struct buf *b) {
    char *at;
    while (b->p && (at = strstr(b->p, "date: "))) {
        char *end = strstr(at, "\r\n") + 2;
        memmove(at, end, strlen(end) + 1);
        b->n = strlen(b->p);
    }
}

void fixture_expect(struct fixture *f, int fd, const char *send_text, const char *want) {
    struct buf b = {0};
    bool eof;
    fixture_send(f, fd, slice_of(send_text));
    fixture_read(f, fd, &b, &eof);
    buf_str(&b, eof ? "<eof>" : "");
    cut_dates(&b);
    assert_string_equal(b.p, want);
    buf_done(&b);
}
