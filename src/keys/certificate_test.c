#include "keys/certificate.h"

#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "base/own.h"
#include "base/test.h"
#include "proto/csr.h"

static void request(struct buf *pem, EVP_PKEY *key, const char *organization) {
    X509_REQ *r = X509_REQ_new();
    X509_NAME *name = X509_REQ_get_subject_name(r);
    X509_NAME_add_entry_by_txt(name, "O", MBSTRING_UTF8, (const unsigned char *)organization, -1,
                               -1, 0);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *)"jane", -1, -1, 0);
    X509_REQ_set_pubkey(r, key);
    X509_REQ_sign(r, key, EVP_sha256());
    BIO *bio = BIO_new(BIO_s_mem());
    PEM_write_bio_X509_REQ(bio, r);
    char *p;
    long n = BIO_get_mem_data(bio, &p);
    buf_append(pem, p, (size_t)n);
    BIO_free(bio);
    X509_REQ_free(r);
}

TEST(a_certificate_is_made_of_the_subject_and_key_and_nothing_else) {
    struct certificate_plan plan = {CERTIFICATE_CA, "ca", NULL, NULL};
    EVP_PKEY *ca_key = pki_key_new(NULL), *key = pki_key_new(NULL);
    X509 *ca = pki_certificate_new(&plan, ca_key, NULL, NULL, NULL);
    OWN(buf_done) struct buf ca_pem = {0}, pem = {0}, out = {0};
    pki_certificate_write(&ca_pem, ca);
    struct keyring k = {.ca_key = ca_key, .ca_pem = ca_pem.p};
    request(&pem, key, "dev");
    struct keys_certificate want = {pem.p, CSR_SIGNER_CLIENT,
                                    CSR_CLIENT_AUTH | CSR_DIGITAL_SIGNATURE, 3600};
    struct err err;
    assert_int_equal(certificate_sign(&out, &k, &want, &err), 0);
    X509 *made = pki_certificate_read(buf_view(&out));
    assert_int_equal(X509_verify(made, ca_key), 1);
    assert_int_equal(EVP_PKEY_eq(X509_get0_pubkey(made), key), 1);
    assert_int_equal(X509_check_ca(made), 0);
    int days, seconds;
    ASN1_TIME_diff(&days, &seconds, NULL, X509_get0_notAfter(made));
    assert_int_equal(days, 0);
    assert_in_range(seconds, 3500, 3600);
    assert_true(X509_get_extended_key_usage(made) == XKU_SSL_CLIENT);
    X509_free(made);
    buf_clear(&pem);
    request(&pem, key, "system:masters");
    want.request_pem = pem.p;
    assert_true(certificate_sign(&out, &k, &want, &err) < 0);
    X509_free(ca);
    EVP_PKEY_free(ca_key);
    EVP_PKEY_free(key);
}

TEST(the_message_survives_the_wire) {
    OWN(arena_free_p) struct arena *a = arena_new();
    OWN(buf_done) struct buf b = {0};
    struct keys_certificate in = {"pem", 2, 9, 3600}, back;
    keys_certificate_pack(&b, &in);
    assert_int_equal(keys_certificate_unpack(buf_view(&b), a, &back), 0);
    assert_string_equal(back.request_pem, "pem");
    assert_int_equal(back.expiration_seconds, 3600);
    for (size_t n = 0; n < b.n; n++)
        assert_true(keys_certificate_unpack(slice_from(b.p, n), a, &back) < 0);
}
