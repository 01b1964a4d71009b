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
