/* poll, select and epoll over descriptors of which some are ends of a topology: before the kernel
 * is asked, what it will see is made true. */
#include "preload_includes.h"

#include "preload.h"

enum { FEW = 64 };

static uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* What poll would say of it; what it does not say, the kernel will. Arms it. */
static short ready(struct shim *h, short events) {
    struct sp *s = h->s;
    short found = 0;
    if (!s) return POLLOUT | POLLHUP; /* as a socket that is not connected */
    shim_sync(h);
    if (!s->ring) return s->pending.first ? POLLIN & events : 0;
    client_lock(s);
    session_listen(s, false);
    if (s->protocol->receives && arm_receive(s)) found |= POLLIN;
    if (s->protocol->receives && s->protocol->sends) found |= POLLOUT;
    if (s->broken) found |= POLLIN | POLLOUT | POLLHUP;
    client_unlock(s);
    return found & (events | POLLHUP | POLLERR);
}

/* The kernel has seen a bell: is there really something? */
static short confirm(struct shim *h, short events, short revents) {
    if (!h->s || !h->s->ring) return revents;
    short kept = revents & (h->s->protocol->receives ? ~(POLLIN | POLLRDNORM) : ~POLLIN);
    return kept | ready(h, events);
}

static int look_at(struct pollfd *p, nfds_t n) {
    int found = 0;
    for (nfds_t i = 0; i < n; i++) {
        struct shim *h = shim_of(p[i].fd);
        p[i].revents = h ? ready(h, p[i].events) : 0;
        found += p[i].revents != 0;
    }
    return found;
}

static bool any_of_ours(const struct pollfd *p, nfds_t n) {
    for (nfds_t i = 0; i < n; i++)
        if (shim_of(p[i].fd)) return true;
    return false;
}

/* The program's descriptors, and behind them the service's sockets of those that are ours. */
static nfds_t extend(struct pollfd *all, const struct pollfd *p, nfds_t n) {
    nfds_t more = n;
    memcpy(all, p, n * sizeof(*p));
    for (nfds_t i = 0; i < n; i++) {
        struct shim *h = shim_of(p[i].fd);
        all[i].revents = 0;
        /* The bell says more than the role: it is a socket that can both. */
        if (h && h->s && h->s->ring && !h->s->protocol->receives) all[i].events &= ~POLLIN;
        if (h && h->s && h->s->ring && !h->s->protocol->sends) all[i].events &= ~POLLOUT;
        if (h && h->s && h->s->ring)
            all[more++] = (struct pollfd){.fd = h->s->ctl, .events = POLLIN};
    }
    return more;
}

static int collect(struct pollfd *p, nfds_t n, const struct pollfd *all, nfds_t more) {
    int found = 0;
    for (nfds_t i = n; i < more; i++) {
        if (!all[i].revents) continue;
        for (struct shim *h = shim_first(); h; h = h->next) {
            struct sp *s = h->s;
            if (!s || s->ctl != all[i].fd) continue;
            client_lock(s);
            session_listen(s, true);
            client_unlock(s);
        }
    }
    for (nfds_t i = 0; i < n; i++) {
        struct shim *h = shim_of(p[i].fd);
        if (!h)
            p[i].revents = all[i].revents;
        else if (all[i].revents)
            p[i].revents |= confirm(h, p[i].events, all[i].revents);
        found += p[i].revents != 0;
    }
    return found;
}

static struct timespec left_of(uint64_t deadline) {
    uint64_t now = now_ns(), left = now < deadline ? deadline - now : 0;
    return (struct timespec){.tv_sec = (time_t)(left / 1000000000),
                             .tv_nsec = (long)(left % 1000000000)};
}

static int poll_ours(struct pollfd *p, nfds_t n, uint64_t deadline, const sigset_t *mask) {
    struct pollfd few[FEW], *all = n * 2 > FEW ? malloc(n * 2 * sizeof(*all)) : few;
    int found;
    if (!all) return -1;
    do {
        found = look_at(p, n);
        nfds_t more = extend(all, p, n);
        struct timespec t = left_of(found ? 0 : deadline);
        int rc = libc()->ppoll(all, more, !found && deadline == UINT64_MAX ? NULL : &t, mask);
        if (rc < 0 && !found) {
            found = -1;
            break;
        }
        found = rc > 0 ? collect(p, n, all, more) : found;
    } while (!found && (deadline == UINT64_MAX || now_ns() < deadline));
    if (all != few) free(all);
    return found;
}

static uint64_t deadline_ms(int ms) {
    return ms < 0 ? UINT64_MAX : now_ns() + (uint64_t)ms * 1000000;
}

static uint64_t deadline_of(const struct timespec *t) {
    return t ? now_ns() + (uint64_t)t->tv_sec * 1000000000 + (uint64_t)t->tv_nsec : UINT64_MAX;
}

EXPORT int ppoll(struct pollfd *p, nfds_t n, const struct timespec *t, const sigset_t *mask) {
    real_find();
    if (!any_of_ours(p, n)) return libc()->ppoll(p, n, t, mask);
    return poll_ours(p, n, deadline_of(t), mask);
}

EXPORT int poll(struct pollfd *p, nfds_t n, int ms) {
    struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L};
    real_find();
    if (!any_of_ours(p, n)) return libc()->ppoll(p, n, ms < 0 ? NULL : &t, NULL);
    return poll_ours(p, n, deadline_ms(ms), NULL);
}

EXPORT int __poll_chk(struct pollfd *p, nfds_t n, int ms, size_t room);
EXPORT int __poll_chk(struct pollfd *p, nfds_t n, int ms, size_t room) {
    if (room / sizeof(*p) < n) abort();
    return poll(p, n, ms);
}

/* ---- select ---- */

static nfds_t from_sets(struct pollfd p[FD_SETSIZE], int n, const fd_set *r, const fd_set *w,
                        const fd_set *x) {
    nfds_t count = 0;
    for (int fd = 0; fd < n && fd < FD_SETSIZE; fd++) {
        short events = 0;
        if (r && FD_ISSET(fd, r)) events |= POLLIN;
        if (w && FD_ISSET(fd, w)) events |= POLLOUT;
        if (x && FD_ISSET(fd, x)) events |= POLLPRI;
        if (events) p[count++] = (struct pollfd){.fd = fd, .events = events};
    }
    return count;
}

static int into_set(fd_set *set, const struct pollfd *p, nfds_t n, short asked, short events) {
    int found = 0;
    if (!set) return 0;
    FD_ZERO(set);
    for (nfds_t i = 0; i < n; i++)
        if (p[i].events & asked && p[i].revents & events) {
            FD_SET(p[i].fd, set);
            found++;
        }
    return found;
}

static int select_ours(int n, fd_set *r, fd_set *w, fd_set *x, const struct timespec *t,
                       const sigset_t *mask) {
    struct pollfd p[FD_SETSIZE];
    real_find();
    nfds_t count = from_sets(p, n, r, w, x);
    if (!any_of_ours(p, count)) return libc()->pselect(n, r, w, x, t, mask);
    int rc = poll_ours(p, count, deadline_of(t), mask);
    if (rc < 0) return rc;
    return into_set(r, p, count, POLLIN, POLLIN | POLLHUP | POLLERR) +
           into_set(w, p, count, POLLOUT, POLLOUT | POLLERR) +
           into_set(x, p, count, POLLPRI, POLLPRI);
}

EXPORT int pselect(int n, fd_set *r, fd_set *w, fd_set *x, const struct timespec *t,
                   const sigset_t *mask) {
    return select_ours(n, r, w, x, t, mask);
}

EXPORT int select(int n, fd_set *r, fd_set *w, fd_set *x, struct timeval *limit) {
    struct timespec t;
    if (limit) t = (struct timespec){limit->tv_sec, limit->tv_usec * 1000};
    return select_ours(n, r, w, x, limit ? &t : NULL, NULL);
}

/* ---- epoll: the service's socket is watched along with the bell, under a name of its own ---- */

#define SERVICE_NAME (UINT64_C(0x41746f6c6c53) << 16) /* and the descriptor */

EXPORT int epoll_ctl(int ep, int operation, int fd, struct epoll_event *event) {
    struct shim *h = shim_of(fd);
    real_find();
    if (!h || !h->s || !h->s->ring) return libc()->epoll_ctl(ep, operation, fd, event);
    struct epoll_event own = {0};
    if (event) own = *event;
    if (!h->s->protocol->receives) own.events &= ~(uint32_t)EPOLLIN;
    if (!h->s->protocol->sends) own.events &= ~(uint32_t)EPOLLOUT;
    int rc = libc()->epoll_ctl(ep, operation, fd, &own);
    if (rc < 0) return rc;
    h->epoll = operation == EPOLL_CTL_DEL ? -1 : ep;
    h->epoll_data = own.data.u64;
    struct epoll_event e = {.events = EPOLLIN | EPOLLET,
                            .data.u64 = SERVICE_NAME | (uint32_t)h->s->ctl};
    if (operation != EPOLL_CTL_MOD) libc()->epoll_ctl(ep, operation, h->s->ctl, &e);
    return 0;
}

/* True: it has something, and its bell says so. */
static bool arm_one(struct shim *h) {
    struct sp *s = h->s;
    if (!s || !s->ring || !s->protocol->receives) return true;
    shim_sync(h);
    client_lock(s);
    bool there = arm_receive(s) || s->broken;
    if (there) bell_ring(s->bell_far, false);
    client_unlock(s);
    return there;
}

static void hear_service(int ctl) {
    for (struct shim *h = shim_first(); h; h = h->next) {
        struct sp *s = h->s;
        if (!s || !s->ring || s->ctl != ctl) continue;
        client_lock(s);
        session_listen(s, true);
        client_unlock(s);
        arm_one(h);
    }
}

static bool is_real(int ep, const struct epoll_event *e) {
    if ((e->data.u64 & ~UINT64_C(0xffff)) == SERVICE_NAME) {
        hear_service((int)(e->data.u64 & 0xffff));
        return false;
    }
    for (struct shim *h = shim_first(); h; h = h->next)
        if (h->epoll == ep && h->epoll_data == e->data.u64 && e->events == EPOLLIN)
            return arm_one(h);
    return true;
}

static int epoll_ours(int ep, struct epoll_event *events, int n, uint64_t deadline,
                      const sigset_t *mask) {
    for (;;) {
        struct timespec t = left_of(deadline);
        int ms =
            deadline == UINT64_MAX ? -1 : (int)(t.tv_sec * 1000 + (t.tv_nsec + 999999) / 1000000);
        for (struct shim *h = shim_first(); h; h = h->next)
            if (h->epoll == ep) arm_one(h);
        int rc = libc()->epoll_pwait(ep, events, n, ms, mask), kept = 0;
        for (int i = 0; i < rc; i++)
            if (is_real(ep, &events[i])) events[kept++] = events[i];
        if (rc <= 0 || kept) return rc < 0 ? rc : kept;
        if (deadline != UINT64_MAX && now_ns() >= deadline) deadline = 0;
    }
}

EXPORT int epoll_pwait(int ep, struct epoll_event *events, int n, int ms, const sigset_t *mask) {
    real_find();
    return epoll_ours(ep, events, n, deadline_ms(ms), mask);
}

EXPORT int epoll_wait(int ep, struct epoll_event *events, int n, int ms) {
    real_find();
    return epoll_ours(ep, events, n, deadline_ms(ms), NULL);
}

EXPORT int epoll_pwait2(int ep, struct epoll_event *events, int n, const struct timespec *t,
                        const sigset_t *mask) {
    real_find();
    return epoll_ours(ep, events, n, deadline_of(t), mask);
}
