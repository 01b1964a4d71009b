/* nanomsg's side of row 13, over ipc. */
#include <errno.h>
#include <nanomsg/nn.h>
#include <nanomsg/pubsub.h>
#include <nanomsg/reqrep.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "sp_side.h"

enum { BUFFER_BYTES = 4 * 1024 * 1024 };

struct side {
    int socket, ms;
};

struct side *side_open(const char *role, const char *address) {
    struct side *s = calloc(1, sizeof(*s));
    int type = strcmp(role, "pub") == 0   ? NN_PUB
               : strcmp(role, "sub") == 0 ? NN_SUB
               : strcmp(role, "req") == 0 ? NN_REQ
                                          : NN_REP;
    int bytes = BUFFER_BYTES;
    if (!s) side_die("no memory");
    s->socket = nn_socket(AF_SP, type);
    if (s->socket < 0) side_die("socket: %s", nn_strerror(nn_errno()));
    nn_setsockopt(s->socket, NN_SOL_SOCKET, NN_SNDBUF, &bytes, sizeof(bytes));
    nn_setsockopt(s->socket, NN_SOL_SOCKET, NN_RCVBUF, &bytes, sizeof(bytes));
    if (type == NN_SUB) nn_setsockopt(s->socket, NN_SUB, NN_SUB_SUBSCRIBE, "", 0);
    int rc = type == NN_PUB || type == NN_REP ? nn_bind(s->socket, address)
                                              : nn_connect(s->socket, address);
    if (rc < 0) side_die("%s at %s: %s", role, address, nn_strerror(nn_errno()));
    s->ms = -1;
    return s;
}

void side_send(struct side *s, const void *p, size_t n) {
    if (nn_send(s->socket, p, n, 0) < 0) side_die("send: %s", nn_strerror(nn_errno()));
}

void side_send_many(struct side *s, const void *p, size_t n, size_t count) {
    for (size_t i = 0; i < count; i++) side_send(s, (const char *)p + i * n, n);
}

void side_flush(struct side *s) { (void)s; }

long side_receive(struct side *s, void *p, size_t n, int ms) {
    if (ms != s->ms) nn_setsockopt(s->socket, NN_SOL_SOCKET, NN_RCVTIMEO, &ms, sizeof(ms));
    s->ms = ms;
    int rc = nn_recv(s->socket, p, n, 0);
    if (rc < 0 && nn_errno() != ETIMEDOUT && nn_errno() != EAGAIN)
        side_die("receive: %s", nn_strerror(nn_errno()));
    return rc;
}

uint64_t side_lost(struct side *s) {
    (void)s;
    return 0;
}

void side_close(struct side *s) {
    const struct timespec t = {.tv_nsec = 300000000}; /* closing drops what has not been sent */
    nanosleep(&t, NULL);
    nn_close(s->socket);
}
