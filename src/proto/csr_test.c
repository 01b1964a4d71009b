#include "proto/csr.h"

#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>
#include <string.h>

#include "base/buf.h"
#include "base/own.h"
#include "base/test.h"

/* subject: pairs of field and text, NULL at the end. */
static void make(struct buf *pem, EVP_PKEY *key, const char *const *subject, const char *alt,
                 bool spoil) {
    X509_REQ *r = X509_REQ_new();
    X509_NAME *name = X509_REQ_get_subject_name(r);
    for (; *subject; subject += 2)
        X509_NAME_add_entry_by_txt(name, subject[0], MBSTRING_UTF8,
                                   (const unsigned char *)subject[1], -1, -1, 0);
    X509_REQ_set_pubkey(r, key);
    if (alt) {
        STACK_OF(X509_EXTENSION) *all = sk_X509_EXTENSION_new_null();
        sk_X509_EXTENSION_push(all, X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, alt));
        X509_REQ_add_extensions(r, all);
        sk_X509_EXTENSION_pop_free(all, X509_EXTENSION_free);
    }
    X509_REQ_sign(r, key, EVP_sha256());
    if (spoil)
        X509_NAME_add_entry_by_txt(name, "O", MBSTRING_UTF8, (const unsigned char *)"more", -1, -1,
                                   0);
    BIO *bio = BIO_new(BIO_s_mem());
    PEM_write_bio_X509_REQ(bio, r);
    char *p;
    long n = BIO_get_mem_data(bio, &p);
    buf_append(pem, p, (size_t)n);
    BIO_free(bio);
    X509_REQ_free(r);
}

static const char *const jane[] = {"O", "dev", "O", "ops", "CN", "jane", NULL};

TEST(a_request_is_read) {
    OWN(arena_free_p) struct arena *a = arena_new();
    OWN(buf_done) struct buf pem = {0};
    EVP_PKEY *key = EVP_EC_gen("P-256");
    make(&pem, key, jane, "DNS:a.example,IP:10.0.0.1,email:x@y.z", false);
    struct csr c;
    assert_int_equal(csr_parse(a, buf_view(&pem), &c, NULL), 0);
    assert_string_equal(c.common_name, "jane");
    assert_true(csr_has_organization(&c, "ops"));
    assert_false(csr_has_organization(&c, "jane"));
    assert_string_equal(c.dns.v[0], "a.example");
    assert_string_equal(c.addresses.v[0], "10.0.0.1");
    assert_int_equal(c.n_other_names, 1);
    csr_done(&c);
    buf_str(&pem, "x");
    assert_true(csr_parse(a, buf_view(&pem), &c, NULL) < 0);
    EVP_PKEY_free(key);
}

TEST(requests_that_are_not_signed_by_a_strong_key_are_refused) {
    OWN(arena_free_p) struct arena *a = arena_new();
    OWN(buf_done) struct buf pem = {0};
    EVP_PKEY *key = EVP_EC_gen("P-256"), *weak = EVP_RSA_gen(1024);
    struct csr c;
    struct err err;
    make(&pem, key, jane, NULL, true);
    assert_true(csr_parse(a, buf_view(&pem), &c, &err) < 0);
    assert_non_null(strstr(err.text, "not signed"));
    buf_clear(&pem);
    make(&pem, weak, jane, NULL, false);
    assert_true(csr_parse(a, buf_view(&pem), &c, &err) < 0);
    assert_non_null(strstr(err.text, "weak"));
    EVP_PKEY_free(key);
    EVP_PKEY_free(weak);
}

TEST(a_request_with_two_common_names_is_refused) {
    static const char *const two[] = {"CN", "system:node:n1", "O", "system:nodes",
                                      "CN", "system:node:n2", NULL};
    OWN(arena_free_p) struct arena *a = arena_new();
    OWN(buf_done) struct buf pem = {0};
    EVP_PKEY *key = EVP_EC_gen("P-256");
    struct csr c;
    struct err err;
    make(&pem, key, two, NULL, false);
    assert_true(csr_parse(a, buf_view(&pem), &c, &err) < 0);
    assert_non_null(strstr(err.text, "common name"));
    EVP_PKEY_free(key);
}

static int signable(const char *const *subject, const char *alt, enum csr_signer signer,
                    unsigned usages) {
    OWN(arena_free_p) struct arena *a = arena_new();
    OWN(buf_done) struct buf pem = {0};
    EVP_PKEY *key = EVP_EC_gen("P-256");
    make(&pem, key, subject, alt, false);
    struct csr c;
    assert_int_equal(csr_parse(a, buf_view(&pem), &c, NULL), 0);
    int rc = csr_signable(&c, signer, usages, NULL);
    csr_done(&c);
    EVP_PKEY_free(key);
    return rc;
}

TEST(each_signer_signs_only_its_kind) {
    static const char *const node[] = {"O", "system:nodes", "CN", "system:node:n1", NULL};
    static const char *const masters[] = {"O", "system:masters", "CN", "jane", NULL};
    const unsigned client = CSR_CLIENT_AUTH | CSR_DIGITAL_SIGNATURE;
    const unsigned serving = CSR_SERVER_AUTH | CSR_DIGITAL_SIGNATURE;
    assert_int_equal(signable(jane, NULL, CSR_SIGNER_CLIENT, client), 0);
    assert_true(signable(jane, NULL, CSR_SIGNER_CLIENT, serving) < 0);
    assert_true(signable(jane, NULL, CSR_SIGNER_CLIENT, client | CSR_OTHER_USAGE) < 0);
    assert_true(signable(masters, NULL, CSR_SIGNER_CLIENT, client) < 0);
    assert_true(signable(masters, NULL, CSR_SIGNER_LEGACY, client) < 0);
    assert_true(signable(jane, NULL, CSR_SIGNER_CLIENT_KUBELET, client) < 0);
    assert_int_equal(signable(node, NULL, CSR_SIGNER_CLIENT_KUBELET, client), 0);
    assert_true(signable(node, "DNS:a", CSR_SIGNER_CLIENT_KUBELET, client) < 0);
    assert_int_equal(signable(node, "DNS:a", CSR_SIGNER_SERVING, serving), 0);
    assert_true(signable(node, "email:a@b", CSR_SIGNER_SERVING, serving) < 0);
    assert_true(signable(node, NULL, CSR_SIGNER_SERVING, serving) < 0);
    assert_true(signable(jane, NULL, 0, client) < 0);
}
