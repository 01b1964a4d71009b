/* ZeroMQ's side of row 13, over ipc. Its default water marks drop; here they are off. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

#include "sp_side.h"

struct side {
    void *context, *socket;
    int ms;
};

struct side *side_open(const char *role, const char *address) {
    struct side *s = calloc(1, sizeof(*s));
    int none = 0, linger = 10000;
    int type = strcmp(role, "pub") == 0   ? ZMQ_PUB
               : strcmp(role, "sub") == 0 ? ZMQ_SUB
               : strcmp(role, "req") == 0 ? ZMQ_REQ
                                          : ZMQ_REP;
    if (!s) side_die("no memory");
    s->context = zmq_ctx_new();
    s->socket = zmq_socket(s->context, type);
    zmq_setsockopt(s->socket, ZMQ_SNDHWM, &none, sizeof(none));
    zmq_setsockopt(s->socket, ZMQ_RCVHWM, &none, sizeof(none));
    zmq_setsockopt(s->socket, ZMQ_LINGER, &linger, sizeof(linger));
    if (type == ZMQ_SUB) zmq_setsockopt(s->socket, ZMQ_SUBSCRIBE, "", 0);
    int rc = type == ZMQ_PUB || type == ZMQ_REP ? zmq_bind(s->socket, address)
                                                : zmq_connect(s->socket, address);
    if (rc < 0) side_die("%s at %s: %s", role, address, zmq_strerror(errno));
    s->ms = -1;
    return s;
}

void side_send(struct side *s, const void *p, size_t n) {
    if (zmq_send(s->socket, p, n, 0) < 0) side_die("send: %s", zmq_strerror(errno));
}

void side_send_many(struct side *s, const void *p, size_t n, size_t count) {
    for (size_t i = 0; i < count; i++) side_send(s, (const char *)p + i * n, n);
}

void side_flush(struct side *s) { (void)s; }

long side_receive(struct side *s, void *p, size_t n, int ms) {
    if (ms != s->ms) zmq_setsockopt(s->socket, ZMQ_RCVTIMEO, &ms, sizeof(ms));
    s->ms = ms;
    int rc = zmq_recv(s->socket, p, n, 0);
    if (rc < 0 && errno != EAGAIN) side_die("receive: %s", zmq_strerror(errno));
    return rc;
}

uint64_t side_lost(struct side *s) {
    (void)s;
    return 0;
}

void side_close(struct side *s) {
    zmq_close(s->socket);
    zmq_ctx_term(s->context); /* waits until all of it is sent */
}
