#include "proc/ipc_frame.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { FRAME_BYTES = 16 * 1024 }; /* at least; larger messages have as much as they need */

static struct ipc_frame *spare; /* of FRAME_BYTES: most queues are sent in the same turn */

struct ipc_frame *ipc_frame_new(size_t bytes) {
    size_t cap = bytes > FRAME_BYTES ? bytes : (size_t)FRAME_BYTES;
    struct ipc_frame *f = cap == FRAME_BYTES ? spare : NULL;
    if (f) spare = NULL;
    if (!f) f = malloc(sizeof *f + cap);
    if (!f) abort();
    *f = (struct ipc_frame){.cap = cap};
    return f;
}

void ipc_frame_free(struct ipc_frame *f) {
    for (size_t i = 0; i < f->n_fds; i++) close(f->fds[i]);
    if (spare || f->cap != FRAME_BYTES)
        free(f);
    else
        spare = f;
}

static uint32_t get_u32(const char *p) {
    const unsigned char *b = (const unsigned char *)p;
    return (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
}

int ipc_header_get(const char *in, struct ipc_header *ret) {
    uint32_t body_bytes = get_u32(in), mixed = get_u32(in + 4), id = get_u32(in + 8);
    if (body_bytes > LIMIT_IPC_BYTES || mixed >> 16 > LIMIT_IPC_FDS) return -EBADMSG;
    *ret = (struct ipc_header){body_bytes, (uint16_t)mixed, (uint16_t)(mixed >> 16), id};
    return 0;
}

/* Moves the descriptors of one control message into the list; those that do not fit are closed. */
static int take_fds(const struct cmsghdr *c, int *fds, size_t max_fds, size_t *n_fds) {
    int r = 0;
    size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; i++) {
        int got;
        memcpy(&got, CMSG_DATA(c) + i * sizeof got, sizeof got);
        if (*n_fds < max_fds) {
            fds[(*n_fds)++] = got;
        } else {
            close(got);
            r = -EBADMSG;
        }
    }
    return r;
}

long ipc_receive(int fd, char *p, size_t n, int *fds, size_t max_fds, size_t *n_fds, int flags) {
    union {
        char bytes[CMSG_SPACE(sizeof(int) * LIMIT_IPC_FDS)];
        struct cmsghdr align;
    } control;
    struct iovec iov = {p, n};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = control.bytes,
                         .msg_controllen = sizeof control.bytes};
    ssize_t got;
    do got = recvmsg(fd, &msg, flags | MSG_CMSG_CLOEXEC);
    while (got < 0 && errno == EINTR);
    if (got < 0) return -errno;
    int r = msg.msg_flags & MSG_CTRUNC ? -EBADMSG : 0;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
        if (take_fds(c, fds, max_fds, n_fds) < 0) r = -EBADMSG;
    }
    return r < 0 ? r : got;
}
