/*
 * What a link sends: small messages are put together in one buffer, large ones are sent from where
 * they lie, all with one writev. Of a message that went out only in part the rest is kept apart, so
 * that the queue may drop whatever it holds.
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "base/own.h"
#include "sp/links/link_private.h"

enum { BATCH = 256, STAGE_BYTES = 128 * 1024, SMALL_BYTES = 1024, OUT_KEEP_BYTES = 64 * 1024 };

struct batch {
    struct iovec v[2 * BATCH];
    size_t ends[BATCH]; /* of each message, from the start */
    int n_v;
    uint32_t n;
    size_t total;
};
static char stage[STAGE_BYTES];
static size_t staged;
static struct buf copies; /* of payloads that a codec has changed */

static ssize_t stream_writev(struct sp_link *l, const struct iovec *v, int n) {
    if (l->transport->stream) return l->transport->stream->writev(l->stream_state, v, n);
    struct msghdr m = {.msg_iov = (struct iovec *)v, .msg_iovlen = (size_t)n};
    ssize_t sent = sendmsg(l->fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
    return sent < 0 ? -errno : sent;
}

/* -EAGAIN: the descriptor takes no more; else it is broken and the link is closed. */
static ssize_t write_out(struct sp_link *l, const struct iovec *v, int n) {
    ssize_t sent = stream_writev(l, v, n);
    if (sent >= 0) return sent;
    if (sent == -EAGAIN || sent == -EINTR || sent == -ENOBUFS) {
        l->send_blocked = true;
        sp_link_want(l, l->want);
        return -EAGAIN;
    }
    sp_link_close(l, "peer has closed");
    return sent;
}

/* What is gone is taken off when it is the larger part: the rest of a large message may go in a
 * thousand pieces. */
static void out_gone(struct sp_link *l, size_t n) {
    l->out_at += n;
    if (l->out_at * 2 < l->out.n) return;
    buf_consume(&l->out, l->out_at);
    l->out_at = 0;
    if (!l->out.n && l->out.cap > OUT_KEEP_BYTES) buf_done(&l->out);
}

bool sp_link_flush(struct sp_link *l) {
    while (l->out.n && !l->send_blocked && !l->ended) {
        struct iovec v = {l->out.p + l->out_at, l->out.n - l->out_at};
        ssize_t sent = write_out(l, &v, 1);
        if (sent < 0) return false;
        out_gone(l, (size_t)sent);
    }
    return !l->out.n && !l->send_blocked;
}

/* ---- messages ---- */

static size_t extra_of(struct sp_link *l, const struct sp_message *m, uint32_t place,
                       unsigned char ret[SP_EXTRA_MAX]) {
    if (l->dialect) return l->dialect->extra ? l->dialect->extra(l, m, place, ret) : 0;
    if (l->header != SP_HEADER_HOPS) return 0;
    uint32_t hops = 0;
    sp_message_peek(m, &hops);
    sp_hops_write(ret, hops + 1);
    return SP_HOPS_BYTES;
}

static void add_bytes(struct batch *b, const void *p, size_t n) {
    if (!n) return;
    struct iovec *last = b->n_v ? &b->v[b->n_v - 1] : NULL;
    if (last && (const char *)last->iov_base + last->iov_len == p)
        last->iov_len += n;
    else
        b->v[b->n_v++] = (struct iovec){(void *)p, n};
    b->total += n;
}

static void add_staged(struct batch *b, const void *p, size_t n) {
    memcpy(stage + staged, p, n);
    add_bytes(b, stage + staged, n);
    staged += n;
}

/* The stage or the vector may be full after this one. */
static void add_message(struct sp_link *l, struct batch *b, const struct sp_message *m) {
    unsigned char head[SP_HEAD_MAX], extra[SP_EXTRA_MAX];
    struct slice body = l->header == SP_HEADER_TAGS ? sp_message_payload(m) : sp_message_body(m);
    struct slice more = slice_from(extra, extra_of(l, m, b->n, extra));
    buf_clear(&copies);
    size_t head_n = l->transport->codec->head(l, more, body, head, &copies);
    add_staged(b, head, head_n);
    if (copies.n) {
        body = buf_view(&copies);
        more.n = 0;
    }
    add_staged(b, more.p, more.n);
    if (body.n <= SMALL_BYTES)
        add_staged(b, body.p, body.n);
    else
        add_bytes(b, body.p, body.n);
    b->ends[b->n++] = b->total;
}

/* A large changed payload lies in `copies`, of which there is one: it ends the batch. */
static bool has_room(const struct batch *b) {
    return b->n < BATCH && staged + SP_HEAD_MAX + SP_EXTRA_MAX + SMALL_BYTES <= STAGE_BYTES &&
           copies.n <= SMALL_BYTES;
}

static void keep_rest(struct sp_link *l, const struct batch *b, size_t from, size_t to) {
    size_t at = 0;
    for (int i = 0; i < b->n_v && at < to; i++) {
        size_t n = b->v[i].iov_len, skip = from > at ? MIN_OF(from - at, n) : 0;
        size_t end = MIN_OF(n, to - at);
        if (end > skip) buf_append(&l->out, (const char *)b->v[i].iov_base + skip, end - skip);
        at += n;
    }
}

/* False: the descriptor takes no more for now. */
static bool send_batch(struct sp_link *l) {
    static struct batch b;
    b.n = 0;
    b.n_v = 0;
    b.total = staged = 0;
    buf_clear(&copies);
    for (struct sp_message *m; has_room(&b) && (m = sp_pipe_peek(&l->pipe, b.n));)
        add_message(l, &b, m);
    ssize_t sent = write_out(l, b.v, b.n_v);
    if (sent < 0) return false;
    uint32_t whole = 0;
    while (whole < b.n && b.ends[whole] <= (size_t)sent) whole++;
    size_t done = whole ? b.ends[whole - 1] : 0;
    if (whole < b.n && (size_t)sent > done) {
        keep_rest(l, &b, (size_t)sent, b.ends[whole]);
        whole++;
    }
    sp_pipe_sent(&l->pipe, whole);
    return (size_t)sent == b.total;
}

void sp_link_pipe_flush(struct sp_pipe *p) {
    struct sp_link *l = (struct sp_link *)p;
    while (!l->ended && !p->closing && sp_link_flush(l) && sp_pipe_waiting(p))
        if (!send_batch(l) && !l->out.n && l->send_blocked) return;
}

void sp_link_control(struct sp_link *l, struct slice payload) {
    unsigned char head[SP_HEAD_MAX];
    OWN(buf_done) struct buf copy = {0};
    if (l->ended || l->pipe.closing) return;
    size_t n = l->transport->codec->head(l, (struct slice){0}, payload, head, &copy);
    buf_append(&l->out, head, n);
    buf_slice(&l->out, copy.n ? buf_view(&copy) : payload);
    sp_link_flush(l);
}
