/* A server of this folder's transport in one process with its clients, on a virtual clock: for
 * tests. */
#pragma once

#include "base/test.h"

#include "server/transport/listener.h"
#include "server/transport/request.h"

struct fixture {
    struct loop *loop;
    struct server *server;
    int listen_fd;
    char path[64];
    uint64_t now_ms;
    struct loop_env env;
    /* What the test's handler saw. */
    struct request *last; /* requests under /hold wait here for the test */
    unsigned requests, closed, drained;
    char *last_body;
    char order[256]; /* of requests under /work: the letters of who asked */
};

struct fixture *fixture_new(struct server_tls *tls);
void fixture_free(struct fixture *f);
int fixture_connect(struct fixture *f);            /* a non-blocking client socket */
void fixture_turn(struct fixture *f);              /* lets everything happen that can happen now */
void fixture_pass(struct fixture *f, uint64_t ms); /* the same, later */
void fixture_send(struct fixture *f, int fd, struct slice s);
/* All that the server has sent so far; *ret_eof says that it has closed. Appends to b. */
void fixture_read(struct fixture *f, int fd, struct buf *b, bool *ret_eof);
/* Sends, reads, and compares after cutting the Date headers out. */
void fixture_expect(struct fixture *f, int fd, const char *send, const char *want);
