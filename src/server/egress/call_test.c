/* Calls against a stand-in for the egress service, in one process. */
#include "server/egress/call.h"

#include "base/test.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/own.h"
#include "proc/unix_socket.h"

struct world {
    struct api api;
    struct arena *a;
    char dir[32];
    int back, listener, fd; /* fd: the accepted pipe */
    struct egress_target target;
    int answers;
    struct egress_result last;
    char *body;
};

static void begin(struct world *w) {
    *w = (struct world){.fd = -1, .dir = "/tmp/atoll-call-XXXXXX", .a = arena_new()};
    w->api.loop = loop_new(NULL);
    w->back = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_non_null(mkdtemp(w->dir));
    assert_int_equal(chdir(w->dir), 0);
    assert_int_equal(unix_listen("egress.sock", 0600, &w->listener, NULL), 0);
    assert_int_equal(
        egress_target_url(w->a, "https://hook.example:8443/r?t=1s", false, &w->target, NULL), 0);
}

static void end(struct world *w) {
    close_p(&w->fd);
    close_p(&w->listener);
    for (int i = 0; i < 5; i++) loop_run_once(w->api.loop, 2); /* kept pipes see the end */
    unlink("egress.sock");
    assert_int_equal(fchdir(w->back), 0);
    rmdir(w->dir);
    close_p(&w->back);
    loop_free(w->api.loop);
    free(w->body);
    arena_free(w->a);
}

static void on_done(void *user, const struct egress_result *r) {
    struct world *w = user;
    struct buf b = {0};
    w->answers++;
    w->last = *r;
    buf_slice(&b, r->body);
    free(w->body);
    w->body = buf_steal(&b);
}

static struct egress_call *call(struct world *w, uint32_t timeout_ms) {
    return egress_call(&w->api,
                       &(struct egress_request){.target = &w->target,
                                                .method = "POST",
                                                .body = SLICE("{}"),
                                                .timeout_ms = timeout_ms,
                                                .max_body_bytes = 64},
                       on_done, w);
}

static void turn(struct world *w, int times) {
    for (int i = 0; i < times; i++) loop_run_once(w->api.loop, 2);
}

static void hear(struct world *w, struct buf *b, const char *until) {
    char piece[4096];
    for (int i = 0; i < 500 && !(b->p && strstr(b->p, until)); i++) {
        turn(w, 1);
        ssize_t n = recv(w->fd, piece, sizeof piece, MSG_DONTWAIT);
        if (n > 0) buf_append(b, piece, (size_t)n);
    }
}

/* Accepts the pipe, reads the prelude, says yes; *rest is what follows the prelude. */
static void accept_pipe(struct world *w, const struct egress_answer *answer, struct buf *rest) {
    OWN(buf_done) struct buf in = {0}, out = {0};
    struct egress_prelude p;
    struct slice body;
    size_t used = 0;
    close_p(&w->fd);
    for (int i = 0; i < 500 && (w->fd = accept4(w->listener, NULL, NULL, SOCK_CLOEXEC)) < 0; i++)
        turn(w, 1);
    assert_true(w->fd >= 0);
    for (int i = 0; i < 500 && egress_frame(buf_view(&in), &body, &used) == 0; i++) {
        char piece[4096];
        turn(w, 1);
        ssize_t n = recv(w->fd, piece, sizeof piece, MSG_DONTWAIT);
        if (n > 0) buf_append(&in, piece, (size_t)n);
    }
    assert_int_equal(egress_prelude_unpack(body, w->a, &p), 0);
    assert_string_equal(p.host, "hook.example");
    assert_int_equal(p.port, 8443);
    buf_slice(rest, slice_from(in.p + used, in.n - used));
    egress_answer_pack(&out, answer);
    assert_int_equal(send(w->fd, out.p, out.n, MSG_NOSIGNAL), out.n);
}

static const struct egress_answer yes = {EGRESS_OK, ""};

static void say(struct world *w, const char *text) {
    assert_int_equal(send(w->fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

static void wait_for(struct world *w, int answers) {
    for (int i = 0; i < 1000 && w->answers < answers; i++) turn(w, 1);
    assert_int_equal(w->answers, answers);
}

TEST(a_call_sends_its_request_and_tells_the_answer) {
    OWN(buf_done) struct buf heard = {0};
    struct world w;
    begin(&w);
    call(&w, 3000);
    assert_int_equal(w.answers, 0);
    accept_pipe(&w, &yes, &heard);
    hear(&w, &heard, "\r\n\r\n{}");
    assert_true(str_starts(heard.p, "POST /r?t=1s HTTP/1.1\r\nhost: hook.example:8443\r\n"));
    assert_non_null(strstr(heard.p, "content-type: application/json\r\n"));
    say(&w, "HTTP/1.1 201 Created\r\ncontent-length: 5\r\nx-a: b\r\n\r\nhello");
    wait_for(&w, 1);
    assert_int_equal(w.last.err.reason, ERR_NONE);
    assert_int_equal(w.last.status, 201);
    assert_string_equal(w.body, "hello");
    end(&w);
}

TEST(a_kept_connection_carries_the_next_call_and_may_die_meanwhile) {
    OWN(buf_done) struct buf heard = {0}, more = {0};
    struct world w;
    begin(&w);
    call(&w, 3000);
    accept_pipe(&w, &yes, &heard);
    hear(&w, &heard, "{}");
    say(&w, "HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n1");
    wait_for(&w, 1);
    call(&w, 3000); /* no second prelude */
    hear(&w, &more, "{}");
    assert_true(str_starts(more.p, "POST "));
    shutdown(w.fd, SHUT_RDWR); /* the server gave it up in this moment: once more */
    buf_clear(&heard);
    accept_pipe(&w, &yes, &heard);
    hear(&w, &heard, "{}");
    say(&w, "HTTP/1.1 200 OK\r\ncontent-length: 1\r\nconnection: close\r\n\r\n2");
    wait_for(&w, 2);
    assert_int_equal(w.last.err.reason, ERR_NONE);
    assert_string_equal(w.body, "2");
    end(&w);
}

TEST(a_call_says_why_it_failed) {
    OWN(buf_done) struct buf heard = {0};
    struct world w;
    begin(&w);
    call(&w, 3000);
    accept_pipe(&w, &(struct egress_answer){EGRESS_UNREACHABLE, "dial tcp 1.2.3.4:8443: no"},
                &heard);
    wait_for(&w, 1);
    assert_int_equal(w.last.err.reason, ERR_UNAVAILABLE);
    assert_string_equal(w.last.err.text,
                        "Post \"https://hook.example:8443/r?t=1s\": dial tcp 1.2.3.4:8443: no");
    end(&w);
}

TEST(a_call_ends_in_time) {
    OWN(buf_done) struct buf heard = {0};
    struct world w;
    begin(&w);
    call(&w, 30);
    accept_pipe(&w, &yes, &heard);
    say(&w, "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhe");
    wait_for(&w, 1);
    assert_int_equal(w.last.err.reason, ERR_TIMEOUT);
    assert_true(str_ends(w.last.err.text, ": context deadline exceeded"));
    end(&w);
}

TEST(an_answer_is_bounded_and_must_be_whole) {
    OWN(buf_done) struct buf heard = {0}, big = {0};
    struct world w;
    begin(&w);
    call(&w, 3000);
    accept_pipe(&w, &yes, &heard);
    for (int i = 0; i < 10; i++) buf_str(&big, "0123456789");
    say(&w, "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n");
    say(&w, big.p);
    wait_for(&w, 1);
    assert_int_equal(w.last.err.reason, ERR_TOO_LARGE);
    call(&w, 3000);
    accept_pipe(&w, &yes, &heard);
    say(&w, "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n0123");
    shutdown(w.fd, SHUT_RDWR);
    wait_for(&w, 2);
    assert_int_equal(w.last.err.reason, ERR_UNAVAILABLE);
    end(&w);
}

TEST(a_cancelled_call_is_silent) {
    OWN(buf_done) struct buf heard = {0};
    struct world w;
    begin(&w);
    struct egress_call *c = call(&w, 20);
    accept_pipe(&w, &yes, &heard);
    egress_call_cancel(c);
    turn(&w, 20);
    assert_int_equal(w.answers, 0);
    end(&w);
}

TEST(without_the_egress_service_a_call_fails_soon) {
    struct world w;
    begin(&w);
    close_p(&w.listener);
    w.listener = -1;
    unlink("egress.sock");
    call(&w, 3000);
    assert_int_equal(w.answers, 0);
    wait_for(&w, 1);
    assert_int_equal(w.last.err.reason, ERR_UNAVAILABLE);
    end(&w);
}
