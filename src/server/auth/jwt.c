#include "server/auth/jwt.h"

#include <errno.h>
#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/rsa.h>

#include "base/limits.h"
#include "base/own.h"
#include "proto/json.h"

static int malformed(struct err *err, const char *why) {
    return err_set(err, ERR_UNAUTHORIZED, "malformed token: %s", why);
}

static int part_json(struct slice part, json_t **ret) {
    OWN(buf_done) struct buf text = {0};
    if (buf_unbase64url(&text, part) < 0) return -EINVAL;
    json_t *v = NULL;
    if (json_parse(buf_view(&text), &v, NULL) < 0) return -EINVAL;
    if (!json_is_object(v)) {
        json_decref(v);
        return -EINVAL;
    }
    *ret = v;
    return 0;
}

const char *jwt_string(const json_t *claims, const char *name) {
    return json_string_value(json_object_get(claims, name));
}

int jwt_parse(struct slice token, struct jwt *ret, struct err *err) {
    struct slice left = token, head, body, sig;
    OWN(jwt_done) struct jwt t = {0};
    if (token.n > LIMIT_TOKEN_BYTES) return malformed(err, "too long");
    if (!slice_cut(&left, '.', &head) || !slice_cut(&left, '.', &body) ||
        !slice_cut(&left, '.', &sig) || left.p)
        return malformed(err, "not three parts");
    if (part_json(head, &t.header) < 0) return malformed(err, "header");
    if (part_json(body, &t.claims) < 0) return malformed(err, "claims");
    if (buf_unbase64url(&t.signature, sig) < 0 || !t.signature.n)
        return malformed(err, "signature");
    if (json_object_get(t.header, "crit")) return malformed(err, "unknown critical header");
    t.text = slice_from(token.p, head.n + 1 + body.n);
    t.alg = jwt_string(t.header, "alg");
    t.kid = jwt_string(t.header, "kid");
    *ret = t;
    t = (struct jwt){0};
    return 0;
}

void jwt_done(struct jwt *t) {
    buf_done(&t->signature);
    json_decref(t->header);
    json_decref(t->claims);
    *t = (struct jwt){0};
}

/* ---- signatures ---- */

static const struct algorithm {
    const char *name;
    const char *key_type; /* of OpenSSL */
    const EVP_MD *(*digest)(void);
    bool pss;
    int bits; /* of an elliptic curve */
} algorithms[] = {
    {"RS256", "RSA", EVP_sha256, false, 0},  {"RS384", "RSA", EVP_sha384, false, 0},
    {"RS512", "RSA", EVP_sha512, false, 0},  {"PS256", "RSA", EVP_sha256, true, 0},
    {"PS384", "RSA", EVP_sha384, true, 0},   {"PS512", "RSA", EVP_sha512, true, 0},
    {"ES256", "EC", EVP_sha256, false, 256}, {"ES384", "EC", EVP_sha384, false, 384},
    {"ES512", "EC", EVP_sha512, false, 521},
};

static const struct algorithm *algorithm_of(const char *name) {
    for (size_t i = 0; name && i < ARRAY_LEN(algorithms); i++)
        if (str_eq(algorithms[i].name, name)) return &algorithms[i];
    return NULL;
}

bool jwt_algorithm_known(const char *alg) { return algorithm_of(alg) != NULL; }

static void bn_p(BIGNUM **n) { BN_free(*n); }
static void sig_p(ECDSA_SIG **s) { ECDSA_SIG_free(*s); }
static void md_ctx_p(EVP_MD_CTX **m) { EVP_MD_CTX_free(*m); }

/* From the fixed form of JWS, both halves of equal length, to DER. */
static int ecdsa_to_der(struct slice raw, int bits, unsigned char **ret_der) {
    size_t half = ((size_t)bits + 7) / 8;
    if (raw.n != 2 * half) return -EINVAL;
    const unsigned char *bytes = (const unsigned char *)raw.p;
    OWN(sig_p) ECDSA_SIG *sig = ECDSA_SIG_new();
    OWN(bn_p) BIGNUM *r = BN_bin2bn(bytes, (int)half, NULL);
    OWN(bn_p) BIGNUM *s = BN_bin2bn(bytes + half, (int)half, NULL);
    if (!sig || !r || !s || !ECDSA_SIG_set0(sig, r, s)) return -EINVAL;
    r = s = NULL; /* the signature owns them now */
    return i2d_ECDSA_SIG(sig, ret_der);
}

static bool digest_verify(const struct algorithm *al, EVP_PKEY *key, struct slice text,
                          const unsigned char *sig, size_t n) {
    EVP_PKEY_CTX *ctx = NULL;
    OWN(md_ctx_p) EVP_MD_CTX *md = EVP_MD_CTX_new();
    if (!md || EVP_DigestVerifyInit(md, &ctx, al->digest(), NULL, key) != 1) return false;
    if (al->pss && (EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PSS_PADDING) != 1 ||
                    EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, RSA_PSS_SALTLEN_DIGEST) != 1))
        return false;
    return EVP_DigestVerify(md, sig, n, (const unsigned char *)text.p, text.n) == 1;
}

bool jwt_signed_by(const struct jwt *t, EVP_PKEY *key) {
    const struct algorithm *al = algorithm_of(t->alg);
    if (!al || !key || !EVP_PKEY_is_a(key, al->key_type)) return false;
    const unsigned char *raw = (const unsigned char *)t->signature.p;
    if (!al->bits) return digest_verify(al, key, t->text, raw, t->signature.n);
    if (EVP_PKEY_get_bits(key) != al->bits) return false;
    unsigned char *der = NULL;
    int n = ecdsa_to_der(buf_view(&t->signature), al->bits, &der);
    bool ok = n > 0 && digest_verify(al, key, t->text, der, (size_t)n);
    OPENSSL_free(der);
    return ok;
}

/* ---- claims ---- */

/* NumericDate may have a fraction (RFC 7519 section 2). */
static bool numeric_date(const json_t *v, int64_t *ret_s) {
    if (!json_is_number(v)) return false;
    double d = json_number_value(v);
    if (!(d > -1e15 && d < 1e15)) return false;
    *ret_s = json_is_integer(v) ? json_integer_value(v) : (int64_t)d;
    return true;
}

enum jwt_time jwt_times(const json_t *claims, int64_t now_s, int64_t leeway_s) {
    int64_t exp_s, from_s;
    const json_t *nbf = json_object_get(claims, "nbf"), *iat = json_object_get(claims, "iat");
    if (!numeric_date(json_object_get(claims, "exp"), &exp_s)) return JWT_NO_EXPIRY;
    if (now_s >= exp_s) return JWT_EXPIRED;
    if (nbf && (!numeric_date(nbf, &from_s) || now_s + leeway_s < from_s)) return JWT_NOT_YET;
    if (iat && (!numeric_date(iat, &from_s) || now_s + leeway_s < from_s)) return JWT_NOT_YET;
    return JWT_VALID;
}

bool jwt_audience_has(const json_t *claims, const char *wanted) {
    const json_t *aud = json_object_get(claims, "aud"), *one;
    if (json_is_string(aud)) return str_eq(json_string_value(aud), wanted);
    size_t i;
    json_array_foreach(aud, i, one) {
        if (json_is_string(one) && str_eq(json_string_value(one), wanted)) return true;
    }
    return false;
}
