#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "server/transport/transport_fixture.h"

enum { MANY = 40 };

static const char as_a[] = "GET /work/a HTTP/1.1\r\nHost: x\r\n\r\n";
static const char as_b[] = "GET /work/b HTTP/1.1\r\nHost: x\r\n\r\n";

/* Without a turn of the server's loop. */
static void ask(int fd, const char *text) {
    assert_int_equal(send(fd, text, strlen(text), 0), (ssize_t)strlen(text));
}

/* MANY connections that have asked as a, then one that has asked as b. */
static struct fixture *crowd_new(int fds[MANY + 1]) {
    struct fixture *f = fixture_new(NULL);
    for (int i = 0; i <= MANY; i++) fds[i] = fixture_connect(f);
    for (int i = 0; i <= MANY; i++) ask(fds[i], i < MANY ? as_a : as_b);
    while (f->requests < MANY + 1) fixture_turn(f);
    memset(f->order, 0, sizeof f->order);
    f->requests = 0;
    return f;
}

static void crowd_free(struct fixture *f, const int fds[MANY + 1]) {
    for (int i = 0; i <= MANY; i++) close(fds[i]);
    fixture_free(f);
}

TEST(ready_connections_of_a_crowd_take_several_turns) {
    int fds[MANY + 1];
    struct fixture *f = crowd_new(fds);
    for (int i = 0; i < MANY; i++) ask(fds[i], as_a);
    loop_run_once(f->loop, 0);
    assert_in_range(f->requests, 1, MANY / 2); /* 0.1 ms each */
    unsigned before = f->requests;
    loop_run_once(f->loop, 0);
    assert_in_range(f->requests - before, 1, MANY / 2);
    for (int i = 0; i < MANY && f->requests < MANY; i++) loop_run_once(f->loop, 0);
    assert_int_equal(f->requests, MANY);
    crowd_free(f, fds);
}

TEST(ready_connections_of_a_crowd_do_not_stand_before_another) {
    int fds[MANY + 1];
    struct fixture *f = crowd_new(fds);
    for (int i = 0; i < MANY; i++) ask(fds[i], as_a);
    ask(fds[MANY], as_b); /* the last to be heard of */
    fixture_turn(f);
    while (f->requests < MANY + 1) fixture_turn(f);
    const char *b = strchr(f->order, 'b');
    assert_non_null(b);
    assert_in_range(b - f->order, 0, MANY / 4);
    crowd_free(f, fds);
}

TEST(ready_connections_of_a_crowd_are_all_answered) {
    enum { CROWD = 200 };
    int fds[CROWD];
    struct fixture *f = fixture_new(NULL);
    for (int i = 0; i < CROWD; i++) fds[i] = fixture_connect(f);
    for (unsigned round = 1; round <= 3; round++) {
        for (int i = 0; i < CROWD; i++) ask(fds[i], as_a);
        for (int i = 0; i < 100 && f->requests < round * CROWD; i++) fixture_turn(f);
        assert_int_equal(f->requests, round * CROWD);
    }
    for (int i = 0; i < CROWD; i++) close(fds[i]);
    fixture_turn(f);
    fixture_free(f);
}

TEST(ready_connections_by_the_thousand_take_no_longer_turns_than_a_few) {
    enum { THOUSAND = 1100 }; /* libuv would look 48 times in one turn for so many */
    static int fds[THOUSAND];
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    if (files.rlim_max < 3 * THOUSAND) skip();
    setrlimit(RLIMIT_NOFILE, &(struct rlimit){files.rlim_max, files.rlim_max});
    struct fixture *f = fixture_new(NULL);
    for (int i = 0; i < THOUSAND; i++) fds[i] = fixture_connect(f);
    for (int i = 0; i < THOUSAND; i++) ask(fds[i], i < THOUSAND - 1 ? as_a : as_b);
    while (f->requests < THOUSAND) loop_run_once(f->loop, 0); /* now it is known who they are */
    memset(f->order, 0, sizeof f->order);
    f->requests = 0;
    for (int i = 0; i < THOUSAND; i++) ask(fds[i], i < THOUSAND - 1 ? as_a : as_b);
    loop_run_once(f->loop, 0);
    loop_run_once(f->loop, 0);
    assert_in_range(f->requests, 2, MANY); /* 0.1 ms each */
    assert_non_null(strchr(f->order, 'b'));
    for (int i = 0; i < THOUSAND; i++) close(fds[i]); /* while they wait */
    while (f->requests < THOUSAND) {
        unsigned before = f->requests;
        for (int i = 0; i < MANY; i++) loop_run_once(f->loop, 0);
        if (f->requests == before) break;
    }
    fixture_free(f);
    setrlimit(RLIMIT_NOFILE, &files);
}

TEST(ready_client_without_a_descriptor_for_its_group_is_served) {
    struct fixture *f = fixture_new(NULL);
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    int fd = fixture_connect(f);
    setrlimit(RLIMIT_NOFILE, &(struct rlimit){(rlim_t)fd + 2, files.rlim_max});
    ask(fd, as_b);
    fixture_turn(f);
    ask(fd, as_b); /* b is known, and has no group */
    fixture_turn(f);
    assert_int_equal(f->requests, 2);
    setrlimit(RLIMIT_NOFILE, &files);
    ask(fd, as_b);
    fixture_turn(f);
    ask(fd, as_b);
    fixture_turn(f);
    assert_int_equal(f->requests, 4);
    close(fd);
    fixture_pass(f, 2000); /* groups of those who are gone go, too */
    fixture_free(f);
}

TEST(ready_connections_may_end_while_they_wait) {
    int fds[MANY + 1];
    struct fixture *f = crowd_new(fds);
    for (int i = 0; i < MANY; i++) ask(fds[i], as_a);
    loop_run_once(f->loop, 0);
    assert_in_range(f->requests, 1, MANY - 1);
    crowd_free(f, fds);
}

TEST(ready_slices_are_short_while_another_client_asks) {
    struct fixture *f = fixture_new(NULL);
    int a = fixture_connect(f), b = fixture_connect(f);
    const struct timespec long_ago = {.tv_nsec = 120 * 1000 * 1000};
    ask(a, as_a);
    fixture_turn(f);
    ask(b, as_b);
    fixture_turn(f);
    ask(a, as_a);
    fixture_turn(f);
    assert_int_equal(f->requests, 3);
    assert_true(loop_slice_ns(f->loop) < CLOCK_SLICE_NS);
    nanosleep(&long_ago, NULL);
    ask(a, as_a);
    fixture_turn(f);
    assert_true(loop_slice_ns(f->loop) > CLOCK_SLICE_NS);
    close(a);
    close(b);
    fixture_free(f);
}
