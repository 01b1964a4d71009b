/*
 * TLS 1.3 and 1.2 for the api service. The private key is elsewhere: each handshake asks the
 * signer. Client certificates are asked for, never required; one that does not verify counts as
 * none. Public face: server_tls_new in request.h.
 */
#pragma once

#include "server/transport/conn.h"

void server_tls_free(struct server_tls *t);
