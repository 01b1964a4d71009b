/*
 * TLS beneath tls+tcp and wss: both sides show a certificate, and the edge says whose the peer's
 * must be (CA bundle, a name in it, a pin of its public key). What does not fit is refused. 1.3
 * between organisations; inside one, 1.2 is taken too, for the sake of peers that have no more.
 */
#pragma once

#include <openssl/ssl.h>

#include "sp/pipe.h"
#include "sp/transport.h"

extern const struct sp_stream sp_stream_tls;

/* ---- tls_peer.c: who we are, and who the peer has to be ---- */

/* Identity and trust for a connection of this edge. */
int sp_tls_context(const struct sp_edge *e, bool dialled, SSL_CTX **ret, struct err *err);
/* After the handshake: name and pin. Puts the peer's name behind the address in `who`. */
int sp_tls_check_peer(const struct sp_edge *e, bool dialled, SSL *ssl, struct sp_credentials *who,
                      struct err *err);
/* The reason of a failed handshake. */
int sp_tls_error(SSL *ssl, const char *what, struct err *err);
