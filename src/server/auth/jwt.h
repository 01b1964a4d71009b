/*
 * JSON Web Tokens in compact form (RFC 7515, RFC 7519) and key sets (RFC 7517, RFC 7518): parsing
 * and signatures, no policy. Only signatures by asymmetric keys exist here: "none" and HS* are
 * unknown algorithms.
 */
#pragma once

#include <jansson.h>
#include <openssl/evp.h>

#include "base/buf.h"
#include "base/err.h"

struct jwt {
    struct slice text;    /* what is signed; borrowed from the token */
    struct buf signature; /* decoded */
    json_t *header, *claims;
    const char *alg, *kid; /* of the header; NULL when absent */
};

/* Checks form and sizes only; says nothing about who signed it. */
int jwt_parse(struct slice token, struct jwt *ret, struct err *err);
void jwt_done(struct jwt *t);
/* RS256 RS384 RS512 PS256 PS384 PS512 ES256 ES384 ES512, and the key must be of the algorithm's
 * type. */
bool jwt_signed_by(const struct jwt *t, EVP_PKEY *key);
bool jwt_algorithm_known(const char *alg);

/* exp (required), nbf and iat against the clock, with `leeway_s` for clocks that differ. */
enum jwt_time { JWT_VALID, JWT_EXPIRED, JWT_NOT_YET, JWT_NO_EXPIRY };
enum jwt_time jwt_times(const json_t *claims, int64_t now_s, int64_t leeway_s);
/* aud is a string or a list of strings. */
bool jwt_audience_has(const json_t *claims, const char *wanted);
const char *jwt_string(const json_t *claims, const char *name); /* NULL when it is no string */

/* ---- key sets ---- */

struct jwk {
    char *kid, *alg; /* NULL = not told */
    EVP_PKEY *key;
};
struct jwk_set {
    struct jwk *v;
    size_t n;
};
/* Keys of unknown types, for other uses than signing, or too weak are left out; a set without a
 * usable key is an error. */
int jwk_set_parse(struct slice json, struct jwk_set *ret, struct err *err);
void jwk_set_done(struct jwk_set *s);
/* Is the token signed by a key of the set? *ret_known tells whether the set has its kid at all. */
bool jwk_set_signed(const struct jwk_set *s, const struct jwt *t, bool *ret_known);
