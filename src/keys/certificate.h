/* Certificates of the cluster CA for requests that were approved through the API. */
#pragma once

#include "keys/keyring.h"
#include "wire/keys.h"

enum { CERTIFICATE_MIN_S = 600, CERTIFICATE_MAX_S = 365 * 24 * 3600 };

/* Appends the PEM of a new certificate. The request, its signature and what its signer may sign are
 * checked here, whatever the caller has checked. */
int certificate_sign(struct buf *b, const struct keyring *k, const struct keys_certificate *want,
                     struct err *err);
