/*
 * The keyring on disk: ROOT/var/lib/atoll/keys/{ca,serving,admin,front-proxy-ca,front-proxy,
 * messaging-ca,messaging}.{key,crt}, token.key, all 0600
 * and owned by root; plus what is for others: ROOT/etc/atoll/admin.kubeconfig (0600) and ca.crt.
 * Used only before the sandbox closes.
 */
#pragma once

#include "keys/pki.h"

struct keyring {
    EVP_PKEY *ca_key, *serving_key, *token_key, *front_proxy_key, *messaging_key;
    char *front_proxy_ca_pem, *front_proxy_pem, *messaging_ca_pem, *messaging_pem;
    char *ca_pem, *serving_chain_pem, *token_public_pem, *token_key_id;
};

/* Reads what is there, makes what is missing, renews what is about to expire or names too little.
 * A damaged private key is an error: nothing is overwritten. */
int keyring_open(const struct settings *s, struct keyring *ret, struct err *err);
void keyring_done(struct keyring *k); /* wipes */
