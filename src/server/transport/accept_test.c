#include <unistd.h>

#include "base/limits.h"
#include "base/own.h"
#include "server/transport/request_impl.h"
#include "server/transport/transport_fixture.h"

enum { CROWD = 70, MORE = 20, ELSEWHERE = 7 };

struct crowd {
    struct fixture *f;
    struct listener *l;
    unsigned place; /* whose it is, and who comes next */
    struct conn *conns[CROWD];
    int fds[CROWD + MORE];
    size_t n;
};

static bool is_closed(struct fixture *f, int fd) {
    struct buf b = {0};
    bool eof;
    fixture_read(f, fd, &b, &eof);
    buf_done(&b);
    return eof;
}

static void more(struct crowd *c) { c->fds[c->n++] = fixture_connect(c->f); }

static struct crowd crowd_new(void) {
    struct crowd c = {.f = fixture_new(NULL)};
    while (c.n < CROWD) more(&c);
    for (size_t i = 0; i < CROWD; i++) {
        fixture_send(c.f, c.fds[i], SLICE("GET /hold HTTP/1.1\r\nHost: x\r\n\r\n"));
        c.conns[i] = c.f->last->impl->conn;
        request_respond(c.f->last, 204, NULL, (struct slice){0}, NULL);
    }
    fixture_turn(c.f);
    c.l = c.conns[0]->listener;
    c.place = c.conns[0]->place;
    assert_int_equal(c.l->n_conns, CROWD);
    assert_int_equal(c.l->waiting.n, 0);
    return c;
}

static void crowd_free(struct crowd *c) {
    for (size_t i = 0; i < c->n; i++) close(c->fds[i]);
    fixture_free(c->f);
}

static size_t n_closed(struct crowd *c) {
    size_t n = 0;
    for (size_t i = 0; i < c->n; i++) n += is_closed(c->f, c->fds[i]);
    return n;
}

/* As if thousands were there. */
static void fill(struct crowd *c, bool full) {
    if (full)
        c->l->n_conns += LIMIT_HTTP_CONNECTIONS - CROWD;
    else
        c->l->n_conns -= LIMIT_HTTP_CONNECTIONS - CROWD;
}

TEST(accept_where_nobody_has_room_lets_a_few_in_at_a_time) {
    struct crowd c = crowd_new();
    fill(&c, true);
    while (c.n < CROWD + MORE) more(&c);
    size_t let_in = MORE - c.l->waiting.n;
    assert_in_range(let_in, 1, MORE / 2); /* time stands still */
    assert_int_equal(n_closed(&c), let_in);
    for (int ms = 0; ms < MORE && c.l->waiting.n; ms++) fixture_pass(c.f, 1);
    assert_int_equal(c.l->waiting.n, 0);
    assert_int_equal(n_closed(&c), MORE);
    fill(&c, false);
    crowd_free(&c);
}

TEST(accept_others_do_not_wait_behind_a_crowd) {
    struct crowd c = crowd_new();
    fill(&c, true);
    while (c.n < CROWD + MORE - 1) more(&c);
    size_t waiting = c.l->waiting.n;
    assert_in_range(waiting, 1, MORE);
    for (size_t i = 0; i < CROWD; i++)
        if (!is_closed(c.f, c.fds[i])) room_move(c.conns[i], ELSEWHERE);
    unsigned before = c.l->peers[c.place];
    more(&c);
    assert_int_equal(c.l->waiting.n, waiting);
    assert_int_equal(c.l->peers[c.place], before + 1);
    assert_false(is_closed(c.f, c.fds[c.n - 1]));
    fill(&c, false);
    crowd_free(&c);
}

TEST(accept_a_crowd_with_room_is_let_in_at_once) {
    struct crowd c = crowd_new();
    while (c.n < CROWD + MORE) more(&c);
    assert_int_equal(c.l->waiting.n, 0);
    assert_int_equal(c.l->n_conns, CROWD + MORE);
    assert_int_equal(n_closed(&c), 0);
    crowd_free(&c);
}

TEST(accept_those_who_wait_go_with_the_server) {
    struct crowd c = crowd_new();
    fill(&c, true);
    while (c.n < CROWD + MORE) more(&c);
    assert_true(c.l->waiting.n > 0);
    fill(&c, false);
    server_close(c.f->server);
    fixture_turn(c.f);
    assert_int_equal(n_closed(&c), CROWD + MORE);
    crowd_free(&c);
}
