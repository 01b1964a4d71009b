#include "proc/init_spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <unistd.h>

#include "base/own.h"

static int above_targets(int fd) {
    int high = fcntl(fd, F_DUPFD_CLOEXEC, 64);
    close(fd);
    return high;
}

static int actions_fill(posix_spawn_file_actions_t *fa, const struct handover *h, int text_fd,
                        int ready_fd, int log_fd) {
    int r = posix_spawn_file_actions_addopen(fa, 0, "/dev/null", O_RDONLY, 0);
    if (r == 0) r = posix_spawn_file_actions_adddup2(fa, log_fd, 1);
    if (r == 0) r = posix_spawn_file_actions_adddup2(fa, log_fd, 2);
    if (r == 0) r = posix_spawn_file_actions_adddup2(fa, text_fd, HANDOVER_FD);
    if (r == 0) r = posix_spawn_file_actions_adddup2(fa, ready_fd, HANDOVER_READY_FD);
    for (size_t i = 0; r == 0 && i < h->n_fds; i++)
        r = posix_spawn_file_actions_adddup2(fa, h->fds[i].fd, HANDOVER_FIRST_FD + (int)i);
    return r;
}

int spawn_service(const char *name, const struct handover *h, int log_fd, pid_t *ret_pid,
                  int *ret_ready_fd, struct err *err) {
    OWN(close_p) int text_fd = handover_make(h, err);
    if (text_fd < 0) return text_fd;
    int ready[2];
    if (pipe2(ready, O_CLOEXEC | O_NONBLOCK) < 0) return err_errno(err, errno, "pipe");
    OWN(close_p) int read_end = ready[0];
    OWN(close_p) int write_end = above_targets(ready[1]);
    text_fd = above_targets(text_fd);
    posix_spawn_file_actions_t fa;
    posix_spawnattr_t attr;
    posix_spawn_file_actions_init(&fa);
    posix_spawnattr_init(&attr);
    sigset_t all, none;
    sigfillset(&all);
    sigemptyset(&none);
    posix_spawnattr_setsigdefault(&attr, &all);
    posix_spawnattr_setsigmask(&attr, &none);
    /* A group of its own: Ctrl-C at the terminal of init must not reach services directly. */
    posix_spawnattr_setpgroup(&attr, 0);
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK |
                                        POSIX_SPAWN_SETPGROUP);
    int r = actions_fill(&fa, h, text_fd, write_end, log_fd);
    char *const argv[] = {(char *)"atoll", (char *)"service", (char *)name, NULL};
    char *const envp[] = {NULL};
    if (r == 0) r = posix_spawn(ret_pid, "/proc/self/exe", &fa, &attr, argv, envp);
    posix_spawn_file_actions_destroy(&fa);
    posix_spawnattr_destroy(&attr);
    if (r != 0) return err_errno(err, r, "cannot start %s", name);
    *ret_ready_fd = TAKE_FD(read_end);
    return 0;
}
