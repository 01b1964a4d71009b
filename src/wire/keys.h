/*
 * The protocol of `keys` (keys.sock): it holds every private key. Only `api` (and root) may
 * connect, `egress` for the two messages of the front proxy and `sp` for the two of messaging.
 */
#pragma once

#include <stdint.h>

#include "base/err.h"
#include "base/pack.h"

enum keys_msg {
    KEYS_PUBLIC = 1, /* → KEYS_PUBLIC_OK: cluster CA PEM, API serving certificate chain PEM, token
                        public key PEM, token key id, front-proxy CA PEM */
    KEYS_PUBLIC_OK = 2,
    KEYS_SIGN_TLS = 3, /* body: raw digest (≤ 64 bytes); → KEYS_SIGN_TLS_OK: DER ECDSA signature by
                          the API serving key */
    KEYS_SIGN_TLS_OK = 4,
    KEYS_SIGN_TOKEN = 5, /* body: the JWT claims as JSON; → KEYS_SIGN_TOKEN_OK: the compact JWS
                            (ES256), header {alg,kid} */
    KEYS_SIGN_TOKEN_OK = 6,
    KEYS_FRONT_PROXY = 7, /* → KEYS_FRONT_PROXY_OK: the raw PEM of the client certificate with which
                             Atoll calls aggregated APIs and webhooks */
    KEYS_FRONT_PROXY_OK = 8,
    KEYS_SIGN_FRONT_PROXY = 9, /* as KEYS_SIGN_TLS, by the front-proxy key */
    KEYS_SIGN_FRONT_PROXY_OK = 10,
    KEYS_SEAL = 11, /* → KEYS_SEAL_OK: struct keys_seal, the keys that seal secrets at rest */
    KEYS_SEAL_OK = 12,
    KEYS_SIGN_CERTIFICATE = 13, /* body: struct keys_certificate; → KEYS_SIGN_CERTIFICATE_OK: the
                                   certificate as PEM, signed by the cluster CA */
    KEYS_SIGN_CERTIFICATE_OK = 14,
    KEYS_MESSAGING = 15, /* → KEYS_MESSAGING_OK: the raw PEM of the certificate that the messaging
                            service shows its peers, and of its CA after it */
    KEYS_MESSAGING_OK = 16,
    KEYS_SIGN_MESSAGING = 17, /* as KEYS_SIGN_TLS, by the key of that certificate */
    KEYS_SIGN_MESSAGING_OK = 18,
};

/* A certificate signing request that was approved; keys checks again what its signer may sign. */
struct keys_certificate {
    const char *request_pem;
    uint8_t signer;              /* enum csr_signer */
    uint32_t usages;             /* CSR_… bits */
    uint32_t expiration_seconds; /* 0 = the longest */
};
void keys_certificate_pack(struct buf *b, const struct keys_certificate *c);
int keys_certificate_unpack(struct slice s, struct arena *a, struct keys_certificate *ret);

/* ECDSA P-256 everywhere. All strings are PEM or plain text. */
struct keys_public {
    const char *ca_pem;
    const char *serving_chain_pem;
    const char *token_public_pem;
    const char *token_key_id;
    const char *front_proxy_ca_pem;
};

void keys_public_pack(struct buf *b, const struct keys_public *k);
int keys_public_unpack(struct slice s, struct arena *a, struct keys_public *ret);

/* AES-256 keys by ascending id; what is written is sealed with the last. */
enum { KEYS_SEAL_BYTES = 32, KEYS_SEAL_MAX = 16 };
struct keys_seal {
    struct keys_seal_key {
        uint32_t id;
        unsigned char bytes[KEYS_SEAL_BYTES];
    } v[KEYS_SEAL_MAX];
    size_t n;
};

/* Names of their files, "seal-00000007.key". */
enum { KEYS_SEAL_NAME_MAX = 24 };
void keys_seal_name(char ret[KEYS_SEAL_NAME_MAX], uint32_t id);
/* 0: no name of such a file. */
uint32_t keys_seal_id(const char *name);

void keys_seal_pack(struct buf *b, const struct keys_seal *k);
int keys_seal_unpack(struct slice s, struct keys_seal *ret);
