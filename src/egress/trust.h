/*
 * Whom a connection trusts, and who it says it is: CA certificates of the call or of the machine,
 * and the front-proxy certificate, whose key is in `keys`.
 */
#pragma once

#include <openssl/ssl.h>

#include "base/err.h"

/* ca_pem "": the machine's list, read when it is first needed and when it has changed. */
int trust_roots(SSL_CTX *ctx, const char *ca_pem, struct err *err);
/* May block for a message round trip to `keys`, also in each handshake with this context. */
int trust_front_proxy(SSL_CTX *ctx, struct err *err);
