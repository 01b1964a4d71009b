/* The frame header of proc/ipc.h, shared by its asynchronous and blocking sides. */
#pragma once

#include <stdint.h>
#include <string.h>

#include "base/err.h"
#include "base/limits.h"

enum { IPC_HEADER_BYTES = 12 };

struct ipc_header {
    uint32_t body_bytes;
    uint16_t type;
    uint16_t n_fds; /* how many of the descriptors received in order belong to this message */
    uint32_t id;
};

/* Both ends are the same machine; little-endian is still what is written. */
static inline void ipc_header_put(char out[IPC_HEADER_BYTES], const struct ipc_header *h) {
    uint32_t v[3] = {h->body_bytes, (uint32_t)h->type | (uint32_t)h->n_fds << 16, h->id};
    for (size_t i = 0; i < IPC_HEADER_BYTES; i++) out[i] = (char)(v[i / 4] >> (8 * (i % 4)));
}

/* What waits to be sent: one message with descriptors, or messages without, one behind the other.
 */
struct ipc_frame {
    struct ipc_frame *next;
    size_t n, sent, cap;
    size_t n_fds; /* not sent yet */
    int fds[LIMIT_IPC_FDS];
    char bytes[];
};

struct ipc_frame *ipc_frame_new(size_t bytes); /* empty, with room for as many or more */
void ipc_frame_free(struct ipc_frame *f);

/* 0, or -EBADMSG for a header that no honest peer sends. */
int ipc_header_get(const char *in, struct ipc_header *ret);

/* One recvmsg: bytes into (p, n), descriptors (O_CLOEXEC) appended to fds[*n_fds…max_fds). Returns
 * the byte count, 0 at the end, or -errno; -EBADMSG when descriptors did not fit. */
long ipc_receive(int fd, char *p, size_t n, int *fds, size_t max_fds, size_t *n_fds, int flags);
