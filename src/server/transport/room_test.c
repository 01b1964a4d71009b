#include <unistd.h>

#include "base/own.h"
#include "server/transport/listener.h"
#include "server/transport/request_impl.h"
#include "server/transport/transport_fixture.h"

static bool is_closed(struct fixture *f, int fd) {
    struct buf b = {0};
    bool eof;
    fixture_read(f, fd, &b, &eof);
    buf_done(&b);
    return eof;
}

/* A connection on which a request is under way, and through it the listener. */
static int hold(struct fixture *f, struct conn **ret) {
    int fd = fixture_connect(f);
    fixture_send(f, fd, SLICE("GET /hold HTTP/1.1\r\nHost: x\r\n\r\n"));
    assert_non_null(f->last);
    *ret = f->last->impl->conn;
    return fd;
}

TEST(room_is_made_by_those_that_would_have_gone_first) {
    struct fixture *f = fixture_new(NULL);
    struct conn *c;
    int busy = hold(f, &c), slow = fixture_connect(f), silent = fixture_connect(f);
    int idle = fixture_connect(f), later = fixture_connect(f);
    struct listener *l = c->listener;
    unsigned place = room_biggest_peer(l);
    assert_int_equal(place, c->place);
    fixture_send(f, idle, SLICE("GET /x HTTP/1.1\r\nHost: x\r\n\r\n"));
    fixture_pass(f, 1000);
    fixture_send(f, slow, SLICE("GET /x HT"));
    fixture_send(f, later, SLICE("GET /x HTTP/1.1\r\nHost: x\r\n\r\n"));
    const int order[] = {silent, slow, idle, later};
    for (size_t i = 0; i < 4; i++) {
        assert_true(room_evict(l, place));
        for (size_t k = i; k < 4; k++) assert_int_equal(is_closed(f, order[k]), k == i);
    }
    assert_false(room_evict(l, place));
    assert_false(is_closed(f, busy));
    request_respond(f->last, 204, NULL, (struct slice){0}, NULL);
    fixture_turn(f);
    assert_true(room_make(l, place)); /* it is not used any more */
    assert_true(is_closed(f, busy));
    assert_int_equal(l->n_conns, 0);
    for (size_t i = 0; i < 4; i++) close(order[i]);
    close(busy);
    fixture_free(f);
}

TEST(room_for_somebody_else_is_made_even_by_the_busy_newest) {
    struct fixture *f = fixture_new(NULL);
    struct conn *old, *new;
    int first = hold(f, &old);
    struct request *waits = f->last;
    int second = hold(f, &new);
    struct listener *l = old->listener;
    assert_false(room_make(l, old->place)); /* for who has most nobody goes */
    assert_true(room_make(l, (old->place + 1) % LISTENER_PEERS));
    assert_true(is_closed(f, second));
    assert_false(is_closed(f, first));
    request_respond(waits, 204, NULL, (struct slice){0}, NULL);
    request_respond(f->last, 204, NULL, (struct slice){0}, NULL);
    fixture_turn(f);
    close(first);
    close(second);
    fixture_free(f);
}

TEST(room_counts_a_connection_where_its_peer_is_found_to_be) {
    struct fixture *f = fixture_new(NULL);
    struct conn *c;
    int fd = hold(f, &c);
    request_respond(f->last, 204, NULL, (struct slice){0}, NULL);
    fixture_turn(f);
    struct listener *l = c->listener;
    unsigned before = c->place, after = (before + 1) % LISTENER_PEERS;
    room_move(c, after);
    assert_int_equal(l->peers[before], 0);
    assert_int_equal(l->peers[after], 1);
    assert_false(room_evict(l, before));
    assert_true(room_evict(l, after));
    assert_true(is_closed(f, fd));
    close(fd);
    fixture_free(f);
}

TEST(room_who_has_most_is_known_however_connections_move) {
    enum { CONNS = 12, MOVES = 2000, PLACES = 4 };
    struct fixture *f = fixture_new(NULL);
    struct conn *c[CONNS];
    int fds[CONNS];
    unsigned random = 1;
    struct request *held[CONNS];
    for (int i = 0; i < CONNS; i++) {
        fds[i] = hold(f, &c[i]);
        held[i] = f->last;
    }
    struct listener *l = c[0]->listener;
    for (int i = 0; i < MOVES; i++) {
        random = random * 1664525 + 1013904223;
        room_move(c[(random >> 8) % CONNS], (random >> 16) % PLACES);
        unsigned most = 0;
        for (unsigned k = 0; k < LISTENER_PEERS; k++) most = MAX_OF(most, l->peers[k]);
        assert_int_equal(l->peers[room_biggest_peer(l)], most);
    }
    for (int i = 0; i < CONNS; i++) {
        request_respond(held[i], 204, NULL, (struct slice){0}, NULL);
        close(fds[i]);
    }
    fixture_free(f);
}
