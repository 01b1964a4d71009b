/*
 * The protocol of `keys` (keys.sock): it holds every private key. Only `api` (and root) may
 * connect, and `egress` for the two messages of the front proxy.
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
};

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
