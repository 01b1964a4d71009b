/* The calls that send and receive. */
#include "preload_includes.h"

#include "preload.h"

enum { BATCH = 64 };

/* ---- sending ---- */

static int flags_of(const struct shim *h, int flags) {
    return h->nonblocking || flags & MSG_DONTWAIT ? SP_DONTWAIT : 0;
}

/* A time-out of a socket option is told as EAGAIN. */
static ssize_t told(ssize_t rc) {
    if (rc < 0 && errno == ETIMEDOUT) errno = EAGAIN;
    return rc;
}

static struct sp *sender_of(const struct shim *h) {
    if (!h->sends_no_more) return end_of(h);
    errno = EPIPE;
    return NULL;
}

static ssize_t give(struct shim *h, const void *p, size_t n, int flags) {
    struct sp *s = sender_of(h);
    if (!s) return -1;
    if (flags & MSG_OOB) return fail(EOPNOTSUPP);
    return told(sp_send(s, p, n, flags_of(h, flags))) < 0 ? -1 : (ssize_t)n;
}

static ssize_t sum_of(const struct iovec *v, size_t n) {
    size_t sum = 0;
    for (size_t i = 0; i < n; i++)
        if (__builtin_add_overflow(sum, v[i].iov_len, &sum) || sum > SSIZE_MAX) return fail(EINVAL);
    return (ssize_t)sum;
}

static ssize_t give_parts(struct shim *h, const struct iovec *v, size_t n, int flags) {
    if (n == 1) return give(h, v->iov_base, v->iov_len, flags);
    ssize_t sum = sum_of(v, n);
    if (sum < 0) return -1;
    char *all_of_it = malloc((size_t)sum + 1), *at = all_of_it;
    if (!all_of_it) return -1;
    for (size_t i = 0; i < n; at += v[i++].iov_len) memcpy(at, v[i].iov_base, v[i].iov_len);
    ssize_t rc = give(h, all_of_it, (size_t)sum, flags);
    free(all_of_it);
    return rc;
}

EXPORT ssize_t send(int fd, const void *p, size_t n, int flags) {
    struct shim *h = shim_of(fd);
    return h ? give(h, p, n, flags) : libc()->send(fd, p, n, flags);
}

EXPORT ssize_t sendto(int fd, const void *p, size_t n, int flags, const struct sockaddr *a,
                      socklen_t a_n) {
    struct shim *h = shim_of(fd);
    if (!h) return libc()->sendto(fd, p, n, flags, a, a_n);
    return a ? fail(EISCONN) : give(h, p, n, flags);
}

EXPORT ssize_t sendmsg(int fd, const struct msghdr *m, int flags) {
    struct shim *h = shim_of(fd);
    if (!h) return libc()->sendmsg(fd, m, flags);
    return m->msg_controllen ? fail(EOPNOTSUPP) : give_parts(h, m->msg_iov, m->msg_iovlen, flags);
}

EXPORT int sendmmsg(int fd, struct mmsghdr *m, unsigned n, int flags) {
    struct shim *h = shim_of(fd);
    if (!h) return libc()->sendmmsg(fd, m, n, flags);
    struct sp *s = sender_of(h);
    struct iovec v[BATCH];
    unsigned sent = 0;
    while (s && sent < n) {
        unsigned k = 0;
        while (k < BATCH && sent + k < n && m[sent + k].msg_hdr.msg_iovlen == 1)
            v[k] = *m[sent + k].msg_hdr.msg_iov, k++;
        ssize_t rc = k ? told(sp_sendv(s, v, k, flags_of(h, flags)))
                     : sendmsg(fd, &m[sent].msg_hdr, flags) < 0 ? -1
                                                                : 1;
        if (rc < 0) break;
        for (ssize_t i = 0; i < rc; i++, sent++)
            m[sent].msg_len = (unsigned)sum_of(m[sent].msg_hdr.msg_iov, m[sent].msg_hdr.msg_iovlen);
        if (k && rc < (ssize_t)k) break;
    }
    return sent ? (int)sent : -1;
}

EXPORT ssize_t write(int fd, const void *p, size_t n) {
    struct shim *h = shim_of(fd);
    return h ? give(h, p, n, 0) : libc()->write(fd, p, n);
}

EXPORT ssize_t writev(int fd, const struct iovec *v, int n) {
    struct shim *h = shim_of(fd);
    if (!h) return libc()->writev(fd, v, n);
    return n < 0 ? fail(EINVAL) : give_parts(h, v, (size_t)n, 0);
}

/* ---- receiving ---- */

/* Copies the next message without taking it. */
static ssize_t peek(struct sp *s, void *p, size_t n) {
    client_lock(s);
    ssize_t rc = s->ring ? client_mine(s) : -EOPNOTSUPP;
    if (rc == 0) rc = ring_fetch(s);
    if (rc == 1) {
        rc = (ssize_t)s->ahead_n;
        memcpy(p, s->ahead, s->ahead_n < n ? s->ahead_n : n);
    } else if (rc == 0) {
        rc = -EAGAIN;
    }
    client_unlock(s);
    return rc < 0 ? fail((int)-rc) : rc;
}

static ssize_t get(struct shim *h, void *p, size_t n, int flags, int *ret_flags) {
    struct sp *s = end_of(h);
    if (!s) return -1;
    if (ret_flags) *ret_flags = 0;
    if (h->receives_no_more) return 0;
    if (h->generation != s->generation) shim_sync(h);
    ssize_t rc = flags & MSG_PEEK ? peek(s, p, n) : told(sp_recv(s, p, n, flags_of(h, flags)));
    if (rc < 0) return -1;
    if (ret_flags) *ret_flags = (size_t)rc > n ? MSG_TRUNC : 0;
    return (size_t)rc > n && !(flags & MSG_TRUNC) ? (ssize_t)n : rc;
}

static ssize_t get_parts(struct shim *h, const struct iovec *v, size_t n, int flags,
                         int *ret_flags) {
    if (n == 1) return get(h, v->iov_base, v->iov_len, flags, ret_flags);
    ssize_t sum = sum_of(v, n);
    if (sum < 0) return -1;
    char *all_of_it = malloc((size_t)sum + 1);
    if (!all_of_it) return -1;
    ssize_t rc = get(h, all_of_it, (size_t)sum, flags, ret_flags);
    size_t left = rc < 0 ? 0 : rc < sum ? (size_t)rc : (size_t)sum, at = 0;
    for (size_t i = 0; left && i < n; i++) {
        size_t part = left < v[i].iov_len ? left : v[i].iov_len;
        memcpy(v[i].iov_base, all_of_it + at, part);
        at += part;
        left -= part;
    }
    free(all_of_it);
    return rc;
}

EXPORT ssize_t recv(int fd, void *p, size_t n, int flags) {
    struct shim *h = shim_of(fd);
    return h ? get(h, p, n, flags, NULL) : libc()->recv(fd, p, n, flags);
}

EXPORT ssize_t recvfrom(int fd, void *p, size_t n, int flags, struct sockaddr *a, socklen_t *a_n) {
    struct shim *h = shim_of(fd);
    if (!h) return libc()->recvfrom(fd, p, n, flags, a, a_n);
    if (a && a_n) *a_n = 0;
    return get(h, p, n, flags, NULL);
}

EXPORT ssize_t recvmsg(int fd, struct msghdr *m, int flags) {
    struct shim *h = shim_of(fd);
    if (!h) return libc()->recvmsg(fd, m, flags);
    m->msg_namelen = 0;
    m->msg_controllen = 0;
    return get_parts(h, m->msg_iov, m->msg_iovlen, flags, &m->msg_flags);
}

EXPORT int recvmmsg(int fd, struct mmsghdr *m, unsigned n, int flags, struct timespec *limit) {
    struct shim *h = shim_of(fd);
    if (!h) return libc()->recvmmsg(fd, m, n, flags, limit);
    unsigned got = 0;
    for (; got < n; got++) {
        int f = got && flags & MSG_WAITFORONE ? flags | MSG_DONTWAIT : flags;
        ssize_t rc = recvmsg(fd, &m[got].msg_hdr, f & ~MSG_WAITFORONE);
        if (rc < 0) break;
        m[got].msg_len = (unsigned)rc;
    }
    return got ? (int)got : n ? -1 : 0;
}

EXPORT ssize_t read(int fd, void *p, size_t n) {
    struct shim *h = shim_of(fd);
    return h ? get(h, p, n, 0, NULL) : libc()->read(fd, p, n);
}

EXPORT ssize_t readv(int fd, const struct iovec *v, int n) {
    struct shim *h = shim_of(fd);
    if (!h) return libc()->readv(fd, v, n);
    return n < 0 ? fail(EINVAL) : get_parts(h, v, (size_t)n, 0, NULL);
}

/* What programs that were compiled with _FORTIFY_SOURCE call instead. */
EXPORT ssize_t __read_chk(int fd, void *p, size_t n, size_t room);
EXPORT ssize_t __read_chk(int fd, void *p, size_t n, size_t room) {
    if (n > room) abort();
    return read(fd, p, n);
}

EXPORT ssize_t __recv_chk(int fd, void *p, size_t n, size_t room, int flags);
EXPORT ssize_t __recv_chk(int fd, void *p, size_t n, size_t room, int flags) {
    if (n > room) abort();
    return recv(fd, p, n, flags);
}

EXPORT ssize_t __recvfrom_chk(int fd, void *p, size_t n, size_t room, int flags, struct sockaddr *a,
                              socklen_t *a_n);
EXPORT ssize_t __recvfrom_chk(int fd, void *p, size_t n, size_t room, int flags, struct sockaddr *a,
                              socklen_t *a_n) {
    if (n > room) abort();
    return recvfrom(fd, p, n, flags, a, a_n);
}
