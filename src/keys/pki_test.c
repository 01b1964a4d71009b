#include "keys/pki.h"

#include <string.h>

#include "base/own.h"
#include "base/test.h"

static const struct certificate_plan authority = {CERTIFICATE_CA, "ca", NULL, NULL};
static const struct certificate_plan server = {CERTIFICATE_SERVER, "api", NULL,
                                               "DNS:api.example,IP:10.0.0.1"};

static X509 *issue(const struct certificate_plan *plan, EVP_PKEY *key, X509 *ca, EVP_PKEY *ca_key) {
    struct err err = {0};
    X509 *c = pki_certificate_new(plan, key, ca, ca_key, &err);
    if (!c) fail_msg("%s", err.text);
    return c;
}

static EVP_PKEY *new_key(void) {
    struct err err = {0};
    EVP_PKEY *k = pki_key_new(&err);
    assert_non_null(k);
    return k;
}

TEST(a_certificate_is_used_on_only_with_its_key_issuer_and_names) {
    OWN(pki_key_free_p) EVP_PKEY *ca_key = new_key();
    OWN(pki_key_free_p) EVP_PKEY *key = new_key();
    OWN(pki_key_free_p) EVP_PKEY *other_key = new_key();
    OWN(pki_certificate_free_p) X509 *ca = issue(&authority, ca_key, NULL, NULL);
    OWN(pki_certificate_free_p) X509 *other_ca = issue(&authority, other_key, NULL, NULL);
    OWN(pki_certificate_free_p) X509 *c = issue(&server, key, ca, ca_key);
    assert_true(pki_certificate_usable(&server, c, key, ca));
    assert_true(pki_certificate_usable(&authority, ca, ca_key, NULL));
    assert_false(pki_certificate_usable(&server, c, other_key, ca));
    assert_false(pki_certificate_usable(&server, c, key, other_ca));
    struct certificate_plan moved = server;
    moved.alt_names = "DNS:api.example,IP:10.0.0.2";
    assert_false(pki_certificate_usable(&moved, c, key, ca));
}

TEST(one_that_ends_soon_is_made_again) {
    OWN(pki_key_free_p) EVP_PKEY *ca_key = new_key();
    OWN(pki_key_free_p) EVP_PKEY *key = new_key();
    OWN(pki_certificate_free_p) X509 *ca = issue(&authority, ca_key, NULL, NULL);
    OWN(pki_certificate_free_p) X509 *c = issue(&server, key, ca, ca_key);
    assert_non_null(X509_gmtime_adj(X509_getm_notAfter(c), (RENEW_DAYS - 1) * 86400L));
    assert_true(X509_sign(c, ca_key, EVP_sha256()) > 0);
    assert_false(pki_certificate_usable(&server, c, key, ca));
}

TEST(a_key_survives_its_file_and_a_damaged_file_is_none) {
    OWN(pki_key_free_p) EVP_PKEY *key = new_key();
    OWN(secret_buf_done) struct buf pem = {0};
    assert_int_equal(pki_key_write(&pem, key), 0);
    OWN(pki_key_free_p) EVP_PKEY *again = pki_key_read(buf_view(&pem));
    assert_non_null(again);
    assert_int_equal(EVP_PKEY_eq(key, again), 1);
    for (size_t n = 0; n + 2 < pem.n; n += 7) assert_null(pki_key_read(slice_from(pem.p, n)));
    assert_null(pki_certificate_read(buf_view(&pem)));
}

TEST(key_ids_tell_keys_apart) {
    OWN(pki_key_free_p) EVP_PKEY *one = new_key();
    OWN(pki_key_free_p) EVP_PKEY *two = new_key();
    OWN(buf_done) struct buf a = {0}, b = {0}, c = {0};
    assert_int_equal(pki_key_id(&a, one), 0);
    assert_int_equal(pki_key_id(&b, one), 0);
    assert_int_equal(pki_key_id(&c, two), 0);
    assert_int_equal(a.n, 43); /* 32 bytes, base64url */
    assert_true(slice_eq(buf_view(&a), buf_view(&b)));
    assert_false(slice_eq(buf_view(&a), buf_view(&c)));
}
