/*
 * Atoll's side of row 13 by POSIX calls: send and recv on the socket file of a role; compiled with
 * WITH_AF_SP on a socket of AF_SP, to be run with libatoll-sp-preload.so.
 */
#ifdef WITH_AF_SP
#include <atoll/sp.h>
#endif
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "sp_side.h"

struct side {
    int fd, ms;
};

#ifdef WITH_AF_SP
static void subscribe(const struct side *s) {
    if (setsockopt(s->fd, SOL_SP, SP_SUBSCRIBE, "", 0) < 0)
        side_die("subscribe: %s", strerror(errno));
}

static int make_socket(const char *role) {
    return socket(AF_SP,
                  (strcmp(role, "pub") == 0   ? SOCK_PUB
                   : strcmp(role, "sub") == 0 ? SOCK_SUB
                   : strcmp(role, "req") == 0 ? SOCK_REQ
                                              : SOCK_REP) |
                      SOCK_CLOEXEC,
                  0);
}
#else
static void subscribe(const struct side *s) {
    char echo[8];
    if (send(s->fd, "+", 1, 0) != 1 || recv(s->fd, echo, sizeof(echo), 0) != 1)
        side_die("subscribe: %s", strerror(errno));
}

static int make_socket(const char *role) {
    (void)role;
    return socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
}
#endif

struct side *side_open(const char *role, const char *address) {
    struct side *s = calloc(1, sizeof(*s));
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    if (!s) side_die("no memory");
    snprintf(a.sun_path, sizeof(a.sun_path), "%s/%s", address, role);
    s->fd = make_socket(role);
    if (connect(s->fd, (struct sockaddr *)&a, sizeof(a)) < 0)
        side_die("%s: %s", a.sun_path, strerror(errno));
    if (strcmp(role, "sub") == 0) subscribe(s);
    return s;
}

void side_send(struct side *s, const void *p, size_t n) {
    if (send(s->fd, p, n, MSG_NOSIGNAL) < 0) side_die("send: %s", strerror(errno));
}

void side_send_many(struct side *s, const void *p, size_t n, size_t count) {
    for (size_t i = 0; i < count; i++) side_send(s, (const char *)p + i * n, n);
}

void side_flush(struct side *s) { (void)s; }

long side_receive(struct side *s, void *p, size_t n, int ms) {
    if (ms != s->ms) {
        const struct timeval t = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};
        setsockopt(s->fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof(t));
        s->ms = ms;
    }
    ssize_t got = recv(s->fd, p, n, 0);
    if (got < 0 && errno != EAGAIN) side_die("receive: %s", strerror(errno));
    return got;
}

uint64_t side_lost(struct side *s) {
    (void)s;
    return 0;
}

void side_close(struct side *s) {
    close(s->fd);
    free(s);
}
