#include "wire/egress.h"

#include <errno.h>
#include <string.h>

#include "base/limits.h"

enum { LENGTH_BYTES = 4 };

/* Room for the length, written by frame_end. */
static size_t frame_begin(struct buf *b) {
    pack_u32(b, 0);
    return b->n;
}

static void frame_end(struct buf *b, size_t start) {
    struct buf length = {0};
    pack_u32(&length, (uint32_t)(b->n - start));
    memcpy(b->p + start - LENGTH_BYTES, length.p, LENGTH_BYTES);
    buf_done(&length);
}

int egress_frame(struct slice bytes, struct slice *ret_body, size_t *ret_used) {
    if (bytes.n < LENGTH_BYTES) return 0;
    struct unpack u = unpack_init(bytes);
    uint32_t n = unpack_u32(&u);
    if (n > EGRESS_FRAME_MAX_BYTES) return -EBADMSG;
    if (u.left.n < n) return 0;
    *ret_body = slice_from(u.left.p, n);
    *ret_used = LENGTH_BYTES + n;
    return 1;
}

void egress_prelude_pack(struct buf *b, const struct egress_prelude *p) {
    size_t start = frame_begin(b);
    pack_u8(b, p->policy);
    pack_u8(b, p->identity);
    pack_bool(b, p->tls);
    pack_bool(b, p->insecure);
    pack_u16(b, p->port);
    pack_u32(b, p->timeout_ms);
    pack_str(b, p->host);
    pack_str(b, p->server_name);
    pack_str(b, p->ca_pem);
    frame_end(b, start);
}

static bool in_range(const struct egress_prelude *p) {
    if (p->policy != EGRESS_BY_ADMINISTRATOR && p->policy != EGRESS_BY_TENANT) return false;
    if (p->identity != EGRESS_ANONYMOUS && p->identity != EGRESS_FRONT_PROXY) return false;
    if (!p->tls && p->identity != EGRESS_ANONYMOUS) return false;
    if (!p->port || !p->timeout_ms || p->timeout_ms > EGRESS_TIMEOUT_MAX_MS) return false;
    return *p->host && strlen(p->host) <= LIMIT_NAME_BYTES &&
           strlen(p->server_name) <= LIMIT_NAME_BYTES;
}

int egress_prelude_unpack(struct slice body, struct arena *a, struct egress_prelude *ret) {
    struct unpack u = unpack_init(body);
    struct egress_prelude p = {0};
    p.policy = unpack_u8(&u);
    p.identity = unpack_u8(&u);
    p.tls = unpack_bool(&u);
    p.insecure = unpack_bool(&u);
    p.port = unpack_u16(&u);
    p.timeout_ms = unpack_u32(&u);
    p.host = unpack_str(&u, a);
    p.server_name = unpack_str(&u, a);
    p.ca_pem = unpack_str(&u, a);
    if (unpack_end(&u) < 0 || !in_range(&p)) return -EBADMSG;
    *ret = p;
    return 0;
}

void egress_answer_pack(struct buf *b, const struct egress_answer *a) {
    size_t start = frame_begin(b);
    pack_u8(b, a->status);
    pack_str(b, a->text);
    frame_end(b, start);
}

int egress_answer_unpack(struct slice body, struct arena *a, struct egress_answer *ret) {
    struct unpack u = unpack_init(body);
    struct egress_answer r = {0};
    r.status = unpack_u8(&u);
    r.text = unpack_str(&u, a);
    if (unpack_end(&u) < 0 || r.status >= EGRESS_STATUS_COUNT) return -EBADMSG;
    *ret = r;
    return 0;
}
