#include "keys/certificate.h"

#include <openssl/bn.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#include "base/own.h"
#include "proto/csr.h"

enum { NOT_BEFORE_S = -300 };

static void csr_p(struct csr *c) { csr_done(c); }

static bool add(X509 *to, X509V3_CTX *ctx, int nid, const char *value) {
    X509_EXTENSION *e = value && *value ? X509V3_EXT_conf_nid(NULL, ctx, nid, value) : NULL;
    bool ok = !value || !*value || (e && X509_add_ext(to, e, -1));
    X509_EXTENSION_free(e);
    return ok;
}

static void join(struct buf *b, bool wanted, const char *name) {
    if (wanted) buf_printf(b, "%s%s", b->n ? "," : "", name);
}

/* Alternative names as the request has them; nothing else of its extensions counts. */
static bool copy_alt_names(X509 *to, X509_REQ *from) {
    STACK_OF(X509_EXTENSION) *all = X509_REQ_get_extensions(from);
    int at = X509v3_get_ext_by_NID(all, NID_subject_alt_name, -1);
    bool ok = at < 0 || X509_add_ext(to, X509v3_get_ext(all, at), -1);
    sk_X509_EXTENSION_pop_free(all, X509_EXTENSION_free);
    return ok;
}

static bool add_extensions(X509 *to, X509 *ca, const struct csr *c, unsigned usages) {
    OWN(buf_done) struct buf usage = {0}, extended = {0};
    X509V3_CTX ctx;
    buf_str(&usage, "critical");
    join(&usage, usages & CSR_DIGITAL_SIGNATURE, "digitalSignature");
    join(&usage, usages & CSR_KEY_ENCIPHERMENT, "keyEncipherment");
    join(&extended, usages & CSR_SERVER_AUTH, "serverAuth");
    join(&extended, usages & CSR_CLIENT_AUTH, "clientAuth");
    X509V3_set_ctx_nodb(&ctx);
    X509V3_set_ctx(&ctx, ca, to, NULL, NULL, 0);
    return add(to, &ctx, NID_basic_constraints, "critical,CA:FALSE") &&
           (usage.n == 8 || add(to, &ctx, NID_key_usage, usage.p)) &&
           add(to, &ctx, NID_ext_key_usage, extended.p) &&
           add(to, &ctx, NID_authority_key_identifier, "keyid:always") &&
           copy_alt_names(to, c->request);
}

static bool set_serial(X509 *c) {
    unsigned char bytes[16];
    if (RAND_bytes(bytes, sizeof bytes) != 1) return false;
    bytes[0] = (unsigned char)((bytes[0] & 0x7f) | 0x40); /* positive, of full length */
    BIGNUM *n = BN_bin2bn(bytes, sizeof bytes, NULL);
    bool ok = n && BN_to_ASN1_INTEGER(n, X509_get_serialNumber(c));
    BN_free(n);
    return ok;
}

/* No longer than asked for, than a year, and than the CA itself. */
static bool set_times(X509 *c, X509 *ca, uint32_t seconds) {
    int64_t life_s = seconds ? seconds : CERTIFICATE_MAX_S;
    if (life_s < CERTIFICATE_MIN_S) life_s = CERTIFICATE_MIN_S;
    if (life_s > CERTIFICATE_MAX_S) life_s = CERTIFICATE_MAX_S;
    if (!X509_gmtime_adj(X509_getm_notBefore(c), NOT_BEFORE_S) ||
        !X509_gmtime_adj(X509_getm_notAfter(c), (long)life_s))
        return false;
    if (ASN1_TIME_compare(X509_get0_notAfter(c), X509_get0_notAfter(ca)) <= 0) return true;
    return X509_set1_notAfter(c, X509_get0_notAfter(ca));
}

static bool fill(X509 *to, X509 *ca, const struct csr *c, const struct keys_certificate *want) {
    return X509_set_version(to, X509_VERSION_3) && set_serial(to) &&
           set_times(to, ca, want->expiration_seconds) &&
           X509_set_subject_name(to, X509_REQ_get_subject_name(c->request)) &&
           X509_set_issuer_name(to, X509_get_subject_name(ca)) &&
           X509_set_pubkey(to, X509_REQ_get0_pubkey(c->request)) &&
           add_extensions(to, ca, c, want->usages);
}

int certificate_sign(struct buf *b, const struct keyring *k, const struct keys_certificate *want,
                     struct err *err) {
    OWN(arena_free_p) struct arena *a = arena_new();
    OWN(csr_p) struct csr c = {0};
    int rc = csr_parse(a, slice_of(want->request_pem), &c, err);
    if (rc == 0) rc = csr_signable(&c, want->signer, want->usages, err);
    if (rc < 0) return rc;
    OWN(pki_certificate_free_p) X509 *ca = pki_certificate_read(slice_of(k->ca_pem));
    OWN(pki_certificate_free_p) X509 *made = X509_new();
    if (!ca || !made || !fill(made, ca, &c, want) || !X509_sign(made, k->ca_key, EVP_sha256()) ||
        pki_certificate_write(b, made) < 0)
        return err_set(err, ERR_INTERNAL, "cannot make the certificate");
    return 0;
}
