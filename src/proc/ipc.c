#include "proc/ipc.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/own.h"
#include "base/pack.h"
#include "base/vec.h"
#include "proc/ipc_frame.h"
#include "proc/unix_socket.h"

/* Both ends may ask; the accepting end's ids have this bit, so that an answer is never taken for a
 * request. */
#define ACCEPTED_ID_BIT 0x80000000u

struct pending_call {
    uint32_t id;
    ipc_reply_fn *fn; /* NULL: answered */
    void *user;
};

struct ipc {
    struct loop *loop;
    int fd;
    struct fd_watch *watch;
    struct ipc_handler handler;
    unsigned refs; /* the owner's, one per running callback, one per scheduled flush or rest */
    bool closed, broken, flush_scheduled, rest_scheduled;
    bool full;         /* the socket took no more; the next flush tries again */
    uint64_t until_ns; /* what has been read is handled so long; the rest of it in the next turn */
    uint32_t id_bit, last_id;
    VEC(struct pending_call) calls; /* by id, oldest first */
    struct buf in;
    int in_fds[LIMIT_IPC_FDS * 2];
    size_t n_in_fds;
    struct ipc_frame *out_first, *out_last;
    size_t out_bytes;
    uid_t peer_uid;
};

enum {
    READ_BYTES = 16 * 1024,
    READS_PER_TURN = 16,
    FRAMES_PER_WRITE = 32,
    EARLY_BYTES = 32 * 1024, /* what waits no longer for the end of the turn */
};

static void ipc_unref(struct ipc *c) {
    if (--c->refs) return;
    assert(c->closed);
    vec_done(&c->calls);
    buf_done(&c->in);
    free(c);
}

/* Lets go of the socket and all queues; pending calls learn that the answer will not come. */
static void ipc_shut(struct ipc *c) {
    c->closed = true;
    fd_watch_free(c->watch);
    c->watch = NULL;
    close(c->fd);
    c->fd = -1;
    while (c->out_first) {
        struct ipc_frame *f = c->out_first;
        c->out_first = f->next;
        ipc_frame_free(f);
    }
    c->out_last = NULL;
    for (size_t i = 0; i < c->n_in_fds; i++) close(c->in_fds[i]);
    c->n_in_fds = 0;
    __auto_type calls = c->calls;
    memset(&c->calls, 0, sizeof c->calls);
    for (size_t i = 0; i < calls.n; i++)
        if (calls.v[i].fn) calls.v[i].fn(c, NULL, calls.v[i].user);
    vec_done(&calls);
}

void ipc_close(struct ipc *c) {
    if (!c || c->closed) return;
    ipc_shut(c);
    ipc_unref(c);
}

/* The peer is gone or misbehaved: tell the owner, then free. */
static void ipc_lost(struct ipc *c) {
    if (c->closed) return;
    c->refs++;
    ipc_shut(c);
    if (c->handler.closed) c->handler.closed(c, c->handler.user);
    ipc_unref(c); /* ours */
    ipc_unref(c); /* the owner's */
}

/* ---- receiving ---- */

static struct pending_call *call_find(struct ipc *c, uint32_t id) {
    size_t low = 0, high = c->calls.n;
    while (low < high) { /* ids grow modulo 2^31 from the oldest pending one */
        size_t mid = low + (high - low) / 2;
        uint32_t base = c->calls.v[0].id;
        if (((c->calls.v[mid].id - base) & ~ACCEPTED_ID_BIT) < ((id - base) & ~ACCEPTED_ID_BIT))
            low = mid + 1;
        else
            high = mid;
    }
    if (low == c->calls.n || c->calls.v[low].id != id) return NULL;
    return &c->calls.v[low];
}

static void calls_trim(struct ipc *c) {
    size_t done = 0;
    while (done < c->calls.n && !c->calls.v[done].fn) done++;
    if (done == c->calls.n) {
        c->calls.n = 0;
    } else if (done > 64 && done > c->calls.n / 2) {
        memmove(c->calls.v, c->calls.v + done, (c->calls.n - done) * sizeof *c->calls.v);
        c->calls.n -= done;
    }
}

static void dispatch(struct ipc *c, struct ipc_msg *m) {
    if (m->id && (m->id & ACCEPTED_ID_BIT) == c->id_bit) {
        struct pending_call *call = call_find(c, m->id);
        if (!call || !call->fn) {
            if (c->id_bit) /* an answer to no question, or a second one: clients may not do that */
                c->broken = true;
            else if (c->handler.message)
                c->handler.message(c, m, c->handler.user);
            return;
        }
        ipc_reply_fn *fn = call->fn;
        void *user = call->user;
        call->fn = NULL;
        calls_trim(c);
        fn(c, m, user);
    } else if (c->handler.message) {
        c->handler.message(c, m, c->handler.user);
    }
}

static bool bytes_handle(struct ipc *c, char *p, size_t n);

static void rest_handle(void *user) {
    struct ipc *c = user;
    c->rest_scheduled = false;
    c->until_ns = loop_slice_end(c->loop, CLOCK_SLICE_NS);
    if (!c->closed && c->in.n) bytes_handle(c, c->in.p, c->in.n);
    ipc_unref(c);
}

static void rest_schedule(struct ipc *c) {
    if (c->rest_scheduled) return;
    c->rest_scheduled = true;
    c->refs++;
    loop_after_events(c->loop, rest_handle, c);
}

/* Handles the whole frames in (p, n). Returns the bytes used, or -1 when the framing is broken. */
static long frames_handle(struct ipc *c, char *p, size_t n) {
    size_t at = 0;
    while (!c->closed && !c->broken && n - at >= IPC_HEADER_BYTES) {
        struct ipc_header h;
        if (ipc_header_get(p + at, &h) < 0 || h.n_fds > c->n_in_fds) return -1;
        if (n - at - IPC_HEADER_BYTES < h.body_bytes) break;
        int fds[LIMIT_IPC_FDS];
        memcpy(fds, c->in_fds, h.n_fds * sizeof *fds);
        c->n_in_fds -= h.n_fds;
        memmove(c->in_fds, c->in_fds + h.n_fds, c->n_in_fds * sizeof *fds);
        struct ipc_msg m = {.type = h.type,
                            .id = h.id,
                            .body = slice_from(p + at + IPC_HEADER_BYTES, h.body_bytes),
                            .fds = fds,
                            .n_fds = h.n_fds};
        dispatch(c, &m);
        for (size_t i = 0; i < h.n_fds; i++)
            if (fds[i] >= 0) close(fds[i]);
        at += IPC_HEADER_BYTES + h.body_bytes;
        if (c->until_ns && clock_span_ns() >= c->until_ns && !c->closed) {
            rest_schedule(c);
            break;
        }
    }
    return c->broken ? -1 : (long)at;
}

/* How much to read next: the rest of a frame whose length is known, at least READ_BYTES. */
static size_t read_size(const struct ipc *c) {
    struct ipc_header h;
    if (c->in.n < IPC_HEADER_BYTES || ipc_header_get(c->in.p, &h) < 0) return READ_BYTES;
    size_t frame = IPC_HEADER_BYTES + h.body_bytes;
    return frame > c->in.n + READ_BYTES ? frame - c->in.n : READ_BYTES;
}

/* What has been read is handled where it lies; of a frame that is not whole yet the connection
 * keeps the beginning, so idle connections hold no memory. */
static bool bytes_handle(struct ipc *c, char *p, size_t n) {
    long used = frames_handle(c, p, n);
    if (c->closed) return false;
    if (used < 0) {
        log_warn("ipc_cut_off", "peer_uid=%u reason=framing", (unsigned)c->peer_uid);
        ipc_lost(c);
        return false;
    }
    if (p == c->in.p)
        buf_consume(&c->in, (size_t)used);
    else if ((size_t)used < n)
        buf_append(&c->in, p + used, n - (size_t)used);
    if (c->in.n == 0) buf_done(&c->in);
    return true;
}

/* One read. Returns whether there may be more at once; the connection may be gone afterwards. */
static bool ipc_read(struct ipc *c) {
    static char shared[READ_BYTES];
    static bool in_use; /* by a message whose handler lets the loop run */
    size_t want = read_size(c);
    bool own = in_use || c->in.n > 0;
    if (own) buf_reserve(&c->in, want);
    char *p = own ? c->in.p : shared;
    long got = ipc_receive(c->fd, own ? p + c->in.n : p, want, c->in_fds, LIMIT_IPC_FDS * 2,
                           &c->n_in_fds, MSG_DONTWAIT);
    if (got <= 0) {
        if (got != -EAGAIN) ipc_lost(c);
        if (!c->closed && c->in.n == 0) buf_done(&c->in);
        return false;
    }
    if (own) c->in.n += (size_t)got;
    bool before = in_use;
    in_use = in_use || !own;
    bool there = bytes_handle(c, p, own ? c->in.n : (size_t)got);
    in_use = before;
    return there && got == (long)want;
}

/* ---- sending ---- */

static size_t gather(struct ipc *c, struct iovec iov[FRAMES_PER_WRITE]) {
    size_t n = 0;
    for (struct ipc_frame *f = c->out_first; f && n < FRAMES_PER_WRITE; f = f->next) {
        if (f->n_fds && n > 0) break; /* descriptors travel with their frame's first byte */
        iov[n++] = (struct iovec){f->bytes + f->sent, f->n - f->sent};
    }
    return n;
}

static void frames_sent(struct ipc *c, size_t bytes) {
    struct ipc_frame *first = c->out_first;
    for (size_t i = 0; i < first->n_fds; i++) close(first->fds[i]);
    first->n_fds = 0;
    c->out_bytes -= bytes;
    while (c->out_first && bytes >= c->out_first->n - c->out_first->sent) {
        struct ipc_frame *f = c->out_first;
        bytes -= f->n - f->sent;
        c->out_first = f->next;
        ipc_frame_free(f);
    }
    if (c->out_first)
        c->out_first->sent += bytes;
    else
        c->out_last = NULL;
}

/* Writes what the kernel takes. Returns false when the connection is lost. */
static bool ipc_write(struct ipc *c) {
    union {
        char bytes[CMSG_SPACE(sizeof(int) * LIMIT_IPC_FDS)];
        struct cmsghdr align;
    } control = {0};
    while (c->out_first) {
        struct iovec iov[FRAMES_PER_WRITE];
        struct ipc_frame *f = c->out_first;
        struct msghdr msg = {.msg_iov = iov, .msg_iovlen = gather(c, iov)};
        if (f->n_fds) {
            msg.msg_control = control.bytes;
            msg.msg_controllen = CMSG_SPACE(sizeof(int) * f->n_fds);
            struct cmsghdr *m = CMSG_FIRSTHDR(&msg);
            m->cmsg_level = SOL_SOCKET;
            m->cmsg_type = SCM_RIGHTS;
            m->cmsg_len = CMSG_LEN(sizeof(int) * f->n_fds);
            memcpy(CMSG_DATA(m), f->fds, sizeof(int) * f->n_fds);
        }
        ssize_t n = sendmsg(c->fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) {
            c->full = true;
            return errno == EAGAIN;
        }
        frames_sent(c, (size_t)n);
    }
    return true;
}

static void ipc_flush(struct ipc *c) {
    c->full = false;
    if (c->broken || !ipc_write(c)) {
        ipc_lost(c);
        return;
    }
    fd_watch_set(c->watch, FD_READ | (c->out_first ? FD_WRITE : 0));
}

static void flush_deferred(void *user) {
    struct ipc *c = user;
    c->flush_scheduled = false;
    if (!c->closed) ipc_flush(c);
    ipc_unref(c);
}

/* Messages of one turn of the loop leave in one system call, unless they are many: then the peer
 * begins with the first ones meanwhile. Nothing fails inside ipc_send. */
static void flush_schedule(struct ipc *c) {
    if (c->flush_scheduled) return;
    c->flush_scheduled = true;
    c->refs++;
    loop_defer(c->loop, flush_deferred, c);
}

/* False: a descriptor cannot be duplicated. */
static bool frame_queue(struct ipc *c, struct ipc_frame *f, const int *fds, size_t n_fds) {
    for (; f->n_fds < n_fds; f->n_fds++) {
        f->fds[f->n_fds] = fcntl(fds[f->n_fds], F_DUPFD_CLOEXEC, 3);
        if (f->fds[f->n_fds] < 0) {
            c->out_bytes -= f->n;
            ipc_frame_free(f);
            return false;
        }
    }
    if (c->out_last)
        c->out_last->next = f;
    else
        c->out_first = f;
    c->out_last = f;
    return true;
}

void ipc_send(struct ipc *c, uint16_t type, uint32_t id, struct slice body, const int *fds,
              size_t n_fds) {
    assert(n_fds <= LIMIT_IPC_FDS);
    if (c->closed || c->broken) return;
    flush_schedule(c);
    if (body.n > LIMIT_IPC_BYTES || c->out_bytes + body.n > LIMIT_IPC_QUEUE_BYTES) {
        log_warn("ipc_cut_off", "peer_uid=%u reason=queue type=%u", (unsigned)c->peer_uid, type);
        c->broken = true;
        return;
    }
    size_t bytes = IPC_HEADER_BYTES + body.n;
    struct ipc_frame *f = c->out_last;
    bool fits = f && !n_fds && !f->n_fds && f->cap - f->n >= bytes;
    if (!fits) f = ipc_frame_new(bytes);
    char *at = f->bytes + f->n;
    ipc_header_put(at, &(struct ipc_header){(uint32_t)body.n, type, (uint16_t)n_fds, id});
    if (body.n) memcpy(at + IPC_HEADER_BYTES, body.p, body.n);
    f->n += bytes;
    c->out_bytes += bytes;
    if (!fits && !frame_queue(c, f, fds, n_fds)) c->broken = true;
    if (c->out_bytes >= EARLY_BYTES && !c->full && !c->broken && !ipc_write(c)) c->broken = true;
}

size_t ipc_queued_bytes(const struct ipc *c) { return c->out_bytes; }

void ipc_call(struct ipc *c, uint16_t type, struct slice body, const int *fds, size_t n_fds,
              ipc_reply_fn *fn, void *user) {
    if (c->closed) return;
    c->last_id = (c->last_id + 1) & ~ACCEPTED_ID_BIT;
    if (!c->last_id) c->last_id = 1;
    uint32_t id = c->last_id | c->id_bit;
    vec_push(&c->calls, (struct pending_call){id, fn, user});
    ipc_send(c, type, id, body, fds, n_fds);
}

/* ---- connections ---- */

static void on_ready(void *user, unsigned events) {
    struct ipc *c = user;
    c->refs++;
    if (events & FD_WRITE) ipc_flush(c);
    if (events & FD_READ) {
        /* What comes in a burst is handled in several turns: others wait for each one's end. */
        c->until_ns = loop_slice_end(c->loop, CLOCK_SLICE_NS);
        for (int i = 0; i < READS_PER_TURN && !c->closed && !c->rest_scheduled && ipc_read(c); i++)
            if (clock_span_ns() >= c->until_ns) break;
    }
    ipc_unref(c);
}

static struct ipc *ipc_new(struct loop *l, int fd, const struct ipc_handler *h, uint32_t id_bit) {
    struct ipc *c = calloc(1, sizeof *c);
    if (!c) abort();
    *c = (struct ipc){.loop = l, .fd = fd, .refs = 1, .id_bit = id_bit};
    c->peer_uid = (uid_t)-1;
    if (h) c->handler = *h;
    struct ucred cred;
    socklen_t n = sizeof cred;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &n) == 0) c->peer_uid = cred.uid;
    c->watch = fd_watch_new(l, fd, FD_READ, on_ready, c);
    return c;
}

int ipc_connect(struct loop *l, const char *path, const struct ipc_handler *h, struct ipc **ret,
                struct err *err) {
    int fd;
    int r = unix_connect(path, true, &fd, err);
    if (r < 0) return r;
    *ret = ipc_new(l, fd, h, 0);
    return 0;
}

uid_t ipc_peer_uid(const struct ipc *c) { return c->peer_uid; }

void ipc_set_handler(struct ipc *c, const struct ipc_handler *h) { c->handler = *h; }

/* ---- listening ---- */

struct ipc_listener {
    struct loop *loop;
    int fd;
    struct fd_watch *watch;
    struct timer *pause;
    uid_t *allowed;
    size_t n_allowed;
    void (*accepted)(struct ipc *c, void *user);
    void *user;
};

static bool peer_allowed(const struct ipc_listener *l, uid_t uid) {
    if (uid == 0) return true;
    for (size_t i = 0; i < l->n_allowed; i++)
        if (l->allowed[i] == uid) return true;
    return false;
}

static void listener_resume(void *user) {
    struct ipc_listener *l = user;
    fd_watch_set(l->watch, FD_READ);
}

static void on_connection(void *user, unsigned events) {
    struct ipc_listener *l = user;
    int fd = accept4(l->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0) {
        if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
            fd_watch_set(l->watch, 0); /* else the loop would spin until a descriptor is free */
            timer_start(l->pause, 100, 0);
        }
        return;
    }
    struct ucred cred;
    socklen_t n = sizeof cred;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &n) < 0 || !peer_allowed(l, cred.uid)) {
        log_warn("ipc_peer_refused", "uid=%u", (unsigned)cred.uid);
        close(fd);
        return;
    }
    l->accepted(ipc_new(l->loop, fd, NULL, ACCEPTED_ID_BIT), l->user);
}

struct ipc_listener *ipc_listen(struct loop *l, int fd, const uid_t *allowed, size_t n_allowed,
                                void (*accepted)(struct ipc *c, void *user), void *user) {
    struct ipc_listener *s = calloc(1, sizeof *s);
    uid_t *copy = calloc(n_allowed + 1, sizeof *copy);
    if (!s || !copy) abort();
    if (n_allowed) memcpy(copy, allowed, n_allowed * sizeof *copy);
    *s = (struct ipc_listener){.loop = l,
                               .fd = fd,
                               .allowed = copy,
                               .n_allowed = n_allowed,
                               .accepted = accepted,
                               .user = user};
    s->pause = timer_new(l, listener_resume, s);
    s->watch = fd_watch_new(l, fd, FD_READ, on_connection, s);
    return s;
}

void ipc_listener_free(struct ipc_listener *l) {
    if (!l) return;
    fd_watch_free(l->watch);
    timer_free(l->pause);
    free(l->allowed);
    free(l);
}
