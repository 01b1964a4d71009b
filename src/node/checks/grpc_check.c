#include "node/checks/grpc_check.h"

#include <errno.h>
#include <inttypes.h>
#include <nghttp2/nghttp2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/own.h"
#include "node/checks/check.h"

enum { MESSAGE_MAX = 1024 };

struct grpc_check {
    struct check base;
    uint64_t timeout_ms;
    nghttp2_session *session;
    struct buf out, request, answer;
    size_t request_sent;
    int http_status, grpc_status; /* −1 = not seen */
};

static void release(struct check *base) {
    struct grpc_check *c = (struct grpc_check *)base;
    nghttp2_session_del(c->session);
    buf_done(&c->out);
    buf_done(&c->request);
    buf_done(&c->answer);
    free(c);
}

static void no_connection(struct grpc_check *c, const char *why) {
    check_end(&c->base, false, "timeout: failed to connect service \"%s\" within %" PRIu64 "s: %s",
              c->base.address, c->timeout_ms / 1000, why);
}

static void on_timeout(void *user) {
    struct grpc_check *c = user;
    if (c->base.connected)
        check_end(&c->base, false, "timeout: health rpc did not complete within %" PRIu64 "s",
                  c->timeout_ms / 1000);
    else
        no_connection(c, "context deadline exceeded");
}

static void judge(struct grpc_check *c) {
    static const char *const names[] = {"UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"};
    int status = grpc_health_status(buf_view(&c->answer));
    if (c->grpc_status == 12)
        check_end(&c->base, false,
                  "error: this server does not implement the grpc health protocol "
                  "(grpc.health.v1.Health)");
    else if (c->http_status != 200 || c->grpc_status != 0)
        check_end(&c->base, false,
                  "error: health rpc failed: rpc error: code = %d (HTTP status %d)", c->grpc_status,
                  c->http_status);
    else if (status < 0)
        check_end(&c->base, false, "error: health rpc failed: malformed answer");
    else if (status == 1)
        check_end(&c->base, true, "service healthy");
    else
        check_end(&c->base, false, "service unhealthy (responded with \"%s\")", names[status]);
}

/* ---- nghttp2 ---- */

static int small_number(const uint8_t *v, size_t n) {
    uint64_t x;
    return slice_u64(slice_from(v, n), &x) < 0 || x > 999 ? -1 : (int)x;
}

static int on_header(nghttp2_session *s, const nghttp2_frame *f, const uint8_t *name, size_t name_n,
                     const uint8_t *value, size_t value_n, uint8_t flags, void *user) {
    struct grpc_check *c = user;
    struct slice key = slice_from(name, name_n);
    if (slice_is(key, ":status")) c->http_status = small_number(value, value_n);
    if (slice_is(key, "grpc-status")) c->grpc_status = small_number(value, value_n);
    return 0;
}

static int on_data(nghttp2_session *s, uint8_t flags, int32_t stream, const uint8_t *p, size_t n,
                   void *user) {
    struct grpc_check *c = user;
    buf_append(&c->answer, p, MIN_OF(n, MESSAGE_MAX - c->answer.n));
    return 0;
}

static int on_stream_close(nghttp2_session *s, int32_t stream, uint32_t code, void *user) {
    judge(user);
    return 0;
}

static ssize_t read_request(nghttp2_session *s, int32_t stream, uint8_t *p, size_t n,
                            uint32_t *flags, nghttp2_data_source *src, void *user) {
    struct grpc_check *c = user;
    size_t part = MIN_OF(n, c->request.n - c->request_sent);
    memcpy(p, c->request.p + c->request_sent, part);
    c->request_sent += part;
    if (c->request_sent == c->request.n) *flags |= NGHTTP2_DATA_FLAG_EOF;
    return (ssize_t)part;
}

#define FIELD(n, v)                                                                                \
    { (uint8_t *)(uintptr_t)(n), (uint8_t *)(uintptr_t)(v), strlen(n), strlen(v), 0 }

static void session_open(struct grpc_check *c) {
    nghttp2_session_callbacks *cb;
    if (nghttp2_session_callbacks_new(&cb)) abort();
    nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_stream_close);
    if (nghttp2_session_client_new(&c->session, cb, c)) abort();
    nghttp2_session_callbacks_del(cb);
    nghttp2_nv nv[] = {FIELD(":method", "POST"),
                       FIELD(":scheme", "http"),
                       FIELD(":authority", c->base.address),
                       FIELD(":path", "/grpc.health.v1.Health/Check"),
                       FIELD("content-type", "application/grpc"),
                       FIELD("te", "trailers"),
                       FIELD("user-agent", "kube-probe/1.32")};
    nghttp2_data_provider body = {.read_callback = read_request};
    nghttp2_submit_settings(c->session, NGHTTP2_FLAG_NONE, NULL, 0);
    nghttp2_submit_request(c->session, NULL, nv, ARRAY_LEN(nv), &body, NULL);
}

/* ---- the socket ---- */

static void send_all(struct grpc_check *c) {
    const uint8_t *p;
    ssize_t n;
    while ((n = nghttp2_session_mem_send(c->session, &p)) > 0) buf_append(&c->out, p, (size_t)n);
    while (c->out.n && !c->base.complete) {
        n = send(c->base.fd, c->out.p, c->out.n, MSG_NOSIGNAL);
        if (n < 0 && (errno == EAGAIN || errno == EINTR)) break;
        if (n < 0) {
            check_end(&c->base, false, "error: health rpc failed: %s", strerror(errno));
            return;
        }
        buf_consume(&c->out, (size_t)n);
    }
    if (c->base.watch) fd_watch_set(c->base.watch, FD_READ | (c->out.n ? FD_WRITE : 0));
}

static void receive(struct grpc_check *c) {
    uint8_t tmp[4096];
    ssize_t n = recv(c->base.fd, tmp, sizeof tmp, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n <= 0) {
        check_end(&c->base, false, "error: health rpc failed: the connection was closed");
        return;
    }
    if (nghttp2_session_mem_recv(c->session, tmp, (size_t)n) < 0)
        check_end(&c->base, false, "error: health rpc failed: malformed HTTP/2");
}

static void on_ready(void *user, unsigned events) {
    struct grpc_check *c = user;
    if (!c->base.connected) {
        int e = check_connected(&c->base);
        if (e) {
            no_connection(c, strerror(e));
            return;
        }
        session_open(c);
    } else if (events & FD_READ) {
        receive(c);
    }
    if (!c->base.complete) send_all(c);
}

struct grpc_check *grpc_check_start(struct loop *l, const struct grpc_target *t, net_check_fn *fn,
                                    void *user) {
    struct grpc_check *c = calloc(1, sizeof *c);
    if (!c) abort();
    *c = (struct grpc_check){
        .base = {.loop = l, .fn = fn, .user = user, .release = release},
        .timeout_ms = t->timeout_ms,
        .http_status = -1,
        .grpc_status = -1,
    };
    check_init(&c->base, t->ip, t->port, on_timeout);
    grpc_health_request(&c->request, t->service);
    int rc = check_dial(&c->base, t->ip, t->port, t->timeout_ms, on_ready);
    if (rc < 0) no_connection(c, strerror(-rc));
    return c;
}

void grpc_check_cancel(struct grpc_check *c) {
    if (c) check_cancel(&c->base);
}
