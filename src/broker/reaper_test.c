#include "broker/reaper.h"

#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/test.h"

struct end {
    struct loop *loop;
    unsigned n;
    int status;
};

static void on_end(void *user, pid_t pid, int status) {
    struct end *e = user;
    (void)pid;
    e->n++;
    e->status = status;
    loop_stop(e->loop);
}

static pid_t child(int code) {
    pid_t pid = reaper_fork();
    assert_true(pid >= 0);
    if (pid == 0) _exit(code);
    return pid;
}

TEST(who_had_the_number_before_is_somebody_else) {
    static struct reaper *r; /* is never freed, as in the service */
    static struct loop *l;
    l = loop_new(NULL);
    r = reaper_new(l);
    struct end second = {.loop = l}, reused = {.loop = l}, late = {.loop = l};
    siginfo_t info;
    uint64_t begin = reaper_mark(r);
    pid_t first = child(3), other = child(4);
    assert_int_equal(waitid(P_PID, (id_t)first, &info, WEXITED | WNOWAIT), 0);
    reaper_watch(r, other, begin, on_end, &second);
    loop_run(l);
    assert_int_equal(second.status, 4 << 8);
    assert_int_equal(reaper_mark(r), begin + 2);
    /* A process that begins now may have the number of the first one, whom nobody watched. */
    reaper_watch(r, first, reaper_mark(r), on_end, &reused);
    reaper_watch(r, first, begin, on_end, &late);
    loop_run(l);
    assert_int_equal(reused.n, 0);
    assert_int_equal(late.n, 1);
    assert_int_equal(late.status, 3 << 8);
}
