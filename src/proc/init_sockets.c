#include "proc/init_sockets.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/own.h"
#include "base/slice.h"
#include "proc/settings.h"
#include "proc/unix_socket.h"

union address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

static socklen_t address_make(union address *a, const char *text, unsigned port) {
    memset(a, 0, sizeof *a);
    if (inet_pton(AF_INET, text, &a->v4.sin_addr) == 1) {
        a->v4.sin_family = AF_INET;
        a->v4.sin_port = htons((uint16_t)port);
        return sizeof a->v4;
    }
    inet_pton(AF_INET6, text, &a->v6.sin6_addr); /* checked by settings_resolve */
    a->v6.sin6_family = AF_INET6;
    a->v6.sin6_port = htons((uint16_t)port);
    return sizeof a->v6;
}

/* freebind: the address may appear later, with the pod bridge. */
static int bind_inet(const char *text, unsigned port, int type, bool freebind, const char *hint,
                     int *ret_fd, struct err *err) {
    union address a;
    int one = 1;
    socklen_t n = address_make(&a, text, port);
    OWN(close_p) int fd = socket(a.any.sa_family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) return err_errno(err, errno, "socket");
    if (type == SOCK_STREAM) setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (freebind && setsockopt(fd, IPPROTO_IP, IP_FREEBIND, &one, sizeof one) < 0)
        return err_errno(err, errno, "IP_FREEBIND");
    if (bind(fd, &a.any, n) < 0 || (type == SOCK_STREAM && listen(fd, 1024) < 0)) {
        if (errno == EADDRINUSE)
            return err_set(err, ERR_CONFLICT, "%s port %u is in use: %s", text, port, hint);
        if (errno == EADDRNOTAVAIL)
            return err_set(err, ERR_BAD_REQUEST, "%s is not an address of this machine: %s", text,
                           hint);
        return err_errno(err, errno, "cannot listen on %s port %u", text, port);
    }
    *ret_fd = TAKE_FD(fd);
    return 0;
}

static int open_api_tcp(const struct settings *s, int *ret_fd, struct err *err) {
    OWN(arena_free_p) struct arena *a = arena_new();
    const char *address;
    unsigned port;
    int r = settings_split_listen(s->listen, a, &address, &port, err);
    if (r < 0) return r;
    return bind_inet(address, port, SOCK_STREAM, false, "choose another --listen ADDRESS:PORT",
                     ret_fd, err);
}

/* Pods reach the API at the bridge's address, unless the API listens everywhere anyway. */
static int open_api_gateway(const struct settings *s, int *ret_fd, struct err *err) {
    if (str_starts(s->listen, "0.0.0.0:") || str_starts(s->listen, "[::]:") ||
        (str_starts(s->listen, s->gateway_ip) && s->listen[strlen(s->gateway_ip)] == ':'))
        return 0;
    return bind_inet(s->gateway_ip, s->api_port, SOCK_STREAM, true,
                     "another Atoll uses this pod network; choose another --pod-cidr", ret_fd, err);
}

static const char dns_hint[] = "another name server or Atoll has it; choose another --pod-cidr, or "
                               "let the other one not listen on all addresses";

static int open_udp53(const struct settings *s, int *ret_fd, struct err *err) {
    return bind_inet(s->gateway_ip, 53, SOCK_DGRAM, true, dns_hint, ret_fd, err);
}

static int open_tcp53(const struct settings *s, int *ret_fd, struct err *err) {
    return bind_inet(s->gateway_ip, 53, SOCK_STREAM, true, dns_hint, ret_fd, err);
}

static const struct {
    const char *name;
    int (*open)(const struct settings *s, int *ret_fd, struct err *err);
} named[] = {
    {"api_tcp", open_api_tcp},
    {"api_gateway", open_api_gateway},
    {"udp53", open_udp53},
    {"tcp53", open_tcp53},
};

/* Moved up, so that numbers a spawned child wants are never in use here. */
static int keep(int fd, const char *name, struct handover_fd *fds, size_t *n_fds, struct err *err) {
    int high = fcntl(fd, F_DUPFD_CLOEXEC, 64);
    close(fd);
    if (high < 0) return err_errno(err, errno, "dup");
    fds[(*n_fds)++] = (struct handover_fd){name, high};
    return 0;
}

int init_sockets_open(const struct authority *row, const struct settings *s,
                      struct handover_fd fds[HANDOVER_FDS_MAX], size_t *n_fds, struct err *err) {
    int r = 0, fd;
    if (row->socket) {
        r = unix_listen(row->socket, row->socket_mode, &fd, err);
        if (r == 0) r = keep(fd, "listen", fds, n_fds, err);
    }
    for (size_t i = 0; r == 0 && i < ARRAY_LEN(row->fds) && row->fds[i]; i++)
        for (size_t k = 0; r == 0 && k < ARRAY_LEN(named); k++) {
            if (!str_eq(named[k].name, row->fds[i])) continue;
            fd = -1;
            r = named[k].open(s, &fd, err);
            if (r == 0 && fd >= 0) r = keep(fd, named[k].name, fds, n_fds, err);
        }
    return r;
}
