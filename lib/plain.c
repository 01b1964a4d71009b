/* The plain door: the topology's socket file, where the service does all the work. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/limits.h"
#include "client.h"

enum { ECHO_MS = 10000, BUFFER_BYTES = 8 * 1024 * 1024 };

int plain_open(struct sp *s) {
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int n = snprintf(a.sun_path, sizeof(a.sun_path), "%s/%s", s->directory, s->protocol->name);
    if (n >= (int)sizeof(a.sun_path)) return -ENAMETOOLONG;
    s->ctl = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (s->ctl < 0) return -errno;
    int bytes = BUFFER_BYTES;
    setsockopt(s->ctl, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
    socklen_t size = sizeof(bytes);
    if (getsockopt(s->ctl, SOL_SOCKET, SO_SNDBUF, &bytes, &size) < 0) return -errno;
    s->maximum_bytes = (uint32_t)bytes - 32;
    plain_times(s);
    return connect(s->ctl, (struct sockaddr *)&a, sizeof(a)) < 0 ? -errno : 0;
}

void plain_times(const struct sp *s) {
    const int ms[2] = {s->send_ms, s->receive_ms}, option[2] = {SO_SNDTIMEO, SO_RCVTIMEO};
    for (int i = 0; i < 2; i++) {
        struct timeval t = {0}; /* for ever */
        if (ms[i] >= 0) {
            t.tv_sec = ms[i] / 1000;
            t.tv_usec = ms[i] % 1000 * 1000 + (ms[i] == 0);
        }
        setsockopt(s->ctl, SOL_SOCKET, option[i], &t, sizeof(t));
    }
}

/* What the kernel calls EAGAIN is the end of a time-out for who wanted to wait. */
static int told(int e, int flags) {
    return e == EAGAIN && !(flags & MSG_DONTWAIT) ? -ETIMEDOUT : -e;
}

/* Waits for the echo; messages that come before it are received later. */
static int await_echo(struct sp *s, const char *control, size_t n) {
    uint64_t deadline = client_now_ms() + ECHO_MS, now;
    char *buffer = malloc(s->maximum_bytes);
    int rc = buffer ? -ETIMEDOUT : -ENOMEM;
    while (buffer && (now = client_now_ms()) < deadline) {
        struct pollfd p = {.fd = s->ctl, .events = POLLIN};
        if (poll(&p, 1, (int)(deadline - now)) <= 0) continue;
        ssize_t got = recv(s->ctl, buffer, s->maximum_bytes, MSG_DONTWAIT);
        if (got < 0 && (errno == EAGAIN || errno == EINTR)) continue;
        if (got == 0 && !(p.revents & POLLHUP)) got = 0;
        rc = got < 0 || (got == 0 && p.revents & (POLLHUP | POLLRDHUP)) ? -ECONNRESET : 0;
        if (rc < 0 || ((size_t)got == n && memcmp(buffer, control, n) == 0)) break;
        rc = pending_add(&s->pending, buffer, (size_t)got);
        if (rc < 0) break;
        rc = -ETIMEDOUT;
    }
    free(buffer);
    return rc;
}

int plain_subscribe(struct sp *s, const void *prefix, size_t n, bool on) {
    char control[1 + LIMIT_SP_PREFIX_BYTES];
    if (n > LIMIT_SP_PREFIX_BYTES) return -EMSGSIZE;
    control[0] = on ? '+' : '-';
    memcpy(control + 1, prefix, n);
    if (send(s->ctl, control, n + 1, MSG_NOSIGNAL) < 0) return -errno;
    return await_echo(s, control, n + 1);
}

int plain_send(struct sp *s, const void *message, size_t n, int flags) {
    int fd = s->ctl;
    if (n > s->maximum_bytes) return -EMSGSIZE;
    client_unlock(s);
    ssize_t rc = send(fd, message, n, MSG_NOSIGNAL | (flags & MSG_DONTWAIT));
    int e = errno;
    client_lock(s);
    return rc >= 0 ? 0 : e == EPIPE ? -ECONNRESET : told(e, flags);
}

static bool hung_up(int fd) {
    struct pollfd p = {.fd = fd, .events = POLLRDHUP};
    return poll(&p, 1, 0) == 1 && p.revents & (POLLRDHUP | POLLHUP | POLLERR);
}

ssize_t plain_receive(struct sp *s, void *buffer, size_t n, int flags) {
    const struct pending *p = s->pending.first;
    if (p) {
        size_t length = p->n;
        memcpy(buffer, p->bytes, length < n ? length : n);
        pending_drop(&s->pending);
        return (ssize_t)length;
    }
    int fd = s->ctl;
    client_unlock(s);
    ssize_t got = recv(fd, buffer, n, MSG_TRUNC | (flags & MSG_DONTWAIT));
    int e = errno;
    client_lock(s);
    if (got < 0) return told(e, flags);
    return got == 0 && hung_up(fd) ? -ECONNRESET : got;
}
