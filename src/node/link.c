#include "node/link.h"

#include <stdlib.h>
#include <string.h>

#include "base/own.h"

enum { RETRY_FIRST_MS = 20, RETRY_MAX_MS = 1000 };

struct link {
    struct loop *loop;
    char *path;
    struct link_events ev;
    struct ipc *ipc;
    struct timer *retry;
    uint64_t delay_ms;
    bool closing;
};

struct link_request {
    link_reply_fn *fn;
    void *user;
};

static void on_closed(struct ipc *c, void *user) {
    struct link *k = user;
    if (k->ipc == c) k->ipc = NULL;
    if (!k->closing) timer_start(k->retry, k->delay_ms, 0);
}

static void on_message(struct ipc *c, struct ipc_msg *m, void *user) {
    struct link *k = user;
    if (k->ev.message) k->ev.message(k->ev.user, m);
}

static void announce(void *user) {
    struct link *k = user;
    if (k->ipc && k->ev.up) k->ev.up(k->ev.user);
}

static void try_connect(void *user) {
    struct link *k = user;
    if (k->ipc || k->closing) return;
    struct ipc_handler h = {.message = on_message, .closed = on_closed, .user = k};
    struct err err;
    if (ipc_connect(k->loop, k->path, &h, &k->ipc, &err) < 0) {
        k->ipc = NULL;
        k->delay_ms = MIN_OF(k->delay_ms * 2, (uint64_t)RETRY_MAX_MS);
        timer_start(k->retry, k->delay_ms, 0);
        return;
    }
    k->delay_ms = RETRY_FIRST_MS;
    timer_stop(k->retry);
    loop_defer(k->loop, announce, k);
}

struct link *link_new(struct loop *l, const char *path, const struct link_events *ev) {
    struct link *k = calloc(1, sizeof *k);
    if (!k) abort();
    k->loop = l;
    k->path = strdup(path);
    if (!k->path) abort();
    k->ev = *ev;
    k->delay_ms = RETRY_FIRST_MS;
    k->retry = timer_new(l, try_connect, k);
    try_connect(k);
    return k;
}

static void on_reply(struct ipc *c, struct ipc_msg *m, void *user) {
    struct link_request *r = user;
    struct err err = {0};
    if (!m) {
        err_set(&err, ERR_UNAVAILABLE, "connection lost");
        r->fn(r->user, NULL, &err);
    } else if (m->type == IPC_ERROR) {
        ipc_decode_error(m->body, &err);
        if (err.reason == ERR_NONE) err_set(&err, ERR_INTERNAL, "malformed answer");
        r->fn(r->user, NULL, &err);
    } else {
        r->fn(r->user, m, NULL);
    }
    free(r);
}

static void fail_later(void *user) { on_reply(NULL, NULL, user); }

void link_call(struct link *k, uint16_t type, struct slice body, const int *fds, size_t n_fds,
               link_reply_fn *fn, void *user) {
    struct link_request *r = calloc(1, sizeof *r);
    if (!r) abort();
    *r = (struct link_request){fn, user};
    try_connect(k);
    if (!k->ipc) {
        loop_defer(k->loop, fail_later, r);
        return;
    }
    ipc_call(k->ipc, type, body, fds, n_fds, on_reply, r);
}
