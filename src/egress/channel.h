/*
 * The far side of a connection: a non-blocking TCP socket, with TLS on top or without. TLS ≥ 1.2;
 * the name of the peer is checked against its certificate's alternative names only.
 */
#pragma once

#include <openssl/ssl.h>
#include <sys/socket.h>
#include <sys/types.h>

#include "wire/egress.h"

struct channel {
    int fd;        /* owned; -1 */
    SSL *ssl;      /* NULL: plain */
    unsigned want; /* FD_* that a call which said -EAGAIN waits for */
};

void channel_done(struct channel *c);
/* Begins to connect; 0 or -errno. */
int channel_connect(struct channel *c, const struct sockaddr *address);
/* After the socket became writable: 0 or what went wrong, as -errno. */
int channel_connected(struct channel *c);
/* Prepares TLS as the prelude wants it. err: EGRESS_TLS_FAILED's text. */
int channel_secure(struct channel *c, const struct egress_prelude *p, struct err *err);
/* 0 when it is over; -EAGAIN; else err says why, as clients know it from Go's crypto/tls. */
int channel_handshake(struct channel *c, const struct egress_prelude *p, struct err *err);

/* Bytes moved; 0: the end (read); -EAGAIN; -errno. */
ssize_t channel_read(struct channel *c, void *p, size_t n);
ssize_t channel_write(struct channel *c, const void *p, size_t n);
void channel_shut(struct channel *c); /* nothing more will be written */
