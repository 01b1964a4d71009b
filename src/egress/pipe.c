#include "egress/pipe.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/own.h"
#include "egress/channel.h"
#include "egress/policy.h"
#include "proc/resolve.h"

enum {
    QUEUE_BYTES = 64 * 1024, /* either way, before the sender is told to wait */
    PIECE_BYTES = 16 * 1024,
    TURNS = 8,              /* pieces one side may move before others get their turn */
    PRELUDE_MS = 10 * 1000, /* the prelude must have arrived */
    HANGUP_CHECK_MS = 1000,
};

enum state { PRELUDE, RESOLVING, CONNECTING, SHAKING, OPEN, LEAVING };

struct pipe {
    struct loop *loop;
    size_t *count;
    struct arena *arena;
    struct timer *timer; /* dead-line until OPEN; then: has the near side hung up? */
    struct resolve *resolve;
    struct resolved addresses;
    size_t address;
    struct egress_prelude prelude;
    enum state state;
    int fd; /* near: api */
    struct fd_watch *near_watch, *far_watch;
    struct channel far;
    struct buf up, down; /* waiting for far, for near */
    bool near_eof, far_eof, far_shut, near_shut, far_wants_write;
    struct err last; /* of the last address tried */
};

static void pipe_free(void *user) {
    struct pipe *p = user;
    resolve_cancel(p->resolve);
    fd_watch_free(p->near_watch);
    fd_watch_free(p->far_watch);
    timer_free(p->timer);
    channel_done(&p->far);
    close_p(&p->fd);
    buf_done(&p->up);
    buf_done(&p->down);
    arena_free(p->arena);
    (*p->count)--;
    free(p);
}

static void rewatch(struct pipe *p) {
    bool open = p->state == OPEN;
    unsigned near = p->down.n ? FD_WRITE : 0, far = 0;
    if (!p->near_eof && (p->state == PRELUDE || (open && p->up.n < QUEUE_BYTES))) near |= FD_READ;
    if (open && !p->far_eof && p->down.n < QUEUE_BYTES) far |= FD_READ;
    if (open && p->up.n) far |= p->far_wants_write ? FD_WRITE : FD_READ;
    if (p->state == CONNECTING) far = FD_WRITE;
    if (p->state == SHAKING) far = p->far.want;
    fd_watch_set(p->near_watch, near);
    if (p->far_watch) fd_watch_set(p->far_watch, far);
}

/* ---- the near side ---- */

/* False: it is gone. */
static bool near_send(struct pipe *p) {
    while (p->down.n) {
        ssize_t n = send(p->fd, p->down.p, p->down.n, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0) return errno == EAGAIN || errno == EINTR;
        buf_consume(&p->down, (size_t)n);
    }
    return true;
}

/* Says what became of the wish; anything but EGRESS_OK is the last word. */
static void answer(struct pipe *p, enum egress_status status, const char *text) {
    timer_stop(p->timer);
    fd_watch_free(p->far_watch);
    p->far_watch = NULL;
    egress_answer_pack(&p->down, &(struct egress_answer){(uint8_t)status, text});
    p->state = status == EGRESS_OK ? OPEN : LEAVING;
    if (p->state == LEAVING) {
        channel_done(&p->far);
        timer_start(p->timer, PRELUDE_MS, 0);
    }
}

static void address_text(const struct sockaddr_storage *ss, char out[80]) {
    char ip[INET6_ADDRSTRLEN] = "";
    if (ss->ss_family == AF_INET) {
        const struct sockaddr_in *v4 = (const void *)ss;
        inet_ntop(AF_INET, &v4->sin_addr, ip, sizeof ip);
        snprintf(out, 80, "%s:%u", ip, ntohs(v4->sin_port));
    } else {
        const struct sockaddr_in6 *v6 = (const void *)ss;
        inet_ntop(AF_INET6, &v6->sin6_addr, ip, sizeof ip);
        snprintf(out, 80, "[%s]:%u", ip, ntohs(v6->sin6_port));
    }
}

/* ---- the far side ---- */

static void on_far(void *user, unsigned events);

static void watch_far(struct pipe *p) {
    fd_watch_free(p->far_watch);
    p->far_watch = fd_watch_new(p->loop, p->far.fd, FD_WRITE, on_far, p);
}

static void not_reached(struct pipe *p, int error) {
    char address[80];
    address_text(&p->addresses.v[p->address], address);
    char reason[128];
    const char *why = strerror_r(error, reason, sizeof reason);
    snprintf(p->last.text, sizeof p->last.text, "dial tcp %s: connect: %s", address, why);
    /* Go writes these in lower case. */
    char *colon = strrchr(p->last.text, ':');
    if (colon && colon[2] >= 'A' && colon[2] <= 'Z') colon[2] |= 0x20;
}

/* The next address that may be used; the last failure is told when there is none left. */
static void try_address(struct pipe *p) {
    bool forbidden = false;
    for (; p->address < p->addresses.n; p->address++) {
        const struct sockaddr *to = (const void *)&p->addresses.v[p->address];
        if (!policy_allows((enum egress_policy)p->prelude.policy, to)) {
            forbidden = true;
            continue;
        }
        int rc = channel_connect(&p->far, to);
        if (rc == 0) {
            p->state = CONNECTING;
            watch_far(p);
            return;
        }
        not_reached(p, -rc);
    }
    if (forbidden && !*p->last.text)
        answer(p, EGRESS_FORBIDDEN, "address not allowed");
    else
        answer(p, EGRESS_UNREACHABLE, p->last.text);
}

static void opened(struct pipe *p) {
    struct slice early = buf_view(&p->up);
    answer(p, EGRESS_OK, "");
    watch_far(p);
    p->far_wants_write = early.n > 0;
}

static void shake(struct pipe *p) {
    struct err err;
    int rc = channel_handshake(&p->far, &p->prelude, &err);
    if (rc == 0)
        opened(p);
    else if (rc != -EAGAIN)
        answer(p, EGRESS_TLS_FAILED, err.text);
}

static void connected(struct pipe *p) {
    struct err err;
    int rc = channel_connected(&p->far);
    if (rc < 0) {
        not_reached(p, -rc);
        fd_watch_free(p->far_watch);
        p->far_watch = NULL;
        channel_done(&p->far);
        p->address++;
        try_address(p);
        return;
    }
    if (!p->prelude.tls) {
        opened(p);
        return;
    }
    if (channel_secure(&p->far, &p->prelude, &err) < 0) {
        answer(p, EGRESS_TLS_FAILED, err.text);
        return;
    }
    p->state = SHAKING;
    shake(p);
}

/* ---- bytes ---- */

/* Each returns false when its side is broken. */
static bool pull_near(struct pipe *p) {
    char piece[PIECE_BYTES];
    for (int i = 0; i < TURNS && !p->near_eof && p->up.n < QUEUE_BYTES; i++) {
        ssize_t n = recv(p->fd, piece, sizeof piece, MSG_DONTWAIT);
        if (n < 0) return errno == EAGAIN || errno == EINTR;
        if (n == 0) p->near_eof = true;
        buf_append(&p->up, piece, (size_t)n);
    }
    return true;
}

static bool push_far(struct pipe *p) {
    while (p->up.n) {
        ssize_t n = channel_write(&p->far, p->up.p, p->up.n);
        if (n == -EAGAIN) {
            p->far_wants_write = p->far.want & FD_WRITE;
            return true;
        }
        if (n < 0) return false;
        buf_consume(&p->up, (size_t)n);
    }
    return true;
}

static bool pull_far(struct pipe *p) {
    char piece[PIECE_BYTES];
    /* All that TLS has decrypted must come out: the socket will not tell of it again. */
    for (int i = 0;
         !p->far_eof && (p->down.n < QUEUE_BYTES || (p->far.ssl && SSL_pending(p->far.ssl))); i++) {
        if (i >= TURNS && !(p->far.ssl && SSL_pending(p->far.ssl))) break;
        ssize_t n = channel_read(&p->far, piece, sizeof piece);
        if (n == -EAGAIN) return true;
        if (n <= 0) p->far_eof = true; /* a reset ends it as well: what came is still delivered */
        if (n > 0) buf_append(&p->down, piece, (size_t)n);
    }
    return true;
}

static bool near_hung_up(const struct pipe *p) {
    struct pollfd f = {.fd = p->fd};
    return poll(&f, 1, 0) > 0 && (f.revents & (POLLHUP | POLLERR));
}

/* Ends that have been seen are passed on; true when nothing is left to do. */
static bool pass_ends(struct pipe *p) {
    if (p->near_eof && near_hung_up(p)) return true;
    if (p->near_eof && !p->up.n && !p->far_shut) {
        p->far_shut = true;
        channel_shut(&p->far);
        timer_start(p->timer, HANGUP_CHECK_MS, HANGUP_CHECK_MS);
    }
    if (p->far_eof && !p->down.n && !p->near_shut) {
        p->near_shut = true;
        shutdown(p->fd, SHUT_WR);
    }
    return p->far_shut && p->near_shut;
}

/* After every event: moves what can be moved; frees p when it is over. */
static void turn(struct pipe *p) {
    bool over = !near_send(p);
    if (p->state == OPEN && !over) over = !push_far(p) && p->far_eof && !p->down.n;
    if (p->state == OPEN && !over) over = pass_ends(p);
    if (p->state == LEAVING && !p->down.n) over = true;
    if (over)
        pipe_free(p);
    else
        rewatch(p);
}

static void on_far(void *user, unsigned events) {
    struct pipe *p = user;
    if (p->state == CONNECTING) {
        connected(p);
    } else if (p->state == SHAKING) {
        shake(p);
    } else if (p->state == OPEN && !push_far(p)) {
        buf_clear(&p->up); /* it reads no more, but may have said why */
        p->near_eof = p->far_shut = true;
    }
    if (p->state == OPEN) pull_far(p);
    turn(p);
}

static void on_deadline(void *user) {
    struct pipe *p = user;
    if (p->state == OPEN) {
        if (near_hung_up(p)) pipe_free(p);
        return;
    }
    if (p->state == PRELUDE || p->state == LEAVING) {
        pipe_free(p);
        return;
    }
    resolve_cancel(p->resolve);
    p->resolve = NULL;
    answer(p, EGRESS_TIMED_OUT, "context deadline exceeded");
    turn(p);
}

static void on_resolved(void *user, const struct resolved *r, const struct err *err) {
    struct pipe *p = user;
    p->resolve = NULL;
    p->addresses = *r;
    if (!r->n)
        answer(p, EGRESS_UNRESOLVED, err->text);
    else
        try_address(p);
    if (p->state != RESOLVING) turn(p);
}

static void read_prelude(struct pipe *p) {
    struct slice body;
    size_t used;
    int rc = egress_frame(buf_view(&p->up), &body, &used);
    if (rc == 0) return;
    if (rc > 0) rc = egress_prelude_unpack(body, p->arena, &p->prelude);
    if (rc < 0) {
        answer(p, EGRESS_MALFORMED, "the prelude is malformed");
        return;
    }
    buf_consume(&p->up, used);
    timer_start(p->timer, p->prelude.timeout_ms, 0);
    p->state = RESOLVING;
}

static void on_near(void *user, unsigned events) {
    struct pipe *p = user;
    bool alive = true;
    if (events & FD_READ) alive = pull_near(p);
    if (alive && p->state == PRELUDE) {
        read_prelude(p);
        if (p->state == RESOLVING) { /* turns by itself, perhaps at once, perhaps freeing p */
            fd_watch_set(p->near_watch, 0);
            resolve_start(p->loop, p->prelude.host, p->prelude.port, on_resolved, p, &p->resolve);
            return;
        }
        alive = !p->near_eof;
    }
    if (!alive)
        pipe_free(p);
    else
        turn(p);
}

void pipe_new(struct loop *l, int fd, size_t *count) {
    struct pipe *p = calloc(1, sizeof *p);
    if (!p) abort();
    *p =
        (struct pipe){.loop = l, .fd = fd, .count = count, .arena = arena_new(), .far = {.fd = -1}};
    (*count)++;
    p->timer = timer_new(l, on_deadline, p);
    timer_start(p->timer, PRELUDE_MS, 0);
    p->near_watch = fd_watch_new(l, fd, FD_READ, on_near, p);
}
