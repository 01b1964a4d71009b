/* SPDY/3.1: any bytes, in any pieces; the cut must not matter, and what comes out can be sent
 * again. */
#include <assert.h>

#include "base/limits.h"
#include "proto/spdy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

struct seen {
    struct buf text, out;
    struct spdy *writer;
};

static int on_headers(void *user, uint32_t id, const struct http_headers *h, bool fin) {
    struct seen *s = user;
    assert(id && h->n <= LIMIT_HTTP_HEADERS);
    buf_printf(&s->text, "<%u %d", id, fin);
    for (size_t i = 0; i < h->n; i++) buf_printf(&s->text, " %s=%s", h->v[i].name, h->v[i].value);
    spdy_write_syn_reply(s->writer, &s->out, id, h, fin);
    return 0;
}
static int on_data(void *user, uint32_t id, struct slice data, bool fin) {
    struct seen *s = user;
    buf_slice(&s->text, data);
    if (fin) buf_printf(&s->text, "<end %u>", id);
    return 0;
}
static int on_number(void *user, uint32_t v) {
    buf_printf(&((struct seen *)user)->text, "<%u>", v);
    return 0;
}
static int on_pair(void *user, uint32_t id, uint32_t v) {
    buf_printf(&((struct seen *)user)->text, "<%u %u>", id, v);
    return 0;
}
static const struct spdy_events events = {on_headers, on_headers, on_headers, on_data,
                                          on_pair,    on_number,  on_number,  on_pair};

static int run(struct seen *s, struct slice in, size_t piece) {
    struct spdy *r = spdy_new(&events, s);
    s->writer = spdy_new(&events, s);
    int code = 0;
    while (code == 0 && in.n > 0) {
        size_t n = piece < in.n ? piece : in.n;
        code = spdy_feed(r, slice_from(in.p, n), NULL);
        in = slice_from(in.p + n, in.n - n);
    }
    spdy_free(r);
    spdy_free(s->writer);
    return code;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    if (n < 1) return 0;
    struct slice in = slice_from(data + 1, n - 1);
    struct seen whole = {0}, cut = {0}, again = {0};
    int r1 = run(&whole, in, in.n + 1), r2 = run(&cut, in, data[0] % 16 + 1u);
    assert(r1 == r2 && slice_eq(buf_view(&whole.text), buf_view(&cut.text)));
    assert(run(&again, buf_view(&whole.out), whole.out.n + 1) == 0);
    buf_done(&whole.text), buf_done(&whole.out);
    buf_done(&cut.text), buf_done(&cut.out);
    buf_done(&again.text), buf_done(&again.out);
    return 0;
}
