#include "proc/fd_group.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/test.h"

enum { MANY = 100 };

static void count(void *user, unsigned events) {
    assert_int_equal(events, FD_READ);
    ++*(int *)user;
}

struct crowd {
    struct loop *l;
    struct fd_group *g;
    int told;
    int fds[MANY][2];
};

static void crowd_init(struct crowd *c) {
    *c = (struct crowd){.l = loop_new(NULL)};
    c->g = fd_group_new(c->l, count, &c->told);
    assert_non_null(c->g);
    for (int i = 0; i < MANY; i++) {
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, c->fds[i]), 0);
        fd_group_watch(c->g, c->fds[i][0], 0, FD_READ, &c->fds[i]);
    }
}

static void crowd_free(struct crowd *c) {
    for (int i = 0; i < MANY; i++) {
        fd_group_watch(c->g, c->fds[i][0], FD_READ, 0, NULL);
        close(c->fds[i][0]);
        close(c->fds[i][1]);
    }
    fd_group_free(c->g);
    loop_run_once(c->l, 0);
    loop_free(c->l);
}

TEST(fd_group_tells_once_in_a_turn_however_many_are_ready) {
    struct crowd c;
    crowd_init(&c);
    struct fd_ready found[MANY];
    loop_run_once(c.l, 0);
    assert_int_equal(c.told, 0);
    assert_int_equal(fd_group_take(c.g, found, MANY), 0);
    for (int i = 0; i < MANY; i++) assert_int_equal(write(c.fds[i][1], "x", 1), 1);
    loop_run_once(c.l, 1000);
    assert_int_equal(c.told, 1);
    loop_run_once(c.l, 0);
    assert_int_equal(c.told, 2);
    fd_group_tell(c.g, false);
    loop_run_once(c.l, 0);
    assert_int_equal(c.told, 2);
    fd_group_tell(c.g, true);
    loop_run_once(c.l, 0);
    assert_int_equal(c.told, 3);
    crowd_free(&c);
}

TEST(fd_group_gives_the_ready_ones_in_turns) {
    enum { PIECE = 7 };
    int seen[MANY] = {0};
    struct crowd c;
    crowd_init(&c);
    for (int i = 0; i < MANY; i++) assert_int_equal(write(c.fds[i][1], "x", 1), 1);
    struct fd_ready found[PIECE];
    for (int left = 2 * MANY;
         left > 0;) { /* nobody reads: each one comes again, after all others */
        size_t n = fd_group_take(c.g, found, left < PIECE ? (size_t)left : PIECE);
        assert_true(n > 0);
        for (size_t i = 0; i < n; i++) {
            assert_int_equal(found[i].events, FD_READ);
            seen[((int(*)[2])found[i].user) - c.fds]++;
        }
        left -= (int)n;
    }
    for (int i = 0; i < MANY; i++) assert_int_equal(seen[i], 2);
    crowd_free(&c);
}

TEST(fd_group_tells_what_is_asked_for_and_ends_as_everything) {
    struct crowd c;
    crowd_init(&c);
    struct fd_ready found[MANY];
    fd_group_watch(c.g, c.fds[3][0], FD_READ, FD_READ | FD_WRITE, &c.told);
    assert_int_equal(fd_group_take(c.g, found, MANY), 1);
    assert_ptr_equal(found[0].user, &c.told);
    assert_int_equal(found[0].events, FD_WRITE);
    fd_group_watch(c.g, c.fds[3][0], FD_READ | FD_WRITE, 0, NULL);
    shutdown(c.fds[3][1], SHUT_RDWR);
    assert_int_equal(fd_group_take(c.g, found, MANY), 0);
    fd_group_watch(c.g, c.fds[3][0], 0, FD_READ, &c.told);
    assert_int_equal(fd_group_take(c.g, found, MANY), 1);
    assert_int_equal(found[0].events, FD_READ | FD_WRITE);
    crowd_free(&c);
}
