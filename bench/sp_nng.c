/* nng's side of row 13, over ipc. */
#include <nng/nng.h>
#include <nng/protocol/pubsub0/pub.h>
#include <nng/protocol/pubsub0/sub.h>
#include <nng/protocol/reqrep0/rep.h>
#include <nng/protocol/reqrep0/req.h>
#include <nng/supplemental/util/platform.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "sp_side.h"

struct side {
    nng_socket socket;
    int ms;
};

static void check(int rc, const char *what) {
    if (rc) side_die("%s: %s", what, nng_strerror(rc));
}

struct side *side_open(const char *role, const char *address) {
    struct side *s = calloc(1, sizeof(*s));
    bool listens = strcmp(role, "pub") == 0 || strcmp(role, "rep") == 0;
    if (!s) side_die("no memory");
    check(strcmp(role, "pub") == 0   ? nng_pub0_open(&s->socket)
          : strcmp(role, "sub") == 0 ? nng_sub0_open(&s->socket)
          : strcmp(role, "req") == 0 ? nng_req0_open(&s->socket)
                                     : nng_rep0_open(&s->socket),
          "open");
    if (strcmp(role, "sub") == 0) {
        check(nng_socket_set(s->socket, NNG_OPT_SUB_SUBSCRIBE, "", 0), "subscribe");
        check(nng_socket_set_int(s->socket, NNG_OPT_RECVBUF, 8192), "buffer");
    }
    if (strcmp(role, "pub") == 0) nng_socket_set_int(s->socket, NNG_OPT_SENDBUF, 8192);
    check(listens ? nng_listen(s->socket, address, NULL, 0)
                  : nng_dial(s->socket, address, NULL, NNG_FLAG_NONBLOCK),
          address);
    s->ms = -1;
    return s;
}

void side_send(struct side *s, const void *p, size_t n) {
    check(nng_send(s->socket, (void *)(uintptr_t)p, n, 0), "send");
}

void side_send_many(struct side *s, const void *p, size_t n, size_t count) {
    for (size_t i = 0; i < count; i++) side_send(s, (const char *)p + i * n, n);
}

void side_flush(struct side *s) { (void)s; }

long side_receive(struct side *s, void *p, size_t n, int ms) {
    if (ms != s->ms) check(nng_socket_set_ms(s->socket, NNG_OPT_RECVTIMEO, ms), "time");
    s->ms = ms;
    int rc = nng_recv(s->socket, p, &n, 0);
    if (rc == NNG_ETIMEDOUT) return -1;
    check(rc, "receive");
    return (long)n;
}

uint64_t side_lost(struct side *s) {
    (void)s;
    return 0;
}

void side_close(struct side *s) {
    nng_msleep(300); /* closing drops what has not been sent */
    nng_close(s->socket);
}
