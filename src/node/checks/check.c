#include "node/checks/check.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>

#include "base/own.h"

static void check_free(struct check *c) {
    fd_watch_free(c->watch);
    timer_free(c->timeout);
    close_p(&c->fd);
    c->release(c);
}

static void deliver(void *user) {
    struct check *c = user;
    if (!c->cancelled) c->fn(c->user, c->ok, c->text);
    check_free(c);
}

void check_init(struct check *c, const char *ip, uint16_t port, void (*on_timeout)(void *user)) {
    c->fd = -1;
    net_address_text(c->address, ip, port);
    c->timeout = timer_new(c->loop, on_timeout, c);
}

int check_dial(struct check *c, const char *ip, uint16_t port, uint64_t timeout_ms,
               fd_fn *on_ready) {
    int rc = net_dial(ip, port, &c->fd);
    if (rc < 0) return rc;
    c->watch = fd_watch_new(c->loop, c->fd, FD_WRITE, on_ready, c);
    timer_start(c->timeout, timeout_ms, 0);
    return 0;
}

int check_connected(struct check *c) {
    int e = 0;
    socklen_t len = sizeof e;
    if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &e, &len) < 0) e = errno;
    c->connected = e == 0;
    return e;
}

void check_end(struct check *c, bool ok, const char *fmt, ...) {
    if (c->complete) return;
    va_list ap;
    c->complete = true;
    c->ok = ok;
    va_start(ap, fmt);
    vsnprintf(c->text, sizeof c->text, fmt, ap);
    va_end(ap);
    fd_watch_free(c->watch);
    c->watch = NULL;
    timer_stop(c->timeout);
    loop_defer(c->loop, deliver, c);
}

void check_cancel(struct check *c) {
    if (c->complete)
        c->cancelled = true; /* deliver() frees it */
    else
        check_free(c);
}
