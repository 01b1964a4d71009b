/*
 * Keys and certificates of one cluster: a CA, the API's serving certificate, the administrator's
 * client certificate, the key that signs service-account tokens. ECDSA P-256 throughout. This
 * module makes and checks them; it does no file access.
 */
#pragma once

#include <openssl/evp.h>
#include <openssl/x509.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"
#include "proc/service.h"

enum { CA_DAYS = 3650, CERTIFICATE_DAYS = 365, RENEW_DAYS = 60 };

enum certificate_use { CERTIFICATE_CA, CERTIFICATE_SERVER, CERTIFICATE_CLIENT, CERTIFICATE_PEER };

struct certificate_plan {
    enum certificate_use use;
    const char *common_name;
    const char *organization; /* NULL = none */
    const char *alt_names;    /* OpenSSL form: "DNS:a,IP:1.2.3.4"; NULL = none */
};

EVP_PKEY *pki_key_new(struct err *err);
/* issuer NULL = self-signed. Returns a new reference or NULL. */
X509 *pki_certificate_new(const struct certificate_plan *plan, EVP_PKEY *key, X509 *issuer,
                          EVP_PKEY *issuer_key, struct err *err);
/* May it be used on: right key, issuer and names, and RENEW_DAYS left? */
bool pki_certificate_usable(const struct certificate_plan *plan, X509 *certificate, EVP_PKEY *key,
                            X509 *issuer);

/* All names and addresses the API may be reached by. */
void pki_serving_names(struct buf *b, const struct settings *s);

int pki_key_write(struct buf *b, EVP_PKEY *key);    /* private key, PKCS#8 PEM */
int pki_public_write(struct buf *b, EVP_PKEY *key); /* SubjectPublicKeyInfo PEM */
int pki_certificate_write(struct buf *b, X509 *certificate);
EVP_PKEY *pki_key_read(struct slice pem); /* NULL when damaged */
X509 *pki_certificate_read(struct slice pem);

/* The key id that tokens carry: base64url(SHA-256(SubjectPublicKeyInfo)), as upstream. */
int pki_key_id(struct buf *b, EVP_PKEY *key);
/* DER signature of a digest. */
int pki_sign_digest(struct buf *b, EVP_PKEY *key, struct slice digest);
/* Compact JWS (RFC 7515) of the claims with ES256 (RFC 7518 section 3.4). */
int pki_sign_token(struct buf *b, EVP_PKEY *key, const char *key_id, struct slice claims);

void pki_key_free_p(EVP_PKEY **key); /* wipes it */
void pki_certificate_free_p(X509 **c);
void secret_buf_done(struct buf *b); /* wipes, then frees */
