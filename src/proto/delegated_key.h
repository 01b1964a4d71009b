/*
 * A private key that is elsewhere: an OpenSSL key object with a certificate's public part, whose
 * ECDSA signatures come from a function (a round trip to the service that holds the key).
 */
#pragma once

#include <openssl/evp.h>
#include <openssl/x509.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

/* Answers with a DER ECDSA signature of digest. */
typedef int delegated_sign_fn(void *user, struct slice digest, struct buf *ret_der,
                              struct err *err);

struct delegated_key; /* must outlive every key made with it */
struct delegated_key *delegated_key_new(delegated_sign_fn *sign, void *user);
void delegated_key_free(struct delegated_key *d); /* NULL is allowed */
/* A new reference, or NULL when the certificate has no EC key. */
EVP_PKEY *delegated_key_for(struct delegated_key *d, X509 *leaf);
