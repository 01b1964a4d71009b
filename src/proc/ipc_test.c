#include "proc/ipc.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/test.h"
#include "proc/ipc_frame.h"
#include "proc/unix_socket.h"

struct side {
    struct loop *l;
    struct ipc *c;
    int messages, closed, replies, lost;
    char last[64];
    int fd; /* the last one received */
};

static void on_message(struct ipc *c, struct ipc_msg *m, void *user) {
    struct side *s = user;
    s->messages++;
    snprintf(s->last, sizeof s->last, "%u:%.*s", m->type, (int)m->body.n, m->body.p);
    if (m->n_fds) {
        s->fd = m->fds[0];
        m->fds[0] = -1;
    }
    if (m->type == 1) ipc_send(c, 2, m->id, m->body, &s->fd, s->fd >= 0);
    if (m->type == 3) {
        struct err err;
        err_field(&err, ERR_NOT_FOUND, "spec.x", "no such thing");
        ipc_send_error(c, m->id, &err);
    }
    if (m->type == 4) ipc_close(c);
}

static void on_closed(struct ipc *c, void *user) {
    struct side *s = user;
    s->closed++;
    s->c = NULL;
}

static void on_reply(struct ipc *c, struct ipc_msg *m, void *user) {
    struct side *s = user;
    if (!m) {
        s->lost++;
        return;
    }
    s->replies++;
    if (m->type == IPC_ERROR) {
        struct err err;
        assert_int_equal(ipc_decode_error(m->body, &err), -ENOENT);
        assert_string_equal(err.field, "spec.x");
        snprintf(s->last, sizeof s->last, "%.60s", err.text);
        return;
    }
    snprintf(s->last, sizeof s->last, "%u:%.*s", m->type, (int)m->body.n, m->body.p);
    if (m->n_fds) {
        s->fd = m->fds[0];
        m->fds[0] = -1;
    }
}

static void turn_until(struct loop *l, const int *counter, int value) {
    for (int i = 0; i < 2000 && *counter < value; i++) loop_run_once(l, 10);
    assert_int_equal(*counter, value);
}

static char socket_dir[] = "/tmp/proc-ipc-XXXXXX";

struct pair {
    struct loop *l;
    struct side server, client;
    struct ipc_listener *listener;
    int listen_fd;
    char path[300];
};

static void on_accepted(struct ipc *c, void *user) {
    struct side *s = user;
    s->c = c;
    ipc_set_handler(c, &(struct ipc_handler){on_message, on_closed, s});
}

static void pair_init(struct pair *p, const uid_t *allowed, size_t n_allowed) {
    log_setup("test", LOG_LEVEL_ERROR);
    memset(p, 0, sizeof *p);
    if (!strcmp(socket_dir + sizeof socket_dir - 7, "XXXXXX")) assert_non_null(mkdtemp(socket_dir));
    chmod(socket_dir, 0755);
    p->l = loop_new(NULL);
    p->server.fd = p->client.fd = -1;
    snprintf(p->path, sizeof p->path, "%s/s.sock", socket_dir);
    assert_int_equal(unix_listen(p->path, 0666, &p->listen_fd, NULL), 0);
    p->listener = ipc_listen(p->l, p->listen_fd, allowed, n_allowed, on_accepted, &p->server);
}

static void pair_connect(struct pair *p) {
    struct ipc_handler h = {on_message, on_closed, &p->client};
    assert_int_equal(ipc_connect(p->l, p->path, &h, &p->client.c, NULL), 0);
}

static void pair_done(struct pair *p) {
    ipc_close(p->client.c);
    ipc_close(p->server.c);
    ipc_listener_free(p->listener);
    close(p->listen_fd);
    loop_free(p->l);
    unlink(p->path);
    rmdir(socket_dir);
    memcpy(socket_dir + sizeof socket_dir - 7, "XXXXXX", 6);
}

TEST(a_call_is_answered_with_descriptors_both_ways) {
    struct pair p;
    pair_init(&p, NULL, 0);
    pair_connect(&p);
    int pipe_fds[2];
    assert_int_equal(pipe2(pipe_fds, O_CLOEXEC), 0);
    ipc_call(p.client.c, 1, SLICE("hello"), &pipe_fds[1], 1, on_reply, &p.client);
    close(pipe_fds[1]);
    turn_until(p.l, &p.client.replies, 1);
    assert_string_equal(p.client.last, "2:hello");
    assert_true(fcntl(p.client.fd, F_GETFD) & FD_CLOEXEC);
    assert_int_equal(write(p.client.fd, "x", 1), 1);
    char c;
    assert_int_equal(read(pipe_fds[0], &c, 1), 1);
    close(p.client.fd);
    close(p.server.fd);
    close(pipe_fds[0]);
    pair_done(&p);
}

TEST(both_ends_may_ask_at_once) {
    struct pair p;
    pair_init(&p, NULL, 0);
    pair_connect(&p);
    for (int i = 0; i < 200; i++)
        ipc_call(p.client.c, 1, SLICE("up"), NULL, 0, on_reply, &p.client);
    turn_until(p.l, &p.server.messages, 200);
    for (int i = 0; i < 200; i++)
        ipc_call(p.server.c, 1, SLICE("down"), NULL, 0, on_reply, &p.server);
    turn_until(p.l, &p.server.replies, 200);
    turn_until(p.l, &p.client.replies, 200);
    assert_int_equal(p.client.messages, 200);
    assert_int_equal(p.client.closed + p.server.closed, 0);
    pair_done(&p);
}

TEST(an_error_answer_keeps_reason_field_and_text) {
    struct pair p;
    pair_init(&p, NULL, 0);
    pair_connect(&p);
    ipc_call(p.client.c, 3, SLICE(""), NULL, 0, on_reply, &p.client);
    turn_until(p.l, &p.client.replies, 1);
    assert_string_equal(p.client.last, "no such thing");
    pair_done(&p);
}

TEST(a_large_message_arrives_whole) {
    struct pair p;
    pair_init(&p, NULL, 0);
    pair_connect(&p);
    struct slice body = {calloc(1, 5000000), 5000000};
    ipc_send(p.client.c, 9, 0, body, NULL, 0);
    ipc_send(p.client.c, 8, 0, SLICE("after"), NULL, 0);
    turn_until(p.l, &p.server.messages, 2);
    assert_string_equal(p.server.last, "8:after");
    free((char *)body.p);
    pair_done(&p);
}

TEST(the_first_of_many_messages_leave_before_the_turn_ends) {
    enum { MESSAGES = 40, BYTES = 2000 };
    static char body[BYTES];
    struct pair p;
    pair_init(&p, NULL, 0);
    pair_connect(&p);
    ipc_send(p.client.c, 7, 0, slice_from(body, sizeof body), NULL, 0);
    assert_true(ipc_queued_bytes(p.client.c) > 0); /* a single one waits */
    for (int i = 1; i < MESSAGES; i++)
        ipc_send(p.client.c, 7, 0, slice_from(body, sizeof body), NULL, 0);
    assert_true(ipc_queued_bytes(p.client.c) < MESSAGES * BYTES / 2);
    turn_until(p.l, &p.server.messages, MESSAGES);
    assert_int_equal(p.client.closed + p.server.closed, 0);
    pair_done(&p);
}

/* Who takes longer than a slice for each message, and somebody else who waits for his turn. */
struct slow {
    struct loop *l;
    int messages, others, others_at_third;
};

static void other_turn(void *user) { ((struct slow *)user)->others++; }

static void on_slow_message(struct ipc *c, struct ipc_msg *m, void *user) {
    struct slow *s = user;
    if (++s->messages == 1) loop_defer(s->l, other_turn, s);
    if (s->messages == 3) s->others_at_third = s->others;
    uint64_t until = loop_slice_end(s->l, CLOCK_SLICE_NS);
    while (clock_span_ns() < until)
        ;
}

TEST(a_burst_of_slow_messages_lets_others_have_their_turn) {
    struct pair p;
    pair_init(&p, NULL, 0);
    struct slow slow = {.l = p.l};
    pair_connect(&p);
    for (int i = 0; i < 100 && !p.server.c; i++) loop_run_once(p.l, 10);
    ipc_set_handler(p.server.c, &(struct ipc_handler){on_slow_message, on_closed, &slow});
    for (int i = 0; i < 4; i++) ipc_send(p.client.c, 7, 0, SLICE("x"), NULL, 0);
    turn_until(p.l, &slow.messages, 4);
    assert_int_equal(slow.others_at_third, 1);
    loop_run_once(p.l, 0); /* the slice that the last one began holds the connection */
    ipc_set_handler(p.server.c, &(struct ipc_handler){on_message, on_closed, &p.server});
    pair_done(&p);
}

TEST(pending_calls_learn_of_a_lost_connection) {
    struct pair p;
    pair_init(&p, NULL, 0);
    pair_connect(&p);
    ipc_call(p.client.c, 4, SLICE("close please"), NULL, 0, on_reply, &p.client);
    turn_until(p.l, &p.client.lost, 1);
    turn_until(p.l, &p.client.closed, 1);
    assert_int_equal(p.client.replies, 0);
    p.server.c = NULL;
    pair_done(&p);
}

static void raw_attack(const char *bytes, size_t n) {
    struct pair p;
    pair_init(&p, NULL, 0);
    int fd;
    assert_int_equal(unix_connect(p.path, false, &fd, NULL), 0);
    assert_int_equal(write(fd, bytes, n), n);
    turn_until(p.l, &p.server.closed, 1);
    assert_int_equal(p.server.messages, 0);
    char c;
    assert_true(read(fd, &c, 1) <= 0);
    close(fd);
    pair_done(&p);
}

TEST(broken_framing_is_cut_off) {
    char head[IPC_HEADER_BYTES];
    ipc_header_put(head, &(struct ipc_header){LIMIT_IPC_BYTES + 1, 1, 0, 1});
    raw_attack(head, sizeof head);
    ipc_header_put(head, &(struct ipc_header){0, 1, LIMIT_IPC_FDS + 1, 1});
    raw_attack(head, sizeof head);
    ipc_header_put(head, &(struct ipc_header){0, 1, 1, 1}); /* promises a descriptor */
    raw_attack(head, sizeof head);
    ipc_header_put(head, &(struct ipc_header){0, 1, 0, 0x80000007}); /* answers no question */
    raw_attack(head, sizeof head);
}

TEST(a_reader_that_is_too_slow_is_cut_off) {
    struct pair p;
    pair_init(&p, NULL, 0);
    int fd;
    assert_int_equal(unix_connect(p.path, false, &fd, NULL), 0);
    for (int i = 0; i < 100 && !p.server.c; i++) loop_run_once(p.l, 10);
    struct slice body = {calloc(1, LIMIT_IPC_BYTES), LIMIT_IPC_BYTES};
    for (int i = 0; i < LIMIT_IPC_QUEUE_BYTES / LIMIT_IPC_BYTES + 2; i++)
        ipc_send(p.server.c, 7, 0, body, NULL, 0);
    assert_int_equal(p.server.closed, 0); /* never from inside ipc_send */
    turn_until(p.l, &p.server.closed, 1);
    free((char *)body.p);
    close(fd);
    pair_done(&p);
}

TEST(a_peer_with_another_uid_is_refused) {
    if (geteuid() != 0) skip();
    for (uid_t uid = 61003; uid <= 61004; uid++) {
        struct pair p;
        pair_init(&p, (const uid_t[]){61003}, 1);
        pid_t child = fork();
        if (child == 0) {
            struct err err;
            int fd;
            char c;
            if (setresuid(uid, uid, uid) < 0 || unix_connect(p.path, false, &fd, &err) < 0)
                _exit(9);
            ssize_t n = write(fd, "\0\0\0\0\5\0\0\0\0\0\0\0", 12);
            _exit(n == 12 && read(fd, &c, 1) > 0 ? 0 : 1);
        }
        for (int i = 0; i < 20 && !p.server.messages; i++) loop_run_once(p.l, 10);
        assert_int_equal(p.server.messages, uid == 61003);
        ipc_close(p.server.c);
        p.server.c = NULL;
        waitpid(child, NULL, 0);
        pair_done(&p);
    }
}

TEST(a_blocking_call_gets_body_descriptors_and_errors) {
    struct pair p;
    pair_init(&p, NULL, 0);
    pid_t child = fork();
    if (child == 0) {
        struct err err;
        struct buf body = {0};
        int fd, ret_fds[2];
        uint16_t type;
        size_t n_fds;
        if (ipc_connect_blocking(p.path, &fd, &err) < 0) _exit(1);
        int own = open("/dev/null", O_RDONLY | O_CLOEXEC);
        if (ipc_call_blocking(fd, 1, SLICE("abc"), &own, 1, 2000, &type, &body, ret_fds, 2, &n_fds,
                              &err) < 0)
            _exit(2);
        if (type != 2 || n_fds != 1 || !slice_is(buf_view(&body), "abc")) _exit(3);
        if (ipc_call_blocking(fd, 3, SLICE(""), NULL, 0, 2000, &type, &body, NULL, 0, NULL, &err) !=
            -ENOENT)
            _exit(4);
        if (ipc_call_blocking(fd, 5, SLICE(""), NULL, 0, 50, &type, &body, NULL, 0, NULL, &err) !=
            -ETIMEDOUT)
            _exit(5);
        _exit(0);
    }
    turn_until(p.l, &p.server.closed, 1);
    int status;
    waitpid(child, &status, 0);
    assert_int_equal(status, 0);
    close(p.server.fd);
    pair_done(&p);
}

TEST(sockets_work_under_long_paths) {
    char dir[512];
    snprintf(dir, sizeof dir, "/tmp/proc-%0200d", 7);
    mkdir(dir, 0700);
    char path[600];
    snprintf(path, sizeof path, "%s/a.sock", dir);
    int listen_fd, fd;
    struct err err;
    assert_int_equal(unix_listen(path, 0600, &listen_fd, &err), 0);
    assert_int_equal(unix_connect(path, true, &fd, &err), 0);
    assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
    close(fd);
    close(listen_fd);
    assert_int_equal(unix_connect(path, true, &fd, &err), -ECONNREFUSED);
    unlink(path);
    rmdir(dir);
}
