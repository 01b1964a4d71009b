#include "proc/fd_group.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/own.h"

enum { TAKE_MAX = 64 };

struct fd_group {
    int fd; /* of epoll */
    struct fd_watch *watch;
};

struct fd_group *fd_group_new(struct loop *l, fd_fn *fn, void *user) {
    int fd = epoll_create1(EPOLL_CLOEXEC);
    if (fd < 0) return NULL;
    struct fd_group *g = calloc(1, sizeof *g);
    if (!g) abort();
    g->fd = fd;
    g->watch = fd_watch_new(l, fd, FD_READ, fn, user);
    return g;
}

void fd_group_free(struct fd_group *g) {
    if (!g) return;
    fd_watch_free(g->watch);
    close(g->fd);
    free(g);
}

void fd_group_tell(struct fd_group *g, bool tell) { fd_watch_mute(g->watch, !tell); }

void fd_group_watch(struct fd_group *g, int fd, unsigned before, unsigned events, void *user) {
    if (before == events) return;
    struct epoll_event e = {.data.ptr = user};
    if (events & FD_READ) e.events |= EPOLLIN;
    if (events & FD_WRITE) e.events |= EPOLLOUT;
    int op = !before ? EPOLL_CTL_ADD : !events ? EPOLL_CTL_DEL : EPOLL_CTL_MOD;
    if (epoll_ctl(g->fd, op, fd, &e) < 0) abort(); /* no memory, or the caller's bug */
}

size_t fd_group_take(struct fd_group *g, struct fd_ready *ret, size_t max) {
    struct epoll_event found[TAKE_MAX];
    int n = epoll_wait(g->fd, found, (int)MIN_OF(max, (size_t)TAKE_MAX), 0);
    for (int i = 0; i < n; i++) {
        unsigned e = found[i].events, both = e & (EPOLLERR | EPOLLHUP) ? FD_READ | FD_WRITE : 0;
        ret[i].user = found[i].data.ptr;
        ret[i].events = both | (e & EPOLLIN ? FD_READ : 0) | (e & EPOLLOUT ? FD_WRITE : 0);
    }
    return n > 0 ? (size_t)n : 0;
}
