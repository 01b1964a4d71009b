/* The functions of atoll/sp.h. */
#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "client.h"

/* ---- lock: 0 free, 1 held, 2 held and waited for (U. Drepper, "Futexes are tricky") ---- */

static _Atomic uint32_t forks; /* between the first process and this one */

static void child_of_fork(void) { forks++; }

__attribute__((constructor)) static void notice_forks(void) {
    pthread_atfork(NULL, NULL, child_of_fork);
}

void client_lock(struct sp *s) {
    uint32_t was = s->lock_forks;
    /* Whoever held it when the process forked does not exist here. */
    if (was != forks && atomic_compare_exchange_strong(&s->lock_forks, &was, forks)) s->lock = 0;
    was = 0;
    if (atomic_compare_exchange_strong_explicit(&s->lock, &was, 1, memory_order_acquire,
                                                memory_order_relaxed))
        return;
    while (atomic_exchange_explicit(&s->lock, 2, memory_order_acquire) != 0)
        syscall(SYS_futex, &s->lock, FUTEX_WAIT_PRIVATE, 2, NULL, NULL, 0);
}

void client_unlock(struct sp *s) {
    if (atomic_exchange_explicit(&s->lock, 0, memory_order_release) == 2)
        syscall(SYS_futex, &s->lock, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

/* ---- what is kept for later ---- */

int pending_add(struct pending_list *l, const void *bytes, size_t n) {
    struct pending *p = malloc(sizeof(*p) + n);
    if (!p) return -ENOMEM;
    p->next = NULL;
    p->n = n;
    memcpy(p->bytes, bytes, n);
    *(l->first ? &l->last->next : &l->first) = p;
    l->last = p;
    return 0;
}

void pending_drop(struct pending_list *l) {
    struct pending *p = l->first;
    l->first = p->next;
    free(p);
}

void pending_done(struct pending_list *l) {
    while (l->first) pending_drop(l);
}

/* ---- opening ---- */

static int open_doors(struct sp *s) {
    s->forks = forks;
    s->generation++;
    s->ring = true;
    int rc = session_open(s);
    if (rc == -ENOENT) { /* no rings for this role */
        session_close(s);
        s->ring = false;
        rc = plain_open(s);
    }
    if (rc < 0) session_close(s);
    return rc;
}

static int subscribe(struct sp *s, const void *prefix, size_t n, bool on) {
    return s->ring ? session_subscribe(s, prefix, n, on) : plain_subscribe(s, prefix, n, on);
}

struct again {
    struct sp *s;
    int rc;
};

static void subscribe_again(void *user, struct slice prefix) {
    struct again *a = user;
    if (a->rc == 0) a->rc = subscribe(a->s, prefix.p, prefix.n, true);
}

/* In a child of fork: nothing of the parent's is touched, an endpoint of our own is opened. */
static int open_anew(struct sp *s) {
    struct subscriptions old = s->subscriptions;
    struct again a = {.s = s};
    s->subscriptions = (struct subscriptions){0};
    s->ahead = NULL;
    s->ahead_of = NULL;
    s->requesting = s->broken = s->bell_full = false;
    s->asked = s->active = s->news = 0;
    session_close(s);
    int rc = open_doors(s);
    if (rc == 0 && old.trie) {
        if (old.all) subscribe_again(&a, slice_from("", 0));
        sp_trie_below(old.trie, slice_from("", 0), subscribe_again, &a);
        rc = a.rc;
    }
    subscriptions_done(&old);
    s->broken = rc < 0;
    return rc;
}

int client_mine(struct sp *s) { return s->forks == forks ? 0 : open_anew(s); }

int client_open(const char *directory, const struct sp_protocol *protocol, struct sp **ret) {
    struct sp *s = calloc(1, sizeof(*s));
    if (!s) return -ENOMEM;
    s->protocol = protocol;
    s->lock_forks = forks;
    s->ctl = s->bell = s->bell_far = -1;
    s->send_ms = s->receive_ms = -1;
    s->spin_ns = 5000;
    snprintf(s->directory, sizeof(s->directory), "%s", directory);
    int rc = open_doors(s);
    if (rc < 0) {
        free(s);
        return rc;
    }
    *ret = s;
    return 0;
}

int client_pollable(const struct sp *s) { return s->ring ? s->bell : s->ctl; }

static int fail(int rc) {
    errno = -rc;
    return -1;
}

EXPORT struct sp *sp_open(const char *topology, const char *role) {
    char directory[108];
    struct sp *s = NULL;
    const struct sp_protocol *protocol = role ? sp_protocol_of_name(role) : NULL;
    const char *base = getenv("ATOLL_SP_DIR");
    if (topology && strncmp(topology, "sp://", 5) == 0) topology += 5;
    if (!protocol || !topology || !*topology) {
        errno = EINVAL;
        return NULL;
    }
    int n = strchr(topology, '/') ? snprintf(directory, sizeof(directory), "%s", topology)
                                  : snprintf(directory, sizeof(directory), "%s/%s",
                                             base ? base : "/run/atoll/sp", topology);
    int rc = n >= (int)sizeof(directory) ? -ENAMETOOLONG : client_open(directory, protocol, &s);
    if (rc < 0) errno = -rc;
    return s;
}

EXPORT void sp_close(struct sp *s) {
    if (!s) return;
    client_lock(s);
    session_close(s);
    subscriptions_done(&s->subscriptions);
    free(s->request_copy);
    free(s->newest);
    free(s);
}

/* ---- sending ---- */

static uint64_t deadline_of(int ms) { return ms < 0 ? UINT64_MAX : client_now_ms() + (uint64_t)ms; }

static int send_one(struct sp *s, const void *message, size_t n, int flags) {
    uint64_t deadline = 0;
    int rc;
    while ((rc = ring_send(s, message, n)) == -EAGAIN) {
        ring_wake(s); /* what was put before may be what makes room */
        if (flags & SP_DONTWAIT) {
            rc = wait_send(s, 0);
            if (rc < 0) return rc == -ETIMEDOUT ? -EAGAIN : rc;
            continue;
        }
        if (!deadline) deadline = deadline_of(s->send_ms);
        rc = wait_send(s, deadline);
        if (rc < 0) return rc;
    }
    if (s->bell_full && rc == 0) writable_again(s); /* after an EAGAIN */
    return rc;
}

EXPORT ssize_t sp_sendv(struct sp *s, const struct iovec *messages, size_t n, int flags) {
    size_t sent = 0;
    client_lock(s);
    int rc = client_mine(s);
    if (rc == 0 && !s->protocol->sends) rc = -EOPNOTSUPP;
    while (rc == 0 && sent < n) {
        const struct iovec *m = &messages[sent];
        rc = s->ring ? send_one(s, m->iov_base, m->iov_len, flags)
                     : plain_send(s, m->iov_base, m->iov_len, flags);
        if (rc == 0) sent++;
    }
    if (sent && s->ring) ring_wake(s);
    client_unlock(s);
    return sent ? (ssize_t)sent : fail(rc);
}

EXPORT int sp_send(struct sp *s, const void *message, size_t n, int flags) {
    const struct iovec v = {(void *)(uintptr_t)message, n};
    return sp_sendv(s, &v, 1, flags) < 0 ? -1 : 0;
}

/* ---- receiving ---- */

static int find_message(struct sp *s, int flags) {
    uint64_t deadline = 0;
    for (;;) {
        int rc = ring_fetch(s);
        if (rc != 0) return rc;
        if (s->protocol->role == SP_REQ && !s->requesting) return -EPROTO;
        if (flags & SP_DONTWAIT) {
            if (arm_receive(s)) continue;
            rc = session_listen(s, true); /* it may have been the end that was polled */
            return rc < 0 ? rc : -EAGAIN;
        }
        if (!deadline) deadline = deadline_of(s->receive_ms);
        rc = wait_receive(s, deadline);
        if (rc < 0) return rc;
    }
}

static ssize_t receive_one(struct sp *s, void *buffer, size_t n, int flags) {
    if (!s->ring) return plain_receive(s, buffer, n, flags);
    int rc = find_message(s, flags);
    return rc < 0 ? rc : (ssize_t)ring_take(s, buffer, n);
}

EXPORT ssize_t sp_recvv(struct sp *s, struct iovec *messages, size_t n, int flags) {
    size_t got = 0;
    ssize_t rc;
    client_lock(s);
    rc = client_mine(s);
    if (rc == 0 && !s->protocol->receives) rc = -EOPNOTSUPP;
    while (rc >= 0 && got < n) {
        struct iovec *m = &messages[got];
        if (got && s->ring && ring_fetch(s) != 1) break;
        rc = receive_one(s, m->iov_base, m->iov_len, got ? flags | SP_DONTWAIT : flags);
        if (rc < 0) break;
        m->iov_len = (size_t)rc;
        got++;
    }
    client_unlock(s);
    return got ? (ssize_t)got : fail((int)rc);
}

EXPORT ssize_t sp_recv(struct sp *s, void *buffer, size_t n, int flags) {
    struct iovec v = {buffer, n};
    return sp_recvv(s, &v, 1, flags) < 0 ? -1 : (ssize_t)v.iov_len;
}

/* ---- the rest ---- */

static int change(struct sp *s, const void *prefix, size_t n, bool on) {
    client_lock(s);
    int rc = client_mine(s);
    if (rc == 0) rc = s->protocol->role == SP_SUB ? subscribe(s, prefix, n, on) : -EOPNOTSUPP;
    client_unlock(s);
    return rc < 0 ? fail(rc) : 0;
}

EXPORT int sp_subscribe(struct sp *s, const void *prefix, size_t n) {
    return change(s, prefix, n, true);
}

EXPORT int sp_unsubscribe(struct sp *s, const void *prefix, size_t n) {
    return change(s, prefix, n, false);
}

EXPORT int sp_timeout(struct sp *s, int send_ms, int receive_ms) {
    client_lock(s);
    s->send_ms = send_ms;
    s->receive_ms = receive_ms;
    if (!s->ring) plain_times(s);
    client_unlock(s);
    return 0;
}

EXPORT int sp_fd(struct sp *s) {
    client_lock(s);
    int rc = client_mine(s);
    int fd = client_pollable(s);
    client_unlock(s);
    return rc < 0 ? fail(rc) : fd;
}

EXPORT uint64_t sp_lost(struct sp *s) {
    client_lock(s);
    uint64_t lost = s->lost;
    for (size_t i = 0; i < s->n_peers; i++) lost += s->peers[i]->cursor.lost;
    client_unlock(s);
    return lost;
}

EXPORT size_t sp_largest(struct sp *s) { return s->maximum_bytes; }

EXPORT int sp_is_ring(struct sp *s) { return s->ring; }
