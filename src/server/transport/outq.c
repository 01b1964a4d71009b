#include "server/transport/outq.h"

#include <assert.h>
#include <stdlib.h>

#include "base/own.h"
#include "base/vec.h"
#include "server/transport/budget.h"

enum {
    SHARE_MIN_BYTES = 2048, /* below, a copy costs less than an I/O vector */
    COMPACT_BYTES = 16 * 1024,
    KEEP_COPY_BYTES = 512, /* of an idle connection */
};

static size_t copied(const struct outq *q) { return q->copy.n - q->copy_at; }

void outq_done(struct outq *q) {
    budget_queued(copied(q), 0);
    for (size_t i = q->head; i < q->n; i++) bytes_unref(q->v[i].shared);
    free(q->v);
    buf_done(&q->copy);
    *q = (struct outq){0};
}

static void push(struct outq *q, struct outq_piece piece) {
    if (q->head > 64 && q->head * 2 > q->n) {
        memmove(q->v, q->v + q->head, (q->n - q->head) * sizeof *q->v);
        q->n -= q->head;
        q->head = 0;
    }
    vec_push(q, piece);
}

void outq_copy(struct outq *q, struct slice s) {
    if (s.n == 0) return;
    budget_queued(0, s.n);
    if (q->copy_at > COMPACT_BYTES && q->copy_at * 2 > q->copy.n) {
        buf_consume(&q->copy, q->copy_at);
        q->copy_at = 0;
    }
    if (!q->copy.cap) q->copy = buf_take();
    buf_slice(&q->copy, s);
    q->bytes += s.n;
    const struct outq_piece *last = q->n > q->head ? &q->v[q->n - 1] : NULL;
    if (last && !last->shared && !last->lent)
        q->v[q->n - 1].n += s.n;
    else
        push(q, (struct outq_piece){.n = s.n});
}

void outq_share(struct outq *q, struct bytes *b) {
    if (b->n < SHARE_MIN_BYTES) {
        outq_copy(q, slice_from(b->p, b->n));
        return;
    }
    push(q, (struct outq_piece){.shared = bytes_ref(b), .n = b->n});
    q->bytes += b->n;
}

void outq_lend(struct outq *q, struct slice s) {
    push(q, (struct outq_piece){.lent = s.p, .n = s.n});
    q->bytes += s.n;
}

/* Where the bytes of piece i stand; *copy_at walks along the copied ones. */
static const char *piece_at(const struct outq *q, size_t i, size_t *copy_at) {
    const struct outq_piece *piece = &q->v[i];
    if (piece->shared) return piece->shared->p + (piece->shared->n - piece->n);
    if (piece->lent) return piece->lent;
    const char *p = q->copy.p + *copy_at;
    *copy_at += piece->n;
    return p;
}

void outq_keep(struct outq *q) {
    struct outq kept = {0};
    size_t copy_at = q->copy_at;
    if (q->bytes == 0) return;
    for (size_t i = q->head; i < q->n; i++) {
        assert(!q->v[i].shared);
        outq_copy(&kept, slice_from(piece_at(q, i, &copy_at), q->v[i].n));
    }
    outq_done(q);
    *q = kept;
}

int outq_iov(const struct outq *q, struct iovec *iov, int max) {
    size_t copy_at = q->copy_at;
    int count = 0;
    for (size_t i = q->head; i < q->n && count < max; i++) {
        const char *p = piece_at(q, i, &copy_at);
        iov[count++] = (struct iovec){(void *)(uintptr_t)p, q->v[i].n};
    }
    return count;
}

size_t outq_peek(const struct outq *q, char *out, size_t max) {
    size_t copy_at = q->copy_at;
    size_t done = 0;
    for (size_t i = q->head; i < q->n && done < max; i++) {
        const char *p = piece_at(q, i, &copy_at);
        size_t n = MIN_OF(q->v[i].n, max - done);
        memcpy(out + done, p, n);
        done += n;
    }
    return done;
}

void outq_consume(struct outq *q, size_t n) {
    assert(n <= q->bytes);
    size_t before = copied(q);
    q->bytes -= n;
    while (n > 0) {
        struct outq_piece *piece = &q->v[q->head];
        size_t part = MIN_OF(piece->n, n);
        piece->n -= part;
        n -= part;
        if (piece->lent)
            piece->lent += part;
        else if (!piece->shared)
            q->copy_at += part;
        if (piece->n > 0) break;
        bytes_unref(piece->shared);
        q->head++;
    }
    budget_queued(before, copied(q));
    if (q->bytes > 0) return;
    q->head = q->n = 0;
    q->copy_at = 0;
    if (q->copy.cap > KEEP_COPY_BYTES)
        buf_give(&q->copy);
    else
        buf_clear(&q->copy);
}
