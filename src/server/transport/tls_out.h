/*
 * TLS records on their way to the socket. The records of one flush are gathered and leave in one
 * system call: each by itself costs the kernel as much again as its encryption. What the socket
 * does not take of them waits with the connection. Inside the transport only.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "base/buf.h"

struct conn;

enum { TLS_OUT_RECORDS = 8 }; /* in one flush, at most */

struct tls_out {
    struct buf left; /* sealed; the first `sent` bytes are gone */
    size_t sent;
    bool moved; /* the last tls_out_send has got rid of something */
};

/* Has c->ssl write through here. */
void tls_out_attach(struct conn *c);
/* From here to the next tls_out_send records are gathered, unless memory is short. */
void tls_out_gather(struct conn *c);
/* Sends what waits and what has been gathered. 0, also when the socket is full; -errno: broken. */
int tls_out_send(struct conn *c);
static inline size_t tls_out_bytes(const struct tls_out *o) { return o->left.n - o->sent; }
void tls_out_done(struct tls_out *o);
