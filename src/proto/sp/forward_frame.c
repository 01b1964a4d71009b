#include "proto/sp/forward_frame.h"

#include <errno.h>

#include "base/own.h"

enum { VERSION = 1 };

void forward_put(struct buf *b, uint64_t v, unsigned n_bytes) {
    for (unsigned i = n_bytes; i-- > 0;) buf_char(b, (char)(v >> (8 * i)));
}

void forward_put_text(struct buf *b, struct slice s) {
    size_t n = MIN_OF(s.n, (size_t)SP_FORWARD_NAME_MAX);
    forward_put(b, n, 1);
    buf_append(b, s.p, n);
}

uint64_t forward_get(struct forward_reader *r, unsigned n_bytes) {
    uint64_t v = 0;
    if (r->left.n < n_bytes) {
        r->bad = true;
        return 0;
    }
    for (unsigned i = 0; i < n_bytes; i++) v = v << 8 | (unsigned char)r->left.p[i];
    r->left = slice_from(r->left.p + n_bytes, r->left.n - n_bytes);
    return v;
}

struct slice forward_get_text(struct forward_reader *r) {
    size_t n = forward_get(r, 1);
    if (r->bad || r->left.n < n) {
        r->bad = true;
        return SLICE("");
    }
    struct slice s = {r->left.p, n};
    r->left = slice_from(r->left.p + n, r->left.n - n);
    return s;
}

int forward_broken(struct err *err, const char *what) {
    err_set(err, ERR_BAD_REQUEST, "forwarding: %s", what);
    return -EBADMSG;
}

/* ---- HELLO: version u8, side u8 (1: up), id u64, most subscriptions u32, credit u32, name,
 * topology ---- */

void forward_hello_write(struct buf *b, const struct sp_forward_self *self, bool up) {
    forward_put(b, HELLO, 1);
    forward_put(b, VERSION, 1);
    forward_put(b, up, 1);
    forward_put(b, self->id, 8);
    forward_put(b, self->subscriptions_max, 4);
    forward_put(b, SP_FORWARD_CREDIT, 4);
    forward_put_text(b, slice_of(self->name));
    forward_put_text(b, slice_of(self->topology));
}

/* More bytes at the end are those of a later version. */
int forward_hello_read(struct forward_reader *r, bool up, struct forward_hello *ret,
                       struct err *err) {
    unsigned version = (unsigned)forward_get(r, 1), side = (unsigned)forward_get(r, 1);
    struct forward_hello h = {.id = forward_get(r, 8)};
    h.subscriptions_max = (uint32_t)forward_get(r, 4);
    h.credit = (uint32_t)forward_get(r, 4);
    h.name = forward_get_text(r);
    h.topology = forward_get_text(r);
    if (r->bad || version < VERSION || h.credit == 0 || h.credit > SP_FORWARD_CREDIT_MAX)
        return forward_broken(err, "greeting is malformed");
    if (side != up)
        return forward_broken(err, up ? "the peer receives, too" : "the peer sends, too");
    if (memchr(h.name.p, 0, h.name.n) || memchr(h.topology.p, 0, h.topology.n))
        return forward_broken(err, "greeting has a name with a zero byte");
    *ret = h;
    return 0;
}

/* ---- MESSAGE: sequence u48, hops u8, origin u32, body ---- */

size_t sp_forward_head(unsigned char ret[SP_FORWARD_HEAD_BYTES],
                       const struct sp_forward_message *m) {
    unsigned char *p = ret;
    *p++ = MESSAGE;
    for (unsigned i = 6; i-- > 0;) *p++ = (unsigned char)(m->sequence >> (8 * i));
    *p++ = m->hops;
    for (unsigned i = 4; i-- > 0;) *p++ = (unsigned char)(m->origin >> (8 * i));
    return (size_t)(p - ret);
}
