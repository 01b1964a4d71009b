/* ipc without a loop, for the command line and for start-up: one call, one answer. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/own.h"
#include "base/times.h"
#include "proc/ipc.h"
#include "proc/ipc_frame.h"
#include "proc/unix_socket.h"

int ipc_connect_blocking(const char *path, int *ret_fd, struct err *err) {
    return unix_connect(path, false, ret_fd, err);
}

static int wait_for(int fd, short events, uint64_t deadline_ms, struct err *err) {
    for (;;) {
        uint64_t now = clock_mono_ms();
        if (now >= deadline_ms) return err_set(err, ERR_TIMEOUT, "no answer in time");
        uint64_t left = deadline_ms - now;
        struct pollfd p = {fd, events, 0};
        int r = poll(&p, 1, left > INT32_MAX ? INT32_MAX : (int)left);
        if (r > 0) return 0;
        if (r < 0 && errno != EINTR) return err_errno(err, errno, "poll");
    }
}

/* Sends one frame; descriptors travel with its first byte. */
static int send_frame(int fd, struct slice frame, const int *fds, size_t n_fds,
                      uint64_t deadline_ms, struct err *err) {
    union {
        char bytes[CMSG_SPACE(sizeof(int) * LIMIT_IPC_FDS)];
        struct cmsghdr align;
    } control = {0};
    size_t sent = 0;
    while (sent < frame.n) {
        struct iovec iov = {(char *)frame.p + sent, frame.n - sent};
        struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
        if (sent == 0 && n_fds) {
            msg.msg_control = control.bytes;
            msg.msg_controllen = CMSG_SPACE(sizeof(int) * n_fds);
            struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
            c->cmsg_level = SOL_SOCKET;
            c->cmsg_type = SCM_RIGHTS;
            c->cmsg_len = CMSG_LEN(sizeof(int) * n_fds);
            memcpy(CMSG_DATA(c), fds, sizeof(int) * n_fds);
        }
        ssize_t n = sendmsg(fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n >= 0) {
            sent += (size_t)n;
        } else if (errno == EAGAIN) {
            int r = wait_for(fd, POLLOUT, deadline_ms, err);
            if (r < 0) return r;
        } else if (errno != EINTR) {
            return err_set(err, ERR_UNAVAILABLE, "connection lost while sending");
        }
    }
    return 0;
}

struct receiver {
    int fd;
    int fds[LIMIT_IPC_FDS];
    size_t n_fds;
};

static void receiver_done(struct receiver *rx) {
    for (size_t i = 0; i < rx->n_fds; i++) close(rx->fds[i]);
    rx->n_fds = 0;
}

/* Reads exactly n bytes, never past them: the next frame's descriptors stay with the next frame. */
static int receive_exact(struct receiver *rx, char *p, size_t n, uint64_t deadline_ms,
                         struct err *err) {
    size_t have = 0;
    while (have < n) {
        long got = ipc_receive(rx->fd, p + have, n - have, rx->fds, LIMIT_IPC_FDS, &rx->n_fds,
                               MSG_DONTWAIT);
        if (got > 0) {
            have += (size_t)got;
        } else if (got == -EAGAIN) {
            int r = wait_for(rx->fd, POLLIN, deadline_ms, err);
            if (r < 0) return r;
        } else if (got == 0) {
            return err_set(err, ERR_UNAVAILABLE, "the service closed the connection");
        } else {
            return err_errno(err, (int)-got, "receive");
        }
    }
    return 0;
}

static int receive_frame(struct receiver *rx, struct ipc_header *h, struct buf *body,
                         uint64_t deadline_ms, struct err *err) {
    char head[IPC_HEADER_BYTES];
    int r = receive_exact(rx, head, sizeof head, deadline_ms, err);
    if (r < 0) return r;
    if (ipc_header_get(head, h) < 0 || h->n_fds != rx->n_fds)
        return err_set(err, ERR_INTERNAL, "malformed message from the service");
    buf_clear(body);
    if (h->body_bytes == 0) return 0;
    buf_reserve(body, h->body_bytes);
    r = receive_exact(rx, body->p, h->body_bytes, deadline_ms, err);
    if (r < 0) return r;
    body->n = h->body_bytes;
    body->p[body->n] = 0;
    return 0;
}

static int give_fds(struct receiver *rx, int *ret_fds, size_t max_fds, size_t *ret_n_fds,
                    struct err *err) {
    if (rx->n_fds > (ret_fds ? max_fds : 0))
        return err_set(err, ERR_INTERNAL, "unexpected descriptors in the answer");
    for (size_t i = 0; i < rx->n_fds; i++) ret_fds[i] = rx->fds[i];
    if (ret_n_fds) *ret_n_fds = rx->n_fds;
    rx->n_fds = 0;
    return 0;
}

int ipc_call_blocking(int fd, uint16_t type, struct slice body, const int *fds, size_t n_fds,
                      uint64_t timeout_ms, uint16_t *ret_type, struct buf *ret_body, int *ret_fds,
                      size_t max_fds, size_t *ret_n_fds, struct err *err) {
    static uint32_t last_id;
    if (body.n > LIMIT_IPC_BYTES || n_fds > LIMIT_IPC_FDS)
        return err_set(err, ERR_TOO_LARGE, "message too large");
    uint64_t deadline_ms = clock_mono_ms() + timeout_ms;
    last_id = (last_id + 1) & 0x7fffffff;
    if (!last_id) last_id = 1;
    struct ipc_header h = {(uint32_t)body.n, type, (uint16_t)n_fds, last_id};
    OWN(buf_done) struct buf frame = {0};
    char head[IPC_HEADER_BYTES];
    ipc_header_put(head, &h);
    buf_append(&frame, head, sizeof head);
    buf_slice(&frame, body);
    int r = send_frame(fd, buf_view(&frame), fds, n_fds, deadline_ms, err);
    if (r < 0) return r;
    OWN(receiver_done) struct receiver rx = {.fd = fd};
    OWN(buf_done) struct buf in = {0};
    do { /* events and late answers to earlier, timed-out calls are skipped */
        receiver_done(&rx);
        r = receive_frame(&rx, &h, &in, deadline_ms, err);
        if (r < 0) return r;
    } while (h.id != last_id);
    if (ret_type) *ret_type = h.type;
    if (h.type == IPC_ERROR) return ipc_decode_error(buf_view(&in), err);
    r = give_fds(&rx, ret_fds, max_fds, ret_n_fds, err);
    if (r < 0) return r;
    if (ret_body) {
        buf_done(ret_body);
        *ret_body = in;
        in = (struct buf){0};
    }
    return 0;
}

int ipc_ask_blocking(int *fd, const char *path, uint16_t type, uint16_t want, struct slice body,
                     unsigned timeout_ms, struct buf *ret, struct err *err) {
    for (int attempt = 0;; attempt++) {
        uint16_t got = 0;
        OWN(buf_done) struct buf answer = {0};
        int rc = *fd < 0 ? ipc_connect_blocking(path, fd, err) : 0;
        if (rc < 0) {
            *fd = -1;
            return rc;
        }
        rc = ipc_call_blocking(*fd, type, body, NULL, 0, timeout_ms, &got, &answer, NULL, 0, NULL,
                               err);
        if (rc == 0 && got == want) {
            buf_slice(ret, buf_view(&answer));
            return 0;
        }
        if (rc == 0 && got == IPC_ERROR) return ipc_decode_error(buf_view(&answer), err);
        close(*fd);
        *fd = -1;
        if (attempt) return rc < 0 ? rc : err_set(err, ERR_INTERNAL, "%s answers nonsense", path);
    }
}
