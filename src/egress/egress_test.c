/* Policy, resolver and pipes over real sockets on loopback. */
#include "base/test.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/own.h"
#include "egress/pipe.h"
#include "egress/policy.h"
#include "proc/resolve.h"

static bool allowed(enum egress_policy policy, const char *ip) {
    struct sockaddr_storage ss = {0};
    struct sockaddr_in *v4 = (void *)&ss;
    struct sockaddr_in6 *v6 = (void *)&ss;
    if (inet_pton(AF_INET, ip, &v4->sin_addr) == 1)
        v4->sin_family = AF_INET;
    else if (inet_pton(AF_INET6, ip, &v6->sin6_addr) == 1)
        v6->sin6_family = AF_INET6;
    else
        fail_msg("%s is no address", ip);
    return policy_allows(policy, (struct sockaddr *)&ss);
}

TEST(tenants_never_reach_what_only_this_machine_can) {
    static const char *const no[] = {"127.0.0.1",
                                     "127.9.9.9",
                                     "169.254.169.254",
                                     "0.0.0.0",
                                     "224.0.0.1",
                                     "255.255.255.255",
                                     "::1",
                                     "::",
                                     "fe80::1",
                                     "febf::1",
                                     "ff02::1",
                                     "::ffff:127.0.0.1",
                                     "fd00:ec2::254",
                                     "64:ff9b::a9fe:a9fe",
                                     "::ffff:169.254.1.1",
                                     "2002:7f00:1::1"};
    static const char *const yes[] = {"10.244.0.7",  "192.168.1.1", "8.8.8.8", "fd00::1",
                                      "2001:db8::1", "128.0.0.1",   "fec0::1"};
    for (size_t i = 0; i < ARRAY_LEN(no); i++)
        if (allowed(EGRESS_BY_TENANT, no[i])) fail_msg("%s", no[i]);
    for (size_t i = 0; i < ARRAY_LEN(yes); i++)
        if (!allowed(EGRESS_BY_TENANT, yes[i])) fail_msg("%s", yes[i]);
}

TEST(administrators_reach_every_unicast_address) {
    assert_true(allowed(EGRESS_BY_ADMINISTRATOR, "127.0.0.1"));
    assert_true(allowed(EGRESS_BY_ADMINISTRATOR, "::1"));
    assert_false(allowed(EGRESS_BY_ADMINISTRATOR, "224.0.0.1"));
    assert_false(allowed(EGRESS_BY_ADMINISTRATOR, "0.0.0.0"));
    assert_false(allowed(EGRESS_BY_ADMINISTRATOR, "255.255.255.255"));
}

/* ---- a pipe ---- */

struct world {
    struct loop *loop;
    int near, listener;
    uint16_t port;
    size_t pipes;
};

static void begin(struct world *w) {
    int pair[2];
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof a;
    *w = (struct world){.loop = loop_new(NULL)};
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
    w->near = pair[0];
    w->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(w->listener, (struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(listen(w->listener, 4), 0);
    assert_int_equal(getsockname(w->listener, (struct sockaddr *)&a, &n), 0);
    w->port = ntohs(a.sin_port);
    pipe_new(w->loop, pair[1], &w->pipes);
}

static void end(struct world *w) {
    close_p(&w->near);
    close_p(&w->listener);
    for (int i = 0; w->pipes && i < 2000; i++) loop_run_once(w->loop, 5);
    assert_int_equal(w->pipes, 0);
    loop_free(w->loop);
}

static void wish(struct world *w, enum egress_policy policy, bool tls, const char *more) {
    OWN(buf_done) struct buf b = {0};
    egress_prelude_pack(&b, &(struct egress_prelude){.policy = (uint8_t)policy,
                                                     .identity = EGRESS_ANONYMOUS,
                                                     .tls = tls,
                                                     .port = w->port,
                                                     .timeout_ms = 3000,
                                                     .host = "127.0.0.1",
                                                     .server_name = "",
                                                     .ca_pem = ""});
    buf_str(&b, more);
    assert_int_equal(send(w->near, b.p, b.n, 0), b.n);
}

/* Runs the loop until fd has said n bytes, or ended. */
static void hear(struct world *w, int fd, struct buf *b, size_t n) {
    for (int i = 0; b->n < n && i < 1000; i++) {
        char piece[65536];
        loop_run_once(w->loop, 5);
        ssize_t got = recv(fd, piece, MIN_OF(sizeof piece, n - b->n), MSG_DONTWAIT);
        if (got == 0) return;
        if (got > 0) buf_append(b, piece, (size_t)got);
    }
}

static struct egress_answer answer_of(struct world *w, struct arena *a) {
    OWN(buf_done) struct buf b = {0};
    struct slice body;
    size_t used;
    struct egress_answer r = {EGRESS_STATUS_COUNT, ""};
    hear(w, w->near, &b, 4);
    assert_int_equal(b.n, 4);
    hear(w, w->near, &b, 4 + (size_t)(unsigned char)b.p[0] + ((size_t)(unsigned char)b.p[1] << 8));
    assert_int_equal(egress_frame(buf_view(&b), &body, &used), 1);
    assert_int_equal(egress_answer_unpack(body, a, &r), 0);
    return r;
}

static int far_side(struct world *w) {
    for (int i = 0; i < 1000; i++) {
        int fd = accept4(w->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd >= 0) return fd;
        loop_run_once(w->loop, 5);
    }
    fail_msg("nobody connected");
    return -1;
}

TEST(a_pipe_carries_bytes_both_ways_and_ends_with_both_sides) {
    OWN(arena_free_p) struct arena *a = arena_new();
    OWN(buf_done) struct buf there = {0}, back = {0};
    struct world w;
    begin(&w);
    wish(&w, EGRESS_BY_ADMINISTRATOR, false, "early");
    OWN(close_p) int far = far_side(&w);
    assert_int_equal(answer_of(&w, a).status, EGRESS_OK);
    assert_int_equal(send(w.near, " bird", 5, 0), 5);
    hear(&w, far, &there, 10);
    assert_string_equal(there.p, "early bird");
    assert_int_equal(send(far, "worm", 4, 0), 4);
    hear(&w, w.near, &back, 4);
    assert_string_equal(back.p, "worm");
    shutdown(w.near, SHUT_WR); /* half close: the other direction still works */
    hear(&w, far, &there, 11);
    assert_int_equal(send(far, "more", 4, 0), 4);
    hear(&w, w.near, &back, 8);
    assert_string_equal(back.p, "wormmore");
    shutdown(far, SHUT_WR);
    for (int i = 0; w.pipes && i < 1000; i++) loop_run_once(w.loop, 5);
    end(&w);
}

TEST(a_slow_reader_holds_up_the_sender_and_loses_nothing) {
    OWN(arena_free_p) struct arena *a = arena_new();
    OWN(buf_done) struct buf back = {0};
    struct world w;
    static char piece[65536];
    begin(&w);
    wish(&w, EGRESS_BY_ADMINISTRATOR, false, "");
    OWN(close_p) int far = far_side(&w);
    assert_int_equal(answer_of(&w, a).status, EGRESS_OK);
    size_t sent = 0;
    memset(piece, 'x', sizeof piece);
    for (int quiet = 0; quiet < 50;) { /* until nothing is taken any more */
        ssize_t n = send(far, piece, sizeof piece, MSG_DONTWAIT);
        if (n > 0) sent += (size_t)n;
        quiet = n > 0 ? 0 : quiet + 1;
        loop_run_once(w.loop, 1);
        assert_true(sent < 64 * 1024 * 1024);
    }
    hear(&w, w.near, &back, sent);
    assert_int_equal(back.n, sent);
    end(&w);
}

TEST(a_pipe_says_why_it_cannot_connect) {
    OWN(arena_free_p) struct arena *a = arena_new();
    struct world w;
    begin(&w);
    close_p(&w.listener);
    w.listener = -1;
    wish(&w, EGRESS_BY_ADMINISTRATOR, false, "");
    struct egress_answer r = answer_of(&w, a);
    assert_int_equal(r.status, EGRESS_UNREACHABLE);
    assert_string_equal(
        r.text, arena_printf(a, "dial tcp 127.0.0.1:%u: connect: connection refused", w.port));
    end(&w);
}

TEST(a_pipe_refuses_what_the_policy_forbids) {
    OWN(arena_free_p) struct arena *a = arena_new();
    struct world w;
    begin(&w);
    wish(&w, EGRESS_BY_TENANT, false, "");
    struct egress_answer r = answer_of(&w, a);
    assert_int_equal(r.status, EGRESS_FORBIDDEN);
    assert_string_equal(r.text, "address not allowed");
    assert_int_equal(accept4(w.listener, NULL, NULL, SOCK_CLOEXEC), -1);
    end(&w);
}

TEST(a_pipe_tells_a_server_without_tls) {
    OWN(arena_free_p) struct arena *a = arena_new();
    struct world w;
    begin(&w);
    wish(&w, EGRESS_BY_ADMINISTRATOR, true, "");
    OWN(close_p) int far = far_side(&w);
    assert_int_equal(send(far, "HTTP/1.1 400 Bad Request\r\n\r\n", 28, 0), 28);
    struct egress_answer r = answer_of(&w, a);
    assert_int_equal(r.status, EGRESS_TLS_FAILED);
    assert_string_equal(r.text, "tls: first record does not look like a TLS handshake");
    end(&w);
}

TEST(nonsense_in_front_of_a_pipe_is_refused) {
    OWN(arena_free_p) struct arena *a = arena_new();
    struct world w;
    begin(&w);
    assert_int_equal(send(w.near, "\1\0\0\0x", 5, 0), 5);
    assert_int_equal(answer_of(&w, a).status, EGRESS_MALFORMED);
    end(&w);
}

static void keep(void *user, const struct resolved *r, const struct err *err) {
    *(struct resolved *)user = *r;
}

TEST(addresses_need_no_resolver) {
    struct loop *l = loop_new(NULL);
    struct resolved r = {.n = 9};
    struct resolve *q = (void *)1;
    resolve_start(l, "10.1.2.3", 443, keep, &r, &q);
    assert_null(q);
    assert_int_equal(r.n, 1);
    resolve_start(l, "not..a name", 443, keep, &r, &q);
    assert_null(q);
    assert_int_equal(r.n, 0);
    loop_free(l);
}
