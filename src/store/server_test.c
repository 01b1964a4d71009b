#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/own.h"
#include "base/test.h"
#include "base/vec.h"
#include "proc/ipc_frame.h"
#include "proc/unix_socket.h"
#include "store/server.h"

struct fixture {
    struct loop *l;
    struct store_backend *b;
    struct store_server *s;
    struct ipc_listener *listener;
    int fd;
    char dir[64], path[96];
};

/* A client that writes down what it receives: "type:id:text " */
struct client {
    struct ipc *ipc;
    struct buf seen;
    size_t messages, events, rows;
    uint64_t last_event;
    bool ordered;
};

static uint64_t fixed_ms(void *user) { return *(uint64_t *)user; }

static void fixture_open_on(struct fixture *f, struct loop *l) {
    *f = (struct fixture){.l = l};
    assert_int_equal(store_memory.open("", &f->b, NULL), 0);
    f->s = store_server_new(f->l, f->b);
    snprintf(f->dir, sizeof f->dir, "/tmp/atoll-store-test-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    snprintf(f->path, sizeof f->path, "%s/s", f->dir);
    assert_int_equal(unix_listen(f->path, 0600, &f->fd, NULL), 0);
    uid_t me = geteuid();
    f->listener = ipc_listen(f->l, f->fd, &me, 1, store_server_accept, f->s);
}

static void fixture_open(struct fixture *f) { fixture_open_on(f, loop_new(NULL)); }

static void fixture_done(struct fixture *f) {
    ipc_listener_free(f->listener);
    store_server_free(f->s);
    f->b->ops->close(f->b);
    loop_run_once(f->l, 0);
    loop_free(f->l);
    close(f->fd);
    unlink(f->path);
    rmdir(f->dir);
}

static void on_message(struct ipc *c, struct ipc_msg *m, void *user) {
    struct client *cl = user;
    struct store_event e;
    cl->messages++;
    if (m->type == STORE_EVENT || m->type == STORE_RANGE_ROW) {
        assert_int_equal(store_event_unpack(m->body, &e), 0);
        cl->rows++;
        if (m->type == STORE_EVENT && e.prev_revision + 1 > e.revision) cl->ordered = false;
        cl->last_event = e.revision;
        buf_printf(&cl->seen, "%s%.*s@%llu ", m->type == STORE_EVENT ? "" : "row:", (int)e.key.n,
                   e.key.p, (unsigned long long)e.revision);
        return;
    }
    struct unpack u = unpack_init(m->body);
    struct err err = {0};
    if (m->type == IPC_ERROR) {
        ipc_decode_error(m->body, &err);
        buf_printf(&cl->seen, "err:%u:%s ", m->id, err_reason_name(err.reason));
    } else {
        buf_printf(&cl->seen, "%u:%u:%llu ", m->type, m->id, (unsigned long long)unpack_u64(&u));
    }
}

static void on_closed(struct ipc *c, void *user) {
    struct client *cl = user;
    cl->ipc = NULL;
    buf_str(&cl->seen, "closed ");
}

static void client_open(struct fixture *f, struct client *c) {
    *c = (struct client){.ordered = true};
    struct err err;
    if (ipc_connect(f->l, f->path, &(struct ipc_handler){on_message, on_closed, c}, &c->ipc, &err))
        fail_msg("%s", err.text);
}

static void client_done(struct client *c) {
    ipc_close(c->ipc);
    buf_done(&c->seen);
}

static void reply(struct ipc *ipc, struct ipc_msg *m, void *user) {
    if (m) on_message(ipc, m, user);
}

static void send_write(struct client *c, uint8_t op, const char *key, uint64_t expected,
                       const char *filler) {
    OWN(buf_done) struct buf b = {0}, value = {0};
    buf_printf(&value, "{\"rv\":\"\",\"v\":\"%s\"}", filler);
    store_write_pack(&b, &(struct store_write){op, slice_of(key), expected, 7, buf_view(&value)});
    ipc_call(c->ipc, STORE_WRITE, buf_view(&b), NULL, 0, reply, c);
}

static void send_range(struct client *c, const char *prefix, const char *after, uint64_t revision) {
    OWN(buf_done) struct buf b = {0};
    store_range_pack(&b, &(struct store_range){slice_of(prefix), slice_of(after), revision, 0});
    ipc_send(c->ipc, STORE_RANGE, 1000 + (uint32_t)revision, buf_view(&b), NULL, 0);
}

static void send_watch_history(struct client *c, uint64_t from, uint64_t history) {
    OWN(buf_done) struct buf b = {0};
    pack_u64(&b, from);
    pack_u64(&b, history);
    ipc_call(c->ipc, STORE_WATCH, buf_view(&b), NULL, 0, reply, c);
}

static void send_watch(struct client *c, uint64_t from) { send_watch_history(c, from, 0); }

static void wait_for(struct fixture *f, struct client *c, size_t messages) {
    for (int i = 0; i < 2000 && c->messages < messages && c->ipc; i++) loop_run_once(f->l, 5);
    if (c->messages < messages) fail_msg("only saw: %s", c->seen.p ? c->seen.p : "nothing");
}

static void expect(struct fixture *f, struct client *c, size_t messages, const char *want) {
    wait_for(f, c, messages);
    assert_string_equal(c->seen.p, want);
    buf_clear(&c->seen);
    c->messages = 0;
}

TEST(an_answer_stands_in_the_place_of_its_event) {
    struct fixture f;
    struct client c, d;
    fixture_open(&f);
    client_open(&f, &c);
    client_open(&f, &d);
    send_write(&c, STORE_CREATE, "/a", 0, "");
    expect(&f, &c, 1, "2:1:1 ");
    send_watch(&c, 0);
    expect(&f, &c, 2, "/a@1 4:2:1 ");
    send_watch(&d, 1);
    expect(&f, &d, 1, "4:1:1 ");
    loop_run_once(f.l, 0); /* it has caught up */
    send_write(&c, STORE_CREATE, "/b", 0, "");
    send_write(&c, STORE_CREATE, "/b", 0, "");
    send_write(&c, STORE_UPDATE, "/a", 7, "");
    send_write(&c, STORE_UPDATE, "/nothing", 7, "");
    send_write(&c, STORE_UPDATE, "/a", 1, "");
    expect(&f, &c, 5, "2:3:2 err:4:AlreadyExists err:5:Conflict err:6:NotFound 2:7:3 ");
    expect(&f, &d, 2, "/b@2 /a@3 ");
    client_done(&c);
    client_done(&d);
    fixture_done(&f);
}

TEST(answers_and_events_come_in_the_order_of_the_revisions) {
    struct fixture f;
    struct client c[2];
    enum { WRITES = 50 };
    fixture_open(&f);
    for (int i = 0; i < 2; i++) {
        client_open(&f, &c[i]);
        send_watch(&c[i], 0);
        expect(&f, &c[i], 1, "4:1:0 ");
    }
    for (int i = 0; i < WRITES; i++) {
        char key[16];
        snprintf(key, sizeof key, "/%d", i);
        send_write(&c[i % 2], STORE_CREATE, key, 0, "");
        if (i % 7 == 0) loop_run_once(f.l, 0);
    }
    for (int i = 0; i < 2; i++) {
        wait_for(&f, &c[i], WRITES);
        const char *p = c[i].seen.p; /* "2:ID:REVISION " or "KEY@REVISION " */
        for (unsigned long want = 1; want <= WRITES; want++) {
            const char *end = strchr(p, ' '), *digits = end;
            while (digits[-1] >= '0' && digits[-1] <= '9') digits--;
            if (strtoul(digits, NULL, 10) != want) fail_msg("client %d: %s", i, c[i].seen.p);
            p = end + 1;
        }
        client_done(&c[i]);
    }
    fixture_done(&f);
}

static struct {
    int fd, calls;
    bool answered;
} upkeep;

static int maintain_and_look(struct store_backend *b, struct err *err) {
    char first;
    upkeep.calls++;
    upkeep.answered = recv(upkeep.fd, &first, 1, MSG_PEEK | MSG_DONTWAIT) == 1;
    return 0;
}

TEST(housekeeping_begins_when_the_answers_have_left) {
    struct fixture f;
    fixture_open(&f);
    struct store_backend_ops ops = *f.b->ops;
    ops.maintain = maintain_and_look;
    f.b->ops = &ops;
    upkeep.calls = 0;
    assert_int_equal(ipc_connect_blocking(f.path, &upkeep.fd, NULL), 0);
    OWN(buf_done) struct buf b = {0};
    store_write_pack(
        &b, &(struct store_write){STORE_CREATE, SLICE("/a"), 0, 7, SLICE("{\"rv\":\"\"}")});
    char head[IPC_HEADER_BYTES];
    ipc_header_put(head, &(struct ipc_header){(uint32_t)b.n, STORE_WRITE, 0, 1});
    assert_int_equal(write(upkeep.fd, head, sizeof head), sizeof head);
    assert_int_equal(write(upkeep.fd, b.p, b.n), b.n);
    for (int i = 0; i < 2000 && !upkeep.calls; i++) loop_run_once(f.l, 5);
    assert_int_equal(upkeep.calls, 1);
    assert_true(upkeep.answered);
    close(upkeep.fd);
    fixture_done(&f);
}

TEST(a_server_that_goes_before_its_housekeeping_leaves_nothing) {
    struct fixture f;
    struct client c;
    fixture_open(&f);
    client_open(&f, &c);
    send_write(&c, STORE_CREATE, "/a", 0, "");
    for (int i = 0; i < 2000; i++) {
        struct store_stats st;
        loop_run_once(f.l, 1);
        store_server_flush(f.s); /* the housekeeping of this one has not had its turn */
        f.b->ops->stats(f.b, &st);
        if (st.revision) break;
    }
    client_done(&c);
    fixture_done(&f);
}

TEST(a_writer_that_catches_up_gets_the_event_before_the_answer) {
    struct fixture f;
    struct client c, d;
    enum { WRITES = 1500 }; /* several pieces */
    fixture_open(&f);
    client_open(&f, &c);
    for (int i = 0; i < WRITES; i++) {
        char key[16];
        snprintf(key, sizeof key, "/%d", i);
        send_write(&c, STORE_CREATE, key, 0, "");
    }
    wait_for(&f, &c, WRITES);
    client_open(&f, &d);
    send_watch(&d, 1);
    send_write(&d, STORE_CREATE, "/x", 0, "");
    wait_for(&f, &d, WRITES + 2); /* STORE_WATCH_OK, events from 2 to 1501, the answer */
    assert_non_null(strstr(d.seen.p, " /1499@1500 /x@1501 2:2:1501 "));
    client_done(&c);
    client_done(&d);
    fixture_done(&f);
}

TEST(a_watch_resumes_after_any_retained_revision) {
    struct fixture f;
    struct client c, d, e, g;
    fixture_open(&f);
    client_open(&f, &c);
    for (int i = 0; i < 5; i++) {
        char key[8];
        snprintf(key, sizeof key, "/%d", i);
        send_write(&c, STORE_CREATE, key, 0, "");
    }
    wait_for(&f, &c, 5);
    client_open(&f, &d);
    send_watch(&d, 3);
    send_write(&d, STORE_CREATE, "/x", 0, "");
    expect(&f, &d, 4, "4:1:5 /3@4 /4@5 2:2:6 ");
    f.b->ops->compact(f.b, 1, 100, NULL);
    client_open(&f, &e);
    send_watch(&e, 4);
    expect(&f, &e, 1, "err:1:Expired ");
    send_watch(&e, 5);
    expect(&f, &e, 2, "4:2:6 /x@6 ");
    client_open(&f, &g);
    send_watch(&g, 7);
    expect(&f, &g, 1, "err:1:Expired ");
    client_done(&c);
    client_done(&d);
    client_done(&e);
    client_done(&g);
    fixture_done(&f);
}

TEST(a_snapshot_of_a_while_ago_is_followed_by_what_happened_since) {
    struct fixture f;
    struct client c, d;
    fixture_open(&f);
    client_open(&f, &c);
    send_write(&c, STORE_CREATE, "/a", 0, "");
    send_write(&c, STORE_CREATE, "/b", 0, "");
    send_write(&c, STORE_CREATE, "/c", 0, "");
    send_write(&c, STORE_UPDATE, "/a", 1, "");
    send_write(&c, STORE_DELETE, "/b", 2, "");
    send_write(&c, STORE_CREATE, "/d", 0, "");
    wait_for(&f, &c, 6);
    client_open(&f, &d);
    send_watch_history(&d, 0, 3);
    expect(&f, &d, 7, "/c@3 /a@1 /b@2 4:1:3 /a@4 /b@5 /d@6 ");
    client_done(&c);
    client_done(&d);
    fixture_done(&f);
}

TEST(a_large_snapshot_comes_in_pieces_and_misses_nothing) {
    struct fixture f;
    struct client c, d;
    fixture_open(&f);
    client_open(&f, &c);
    enum { OBJECTS = 3000 };
    static char filler[3001];
    memset(filler, 'x', 3000);
    for (int i = 0; i < OBJECTS; i++) {
        char key[16];
        snprintf(key, sizeof key, "/%05d", i);
        send_write(&c, STORE_CREATE, key, 0, filler);
        if (i % 500 == 499) wait_for(&f, &c, (size_t)i + 1);
    }
    client_open(&f, &d);
    send_watch(&d, 0);
    loop_run_once(f.l, 5);
    /* Written while the snapshot is on its way: arrives after it, and before its own answer. */
    send_write(&d, STORE_CREATE, "/new", 0, "");
    wait_for(&f, &d, OBJECTS + 3);
    assert_int_equal(d.rows, OBJECTS + 1);
    assert_true(d.ordered);
    assert_int_equal(d.last_event, OBJECTS + 1);
    client_done(&c);
    client_done(&d);
    fixture_done(&f);
}

TEST(ranges_and_stats_are_answered) {
    struct fixture f;
    struct client c;
    fixture_open(&f);
    client_open(&f, &c);
    send_write(&c, STORE_CREATE, "/p/a", 0, "");
    send_write(&c, STORE_CREATE, "/p/b", 0, "");
    send_write(&c, STORE_CREATE, "/q/a", 0, "");
    wait_for(&f, &c, 3);
    buf_clear(&c.seen);
    c.messages = 0;
    send_range(&c, "/p/", "/p/a", 3);
    send_range(&c, "/", "", 2);
    send_range(&c, "/", "", 99);
    ipc_call(c.ipc, STORE_STATS, (struct slice){0}, NULL, 0, reply, &c);
    wait_for(&f, &c, 7);
    assert_non_null(
        strstr(c.seen.p, "row:/p/b@2 8:1003:3 row:/p/a@1 row:/p/b@2 8:1002:2 err:1099:Expired"));
    assert_non_null(strstr(c.seen.p, "10:4:3 "));
    client_done(&c);
    fixture_done(&f);
}

TEST(malformed_requests_get_an_error_and_the_connection_lives) {
    struct fixture f;
    struct client c;
    fixture_open(&f);
    client_open(&f, &c);
    ipc_call(c.ipc, STORE_WRITE, SLICE("x"), NULL, 0, reply, &c);
    ipc_call(c.ipc, STORE_WATCH, SLICE(""), NULL, 0, reply, &c);
    ipc_call(c.ipc, 99, SLICE(""), NULL, 0, reply, &c);
    send_write(&c, STORE_CREATE, "no-slash", 0, "");
    send_write(&c, STORE_CREATE, "/a", 0, "");
    wait_for(&f, &c, 5);
    assert_non_null(strstr(c.seen.p, "err:1:BadRequest "));
    assert_non_null(strstr(c.seen.p, "err:2:BadRequest "));
    assert_non_null(strstr(c.seen.p, "err:3:BadRequest "));
    assert_non_null(strstr(c.seen.p, "err:4:BadRequest "));
    assert_non_null(strstr(c.seen.p, "2:5:1 "));
    client_done(&c);
    fixture_done(&f);
}

TEST(a_client_that_leaves_before_its_answer_does_no_harm) {
    struct fixture f;
    struct client c, d;
    fixture_open(&f);
    client_open(&f, &c);
    client_open(&f, &d);
    send_write(&c, STORE_CREATE, "/a", 0, "");
    loop_run_once(f.l, 0);
    client_done(&c);
    send_write(&d, STORE_CREATE, "/b", 0, "");
    wait_for(&f, &d, 1);
    client_done(&d);
    fixture_done(&f);
}

/* A write that arrives in the very turn in which the store tidies up after a while of silence is
 * kept, and answered. */
TEST(a_write_in_the_turn_of_the_idle_timer_is_not_lost) {
    uint64_t now_ms = 1000;
    const struct loop_env env = {.mono_ms = fixed_ms, .user = &now_ms};
    struct fixture f;
    struct client c;
    fixture_open_on(&f, loop_new(&env));
    client_open(&f, &c);
    send_write(&c, STORE_CREATE, "/a", 0, "");
    expect(&f, &c, 1, "2:1:1 ");
    /* For each order in which timers and input can come. */
    for (int i = 0; i < 8; i++) {
        char key[8];
        snprintf(key, sizeof key, "/%d", i);
        size_t before = c.messages;
        send_write(&c, STORE_CREATE, key, 0, "");
        for (int turn = 0; turn < i; turn++) loop_run_once(f.l, 0);
        now_ms += 10000;
        wait_for(&f, &c, before + 1);
    }
    assert_null(strstr(c.seen.p, "err"));
    client_done(&c);
    fixture_done(&f);
}
