#include "egress/trust.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <sys/stat.h>

#include "base/own.h"
#include "proc/ipc.h"
#include "proto/delegated_key.h"
#include "wire/keys.h"

enum { CERTIFICATES_MAX = 512, CHAIN_MAX = 8, KEYS_TIMEOUT_MS = 2000 };

static void x509_free_p(X509 **x) { X509_free(*x); }
static void bio_free_p(BIO **b) { BIO_free(*b); }
static void pkey_free_p(EVP_PKEY **k) { EVP_PKEY_free(*k); }

/* ---- roots ---- */

/* How many certificates were added. What is no certificate is passed over, as Go does. */
static int add_certificates(X509_STORE *store, BIO *bio) {
    int n = 0;
    for (int i = 0; bio && i < CERTIFICATES_MAX; i++) {
        OWN(x509_free_p) X509 *ca = PEM_read_bio_X509(bio, NULL, NULL, NULL);
        if (!ca) break;
        if (X509_STORE_add_cert(store, ca) == 1) n++;
    }
    ERR_clear_error(); /* the end of the text is an "error" */
    return n;
}

static X509_STORE *machine_store(void) {
    static const char *const paths[] = {"/etc/ssl/certs/ca-certificates.crt",
                                        "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"};
    static X509_STORE *store;
    static struct timespec changed;
    struct stat st;
    size_t i = 0;
    while (i < ARRAY_LEN(paths) && stat(paths[i], &st) < 0) i++;
    if (i == ARRAY_LEN(paths)) return NULL;
    if (store && changed.tv_sec == st.st_mtim.tv_sec && changed.tv_nsec == st.st_mtim.tv_nsec)
        return store;
    OWN(bio_free_p) BIO *bio = BIO_new_file(paths[i], "r");
    X509_STORE *fresh = X509_STORE_new();
    if (!fresh) return store;
    add_certificates(fresh, bio);
    X509_STORE_free(store);
    store = fresh;
    changed = st.st_mtim;
    return store;
}

int trust_roots(SSL_CTX *ctx, const char *ca_pem, struct err *err) {
    if (!*ca_pem) {
        X509_STORE *store = machine_store();
        if (store) SSL_CTX_set1_cert_store(ctx, store);
        return 0;
    }
    OWN(bio_free_p) BIO *bio = BIO_new_mem_buf(ca_pem, -1);
    X509_STORE *store = SSL_CTX_get_cert_store(ctx);
    X509_STORE_set_flags(store, X509_V_FLAG_PARTIAL_CHAIN); /* whatever is given is trusted */
    if (add_certificates(store, bio) > 0) return 0;
    return err_set(err, ERR_INTERNAL,
                   "unable to load root certificates: unable to parse bytes as "
                   "PEM block");
}

/* ---- the front proxy ---- */

static int ask_keys(uint16_t type, uint16_t want, struct slice body, struct buf *ret,
                    struct err *err) {
    static int fd = -1;
    return ipc_ask_blocking(&fd, "keys.sock", type, want, body, KEYS_TIMEOUT_MS, ret, err);
}

static int sign(void *user, struct slice digest, struct buf *ret_der, struct err *err) {
    return ask_keys(KEYS_SIGN_FRONT_PROXY, KEYS_SIGN_FRONT_PROXY_OK, digest, ret_der, err);
}

/* The certificate, asked for each time: keys renews it. */
int trust_front_proxy(SSL_CTX *ctx, struct err *err) {
    static struct delegated_key *delegated;
    OWN(buf_done) struct buf pem = {0};
    if (!delegated) delegated = delegated_key_new(sign, NULL);
    int rc = ask_keys(KEYS_FRONT_PROXY, KEYS_FRONT_PROXY_OK, SLICE(""), &pem, err);
    if (rc < 0) return rc;
    OWN(bio_free_p) BIO *bio = BIO_new_mem_buf(pem.p, (int)pem.n);
    OWN(x509_free_p) X509 *leaf = bio ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;
    OWN(pkey_free_p) EVP_PKEY *key = leaf ? delegated_key_for(delegated, leaf) : NULL;
    if (key && SSL_CTX_use_certificate(ctx, leaf) == 1 && SSL_CTX_use_PrivateKey(ctx, key) == 1)
        return 0;
    ERR_clear_error();
    return err_set(err, ERR_INTERNAL, "the front-proxy certificate from keys is unusable");
}
