/* HTTP/2: any bytes after the preface; the answers are produced as a handler would. */
#include <assert.h>
#include <stdlib.h>

#include "base/limits.h"
#include "proto/http2.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

struct stream {
    struct arena *a;
    int32_t id;
    size_t left;
    bool answered;
};

struct world {
    struct http2 *h;
    size_t open;
    struct stream *streams[4096];
    size_t n;
};

static void answer(struct world *w, struct stream *st) {
    if (st->answered) return;
    st->answered = true;
    struct http_header v[] = {{"Content-Type", "text/plain"}, {"connection", "close"}};
    http2_respond(w->h, st->id, 200, &(struct http_headers){v, 2}, true);
}

static void *on_head(void *user, int32_t id, const struct http1_head *m, struct arena *a,
                     bool end) {
    struct world *w = user;
    assert(m->method && m->target && m->headers.n <= LIMIT_HTTP_HEADERS);
    if (w->n == sizeof w->streams / sizeof *w->streams) {
        arena_free(a);
        return NULL;
    }
    struct stream *st = ARENA_NEW(a, struct stream);
    *st = (struct stream){.a = a, .id = id, .left = 20000};
    w->streams[w->n++] = st;
    w->open++;
    assert(w->open <= LIMIT_HTTP2_STREAMS);
    if (end) answer(w, st);
    return st;
}

static void on_body(void *user, void *stream, struct slice data) {
    struct world *w = user;
    http2_release(w->h, data.n);
    if (data.n > 1000) answer(w, stream);
}

static void on_end(void *user, void *stream) { answer(user, stream); }

static size_t on_produce(void *user, void *stream, char *out, size_t max, bool *ret_end) {
    struct stream *st = stream;
    size_t n = st->left < max ? st->left : max;
    memset(out, 'x', n);
    st->left -= n;
    *ret_end = st->left == 0;
    return n;
}

static void on_closed(void *user, void *stream, uint32_t code) {
    struct world *w = user;
    assert(w->open > 0);
    w->open--;
    ((struct stream *)stream)->answered = true;
}

static const struct http2_events events = {on_head, on_body, on_end, on_produce, on_closed};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    static struct world w;
    w = (struct world){0};
    w.h = http2_new(&events, &w, 0);
    static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0";
    size_t piece = n ? data[0] % 64 + 1u : 1;
    int r = http2_feed(w.h, SLICE(preface), 0, NULL);
    for (size_t at = 1; r == 0 && at < n; at += piece) {
        r = http2_feed(w.h, slice_from(data + at, at + piece > n ? n - at : piece), at, NULL);
        for (int turns = 0; turns < 100 && http2_output(w.h).n > 0; turns++) {
        }
    }
    if (n & 1) http2_shut(w.h);
    for (int turns = 0; turns < 100 && http2_output(w.h).n > 0; turns++) {
    }
    http2_free(w.h);
    for (size_t i = 0; i < w.n; i++) arena_free(w.streams[i]->a);
    return 0;
}
