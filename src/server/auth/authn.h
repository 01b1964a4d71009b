/*
 * Who asks: a peer of the unix socket by its uid, a client certificate by its names, a
 * service-account token by its signature and by whether what it is bound to still exists. There are
 * no anonymous requests.
 */
#pragma once

#include "server/api.h"

/* ERR_UNAUTHORIZED when nobody is recognised. */
int authn_request(struct call *c, struct user *ret, struct err *err);

/* Impersonate-* headers: c->user becomes the one they name. ERR_FORBIDDEN when the caller may not
 * (verb "impersonate"). */
int authn_impersonate(struct call *c, struct err *err);

/* The audience of the API itself, and the issuer of all tokens. */
const char *authn_issuer(struct api *api, struct arena *a);
/* Verifies a token for any of the audiences (none given: the API's own). *ret_audiences are those
 * that match. */
int authn_token(struct api *api, struct arena *a, const char *token,
                const struct str_list *audiences, struct user *ret, struct str_list *ret_audiences,
                struct err *err);
/* The token's public key, from PEM; EVP_PKEY, NULL when it is none. */
void *authn_public_key(const char *pem);
void authn_public_key_free(void *key);
