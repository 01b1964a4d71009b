#include <errno.h>
#include <fcntl.h>
#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/own.h"
#include "base/test.h"
#include "keys/keyring.h"
#include "proc/settings.h"
#include "wire/keys.h"

struct place {
    char dir[64];
    struct arena *a;
    struct settings s;
};

static void place_init(struct place *p, const char *listen) {
    p->a = arena_new();
    struct settings_choice choice = {.root = p->dir, .listen = listen, .node_name = "n1"};
    assert_int_equal(settings_resolve(&choice, p->a, &p->s, NULL), 0);
}

static void place_make(struct place *p) {
    static const char *const dirs[] = {"var", "var/lib",  "var/lib/atoll", "var/lib/atoll/keys",
                                       "etc", "etc/atoll"};
    snprintf(p->dir, sizeof p->dir, "/tmp/proc-keys-XXXXXX");
    assert_non_null(mkdtemp(p->dir));
    char path[200];
    for (size_t i = 0; i < ARRAY_LEN(dirs); i++) {
        snprintf(path, sizeof path, "%s/%s", p->dir, dirs[i]);
        assert_int_equal(mkdir(path, 0700), 0);
    }
}

static void place_remove(struct place *p) {
    static const char *const files[] = {"var/lib/atoll/keys/ca.key",
                                        "var/lib/atoll/keys/ca.crt",
                                        "var/lib/atoll/keys/serving.key",
                                        "var/lib/atoll/keys/serving.crt",
                                        "var/lib/atoll/keys/admin.key",
                                        "var/lib/atoll/keys/admin.crt",
                                        "var/lib/atoll/keys/token.key",
                                        "etc/atoll/admin.kubeconfig",
                                        "var/lib/atoll/keys/front-proxy-ca.key",
                                        "var/lib/atoll/keys/front-proxy-ca.crt",
                                        "var/lib/atoll/keys/front-proxy.key",
                                        "var/lib/atoll/keys/front-proxy.crt",
                                        "var/lib/atoll/keys/messaging-ca.key",
                                        "var/lib/atoll/keys/messaging-ca.crt",
                                        "var/lib/atoll/keys/messaging.key",
                                        "var/lib/atoll/keys/messaging.crt",
                                        "etc/atoll/messaging-ca.crt",
                                        "etc/atoll/ca.crt"};
    static const char *const dirs[] = {
        "etc/atoll", "etc", "var/lib/atoll/keys", "var/lib/atoll", "var/lib", "var", "."};
    char path[200];
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        snprintf(path, sizeof path, "%s/%s", p->dir, files[i]);
        unlink(path);
    }
    for (size_t i = 0; i < ARRAY_LEN(dirs); i++) {
        snprintf(path, sizeof path, "%s/%s", p->dir, dirs[i]);
        rmdir(path);
    }
    rmdir(p->dir);
    arena_free(p->a);
}

TEST(the_keyring_is_made_once_and_private) {
    struct place p;
    place_make(&p);
    place_init(&p, "10.9.8.7:7443");
    struct keyring first, second;
    struct err err;
    assert_int_equal(keyring_open(&p.s, &first, &err), 0);
    assert_int_equal(keyring_open(&p.s, &second, &err), 0);
    assert_string_equal(first.ca_pem, second.ca_pem);
    assert_string_equal(first.serving_chain_pem, second.serving_chain_pem);
    assert_string_equal(first.token_key_id, second.token_key_id);
    struct stat st;
    char path[200];
    snprintf(path, sizeof path, "%s/var/lib/atoll/keys/ca.key", p.dir);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    snprintf(path, sizeof path, "%s/etc/atoll/admin.kubeconfig", p.dir);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    X509 *c = pki_certificate_read(slice_of(first.serving_chain_pem));
    assert_int_equal(X509_check_ip_asc(c, "10.9.8.7", 0), 1);
    assert_int_equal(X509_check_ip_asc(c, p.s.api_ip, 0), 1);
    assert_int_equal(X509_check_ip_asc(c, p.s.gateway_ip, 0), 1);
    assert_int_equal(X509_check_host(c, "kubernetes.default.svc.cluster.local", 0, 0, NULL), 1);
    assert_int_equal(X509_check_host(c, "example.org", 0, 0, NULL), 0);
    X509_free(c);
    keyring_done(&first);
    keyring_done(&second);
    place_remove(&p);
}

TEST(messaging_is_proved_by_a_certificate_for_both_sides_that_the_api_does_not_trust) {
    struct place p;
    place_make(&p);
    place_init(&p, "10.9.8.7:7443");
    struct keyring k;
    assert_int_equal(keyring_open(&p.s, &k, NULL), 0);
    X509 *c = pki_certificate_read(slice_of(k.messaging_pem));
    X509 *ca = pki_certificate_read(slice_of(k.messaging_ca_pem));
    X509 *cluster_ca = pki_certificate_read(slice_of(k.ca_pem));
    uint32_t both = XKU_SSL_SERVER | XKU_SSL_CLIENT;
    assert_int_equal(X509_get_extended_key_usage(c) & both, both);
    assert_int_equal(X509_check_ip_asc(c, "10.9.8.7", 0), 1);
    assert_int_equal(X509_check_private_key(c, k.messaging_key), 1);
    assert_int_equal(X509_verify(c, X509_get0_pubkey(ca)), 1);
    assert_int_not_equal(X509_verify(c, X509_get0_pubkey(cluster_ca)), 1);
    X509_free(c);
    X509_free(ca);
    X509_free(cluster_ca);
    keyring_done(&k);
    place_remove(&p);
}

TEST(a_new_listen_address_renews_the_serving_certificate_only) {
    struct place p;
    place_make(&p);
    place_init(&p, "10.9.8.7:7443");
    struct keyring first, second;
    assert_int_equal(keyring_open(&p.s, &first, NULL), 0);
    arena_free(p.a);
    place_init(&p, "10.9.8.6:7443");
    assert_int_equal(keyring_open(&p.s, &second, NULL), 0);
    assert_string_equal(first.ca_pem, second.ca_pem);
    assert_string_not_equal(first.serving_chain_pem, second.serving_chain_pem);
    assert_int_equal(EVP_PKEY_eq(first.serving_key, second.serving_key), 1);
    keyring_done(&first);
    keyring_done(&second);
    place_remove(&p);
}

TEST(a_damaged_key_is_an_error_and_stays_as_it_is) {
    struct place p;
    place_make(&p);
    place_init(&p, "10.9.8.7:7443");
    char path[200];
    snprintf(path, sizeof path, "%s/var/lib/atoll/keys/ca.key", p.dir);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(write(fd, "garbage", 7), 7);
    close(fd);
    struct keyring k;
    struct err err;
    assert_true(keyring_open(&p.s, &k, &err) < 0);
    assert_non_null(strstr(err.text, "ca.key is damaged"));
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_size, 7);
    place_remove(&p);
}

/* Checks a compact ES256 token the way a verifier does. */
static bool token_verifies(const char *token, EVP_PKEY *key) {
    const char *dot = strrchr(token, '.');
    OWN(buf_done) struct buf raw = {0};
    if (buf_unbase64url(&raw, slice_of(dot + 1)) < 0 || raw.n != 64) return false;
    const unsigned char *bytes = (const unsigned char *)raw.p;
    ECDSA_SIG *sig = ECDSA_SIG_new();
    ECDSA_SIG_set0(sig, BN_bin2bn(bytes, 32, NULL), BN_bin2bn(bytes + 32, 32, NULL));
    unsigned char *der = NULL;
    int der_bytes = i2d_ECDSA_SIG(sig, &der);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    EVP_DigestVerifyInit(ctx, NULL, EVP_sha256(), NULL, key);
    int ok = EVP_DigestVerify(ctx, der, (size_t)der_bytes, (const unsigned char *)token,
                              (size_t)(dot - token));
    EVP_MD_CTX_free(ctx);
    OPENSSL_free(der);
    ECDSA_SIG_free(sig);
    return ok == 1;
}

TEST(tokens_verify_and_forged_ones_do_not) {
    EVP_PKEY *key = pki_key_new(NULL), *other = pki_key_new(NULL);
    for (int i = 0; i < 50; i++) { /* signatures with leading zero bytes must work too */
        OWN(buf_done) struct buf token = {0};
        assert_int_equal(pki_sign_token(&token, key, "id1", SLICE("{\"sub\":\"x\"}")), 0);
        assert_true(token_verifies(token.p, key));
        assert_false(token_verifies(token.p, other));
        token.p[40] ^= 1;
        assert_false(token_verifies(token.p, key));
    }
    EVP_PKEY_free(key);
    EVP_PKEY_free(other);
}

TEST(digest_signatures_verify) {
    EVP_PKEY *key = pki_key_new(NULL);
    OWN(buf_done) struct buf sig = {0};
    char digest[32] = {7};
    assert_int_equal(pki_sign_digest(&sig, key, slice_from(digest, 32)), 0);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(key, NULL);
    EVP_PKEY_verify_init(ctx);
    assert_int_equal(
        EVP_PKEY_verify(ctx, (unsigned char *)sig.p, sig.n, (unsigned char *)digest, 32), 1);
    EVP_PKEY_CTX_free(ctx);
    EVP_PKEY_free(key);
}

TEST(keys_public_survives_the_wire) {
    OWN(arena_free_p) struct arena *a = arena_new();
    OWN(buf_done) struct buf b = {0};
    struct keys_public in = {"ca", "chain", "public", "id", "front"}, out;
    keys_public_pack(&b, &in);
    assert_int_equal(keys_public_unpack(buf_view(&b), a, &out), 0);
    assert_string_equal(out.ca_pem, "ca");
    assert_string_equal(out.token_key_id, "id");
    for (size_t n = 0; n < b.n; n++)
        assert_int_equal(keys_public_unpack(slice_from(b.p, n), a, &out), -EBADMSG);
}
