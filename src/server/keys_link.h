/* The connections to `keys`: its public parts once at start, token signatures, and the blocking one
 * for TLS handshakes. */
#pragma once

#include "server/api.h"

/* Keeps trying; ready is called once, when api->keys is filled. */
void keys_link_start(struct api *api, const char *path, void (*ready)(void *user));
/* A server_sign_fn; user is the struct api. */
int keys_link_sign(void *user, struct slice digest, struct buf *ret_der, struct err *err);
/* What was signed, borrowed; err NULL on success. */
typedef void keys_signed_fn(void *user, struct slice answer, const struct err *err);
/* Takes the sealing keys anew. err NULL on success. */
typedef void keys_done_fn(void *user, const struct err *err);
void keys_link_seal(struct api *api, keys_done_fn *fn, void *user);
/* The compact JWS of these claims. */
void keys_link_token(struct api *api, struct slice claims_json, keys_signed_fn *fn, void *user);
/* A certificate as PEM. */
void keys_link_certificate(struct api *api, const struct keys_certificate *request,
                           keys_signed_fn *fn, void *user);
