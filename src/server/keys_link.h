/* The connections to `keys`: its public parts once at start, token signatures, and the blocking one
 * for TLS handshakes. */
#pragma once

#include "server/api.h"

/* Keeps trying; ready is called once, when api->keys is filled. */
void keys_link_start(struct api *api, const char *path, void (*ready)(void *user));
/* A server_sign_fn; user is the struct api. */
int keys_link_sign(void *user, struct slice digest, struct buf *ret_der, struct err *err);
/* The compact JWS of these claims. err NULL on success. */
typedef void keys_token_fn(void *user, struct slice token, const struct err *err);
void keys_link_token(struct api *api, struct slice claims_json, keys_token_fn *fn, void *user);
