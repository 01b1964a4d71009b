/* The HTTP/2 half of the load generator: one stream at a time on one connection, by nghttp2. */
#include <nghttp2/nghttp2.h>
#include <stdlib.h>
#include <string.h>

#include "load.h"

struct h2_client {
    struct client *client;
    nghttp2_session *session;
    const char *path;
    bool ok;       /* the answer under way began with 200 */
    bool in_input; /* within nghttp2, which must not be asked for output then */
};

static int on_header(nghttp2_session *s, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_n, const uint8_t *value, size_t value_n, uint8_t flags,
                     void *user) {
    struct h2_client *h = user;
    if (name_n == 7 && memcmp(name, ":status", 7) == 0)
        h->ok = value_n == 3 && memcmp(value, "200", 3) == 0;
    return 0;
}

static int on_close(nghttp2_session *s, int32_t id, uint32_t code, void *user) {
    struct h2_client *h = user;
    client_answered(h->client, h->ok && code == NGHTTP2_NO_ERROR);
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

struct h2_client *h2_client_new(struct client *c, const char *path) {
    struct h2_client *h = calloc(1, sizeof *h);
    nghttp2_session_callbacks *callbacks;
    if (!h || nghttp2_session_callbacks_new(&callbacks) != 0) abort();
    h->client = c;
    h->path = path;
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
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

int h2_client_request(struct h2_client *h) {
    nghttp2_nv headers[] = {header(":method", "GET"), header(":scheme", "https"),
                            header(":authority", "localhost"), header(":path", h->path),
                            header("accept", "application/json")};
    h->ok = false;
    if (nghttp2_submit_request(h->session, NULL, headers, sizeof headers / sizeof *headers, NULL,
                               NULL) < 0)
        return -1;
    return h->in_input ? 0 : flush(h);
}

int h2_client_input(struct h2_client *h, const void *p, size_t n) {
    h->in_input = true;
    ssize_t used = nghttp2_session_mem_recv(h->session, p, n);
    h->in_input = false;
    return used == (ssize_t)n ? flush(h) : -1;
}
