#include "node/checks/net_check.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/own.h"
#include "node/checks/check.h"
#include "node/checks/tls_client.h"
#include "proto/http.h"

enum { BODY_MAX = 10 * 1024, URL_MAX = 512 };

struct net_check {
    struct check base;
    bool http;
    struct tls_client *tls; /* NULL: plain */
    char url[URL_MAX];
    struct buf request, body;
    size_t sent;
    struct http1 *parser;
    int status;
};

static void release(struct check *base) {
    struct net_check *c = (struct net_check *)base;
    buf_done(&c->request);
    buf_done(&c->body);
    http1_free(c->parser);
    tls_client_free(c->tls);
    free(c);
}

static void fail(struct net_check *c, const char *what, const char *why) {
    if (c->http)
        check_end(&c->base, false, "Get \"%s\": %s tcp %s: %s", c->url, what, c->base.address, why);
    else
        check_end(&c->base, false, "%s tcp %s: %s", what, c->base.address, why);
}

static const char *error_text(int e) {
    if (e == ECONNREFUSED) return "connect: connection refused";
    if (e == EHOSTUNREACH) return "connect: no route to host";
    if (e == ENETUNREACH) return "connect: network is unreachable";
    if (e == ECONNRESET) return "connection reset by peer";
    return strerror(e);
}

static void on_timeout(void *user) {
    struct net_check *c = user;
    if (c->http)
        check_end(&c->base, false,
                  "Get \"%s\": context deadline exceeded (Client.Timeout exceeded while awaiting "
                  "headers)",
                  c->url);
    else
        fail(c, "dial", "i/o timeout");
}

static int on_head(void *user, const struct http1_head *h) {
    ((struct net_check *)user)->status = h->status;
    return 0;
}

static int on_body(void *user, struct slice data) {
    struct net_check *c = user;
    buf_append(&c->body, data.p, MIN_OF(data.n, BODY_MAX - c->body.n));
    return 0;
}

static int on_end(void *user) {
    struct net_check *c = user;
    if (c->status >= 200 && c->status < 400)
        check_end(&c->base, true, "%s", c->body.p ? c->body.p : "");
    else
        check_end(&c->base, false, "HTTP probe failed with statuscode: %d", c->status);
    return 1;
}

static const struct http1_events events = {on_head, on_body, on_end};

static void receive(struct net_check *c) {
    char tmp[4096];
    ssize_t n =
        c->tls ? tls_client_read(c->tls, tmp, sizeof tmp) : read(c->base.fd, tmp, sizeof tmp);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n < 0) {
        fail(c, "read", error_text(errno));
        return;
    }
    struct err err = {0};
    size_t used;
    if (n == 0) {
        if (!c->status || http1_eof(c->parser) < 0)
            check_end(&c->base, false, "Get \"%s\": EOF", c->url);
        else if (!c->base.complete)
            on_end(c);
        return;
    }
    int rc = http1_feed(c->parser, slice_from(tmp, (size_t)n), &used, &err);
    if (rc < 0 && !c->base.complete)
        check_end(&c->base, false, "Get \"%s\": malformed HTTP response: %s", c->url, err.text);
}

static void send_request(struct net_check *c) {
    while (c->sent < c->request.n) {
        const char *p = c->request.p + c->sent;
        size_t left = c->request.n - c->sent;
        ssize_t n =
            c->tls ? tls_client_write(c->tls, p, left) : send(c->base.fd, p, left, MSG_NOSIGNAL);
        if (n < 0 && errno == EAGAIN) return;
        if (n < 0) {
            fail(c, "write", error_text(errno));
            return;
        }
        c->sent += (size_t)n;
    }
    fd_watch_set(c->base.watch, FD_READ);
}

/* True when the handshake is over. */
static bool shake(struct net_check *c) {
    unsigned want = 0;
    int rc = tls_client_handshake(c->tls, &want);
    if (rc == 0) return true;
    if (rc == -EAGAIN)
        fd_watch_set(c->base.watch, want);
    else
        check_end(&c->base, false, "Get \"%s\": tls: handshake failure", c->url);
    return false;
}

static void on_ready(void *user, unsigned ev) {
    struct net_check *c = user;
    if (!c->base.connected) {
        int e = check_connected(&c->base);
        if (e) {
            fail(c, "dial", error_text(e));
            return;
        }
        if (!c->http) {
            check_end(&c->base, true, "%s", "");
            return;
        }
    }
    if (c->tls && !shake(c)) return;
    if (c->sent < c->request.n)
        send_request(c);
    else
        receive(c);
    while (c->tls && !c->base.complete && tls_client_pending(c->tls)) receive(c);
}

static bool clean(const char *s) {
    for (; *s; s++)
        if ((unsigned char)*s < 0x20 || *s == 0x7f) return false;
    return true;
}

static void write_request(struct net_check *c, const struct net_target *t) {
    OWN(arena_free_p) struct arena *a = arena_new();
    struct http_headers h = {0};
    const char *host = c->base.address, *agent = "kube-probe/1.32", *accept = "*/*";
    for (size_t i = 0; t->headers && i < t->headers->n; i++) {
        const char *name = str_or(t->headers->v[i].name, ""),
                   *v = str_or(t->headers->v[i].value, "");
        if (!*name || !clean(name) || !clean(v)) continue;
        if (slice_ieq(slice_of(name), "host"))
            host = v;
        else if (slice_ieq(slice_of(name), "user-agent"))
            agent = v;
        else if (slice_ieq(slice_of(name), "accept"))
            accept = *v ? v : accept;
        else
            *ARENA_PUSH(a, &h) = (struct http_header){name, v};
    }
    *ARENA_PUSH(a, &h) = (struct http_header){"host", host};
    *ARENA_PUSH(a, &h) = (struct http_header){"user-agent", agent};
    *ARENA_PUSH(a, &h) = (struct http_header){"accept", accept};
    *ARENA_PUSH(a, &h) = (struct http_header){"connection", "close"};
    const char *path = *t->path == '/' ? t->path : arena_printf(a, "/%s", t->path);
    http1_write_request(&c->request, "GET", path, &h);
    snprintf(c->url, sizeof c->url, "%s://%s%s", t->https ? "https" : "http", c->base.address,
             path);
    c->parser = http1_new(HTTP1_RESPONSES, &events, c);
}

struct net_check *net_check_start(struct loop *l, const struct net_target *t, net_check_fn *fn,
                                  void *user) {
    struct net_check *c = calloc(1, sizeof *c);
    if (!c) abort();
    *c = (struct net_check){.base = {.loop = l, .fn = fn, .user = user, .release = release},
                            .http = t->path};
    check_init(&c->base, t->ip, t->port, on_timeout);
    if (c->http) write_request(c, t);
    int rc = check_dial(&c->base, t->ip, t->port, t->timeout_ms, on_ready);
    if (rc < 0)
        fail(c, "dial", rc == -EDESTADDRREQ ? "no address" : error_text(-rc));
    else if (c->http && t->https)
        c->tls = tls_client_new(c->base.fd);
    return c;
}

void net_check_cancel(struct net_check *c) {
    if (c) check_cancel(&c->base);
}
