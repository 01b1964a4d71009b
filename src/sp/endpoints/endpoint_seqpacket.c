/*
 * The plain door: SOCK_SEQPACKET, one send or recv is one message. Batches both ways: one
 * recvmmsg or sendmmsg moves up to 32 or 64 messages.
 *
 * A role that never sends (pull) has its sending direction shut, so its send fails with EPIPE. A
 * client that shuts down its own sending direction goes on receiving. A message without bytes and
 * the end look alike but for the sender's credentials, which the kernel puts beside messages only.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/own.h"
#include "sp/endpoints/endpoint.h"
#include "sp/memory.h"
#include "sp/patterns/pubsub.h"
#include "sp/sp_service.h"

enum {
    IN_BATCH = 32,
    OUT_BATCH = 64,
    SLOT_BYTES = 4 * 1024 * 1024,
    STRIDE_BYTES = SLOT_BYTES + 4096 + 192, /* slots do not share their lines of the cache */
    KEPT_BYTES = 64 * 1024,                 /* of a slot stay with us after a large message */
    SKB_BYTES = 4096                        /* what the kernel needs besides, generously */
};

struct client {
    struct sp_pipe pipe; /* first */
    int fd;
    struct fd_watch *watch;
    size_t header_room; /* of each message it sends */
    int buffer_bytes;   /* asked for; 0: the default */
    bool paused, send_blocked, read_ended, hangup_seen;
};

static const struct sp_pipe_ops ops;

/* Where messages arrive, for all clients: untouched pages cost nothing. */
static char *arrivals(void) {
    static char *p;
    if (p) return p;
    void *map = mmap(NULL, (size_t)IN_BATCH * STRIDE_BYTES, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (map == MAP_FAILED) abort();
    return p = map;
}

static void watch_update(struct client *c) {
    if (!c->watch) return; /* it is just being opened, and has got more than its socket holds */
    unsigned events = c->read_ended    ? FD_END
                      : !c->paused     ? FD_READ
                      : c->hangup_seen ? 0
                                       : FD_HANGUP;
    fd_watch_set(c->watch, events | (c->send_blocked ? FD_WRITE : 0));
}

/* ---- from the client ---- */

static bool is_gone(const struct client *c) {
    struct pollfd p = {.fd = c->fd};
    return poll(&p, 1, 0) > 0 && (p.revents & (POLLHUP | POLLERR));
}

/* Whoever is asked must be able to answer. */
static bool may_be_mute(enum sp_role role) {
    return sp_protocol_of_role(role)->receives && role != SP_REP && role != SP_RESPONDENT;
}

static void ended(struct client *c) {
    if (!is_gone(c) && may_be_mute(c->pipe.role)) { /* it still listens */
        c->read_ended = true;
        watch_update(c);
        return;
    }
    sp_pipe_hung_up(&c->pipe, "client has closed");
}

/* Takes over what arrived in one slot. */
static void take(struct client *c, char *slot, const struct mmsghdr *m) {
    if (m->msg_hdr.msg_flags & MSG_TRUNC) {
        sp_pipe_lost(&c->pipe, 1, "larger than any message may be");
        return;
    }
    sp_pipe_received(&c->pipe, sp_message_new(c->header_room, slice_from(slot, m->msg_len)));
    if (m->msg_len > KEPT_BYTES) {
        uintptr_t from = ((uintptr_t)slot + KEPT_BYTES) & ~(uintptr_t)4095;
        madvise((void *)from, (uintptr_t)slot + m->msg_len - from, MADV_DONTNEED);
    }
}

static int receive_batch(struct client *c, struct mmsghdr messages[IN_BATCH]) {
    static char senders[IN_BATCH][CMSG_SPACE(sizeof(struct ucred))]; /* nobody looks at them */
    struct iovec v[IN_BATCH];
    char *slots = arrivals();
    memset(messages, 0, IN_BATCH * sizeof messages[0]);
    for (size_t i = 0; i < IN_BATCH; i++) {
        v[i] = (struct iovec){slots + i * STRIDE_BYTES, SLOT_BYTES};
        messages[i].msg_hdr = (struct msghdr){.msg_iov = &v[i],
                                              .msg_iovlen = 1,
                                              .msg_control = senders[i],
                                              .msg_controllen = sizeof senders[i]};
    }
    int n = recvmmsg(c->fd, messages, IN_BATCH, MSG_DONTWAIT, NULL);
    if (n < 0 && errno != EAGAIN && errno != EINTR) sp_pipe_close(&c->pipe, "client has closed");
    return n;
}

/* How many messages came, the end being one; -errno. */
static int read_some(struct client *c) {
    struct mmsghdr messages[IN_BATCH];
    if (sp_memory_holds(&c->pipe)) return 0;
    int n = receive_batch(c, messages);
    if (n > 0) sp_endpoints_catch_up(c->pipe.topology);
    for (int i = 0; i < n && !c->pipe.closing; i++) {
        if (messages[i].msg_len == 0 && messages[i].msg_hdr.msg_controllen == 0) {
            ended(c);
            break;
        }
        take(c, arrivals() + (size_t)i * STRIDE_BYTES, &messages[i]);
    }
    sp_pipes_flush();
    return n;
}

static void notice_end(struct sp_pipe *p) {
    struct client *c = (struct client *)p;
    while (sp_pipe_may_read(p) && is_gone(c) && read_some(c) > 0) {
    }
}

static void on_event(void *user, unsigned events) {
    struct client *c = user;
    if (c->pipe.closing) {
        fd_watch_set(c->watch, 0);
        return;
    }
    if (events & FD_WRITE) {
        c->send_blocked = false;
        sp_pipe_flush(&c->pipe);
        if (!c->pipe.closing) watch_update(c);
    }
    if (events & FD_END && !c->pipe.closing) sp_pipe_close(&c->pipe, "client has closed");
    if (events & FD_HANGUP && !c->pipe.closing) {
        c->hangup_seen = true;
        watch_update(c);
        sp_pipe_hung_up(&c->pipe, "client has closed");
    }
    if (events & FD_READ && sp_pipe_may_read(&c->pipe)) read_some(c);
    sp_pipes_flush();
}

/* ---- to the client ---- */

static int send_batch(struct client *c) {
    struct mmsghdr messages[OUT_BATCH];
    struct iovec v[OUT_BATCH];
    unsigned n = 0;
    memset(messages, 0, sizeof messages);
    for (struct sp_message *m; n < OUT_BATCH && (m = sp_pipe_peek(&c->pipe, n)); n++) {
        v[n] = (struct iovec){sp_message_body_p(m), m->body_n};
        messages[n].msg_hdr = (struct msghdr){.msg_iov = &v[n], .msg_iovlen = 1};
    }
    int sent = sendmmsg(c->fd, messages, n, MSG_DONTWAIT | MSG_NOSIGNAL);
    return sent < 0 ? -errno : sent;
}

/* The first message is larger than the socket's buffer, which holds a few hundred small ones: it
 * grows only for whoever needs it, as far as net.core.wmem_max allows. */
static bool buffer_grow(struct client *c) {
    const struct sp_message *m = sp_pipe_peek(&c->pipe, 0);
    int bytes = (int)m->body_n + SKB_BYTES;
    if (c->buffer_bytes >= bytes) return false;
    c->buffer_bytes = bytes;
    return setsockopt(c->fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes) == 0;
}

static void flush(struct sp_pipe *p) {
    struct client *c = (struct client *)p;
    while (sp_pipe_waiting(p) && !c->send_blocked && !p->closing) {
        int n = send_batch(c);
        if (n > 0) {
            sp_pipe_sent(p, (uint32_t)n);
        } else if (n == -EAGAIN || n == -ENOBUFS) {
            c->send_blocked = true;
            watch_update(c);
        } else if (n == -EMSGSIZE) {
            if (!buffer_grow(c)) sp_pipe_unsendable(p);
        } else if (n != -EINTR) {
            sp_pipe_close(p, "client has closed");
        }
    }
}

static void pause_reading(struct sp_pipe *p, bool paused) {
    struct client *c = (struct client *)p;
    c->paused = paused;
    if (!paused) c->hangup_seen = false;
    watch_update(c);
}

static void client_freed(struct sp_pipe *p) {
    struct client *c = (struct client *)p;
    fd_watch_free(c->watch);
    close(c->fd);
    free(c);
}

static const struct sp_pipe_ops ops = {.door = "seqpacket",
                                       .flush = flush,
                                       .pause = pause_reading,
                                       .freed = client_freed,
                                       .notice_end = notice_end};

/* ---- connecting ---- */

static size_t header_room_of(enum sp_role role) {
    switch (sp_protocol_of_role(role)->header) {
    case SP_HEADER_TAGS: return SP_TAGS_BYTES_MAX;
    case SP_HEADER_HOPS: return SP_HOPS_BYTES;
    case SP_HEADER_NONE: break;
    }
    return role == SP_PAIR ? SP_HOPS_BYTES : 0;
}

static void client_accepted(struct sp_endpoint *e, int fd, const struct sp_credentials *who) {
    struct sp_topology *t = e->topology;
    struct client *c = calloc(1, sizeof *c);
    struct err err = {0};
    if (!c) abort();
    *c = (struct client){.fd = fd, .header_room = header_room_of(e->role)};
    c->pipe = (struct sp_pipe){.topology = t, .ops = &ops, .role = e->role, .who = *who};
    if (sp_pipe_open(&c->pipe, &err) < 0) {
        e->refused++;
        sp_log(t->service, "client_refused", "file=%s/%s pid=%d reason=\"%s\"", t->config->name,
               e->name, (int)who->pid, err.text);
        close(fd);
        free(c);
        return;
    }
    int on = 1;
    setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof on);
    if (e->role == SP_PULL) {
        shutdown(fd, SHUT_RD);
        c->read_ended = true;
    }
    c->watch = fd_watch_new(t->loop, fd, c->read_ended ? FD_END : FD_READ, on_event, c);
    watch_update(c);
    if (e->filter && sp_pubsub_subscribe(&c->pipe, e->filter->prefix) < 0)
        sp_pipe_fault(&c->pipe, "too many subscriptions");
    sp_pipes_flush();
}

static const struct sp_door seqpacket = {.name = "seqpacket",
                                         .directory = "",
                                         .suffix = "",
                                         .socket_type = SOCK_SEQPACKET,
                                         .filters = true,
                                         .accepted = client_accepted};
SP_DOOR(seqpacket);
