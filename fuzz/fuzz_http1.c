/*
 * HTTP/1.1: any bytes, in any pieces. Invariants: what the parser says does not depend on how the
 * bytes were cut; what it accepted it accepts again when written by us (no request is read in two
 * ways).
 */
#include <assert.h>
#include <stdlib.h>

#include "base/limits.h"
#include "proto/http.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

struct seen {
    struct buf text;
    struct buf again; /* the messages, written by the codec */
    bool chunked, rewrite;
};

static int on_head(void *user, const struct http1_head *h) {
    struct seen *s = user;
    assert(h->headers.n <= LIMIT_HTTP_HEADERS);
    buf_printf(&s->text, "<%s %s %d %d%d%d%d", h->method ? h->method : "",
               h->target ? h->target : "", h->status, h->keep_alive, h->upgrade, h->has_body,
               h->chunked);
    for (size_t i = 0; i < h->headers.n; i++)
        buf_printf(&s->text, "|%s=%s", h->headers.v[i].name, h->headers.v[i].value);
    buf_str(&s->text, ">");
    s->chunked = h->chunked;
    if (h->method && !h->http10)
        http1_write_request(&s->again, h->method, h->target, &h->headers);
    else
        s->rewrite = false;
    return 0;
}

static int on_body(void *user, struct slice data) {
    struct seen *s = user;
    buf_slice(&s->text, data);
    if (s->chunked)
        http1_write_chunk(&s->again, data);
    else
        buf_slice(&s->again, data);
    return 0;
}

static int on_end(void *user) {
    struct seen *s = user;
    buf_str(&s->text, "<end>");
    if (s->chunked) http1_write_last_chunk(&s->again);
    return 0;
}

static const struct http1_events events = {on_head, on_body, on_end};

static int run(struct seen *s, enum http1_role role, struct slice all, size_t piece) {
    struct http1 *p = http1_new(role, &events, s);
    int r = 0;
    s->rewrite = true;
    while (r == 0 && all.n > 0) {
        size_t used, n = piece && piece < all.n ? piece : all.n;
        r = http1_feed(p, slice_from(all.p, n), &used, NULL);
        assert(used <= n);
        if (r == 0 && used == 0) break; /* switched protocols */
        all = slice_from(all.p + used, all.n - used);
    }
    if (r == 0) r = http1_eof(p);
    http1_free(p);
    return r;
}

static void done(struct seen *s) {
    buf_done(&s->text);
    buf_done(&s->again);
}

static void targets(struct slice all) {
    struct arena *a = arena_new();
    const char *path;
    struct http_query q;
    http_split_target(a, arena_strn(a, all), &path, &q, NULL);
    arena_free(a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    if (n < 2) return 0;
    enum http1_role role = data[0] & 1 ? HTTP1_RESPONSES : HTTP1_REQUESTS;
    struct slice all = slice_from(data + 2, n - 2);
    struct seen whole = {0}, cut = {0}, again = {0};
    int r1 = run(&whole, role, all, 0), r2 = run(&cut, role, all, data[1] % 16 + 1u);
    assert(r1 == r2);
    assert(slice_eq(buf_view(&whole.text), buf_view(&cut.text)));
    if (r1 == 0 && whole.rewrite && whole.text.n > 0) {
        assert(run(&again, role, buf_view(&whole.again), 0) == 0);
        assert(slice_eq(buf_view(&whole.text), buf_view(&again.text)));
    }
    targets(all);
    done(&whole), done(&cut), done(&again);
    return 0;
}
