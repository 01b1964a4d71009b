/*
 * A client connection to one of the machine's services (broker, image, network) that heals itself:
 * a lost connection fails the calls in flight with ERR_UNAVAILABLE, and is made again with
 * back-off. A call made while disconnected tries to connect at once: init keeps the sockets
 * listening while a service restarts, so the request simply waits in the socket.
 */
#pragma once

#include "proc/ipc.h"

struct link;

/* m is NULL when err is set (the service's own error, or a lost connection). */
typedef void link_reply_fn(void *user, struct ipc_msg *m, const struct err *err);

struct link_events {
    void (*up)(void *user); /* connected, first time and again; may be NULL */
    void (*message)(void *user, struct ipc_msg *m); /* events with id 0; may be NULL */
    void *user;
};

struct link *link_new(struct loop *l, const char *path, const struct link_events *ev);
/* Sends a request; fn is called exactly once, later. */
void link_call(struct link *k, uint16_t type, struct slice body, const int *fds, size_t n_fds,
               link_reply_fn *fn, void *user);
