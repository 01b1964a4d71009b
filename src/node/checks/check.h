/*
 * The life of one look at a network address: a connection, a deadline, one result that is delivered
 * from the loop. What is asked over the connection is its owner's: struct check is his first
 * member.
 */
#pragma once

#include <stdarg.h>

#include "node/checks/net_check.h"
#include "node/checks/net_dial.h"

struct check {
    struct loop *loop;
    net_check_fn *fn;
    void *user;
    void (*release)(struct check *c); /* what the owner holds, and c itself */
    int fd;
    struct fd_watch *watch;
    struct timer *timeout;
    char address[NET_ADDRESS_MAX];
    bool connected, complete, cancelled, ok;
    char text[1024];
};

/* Sets up c, which is zero but for what the owner filled in: loop, fn, user, release. on_timeout
 * gets c. */
void check_init(struct check *c, const char *ip, uint16_t port, void (*on_timeout)(void *user));
/* Begins to connect; on_ready gets c. -errno, -EDESTADDRREQ when ip is no address. */
int check_dial(struct check *c, const char *ip, uint16_t port, uint64_t timeout_ms,
               fd_fn *on_ready);
/* The first time that the descriptor is ready: 0 or the errno of the failed connection. */
int check_connected(struct check *c);
/* The result, once: later ones are dropped. fn hears of it from the loop, so that a parser's
 * callback may end the check. */
void check_end(struct check *c, bool ok, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void check_cancel(struct check *c); /* no callback; c is gone, now or soon */
