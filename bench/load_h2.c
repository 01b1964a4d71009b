/* The HTTP/2 half of the load generator: one stream at a time on one connection, by nghttp2. */
#include <nghttp2/nghttp2.h>
#include <stdlib.h>
#include <string.h>

#include "load.h"

struct h2_client {
    struct client *client;
    nghttp2_session *session;
    struct h2_request request;
    size_t body_sent;
    uint64_t bytes; /* of the answer's body so far */
    bool ok;        /* the answer under way began with 200 or 201 */
    bool grpc_ok;   /* … and ended with grpc-status 0 */
    bool in_input;  /* within nghttp2, which must not be asked for output then */
};

static bool is(const uint8_t *p, size_t n, const char *text) {
    return n == strlen(text) && memcmp(p, text, n) == 0;
}

static int on_header(nghttp2_session *s, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_n, const uint8_t *value, size_t value_n, uint8_t flags,
                     void *user) {
    struct h2_client *h = user;
    if (is(name, name_n, ":status")) h->ok = is(value, value_n, "200") || is(value, value_n, "201");
    if (is(name, name_n, "grpc-status")) h->grpc_ok = is(value, value_n, "0");
    return 0;
}

static int on_data(nghttp2_session *s, uint8_t flags, int32_t id, const uint8_t *p, size_t n,
                   void *user) {
    struct h2_client *h = user;
    h->bytes += n;
    return 0;
}

static int on_close(nghttp2_session *s, int32_t id, uint32_t code, void *user) {
    struct h2_client *h = user;
    bool ok = h->ok && (h->grpc_ok || !h->request.grpc) && code == NGHTTP2_NO_ERROR;
    client_answered(h->client, ok, h->bytes);
    return 0;
}

static int flush(struct h2_client *h) {
    for (;;) {
        const uint8_t *p;
        ssize_t n = nghttp2_session_mem_send(h->session, &p);
        if (n == 0) return 0;
        if (n < 0 || client_write(h->client, p, (size_t)n) != n) return -1;
    }
}

struct h2_client *h2_client_new(struct client *c, const struct h2_request *request) {
    struct h2_client *h = calloc(1, sizeof *h);
    nghttp2_session_callbacks *callbacks;
    if (!h || nghttp2_session_callbacks_new(&callbacks) != 0) abort();
    h->client = c;
    h->request = *request;
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_close);
    if (nghttp2_session_client_new(&h->session, callbacks, h) != 0) abort();
    nghttp2_session_callbacks_del(callbacks);
    nghttp2_submit_settings(h->session, NGHTTP2_FLAG_NONE, NULL, 0);
    return h;
}

void h2_client_free(struct h2_client *h) {
    if (!h) return;
    nghttp2_session_del(h->session);
    free(h);
}

static nghttp2_nv header(const char *name, const char *value) {
    return (nghttp2_nv){(uint8_t *)(uintptr_t)name, (uint8_t *)(uintptr_t)value, strlen(name),
                        strlen(value), NGHTTP2_NV_FLAG_NONE};
}

static ssize_t read_body(nghttp2_session *s, int32_t id, uint8_t *to, size_t room, uint32_t *flags,
                         nghttp2_data_source *source, void *user) {
    struct h2_client *h = user;
    size_t n = h->request.body_n - h->body_sent;
    if (n > room) n = room;
    memcpy(to, h->request.body + h->body_sent, n);
    h->body_sent += n;
    if (h->body_sent == h->request.body_n) *flags |= NGHTTP2_DATA_FLAG_EOF;
    return (ssize_t)n;
}

int h2_client_request(struct h2_client *h) {
    bool post = h->request.body != NULL, grpc = h->request.grpc;
    nghttp2_nv headers[] = {header(":method", post ? "POST" : "GET"),
                            header(":scheme", "https"),
                            header(":authority", "localhost"),
                            header(":path", h->request.path),
                            header("accept", "application/json"),
                            header("content-type", grpc ? "application/grpc" : "application/json"),
                            header("te", "trailers")};
    size_t n = grpc ? 7 : post ? 6 : 5;
    nghttp2_data_provider body = {.read_callback = read_body};
    h->ok = h->grpc_ok = false;
    h->body_sent = h->bytes = 0;
    if (nghttp2_submit_request(h->session, NULL, headers, n, post ? &body : NULL, NULL) < 0)
        return -1;
    return h->in_input ? 0 : flush(h);
}

int h2_client_input(struct h2_client *h, const void *p, size_t n) {
    h->in_input = true;
    ssize_t used = nghttp2_session_mem_recv(h->session, p, n);
    h->in_input = false;
    return used == (ssize_t)n ? flush(h) : -1;
}
