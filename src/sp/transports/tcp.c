/* tcp://: and the sockets of everything else that runs on TCP. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>

#include "base/own.h"
#include "sp/transport.h"

enum { BACKLOG = 1024, KEEP_IDLE_S = 30, KEEP_INTERVAL_S = 10, KEEP_PROBES = 3 };

union address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

/* 0: no IP address. "*" is every address of both families. */
static socklen_t address_of(const char *ip, uint16_t port, union address *ret) {
    memset(ret, 0, sizeof *ret);
    if (inet_pton(AF_INET, ip, &ret->v4.sin_addr) == 1) {
        ret->v4.sin_family = AF_INET;
        ret->v4.sin_port = htons(port);
        return sizeof ret->v4;
    }
    if (!str_eq(ip, "*") && inet_pton(AF_INET6, ip, &ret->v6.sin6_addr) != 1) return 0;
    ret->v6.sin6_family = AF_INET6;
    ret->v6.sin6_port = htons(port);
    return sizeof ret->v6;
}

static void no_delay(int fd) {
    int one = 1, idle = KEEP_IDLE_S, interval = KEEP_INTERVAL_S, probes = KEEP_PROBES;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof one);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof interval);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof probes);
}

static int tcp_socket(int family, struct err *err) {
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) return err_errno(err, errno, "socket");
    no_delay(fd);
    return fd;
}

int sp_tcp_listen(const struct sp_address *address, int *ret_fd, struct err *err) {
    union address a;
    bool every = str_eq(address->host, "*");
    socklen_t n = address_of(address->host, address->port, &a);
    if (!n) return err_set(err, ERR_INVALID, "%s is no IP address", address->host);
    OWN(close_p) int fd = tcp_socket(a.any.sa_family, err);
    if (fd == -EAFNOSUPPORT && every) { /* a machine without IPv6 */
        n = address_of("0.0.0.0", address->port, &a);
        fd = tcp_socket(AF_INET, err);
    }
    if (fd < 0) return fd;
    int one = 1, only = !every;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (a.any.sa_family == AF_INET6) setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only, sizeof only);
    if (bind(fd, &a.any, n) < 0 || listen(fd, BACKLOG) < 0)
        return err_errno(err, errno, "cannot listen on %s port %u", address->host, address->port);
    *ret_fd = TAKE_FD(fd);
    return 0;
}

int sp_tcp_dial(const struct sp_address *address, const char *ip, int *ret_fd, struct err *err) {
    union address a;
    socklen_t n = address_of(ip, address->port, &a);
    if (!n) return err_set(err, ERR_INVALID, "%s is no IP address", ip);
    OWN(close_p) int fd = tcp_socket(a.any.sa_family, err);
    if (fd < 0) return fd;
    if (connect(fd, &a.any, n) < 0 && errno != EINPROGRESS)
        return err_errno(err, errno, "%s port %u", ip, address->port);
    *ret_fd = TAKE_FD(fd);
    return 0;
}

static const struct sp_transport tcp = {.scheme = SP_SCHEME_TCP,
                                        .codec = &sp_codec_tcp,
                                        .listen = sp_tcp_listen,
                                        .dial = sp_tcp_dial,
                                        .resolves = true};
SP_TRANSPORT(tcp);
