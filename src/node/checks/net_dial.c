#include "node/checks/net_dial.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/own.h"

void net_address_text(char out[NET_ADDRESS_MAX], const char *ip, uint16_t port) {
    if (strchr(ip, ':'))
        snprintf(out, NET_ADDRESS_MAX, "[%s]:%u", ip, (unsigned)port);
    else
        snprintf(out, NET_ADDRESS_MAX, "%s:%u", ip, (unsigned)port);
}

static int resolve(const char *ip, uint16_t port, struct sockaddr_storage *ss, socklen_t *len) {
    struct sockaddr_in *v4 = (struct sockaddr_in *)ss;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)ss;
    memset(ss, 0, sizeof *ss);
    if (inet_pton(AF_INET, ip, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET, v4->sin_port = htons(port);
        *len = sizeof *v4;
        return 0;
    }
    if (inet_pton(AF_INET6, ip, &v6->sin6_addr) == 1) {
        v6->sin6_family = AF_INET6, v6->sin6_port = htons(port);
        *len = sizeof *v6;
        return 0;
    }
    return -EDESTADDRREQ;
}

int net_dial(const char *ip, uint16_t port, int *ret_fd) {
    struct sockaddr_storage ss;
    socklen_t len = 0;
    int rc = resolve(ip, port, &ss, &len);
    if (rc < 0) return rc;
    OWN(close_p) int fd = socket(ss.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) return -errno;
    struct linger hard = {.l_onoff = 1, .l_linger = 0}; /* probes leave no TIME_WAIT behind */
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    if (connect(fd, (struct sockaddr *)&ss, len) < 0 && errno != EINPROGRESS) return -errno;
    *ret_fd = TAKE_FD(fd);
    return 0;
}
