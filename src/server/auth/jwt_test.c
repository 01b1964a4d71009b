#include "server/auth/jwt.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/rsa.h>

#include "base/own.h"
#include "base/test.h"

static void raw_of_der(struct buf *out, const unsigned char *der, size_t n, int half) {
    ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &der, (long)n);
    unsigned char raw[132];
    BN_bn2binpad(ECDSA_SIG_get0_r(sig), raw, half);
    BN_bn2binpad(ECDSA_SIG_get0_s(sig), raw + half, half);
    buf_append(out, raw, 2 * (size_t)half);
    ECDSA_SIG_free(sig);
}

/* half: bytes of one half of an ECDSA signature; 0 = RSA. */
static void make(struct buf *token, const char *alg, EVP_PKEY *key, const EVP_MD *md, int half,
                 const char *claims) {
    OWN(buf_done) struct buf head = {0}, sig = {0};
    buf_printf(&head, "{\"alg\":\"%s\",\"kid\":\"k1\"}", alg);
    buf_clear(token);
    buf_base64url(token, head.p, head.n);
    buf_char(token, '.');
    buf_base64url(token, claims, strlen(claims));
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    EVP_PKEY_CTX *pctx;
    unsigned char bytes[1024];
    size_t n = sizeof bytes;
    assert_int_equal(EVP_DigestSignInit(ctx, &pctx, md, NULL, key), 1);
    if (alg[0] == 'P') {
        EVP_PKEY_CTX_set_rsa_padding(pctx, RSA_PKCS1_PSS_PADDING);
        EVP_PKEY_CTX_set_rsa_pss_saltlen(pctx, RSA_PSS_SALTLEN_DIGEST);
    }
    assert_int_equal(EVP_DigestSign(ctx, bytes, &n, (unsigned char *)token->p, token->n), 1);
    EVP_MD_CTX_free(ctx);
    if (half)
        raw_of_der(&sig, bytes, n, half);
    else
        buf_append(&sig, bytes, n);
    buf_char(token, '.');
    buf_base64url(token, sig.p, sig.n);
}

static bool signed_by(const char *token, EVP_PKEY *key) {
    OWN(jwt_done) struct jwt t = {0};
    return jwt_parse(slice_of(token), &t, NULL) == 0 && jwt_signed_by(&t, key);
}

TEST(signatures_of_all_algorithms_verify_by_their_key_only) {
    EVP_PKEY *rsa = EVP_RSA_gen(2048), *p256 = EVP_EC_gen("P-256"), *p384 = EVP_EC_gen("P-384"),
             *p521 = EVP_EC_gen("P-521"), *other = EVP_EC_gen("P-256");
    const struct {
        const char *alg;
        EVP_PKEY *key;
        const EVP_MD *md;
        int half;
    } rows[] = {
        {"RS256", rsa, EVP_sha256(), 0},   {"RS384", rsa, EVP_sha384(), 0},
        {"RS512", rsa, EVP_sha512(), 0},   {"PS256", rsa, EVP_sha256(), 0},
        {"ES256", p256, EVP_sha256(), 32}, {"ES384", p384, EVP_sha384(), 48},
        {"ES512", p521, EVP_sha512(), 66},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        OWN(buf_done) struct buf token = {0};
        make(&token, rows[i].alg, rows[i].key, rows[i].md, rows[i].half, "{\"a\":1}");
        assert_true(signed_by(token.p, rows[i].key));
        assert_false(signed_by(token.p, other));
        assert_false(signed_by(token.p, rows[i].key == rsa ? p256 : rsa));
        token.p[token.n / 2] ^= 1;
        assert_false(signed_by(token.p, rows[i].key));
    }
    /* The name of another algorithm, or of none, over a good signature. */
    static const char *const wrong[] = {"none", "HS256", "ES384", "PS256", ""};
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        OWN(buf_done) struct buf token = {0};
        make(&token, wrong[i][0] == 'P' ? "ES256K" : wrong[i], p256, EVP_sha256(), 32, "{}");
        assert_false(signed_by(token.p, p256));
    }
    EVP_PKEY *all[] = {rsa, p256, p384, p521, other};
    for (size_t i = 0; i < ARRAY_LEN(all); i++) EVP_PKEY_free(all[i]);
}

static void bn_member(struct buf *b, EVP_PKEY *key, const char *param, const char *name) {
    BIGNUM *n = NULL;
    unsigned char bytes[1024];
    assert_int_equal(EVP_PKEY_get_bn_param(key, param, &n), 1);
    int len = BN_bn2bin(n, bytes);
    buf_printf(b, ",\"%s\":\"", name);
    buf_base64url(b, bytes, (size_t)len);
    buf_char(b, '"');
    BN_free(n);
}

TEST(a_key_set_is_read_and_its_keys_verify) {
    EVP_PKEY *rsa = EVP_RSA_gen(2048), *weak = EVP_RSA_gen(1024);
    OWN(buf_done) struct buf set = {0}, token = {0};
    buf_str(&set, "{\"keys\":[{\"kty\":\"oct\",\"k\":\"AAAA\"},{\"kty\":\"RSA\",\"kid\":\"weak\"");
    bn_member(&set, weak, OSSL_PKEY_PARAM_RSA_N, "n");
    bn_member(&set, weak, OSSL_PKEY_PARAM_RSA_E, "e");
    buf_str(&set, "},{\"kty\":\"RSA\",\"use\":\"sig\",\"kid\":\"k1\",\"alg\":\"RS256\"");
    bn_member(&set, rsa, OSSL_PKEY_PARAM_RSA_N, "n");
    bn_member(&set, rsa, OSSL_PKEY_PARAM_RSA_E, "e");
    buf_str(&set, "}]}");
    struct jwk_set keys;
    bool known;
    assert_int_equal(jwk_set_parse(buf_view(&set), &keys, NULL), 0);
    assert_int_equal(keys.n, 1);
    make(&token, "RS256", rsa, EVP_sha256(), 0, "{}");
    struct jwt t;
    assert_int_equal(jwt_parse(buf_view(&token), &t, NULL), 0);
    assert_true(jwk_set_signed(&keys, &t, &known));
    jwt_done(&t);
    make(&token, "RS512", rsa, EVP_sha512(), 0, "{}"); /* the key is for RS256 */
    assert_int_equal(jwt_parse(buf_view(&token), &t, NULL), 0);
    assert_false(jwk_set_signed(&keys, &t, &known));
    assert_true(known);
    jwt_done(&t);
    jwk_set_done(&keys);
    assert_true(jwk_set_parse(SLICE("{\"keys\":[]}"), &keys, NULL) < 0);
    EVP_PKEY_free(rsa);
    EVP_PKEY_free(weak);
}

static enum jwt_time times(const char *claims) {
    json_t *c = json_loads(claims, 0, NULL);
    enum jwt_time r = jwt_times(c, 1000, 10);
    json_decref(c);
    return r;
}

TEST(times_of_a_token) {
    assert_int_equal(times("{}"), JWT_NO_EXPIRY);
    assert_int_equal(times("{\"exp\":\"1001\"}"), JWT_NO_EXPIRY);
    assert_int_equal(times("{\"exp\":1000}"), JWT_EXPIRED);
    assert_int_equal(times("{\"exp\":1001}"), JWT_VALID);
    assert_int_equal(times("{\"exp\":1001.5,\"nbf\":1010}"), JWT_VALID);
    assert_int_equal(times("{\"exp\":2000,\"nbf\":1011}"), JWT_NOT_YET);
    assert_int_equal(times("{\"exp\":2000,\"iat\":1011}"), JWT_NOT_YET);
    assert_int_equal(times("{\"exp\":1e300}"), JWT_NO_EXPIRY);
}

TEST(what_is_no_token_is_refused) {
    static const char *const bad[] = {"",
                                      ".",
                                      "..",
                                      "a.b.c",
                                      "e30.e30",
                                      "e30.e30.",
                                      "e30.e30.AA.AA",
                                      "bnVsbA.e30.AA",
                                      "eyJjcml0IjpbXX0.e30.AA"};
    struct jwt t;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_true(jwt_parse(slice_of(bad[i]), &t, NULL) < 0);
    assert_int_equal(jwt_parse(SLICE("e30.e30.AA"), &t, NULL), 0);
    jwt_done(&t);
}
