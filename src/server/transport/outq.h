/*
 * What waits to be sent on one connection or stream: copied bytes and references to shared ones, in
 * order. Copies lie in one buffer that is reused, so the steady state allocates nothing.
 */
#pragma once

#include <sys/uio.h>

#include "base/buf.h"
#include "server/transport/request.h"

struct outq {
    struct outq_piece {
        struct bytes *shared; /* NULL: the next n bytes of `copy`, unless lent */
        const char *lent;     /* or NULL */
        size_t n;             /* bytes of this piece that are left */
    } * v;
    size_t head, n, cap; /* pieces v[head] … v[n - 1] */
    struct buf copy;
    size_t copy_at; /* bytes of `copy` that were consumed */
    size_t bytes;   /* all that waits */
};

void outq_done(struct outq *q);
void outq_copy(struct outq *q, struct slice s);
void outq_share(struct outq *q, struct bytes *b); /* takes its own reference */
/* The caller's own, which stay as they are until outq_keep: what is sent meanwhile is not copied.
 * Only into a queue without shared bytes, and nothing shared behind them. */
enum { OUTQ_LEND_MIN_BYTES = 4096 }; /* below, a copy costs less than it saves */
void outq_lend(struct outq *q, struct slice s);
void outq_keep(struct outq *q); /* copies what is left of the lent ones */
int outq_iov(const struct outq *q, struct iovec *iov, int max);
size_t outq_peek(const struct outq *q, char *out, size_t max); /* copies without consuming */
void outq_consume(struct outq *q, size_t n);
