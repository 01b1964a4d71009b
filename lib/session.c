/* Joining a topology by its ring door, and what the service says there later. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/own.h"
#include "client.h"

enum { JOIN_MS = 10000, SIDE_SEALS = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE };

static void close_all(int *fds, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (fds[i] >= 0) close(fds[i]);
}

/* One message and its descriptors. Returns the bytes behind it, -EAGAIN, -ECONNRESET. */
static ssize_t hear(int ctl, struct sp_session_message *m, void *bytes, size_t room, int *fds,
                    size_t *ret_fds) {
    union {
        struct cmsghdr head;
        char room[CMSG_SPACE(sizeof(int) * SP_SESSION_FDS_MAX)];
    } control;
    struct iovec v[2] = {{m, sizeof(*m)}, {bytes, room}};
    struct msghdr h = {.msg_iov = v,
                       .msg_iovlen = 2,
                       .msg_control = &control,
                       .msg_controllen = CMSG_LEN(sizeof(int) * SP_SESSION_FDS_MAX)};
    *ret_fds = 0;
    ssize_t n = recvmsg(ctl, &h, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (n < 0) return errno == EAGAIN || errno == EINTR ? -EAGAIN : -ECONNRESET;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&h); c; c = CMSG_NXTHDR(&h, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
        *ret_fds = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        memcpy(fds, CMSG_DATA(c), *ret_fds * sizeof(int));
    }
    if (n >= (ssize_t)sizeof(*m) && !(h.msg_flags & (MSG_TRUNC | MSG_CTRUNC)))
        return n - (ssize_t)sizeof(*m);
    close_all(fds, *ret_fds);
    *ret_fds = 0;
    return -ECONNRESET;
}

static int tell(int ctl, const struct sp_session_message *m, const void *bytes, size_t n,
                const int *fds, size_t n_fds) {
    union {
        struct cmsghdr head;
        char room[CMSG_SPACE(sizeof(int) * SP_SESSION_FDS_MAX)];
    } control = {0};
    struct iovec v[2] = {{(void *)(uintptr_t)m, sizeof(*m)}, {(void *)(uintptr_t)bytes, n}};
    struct msghdr h = {.msg_iov = v, .msg_iovlen = 2};
    if (n_fds) {
        h.msg_control = &control;
        h.msg_controllen = CMSG_SPACE(sizeof(int) * n_fds);
        struct cmsghdr *c = CMSG_FIRSTHDR(&h);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof(int) * n_fds);
        memcpy(CMSG_DATA(c), fds, sizeof(int) * n_fds);
    }
    while (sendmsg(ctl, &h, MSG_NOSIGNAL) < 0)
        if (errno != EINTR) return errno == EPIPE ? -ECONNRESET : -errno;
    return 0;
}

/* Returns 1 when the beginning is complete. */
static int obey(struct sp *s, const struct sp_session_message *m, const unsigned char *bytes,
                size_t n, int *fds, size_t n_fds) {
    switch (m->kind) {
    case SP_SESSION_SOURCE:
    case SP_SESSION_READER:
    case SP_SESSION_LANE: {
        int rc = peers_add(s, m, fds, n_fds);
        if (rc == -EBADMSG) { /* that peer's fault; the others stay */
            s->bad++;
            session_complain(s, m->id);
        }
        return rc == -EBADMSG ? 0 : rc;
    }
    case SP_SESSION_GONE: peers_gone(s, m->id); return 0;
    case SP_SESSION_ACTIVE: s->active = m->id; return 0;
    case SP_SESSION_DATA: return pending_add(&s->pending, bytes, n);
    case SP_SESSION_READY: return 1;
    default: return 0; /* of a newer service */
    }
}

static int listen_once(struct sp *s, bool *ret_ready) {
    struct sp_session_message m;
    int fds[SP_SESSION_FDS_MAX];
    size_t n_fds;
    static __thread unsigned char bytes[SP_SESSION_BYTES_MAX];
    ssize_t n = hear(s->ctl, &m, bytes, sizeof(bytes), fds, &n_fds);
    if (n < 0) return (int)n;
    int rc = obey(s, &m, bytes, (size_t)n, fds, n_fds);
    close_all(fds, n_fds);
    if (rc == 1) *ret_ready = true;
    return rc < 0 ? rc : 0;
}

int session_listen(struct sp *s, bool always) {
    bool ready = false;
    int rc = 0;
    if (!always && !session_has_news(s)) return 0;
    s->news = atomic_load_explicit(&s->service->news, memory_order_acquire);
    while (rc == 0) rc = listen_once(s, &ready);
    if (rc == -EAGAIN) return 0;
    s->broken = true;
    return -ECONNRESET;
}

/* A memfd that only this process will ever write. */
static int make_memfd(const char *name, size_t bytes, void **ret, int *ret_fd) {
    OWN(close_p) int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0 || posix_fallocate(fd, 0, (off_t)bytes) != 0) return -ENOMEM;
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (p == MAP_FAILED) return -errno;
    if (fcntl(fd, F_ADD_SEALS, SIDE_SEALS) < 0) {
        munmap(p, bytes);
        return -errno;
    }
    *ret = p;
    *ret_fd = TAKE_FD(fd);
    return 0;
}

static int wait_ctl(const struct sp *s, uint64_t deadline) {
    uint64_t now = client_now_ms();
    struct pollfd p = {.fd = s->ctl, .events = POLLIN};
    if (now >= deadline) return -ETIMEDOUT;
    if (poll(&p, 1, (int)(deadline - now)) < 0 && errno != EINTR) return -errno;
    return 0;
}

static const struct timeval bell_time = {.tv_sec = BELL_MS / 1000};

static int hear_welcome(struct sp *s, uint64_t deadline, struct sp_session_message *m) {
    int fds[SP_SESSION_FDS_MAX], rc;
    size_t n_fds;
    ssize_t n;
    void *side;
    while ((n = hear(s->ctl, m, NULL, 0, fds, &n_fds)) == -EAGAIN)
        if ((rc = wait_ctl(s, deadline)) < 0) return rc;
    if (n < 0) return -ENOENT; /* no room for another ring: the plain door will do */
    rc = m->kind != SP_SESSION_WELCOME || n_fds != 3 ? -EPROTO : 0;
    if (rc == 0 && m->version != SP_SESSION_VERSION) rc = -ENOENT; /* the plain door will do */
    if (rc == 0) rc = map_memfd(fds[0], SP_SIDE_BYTES, false, &side, NULL);
    if (rc == 0) {
        s->service = side;
        s->bell = TAKE_FD(fds[1]);
        setsockopt(s->bell, SOL_SOCKET, SO_RCVTIMEO, &bell_time, sizeof(bell_time));
        s->bell_far = TAKE_FD(fds[2]);
        s->flags = m->flags;
        s->maximum_bytes = (uint32_t)(m->value >> 32);
        s->resend_ms = (uint32_t)m->value;
    }
    close_all(fds, n_fds);
    return rc;
}

static int say_hello(struct sp *s, uint64_t ring_bytes) {
    struct sp_session_message m = {.kind = SP_SESSION_HELLO, .version = SP_SESSION_VERSION};
    OWN(close_p) int side_fd = -1;
    OWN(close_p) int ring_fd = -1;
    void *side;
    int rc = make_memfd("atoll-sp-side", SP_SIDE_BYTES, &side, &side_fd);
    if (rc < 0) return rc;
    s->side = side;
    if (s->protocol->role == SP_PUB) {
        if (ring_bytes > SP_RING_MAX_BYTES) return -EPROTO;
        s->out_bytes = SP_RING_HEADER_BYTES + (size_t)ring_bytes;
        rc = make_memfd("atoll-sp-ring", s->out_bytes, &s->out_memory, &ring_fd);
        if (rc < 0) return rc;
        uint32_t most = sp_ring_largest(ring_bytes);
        if (s->maximum_bytes > most) s->maximum_bytes = most;
        rc = sp_ring_format(s->out_memory, ring_bytes, s->maximum_bytes, &s->out);
        if (rc < 0) return rc;
        m.size = ring_bytes;
    }
    int fds[] = {side_fd, ring_fd};
    return tell(s->ctl, &m, NULL, 0, fds, ring_fd >= 0 ? 2 : 1);
}

static int connect_door(struct sp *s) {
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int n =
        snprintf(a.sun_path, sizeof(a.sun_path), "%s/.ring/%s", s->directory, s->protocol->name);
    if (n >= (int)sizeof(a.sun_path)) return -ENOENT;
    s->ctl = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (s->ctl < 0) return -errno;
    return connect(s->ctl, (struct sockaddr *)&a, sizeof(a)) < 0 ? -errno : 0;
}

int session_open(struct sp *s) {
    uint64_t deadline = client_now_ms() + JOIN_MS;
    struct sp_session_message m;
    bool ready = false;
    int rc = connect_door(s);
    if (rc < 0) return rc;
    s->bell_empties = s->protocol->role == SP_PUB || s->protocol->role == SP_PUSH;
    rc = hear_welcome(s, deadline, &m);
    if (rc == 0) rc = say_hello(s, m.size);
    while (rc == 0 && !ready) {
        rc = listen_once(s, &ready);
        if (rc == -EAGAIN) rc = wait_ctl(s, deadline);
    }
    return rc;
}

void session_close(struct sp *s) {
    peers_free(s);
    if (s->ctl >= 0) close(s->ctl);
    if (s->bell >= 0) close(s->bell);
    if (s->bell_far >= 0) close(s->bell_far);
    if (s->side) munmap(s->side, SP_SIDE_BYTES);
    if (s->service) munmap((void *)(uintptr_t)s->service, SP_SIDE_BYTES);
    if (s->out_memory) munmap(s->out_memory, s->out_bytes);
    pending_done(&s->pending);
    s->ctl = s->bell = s->bell_far = -1;
    s->side = NULL;
    s->service = NULL;
    s->out_memory = NULL;
}

void session_complain(const struct sp *s, uint32_t id) {
    const struct sp_session_message m = {.kind = SP_SESSION_BROKEN, .id = id};
    (void)!send(s->ctl, &m, sizeof(m), MSG_DONTWAIT | MSG_NOSIGNAL);
}

int session_subscribe(struct sp *s, const void *prefix, size_t n, bool on) {
    struct sp_session_message m = {.kind = on ? SP_SESSION_SUBSCRIBE : SP_SESSION_UNSUBSCRIBE,
                                   .id = ++s->asked};
    uint64_t deadline = client_now_ms() + JOIN_MS;
    int rc = on ? subscriptions_add(&s->subscriptions, prefix, n)
                : subscriptions_remove(&s->subscriptions, prefix, n);
    if (rc < 0) return rc;
    rc = tell(s->ctl, &m, prefix, n, NULL, 0);
    while (rc == 0 && (int32_t)(s->active - m.id) < 0) {
        rc = wait_ctl(s, deadline);
        if (rc == 0) rc = session_listen(s, true);
    }
    return rc;
}
