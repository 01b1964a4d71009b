#include "cli/http_probe.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/own.h"
#include "base/slice.h"
#include "base/times.h"
#include "proc/unix_socket.h"

enum { POLL_INTERVAL_MS = 10 };

/* The status code of one request, or −1. */
static int probe_once(const char *socket_path, const char *path) {
    OWN(close_p) int fd = -1;
    char text[512];
    if (unix_connect(socket_path, false, &fd, NULL) < 0) return -1;
    struct timeval wait = {.tv_sec = 2};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
    int n = snprintf(text, sizeof text,
                     "GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", path);
    if (send(fd, text, (size_t)n, MSG_NOSIGNAL) != n) return -1;
    ssize_t got = recv(fd, text, sizeof text - 1, 0);
    uint64_t code;
    if (got < 12 || strncmp(text, "HTTP/1.", 7) != 0 ||
        slice_u64(slice_from(text + 9, 3), &code) < 0)
        return -1;
    return (int)code;
}

int http_probe_wait(const char *socket_path, const char *path, unsigned timeout_ms,
                    struct err *err) {
    uint64_t deadline_ms = clock_mono_ms() + timeout_ms;
    for (;;) {
        int code = probe_once(socket_path, path);
        if (code == 200) return 0;
        if (clock_mono_ms() >= deadline_ms)
            return err_set(err, ERR_TIMEOUT, "%s answers %d after %u ms", path, code, timeout_ms);
        poll(NULL, 0, POLL_INTERVAL_MS);
    }
}
