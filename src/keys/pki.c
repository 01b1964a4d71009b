#include "keys/pki.h"

#include <errno.h>
#include <openssl/bn.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <string.h>

#include "base/own.h"

void pki_key_free_p(EVP_PKEY **key) { EVP_PKEY_free(*key); }
void pki_certificate_free_p(X509 **c) { X509_free(*c); }

void secret_buf_done(struct buf *b) {
    if (b->p) OPENSSL_cleanse(b->p, b->cap);
    buf_done(b);
}

static void bio_free_p(BIO **b) { BIO_free(*b); }

EVP_PKEY *pki_key_new(struct err *err) {
    EVP_PKEY *key = EVP_EC_gen("P-256");
    if (!key) err_set(err, ERR_INTERNAL, "cannot make a key");
    return key;
}

/* ---- certificates ---- */

static const struct {
    const char *basic, *usage, *extended;
    long days;
} uses[] = {
    [CERTIFICATE_CA] = {"critical,CA:TRUE", "critical,digitalSignature,keyCertSign,cRLSign", NULL,
                        CA_DAYS},
    [CERTIFICATE_SERVER] = {"critical,CA:FALSE", "critical,digitalSignature", "serverAuth",
                            CERTIFICATE_DAYS},
    [CERTIFICATE_CLIENT] = {"critical,CA:FALSE", "critical,digitalSignature", "clientAuth",
                            CERTIFICATE_DAYS},
    [CERTIFICATE_PEER] = {"critical,CA:FALSE", "critical,digitalSignature", "serverAuth,clientAuth",
                          CERTIFICATE_DAYS},
};

static bool add_extension(X509 *c, X509V3_CTX *ctx, int nid, const char *value) {
    if (!value) return true;
    X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, ctx, nid, value);
    bool ok = e && X509_add_ext(c, e, -1);
    X509_EXTENSION_free(e);
    return ok;
}

static bool add_extensions(X509 *c, const struct certificate_plan *plan, X509 *issuer) {
    X509V3_CTX ctx;
    X509V3_set_ctx_nodb(&ctx);
    X509V3_set_ctx(&ctx, issuer ? issuer : c, c, NULL, NULL, 0);
    return add_extension(c, &ctx, NID_basic_constraints, uses[plan->use].basic) &&
           add_extension(c, &ctx, NID_key_usage, uses[plan->use].usage) &&
           add_extension(c, &ctx, NID_ext_key_usage, uses[plan->use].extended) &&
           add_extension(c, &ctx, NID_subject_key_identifier, "hash") &&
           add_extension(c, &ctx, NID_authority_key_identifier, issuer ? "keyid:always" : NULL) &&
           add_extension(c, &ctx, NID_subject_alt_name, plan->alt_names);
}

static bool set_serial(X509 *c) {
    unsigned char bytes[16];
    if (RAND_bytes(bytes, sizeof bytes) != 1) return false;
    bytes[0] &= 0x7f; /* positive, RFC 5280 section 4.1.2.2 */
    bytes[0] |= 0x40;
    BIGNUM *n = BN_bin2bn(bytes, sizeof bytes, NULL);
    bool ok = n && BN_to_ASN1_INTEGER(n, X509_get_serialNumber(c));
    BN_free(n);
    return ok;
}

static bool add_name(X509_NAME *name, const char *field, const char *text) {
    return !text || X509_NAME_add_entry_by_txt(name, field, MBSTRING_UTF8,
                                               (const unsigned char *)text, -1, -1, 0);
}

static bool fill(X509 *c, const struct certificate_plan *plan, EVP_PKEY *key, X509 *issuer,
                 EVP_PKEY *issuer_key) {
    X509_NAME *subject = X509_get_subject_name(c);
    return X509_set_version(c, X509_VERSION_3) && set_serial(c) &&
           X509_gmtime_adj(X509_getm_notBefore(c), -3600) && /* clocks differ */
           X509_time_adj_ex(X509_getm_notAfter(c), (int)uses[plan->use].days, 0, NULL) &&
           add_name(subject, "O", plan->organization) &&
           add_name(subject, "CN", plan->common_name) &&
           X509_set_issuer_name(c, issuer ? X509_get_subject_name(issuer) : subject) &&
           X509_set_pubkey(c, key) && add_extensions(c, plan, issuer) &&
           X509_sign(c, issuer_key, EVP_sha256());
}

X509 *pki_certificate_new(const struct certificate_plan *plan, EVP_PKEY *key, X509 *issuer,
                          EVP_PKEY *issuer_key, struct err *err) {
    X509 *c = X509_new();
    if (c && fill(c, plan, key, issuer, issuer ? issuer_key : key)) return c;
    X509_free(c);
    err_set(err, ERR_INTERNAL, "cannot make the certificate of %s", plan->common_name);
    return NULL;
}

/* Does the certificate carry exactly these alternative names? */
static bool same_names(X509 *c, const char *alt_names) {
    int at = X509_get_ext_by_NID(c, NID_subject_alt_name, -1);
    if (!alt_names || at < 0) return !alt_names && at < 0;
    X509_EXTENSION *want = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, alt_names);
    bool same = want && ASN1_OCTET_STRING_cmp(X509_EXTENSION_get_data(want),
                                              X509_EXTENSION_get_data(X509_get_ext(c, at))) == 0;
    X509_EXTENSION_free(want);
    return same;
}

bool pki_certificate_usable(const struct certificate_plan *plan, X509 *certificate, EVP_PKEY *key,
                            X509 *issuer) {
    int days, seconds;
    return X509_check_private_key(certificate, key) == 1 &&
           ASN1_TIME_diff(&days, &seconds, NULL, X509_get0_notAfter(certificate)) &&
           days >= RENEW_DAYS &&
           (!issuer || X509_verify(certificate, X509_get0_pubkey(issuer)) == 1) &&
           same_names(certificate, plan->alt_names);
}

/* ---- PEM ---- */

static int take_bio(struct buf *b, BIO *bio) {
    char *p;
    long n = BIO_get_mem_data(bio, &p);
    if (n <= 0) return -EIO;
    buf_append(b, p, (size_t)n);
    return 0;
}

int pki_key_write(struct buf *b, EVP_PKEY *key) {
    OWN(bio_free_p) BIO *bio = BIO_new(BIO_s_secmem());
    if (!bio || !PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL)) return -EIO;
    return take_bio(b, bio);
}

int pki_public_write(struct buf *b, EVP_PKEY *key) {
    OWN(bio_free_p) BIO *bio = BIO_new(BIO_s_mem());
    if (!bio || !PEM_write_bio_PUBKEY(bio, key)) return -EIO;
    return take_bio(b, bio);
}

int pki_certificate_write(struct buf *b, X509 *certificate) {
    OWN(bio_free_p) BIO *bio = BIO_new(BIO_s_mem());
    if (!bio || !PEM_write_bio_X509(bio, certificate)) return -EIO;
    return take_bio(b, bio);
}

EVP_PKEY *pki_key_read(struct slice pem) {
    OWN(bio_free_p) BIO *bio = BIO_new_mem_buf(pem.p, (int)pem.n);
    return bio ? PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL) : NULL;
}

X509 *pki_certificate_read(struct slice pem) {
    OWN(bio_free_p) BIO *bio = BIO_new_mem_buf(pem.p, (int)pem.n);
    return bio ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;
}

/* ---- signatures ---- */

int pki_key_id(struct buf *b, EVP_PKEY *key) {
    unsigned char *der = NULL, digest[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    int der_bytes = i2d_PUBKEY(key, &der);
    bool ok =
        der_bytes > 0 && EVP_Digest(der, (size_t)der_bytes, digest, &n, EVP_sha256(), NULL) == 1;
    OPENSSL_free(der);
    if (!ok) return -EIO;
    buf_base64url(b, digest, n);
    return 0;
}

int pki_sign_digest(struct buf *b, EVP_PKEY *key, struct slice digest) {
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(key, NULL);
    unsigned char signature[256];
    size_t n = sizeof signature;
    bool ok = ctx && EVP_PKEY_sign_init(ctx) == 1 &&
              EVP_PKEY_sign(ctx, signature, &n, (const unsigned char *)digest.p, digest.n) == 1;
    EVP_PKEY_CTX_free(ctx);
    if (!ok) return -EIO;
    buf_append(b, signature, n);
    return 0;
}

/* From DER to the fixed form of JWS: r and s, 32 bytes each. */
static int signature_to_raw(struct slice der, unsigned char raw[64]) {
    const unsigned char *p = (const unsigned char *)der.p;
    ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &p, (long)der.n);
    bool ok = sig && BN_bn2binpad(ECDSA_SIG_get0_r(sig), raw, 32) == 32 &&
              BN_bn2binpad(ECDSA_SIG_get0_s(sig), raw + 32, 32) == 32;
    ECDSA_SIG_free(sig);
    return ok ? 0 : -EIO;
}

int pki_sign_token(struct buf *b, EVP_PKEY *key, const char *key_id, struct slice claims) {
    OWN(buf_done) struct buf head = {0}, text = {0}, der = {0};
    unsigned char digest[EVP_MAX_MD_SIZE], raw[64];
    unsigned n = 0;
    buf_printf(&head, "{\"alg\":\"ES256\",\"kid\":\"%s\"}", key_id);
    buf_base64url(&text, head.p, head.n);
    buf_char(&text, '.');
    buf_base64url(&text, claims.p, claims.n);
    if (EVP_Digest(text.p, text.n, digest, &n, EVP_sha256(), NULL) != 1) return -EIO;
    int r = pki_sign_digest(&der, key, slice_from(digest, n));
    if (r == 0) r = signature_to_raw(buf_view(&der), raw);
    if (r < 0) return r;
    buf_slice(b, buf_view(&text));
    buf_char(b, '.');
    buf_base64url(b, raw, sizeof raw);
    return 0;
}
