/* Key sets of RFC 7517: RSA and elliptic curve public keys for signatures. */
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/param_build.h>

#include "base/limits.h"
#include "base/own.h"
#include "proto/json.h"
#include "server/auth/jwt.h"

enum { RSA_BITS_MIN = 2048, RSA_BYTES_MAX = 1024, EXPONENT_BYTES_MAX = 8, POINT_BYTES_MAX = 66 };

static void bld_p(OSSL_PARAM_BLD **b) { OSSL_PARAM_BLD_free(*b); }
static void params_p(OSSL_PARAM **p) { OSSL_PARAM_free(*p); }
static void ctx_p(EVP_PKEY_CTX **c) { EVP_PKEY_CTX_free(*c); }
static void bn_p(BIGNUM **n) { BN_free(*n); }
static void json_free(json_t **v) { json_decref(*v); }

static EVP_PKEY *key_from(const char *type, OSSL_PARAM_BLD *bld) {
    OWN(params_p) OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(bld);
    OWN(ctx_p) EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
    EVP_PKEY *key = NULL;
    if (!params || !ctx || EVP_PKEY_fromdata_init(ctx) != 1 ||
        EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params) != 1)
        return NULL;
    return key;
}

static bool member_bytes(const json_t *jwk, const char *name, size_t max, struct buf *ret) {
    const char *text = jwt_string(jwk, name);
    return text && buf_unbase64url(ret, slice_of(text)) == 0 && ret->n && ret->n <= max;
}

static EVP_PKEY *rsa_key(const json_t *jwk) {
    OWN(buf_done) struct buf n = {0}, e = {0};
    if (!member_bytes(jwk, "n", RSA_BYTES_MAX, &n) ||
        !member_bytes(jwk, "e", EXPONENT_BYTES_MAX, &e))
        return NULL;
    OWN(bn_p) BIGNUM *modulus = BN_bin2bn((unsigned char *)n.p, (int)n.n, NULL);
    OWN(bn_p) BIGNUM *exponent = BN_bin2bn((unsigned char *)e.p, (int)e.n, NULL);
    OWN(bld_p) OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
    if (!bld || !modulus || !exponent || BN_num_bits(modulus) < RSA_BITS_MIN ||
        !BN_is_odd(exponent) || BN_is_one(exponent) ||
        !OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_N, modulus) ||
        !OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_E, exponent))
        return NULL;
    return key_from("RSA", bld);
}

static const struct {
    const char *name, *group;
    size_t half_bytes;
} curves[] = {{"P-256", "P-256", 32}, {"P-384", "P-384", 48}, {"P-521", "P-521", 66}};

static EVP_PKEY *ec_key(const json_t *jwk) {
    OWN(buf_done) struct buf x = {0}, y = {0}, point = {0};
    const char *crv = jwt_string(jwk, "crv");
    if (!member_bytes(jwk, "x", POINT_BYTES_MAX, &x) ||
        !member_bytes(jwk, "y", POINT_BYTES_MAX, &y))
        return NULL;
    for (size_t i = 0; i < ARRAY_LEN(curves); i++) {
        if (!str_eq(curves[i].name, crv)) continue;
        if (x.n != curves[i].half_bytes || y.n != curves[i].half_bytes) return NULL;
        buf_char(&point, 4); /* uncompressed */
        buf_slice(&point, buf_view(&x));
        buf_slice(&point, buf_view(&y));
        OWN(bld_p) OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
        if (!bld ||
            !OSSL_PARAM_BLD_push_utf8_string(bld, OSSL_PKEY_PARAM_GROUP_NAME, curves[i].group, 0) ||
            !OSSL_PARAM_BLD_push_octet_string(bld, OSSL_PKEY_PARAM_PUB_KEY, point.p, point.n))
            return NULL;
        return key_from("EC", bld); /* fails for what is no point of the curve */
    }
    return NULL;
}

static char *copy(const char *s) {
    if (!s) return NULL;
    char *c = strdup(s);
    if (!c) abort();
    return c;
}

static void take(struct jwk_set *s, const json_t *jwk) {
    const char *kty = jwt_string(jwk, "kty"), *use = jwt_string(jwk, "use");
    if (use && !str_eq(use, "sig")) return;
    EVP_PKEY *key = str_eq(kty, "RSA") ? rsa_key(jwk) : str_eq(kty, "EC") ? ec_key(jwk) : NULL;
    if (!key) return;
    s->v[s->n++] = (struct jwk){copy(jwt_string(jwk, "kid")), copy(jwt_string(jwk, "alg")), key};
}

int jwk_set_parse(struct slice json, struct jwk_set *ret, struct err *err) {
    OWN(json_free) json_t *doc = NULL;
    int rc = json_parse(json, &doc, err);
    if (rc < 0) return rc;
    const json_t *keys = json_object_get(doc, "keys");
    size_t n = json_array_size(keys);
    if (!json_is_array(keys) || n > LIMIT_JWK_SET_KEYS)
        return err_set(err, ERR_BAD_REQUEST, "a key set has a list \"keys\" of at most %d",
                       LIMIT_JWK_SET_KEYS);
    OWN(jwk_set_done) struct jwk_set s = {.v = calloc(n + 1, sizeof *s.v)};
    if (!s.v) abort();
    for (size_t i = 0; i < n; i++) take(&s, json_array_get(keys, i));
    if (!s.n) return err_set(err, ERR_BAD_REQUEST, "the key set has no key that can be used");
    *ret = s;
    s = (struct jwk_set){0};
    return 0;
}

void jwk_set_done(struct jwk_set *s) {
    for (size_t i = 0; i < s->n; i++) {
        free(s->v[i].kid);
        free(s->v[i].alg);
        EVP_PKEY_free(s->v[i].key);
    }
    free(s->v);
    *s = (struct jwk_set){0};
}

bool jwk_set_signed(const struct jwk_set *s, const struct jwt *t, bool *ret_known) {
    *ret_known = false;
    for (size_t i = 0; i < s->n; i++) {
        const struct jwk *k = &s->v[i];
        if (t->kid && k->kid && !str_eq(t->kid, k->kid)) continue;
        *ret_known = true;
        if (k->alg && !str_eq(k->alg, t->alg)) continue;
        if (jwt_signed_by(t, k->key)) return true;
    }
    return false;
}
