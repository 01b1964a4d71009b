/* The HTTP/2 half of the load generator, by nghttp2: a stream at a time for each client. */
#include <nghttp2/nghttp2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "load.h"

enum { OUT_BYTES = 128 * 1024, WINDOW_BYTES = 16 << 20 };

struct h2_client {
    struct client *owner;
    nghttp2_session *session;
    struct h2_request request;
    bool in_input; /* within nghttp2, which must not be asked for output then */
    char *out;     /* frames that go in one write */
};

static bool is(const uint8_t *p, size_t n, const char *text) {
    return n == strlen(text) && memcmp(p, text, n) == 0;
}

static int on_header(nghttp2_session *s, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_n, const uint8_t *value, size_t value_n, uint8_t flags,
                     void *user) {
    struct client *c = nghttp2_session_get_stream_user_data(s, frame->hd.stream_id);
    if (!c) return 0;
    if (is(name, name_n, ":status"))
        c->stream.ok = is(value, value_n, "200") || is(value, value_n, "201");
    if (is(name, name_n, "grpc-status")) c->stream.grpc_ok = is(value, value_n, "0");
    return 0;
}

static int on_data(nghttp2_session *s, uint8_t flags, int32_t id, const uint8_t *p, size_t n,
                   void *user) {
    struct client *c = nghttp2_session_get_stream_user_data(s, id);
    if (c) c->stream.bytes += n;
    return 0;
}

static int on_close(nghttp2_session *s, int32_t id, uint32_t code, void *user) {
    const struct h2_client *h = user;
    struct client *c = nghttp2_session_get_stream_user_data(s, id);
    if (!c) return 0;
    bool ok = c->stream.ok && (c->stream.grpc_ok || !h->request.grpc) && code == NGHTTP2_NO_ERROR;
    client_answered(c, ok, c->stream.bytes);
    return 0;
}

static int flush(struct h2_client *h) {
    size_t n = 0;
    const uint8_t *p;
    for (ssize_t got; (got = nghttp2_session_mem_send(h->session, &p)) != 0;) {
        if (got < 0 || got > OUT_BYTES) return -1;
        if (n + (size_t)got > OUT_BYTES) {
            if (client_write(h->owner, h->out, n) < 0) return -1;
            n = 0;
        }
        memcpy(h->out + n, p, (size_t)got);
        n += (size_t)got;
    }
    return n && client_write(h->owner, h->out, n) < 0 ? -1 : 0;
}

struct h2_client *h2_client_new(struct client *owner, const struct h2_request *request) {
    struct h2_client *h = calloc(1, sizeof *h);
    nghttp2_session_callbacks *callbacks;
    nghttp2_option *option;
    if (!h || nghttp2_session_callbacks_new(&callbacks) != 0 || nghttp2_option_new(&option) != 0)
        abort();
    nghttp2_option_set_no_http_messaging(option, 1); /* it is not the servers' judge */
    h->owner = owner;
    h->out = malloc(OUT_BYTES);
    if (!h->out) abort();
    h->request = *request;
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_close);
    if (nghttp2_session_client_new2(&h->session, callbacks, h, option) != 0) abort();
    nghttp2_session_callbacks_del(callbacks);
    nghttp2_option_del(option);
    nghttp2_submit_settings(h->session, NGHTTP2_FLAG_NONE, NULL, 0);
    nghttp2_session_set_local_window_size(h->session, NGHTTP2_FLAG_NONE, 0, WINDOW_BYTES);
    setsockopt(owner->fd, SOL_SOCKET, SO_SNDBUF, &(int){4 * OUT_BYTES}, sizeof(int));
    return h;
}

void h2_client_free(struct h2_client *h) {
    if (!h) return;
    nghttp2_session_del(h->session);
    free(h->out);
    free(h);
}

static nghttp2_nv header(const char *name, const char *value) {
    return (nghttp2_nv){(uint8_t *)(uintptr_t)name, (uint8_t *)(uintptr_t)value, strlen(name),
                        strlen(value),
                        NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE};
}

static ssize_t read_body(nghttp2_session *s, int32_t id, uint8_t *to, size_t room, uint32_t *flags,
                         nghttp2_data_source *source, void *user) {
    const struct h2_client *h = user;
    struct client *c = source->ptr;
    size_t n = h->request.body_n - c->stream.body_sent;
    client_fill(c);
    if (n > room) n = room;
    memcpy(to, h->request.body + c->stream.body_sent, n);
    c->stream.body_sent += n;
    if (c->stream.body_sent == h->request.body_n) *flags |= NGHTTP2_DATA_FLAG_EOF;
    return (ssize_t)n;
}

void h2_client_request(struct client *c) {
    struct h2_client *h = c->h2;
    bool post = h->request.body != NULL, grpc = h->request.grpc;
    nghttp2_nv headers[] = {header(":method", post ? "POST" : "GET"),
                            header(":scheme", "https"),
                            header(":authority", "localhost"),
                            header(":path", h->request.path),
                            header("accept", "application/json"),
                            header("content-type", grpc ? "application/grpc" : "application/json"),
                            header("te", "trailers")};
    size_t n = grpc ? 7 : post ? 6 : 5;
    nghttp2_data_provider body = {.source.ptr = c, .read_callback = read_body};
    c->stream = (struct h2_stream){0};
    if (nghttp2_submit_request(h->session, NULL, headers, n, post ? &body : NULL, c) < 0 ||
        (!h->in_input && flush(h) < 0))
        h->owner->dead = true;
}

int h2_client_input(struct h2_client *h, const void *p, size_t n) {
    h->in_input = true;
    ssize_t used = nghttp2_session_mem_recv(h->session, p, n);
    h->in_input = false;
    return used == (ssize_t)n ? flush(h) : -1;
}
