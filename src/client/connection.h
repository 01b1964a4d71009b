/* One HTTP/1.1 connection over a unix socket: requests one after the other, answers as they come.
 * Used by the client's pool and by informers. */
#pragma once

#include "base/err.h"
#include "proc/loop.h"
#include "proto/http.h"

struct connection;

/* Callbacks may close the connection. After lost() it must be closed, too. */
struct connection_events {
    void (*head)(void *user, int status);
    void (*body)(void *user, struct slice data);
    void (*end)(void *user, bool reusable); /* the answer is complete */
    void (*lost)(void *user, const struct err *err);
};

int connection_open(struct loop *l, const char *socket_path, const struct connection_events *ev,
                    void *user, struct connection **ret, struct err *err);
void connection_close(struct connection *c); /* no callback afterwards; NULL is allowed */
/* Sends one request; content_type NULL: without body. */
void connection_send(struct connection *c, const char *method, const char *target,
                     const char *content_type, struct slice body);
/* Whether any byte of an answer has come since the last connection_send. */
bool connection_answered(const struct connection *c);

/* ---- The simulator answers in place of a socket ---- */

/* Callbacks of connections are called from the simulator's own events, never from inside these. */
struct connection_transport {
    /* What `peer` of the others is goes to *ret_peer; c is for connection_deliver_*. */
    int (*open)(void *user, const char *socket_path, struct connection *c, void **ret_peer,
                struct err *err);
    void (*close)(void *user, void *peer);
    void (*send)(void *user, void *peer, const char *method, const char *target, struct slice body,
                 const char *content_type);
    void *user;
};
/* For all connections opened from now on; NULL: sockets again. Borrowed. */
void connection_replace(const struct connection_transport *t);
void connection_deliver_head(struct connection *c, int status);
void connection_deliver_body(struct connection *c, struct slice data);
void connection_deliver_end(struct connection *c);
void connection_deliver_lost(struct connection *c, const struct err *err);
