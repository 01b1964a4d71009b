/* The loop of atoll-shim: epoll over sockets and streams, a signalfd for ended children. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shim.h"

enum { LISTEN_FD = 3 };

static int epoll_fd = -1;

int source_add(struct source *s, int fd, uint32_t events,
               void (*fn)(struct source *s, uint32_t events)) {
    struct epoll_event e = {.events = events, .data.ptr = s};
    s->fn = fn;
    s->fd = fd;
    s->events = events;
    if (!events) return 0;
    return epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &e) < 0 ? errno : 0;
}

/* Without any event the descriptor leaves the epoll set: HUP would be reported all the same. */
void source_set(struct source *s, uint32_t events) {
    if (s->events == events || s->fd < 0) return;
    struct epoll_event e = {.events = events, .data.ptr = s};
    int op = !events ? EPOLL_CTL_DEL : s->events ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
    epoll_ctl(epoll_fd, op, s->fd, &e);
    s->events = events;
}

void source_close(struct source *s) {
    if (s->fd < 0) return;
    epoll_ctl(epoll_fd, EPOLL_CTL_DEL, s->fd, NULL);
    close(s->fd);
    s->fd = -1;
}

static void child_ready(struct source *s, uint32_t events) {
    (void)events;
    struct signalfd_siginfo info[4];
    if (read(s->fd, info, sizeof info) < 0 && errno != EAGAIN) return;
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) container_child_exited(pid, status);
}

/* `atoll-shim pause`: the first process of a process namespace that containers share. It has
 * nothing, does nothing, and lets the kernel bury its orphans. */
static int pause_main(void) {
    struct sigaction bury = {.sa_handler = SIG_IGN, .sa_flags = SA_NOCLDWAIT};
    sigaction(SIGCHLD, &bury, NULL);
    if (setgroups(0, NULL) < 0 || setresgid(65534, 65534, 65534) < 0 ||
        setresuid(65534, 65534, 65534) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return 1;
    for (;;) pause();
}

int main(int argc, char **argv) {
    if (argc > 1 && strcmp(argv[1], "pause") == 0) return pause_main();
    umask(077);
    setsid();
    for (int s = 1; s < 32; s++)
        if (s != SIGKILL && s != SIGSTOP && s != SIGCHLD && s != SIGSEGV && s != SIGABRT &&
            s != SIGBUS && s != SIGFPE && s != SIGILL && s != SIGTRAP)
            signal(s, SIG_IGN);
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    if (sigprocmask(SIG_SETMASK, &set, NULL) < 0) return 1;
    if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0) return 1;
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    int signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (epoll_fd < 0 || signals < 0) return 1;
    fcntl(LISTEN_FD, F_SETFD, FD_CLOEXEC);
    fcntl(LISTEN_FD, F_SETFL, O_NONBLOCK);
    static struct source children;
    if (source_add(&children, signals, EPOLLIN, child_ready) || conn_listen(LISTEN_FD)) return 1;
    for (;;) { /* one event at a time: a handler may free any other source */
        struct epoll_event e;
        if (epoll_wait(epoll_fd, &e, 1, -1) != 1) continue;
        struct source *s = e.data.ptr;
        s->fn(s, e.events);
    }
}
