#include "proc/child.h"

#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/test.h"

/* Whether all writing ends of a pipe are closed within five seconds. */
static bool ended(int in) {
    struct pollfd p = {.fd = in, .events = POLLIN};
    char byte;
    return poll(&p, 1, 5000) == 1 && read(in, &byte, 1) == 0;
}

/* A parent, killed while it waits for its child, which only sleeps. */
static void kill_parent(const int fds[2], const int told[2]) {
    pid_t parent = fork();
    if (parent == 0) {
        pid_t child = child_fork();
        if (child == 0 && write(told[1], "", 1) == 1)
            for (;;) pause();
        _exit(waitpid(child, NULL, 0) < 0);
    }
    char byte;
    close(fds[1]);
    close(told[1]);
    assert_int_equal(read(told[0], &byte, 1), 1); /* the child runs */
    kill(parent, SIGKILL);
    assert_int_equal(waitpid(parent, NULL, 0), parent);
}

TEST(a_child_ends_with_the_process_that_made_it) {
    int fds[2], told[2];
    assert_int_equal(pipe(fds), 0);
    assert_int_equal(pipe(told), 0);
    kill_parent(fds, told);
    assert_true(ended(fds[0]));
    close(fds[0]);
    close(told[0]);
}
