/*
 * Letting connections in. What costs is not to accept one but to give it what it needs and, when
 * there are too many, to close another: those of the client that has most stand in a queue of ours
 * for that, so that others, who come behind them, do not. When there are too many, a few of them a
 * millisecond are let in: who loses a connection may come again at once and for ever, and while the
 * kernel frees tens of thousands of sockets a second it does nothing else for milliseconds.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/own.h"
#include "server/transport/listener.h"

enum {
    FEW = 64,           /* connections, with which nobody waits */
    ADMISSION_PART = 4, /* of a slice, for those who wait */
    EVICTIONS = 4,      /* for them, each PAUSE_MS */
    PAUSE_MS = 1,
};

static unsigned place_of_address(const struct sockaddr_storage *from) {
    const struct sockaddr_in6 *six = (const void *)from;
    const struct sockaddr_in *four = (const void *)from;
    enum { NETWORK_BYTES = 8 }; /* who has one address of IPv6 has all of its network */
    if (from->ss_family != AF_INET6) return listener_place(slice_from(&four->sin_addr, 4));
    bool mapped = IN6_IS_ADDR_V4MAPPED(&six->sin6_addr);
    const char *p = (const char *)&six->sin6_addr;
    return listener_place(mapped ? slice_from(p + 12, 4) : slice_from(p, NETWORK_BYTES));
}

static bool is_here(const struct sockaddr_storage *from) {
    const struct sockaddr_in6 *six = (const void *)from;
    const struct sockaddr_in *four = (const void *)from;
    enum { LOOPBACK = 127 };
    if (from->ss_family != AF_INET6) return *(const unsigned char *)&four->sin_addr == LOOPBACK;
    if (IN6_IS_ADDR_V4MAPPED(&six->sin6_addr)) return six->sin6_addr.s6_addr[12] == LOOPBACK;
    return IN6_IS_ADDR_LOOPBACK(&six->sin6_addr);
}

/* There is no path to measure and nothing to pace: the simplest control costs least. */
static void without_pacing(const struct conn *c) {
    static const char simplest[] = "reno";
    setsockopt(c->fd, IPPROTO_TCP, TCP_CONGESTION, simplest, sizeof simplest - 1);
}

static void set_tcp_peer(struct conn *c, const struct sockaddr_storage *from) {
    char text[INET6_ADDRSTRLEN] = "";
    const void *address = from->ss_family == AF_INET6
                              ? (const void *)&((const struct sockaddr_in6 *)from)->sin6_addr
                              : (const void *)&((const struct sockaddr_in *)from)->sin_addr;
    inet_ntop(from->ss_family, address, text, sizeof text);
    int on = 1;
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(c->fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    if (is_here(from)) without_pacing(c);
    c->arena = arena_new();
    c->peer.kind = PEER_TLS;
    c->peer.uid = (uid_t)-1;
    c->peer.address = arena_str(c->arena, text);
}

static bool is_full(const struct listener *l) { return l->n_conns >= LIMIT_HTTP_CONNECTIONS; }

/* Takes the descriptor. */
static void admit(struct listener *l, struct arrival a) {
    OWN(close_p) int fd = a.fd;
    struct sockaddr_storage from = {0};
    socklen_t n = sizeof from;
    if (l->tls && getpeername(fd, (struct sockaddr *)&from, &n) < 0) return;
    if (is_full(l) && !room_make(l, a.place)) return;
    SSL *ssl = l->tls ? tls_accept(l->tls, fd) : NULL;
    if (l->tls && !ssl) return;
    struct conn *c = conn_open(l, TAKE_FD(fd), ssl);
    listener_admit(c, a.place);
    c->peer = (struct peer){.kind = PEER_UNIX, .uid = a.uid};
    if (l->tls) set_tcp_peer(c, &from);
}

/* ---- the queue ---- */

static struct arrival first_waiting(struct listener *l) {
    __auto_type w = &l->waiting;
    struct arrival a = w->v[w->first];
    w->first = (w->first + 1) % ARRIVALS_MAX;
    w->n--;
    return a;
}

static void wait(struct listener *l, struct arrival a) {
    __auto_type w = &l->waiting;
    if (w->n == ARRIVALS_MAX) close(first_waiting(l).fd);
    w->v[(w->first + w->n++) % ARRIVALS_MAX] = a;
}

/* Where nobody is let in before somebody else goes, those in the queue may be the ones who go. */
static bool may_wait(const struct listener *l) { return l->waiting.n < ARRIVALS_MAX || is_full(l); }

static void admit_waiting(struct listener *l, uint64_t until) {
    for (uint64_t now = 0; l->waiting.n && now < until; now = clock_span_ns()) {
        if (is_full(l) && !l->evictions) return;
        if (is_full(l)) l->evictions--;
        admit(l, first_waiting(l));
    }
}

/* ---- accepting ---- */

/* 0 or -errno. */
static int accept_one(struct listener *l) {
    struct sockaddr_storage from = {0};
    struct ucred cred = {.uid = (uid_t)-1};
    socklen_t n = sizeof from, cred_n = sizeof cred;
    int fd = accept4(l->fd, (struct sockaddr *)&from, &n, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0) return errno == ECONNABORTED || errno == EINTR ? 0 : -errno;
    if (!l->tls && getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &cred_n) < 0) {
        close(fd);
        return 0;
    }
    struct arrival a = {.fd = fd, .uid = cred.uid};
    a.place =
        l->tls ? place_of_address(&from) : listener_place(slice_from(&cred.uid, sizeof cred.uid));
    if (l->peers[a.place] >= FEW && a.place == room_biggest_peer(l))
        wait(l, a);
    else
        admit(l, a);
    return 0;
}

/* Without descriptors the tick tries again, instead of a busy loop. */
static void make_room_for_descriptors(struct listener *l) {
    if (l->waiting.n)
        close(first_waiting(l).fd);
    else if (!room_evict(l, room_biggest_peer(l)))
        fd_watch_set(l->watch, 0);
    server_tick_soon(l->server);
}

static void accept_slice(struct listener *l) {
    uint64_t slice = loop_slice_ns(l->loop), now = clock_span_ns();
    uint64_t until = now + slice - slice / ADMISSION_PART;
    int r = 0;
    for (; r == 0 && may_wait(l) && now < until; now = clock_span_ns()) r = accept_one(l);
    if (r == -EMFILE || r == -ENFILE || r == -ENOMEM || r == -ENOBUFS) make_room_for_descriptors(l);
    admit_waiting(l, clock_span_ns() + slice / ADMISSION_PART);
}

static void go_on(struct listener *l);

static void accept_some(void *user) {
    struct listener *l = user;
    l->accepts = false;
    if (l->over) {
        free(l);
    } else if (l->watch) {
        accept_slice(l);
        if (l->waiting.n) go_on(l);
    }
}

static void schedule(struct listener *l) {
    if (l->accepts) return;
    l->accepts = true;
    loop_after_events(l->loop, accept_some, l);
}

static void end_pause(void *user) {
    struct listener *l = user;
    l->evictions = EVICTIONS;
    schedule(l);
}

static void go_on(struct listener *l) {
    if (!is_full(l) || l->evictions)
        schedule(l);
    else if (!timer_active(l->pause))
        timer_start(l->pause, PAUSE_MS, 0);
}

/* Who comes waits for those who are here and have asked for little. */
static void on_accept(void *user, unsigned events) { schedule(user); }

void accept_begin(struct listener *l) {
    l->evictions = EVICTIONS;
    l->pause = timer_new(l->loop, end_pause, l);
    l->watch = fd_watch_new(l->loop, l->fd, FD_READ, on_accept, l);
}

void accept_again(struct listener *l) {
    if (l->watch) fd_watch_set(l->watch, FD_READ);
}

void accept_end(struct listener *l) {
    fd_watch_free(l->watch);
    l->watch = NULL;
    while (l->waiting.n) close(first_waiting(l).fd);
}

void accept_free(struct listener *l) {
    timer_free(l->pause);
    l->over = true;
    if (!l->accepts) free(l);
}
