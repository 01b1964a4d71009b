/* Who we are and whom we take for a peer: certificates from files of the configuration or from the
 * keys service, CA bundles, names and pins. */
#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/sha.h>
#include <openssl/x509v3.h>
#include <stdio.h>

#include "base/own.h"
#include "proc/ipc.h"
#include "proto/delegated_key.h"
#include "sp/links/edge.h"
#include "sp/sp_service.h"
#include "sp/transports/tls.h"
#include "wire/keys.h"

enum {
    CHAIN_MAX = 8,
    ROOTS_MAX = 64,
    KEYS_TIMEOUT_MS = 2000,
    PIN_BYTES = 7 + 2 * SHA256_DIGEST_LENGTH + 1
};

static void x509_free_p(X509 **x) { X509_free(*x); }
static void bio_free_p(BIO **b) { BIO_free(*b); }
static void pkey_free_p(EVP_PKEY **k) { EVP_PKEY_free(*k); }

int sp_tls_error(SSL *ssl, const char *what, struct err *err) {
    long verified = ssl ? SSL_get_verify_result(ssl) : X509_V_OK;
    unsigned long code = ERR_get_error();
    const char *reason = code ? ERR_reason_error_string(code) : NULL;
    if (verified != X509_V_OK) {
        reason = X509_verify_cert_error_string(verified);
        what = "the peer's certificate is refused";
    }
    ERR_clear_error();
    err_set(err, ERR_FORBIDDEN, "%s: %s", what, str_or(reason, "the peer has closed"));
    return -EACCES;
}

/* ---- who we are ---- */

static X509 *certificate_next(BIO *bio) {
    return bio ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;
}

static int use_certificate(SSL_CTX *ctx, X509 *leaf, BIO *chain, struct err *err) {
    if (!leaf || SSL_CTX_use_certificate(ctx, leaf) != 1)
        return sp_tls_error(NULL, "the certificate of this system", err);
    for (int i = 0; i < CHAIN_MAX; i++) {
        X509 *next = certificate_next(chain);
        if (!next) break;
        if (SSL_CTX_add0_chain_cert(ctx, next) == 1) continue;
        X509_free(next);
        return sp_tls_error(NULL, "the certificate of this system", err);
    }
    ERR_clear_error(); /* the end of the text is an "error" */
    return 0;
}

static int use_key(SSL_CTX *ctx, EVP_PKEY *key, struct err *err) {
    if (key && SSL_CTX_use_PrivateKey(ctx, key) == 1 && SSL_CTX_check_private_key(ctx) == 1)
        return 0;
    return sp_tls_error(NULL, "the key of this system", err);
}

static int use_files(SSL_CTX *ctx, const struct sp_identity_config *own, struct err *err) {
    OWN(bio_free_p) BIO *pem = BIO_new_mem_buf(own->certificate_pem.p, (int)own->certificate_pem.n);
    OWN(bio_free_p) BIO *bio = BIO_new_mem_buf(own->key_pem.p, (int)own->key_pem.n);
    OWN(x509_free_p) X509 *leaf = certificate_next(pem);
    OWN(pkey_free_p) EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL) : NULL;
    int r = use_certificate(ctx, leaf, pem, err);
    return r < 0 ? r : use_key(ctx, key, err);
}

/* ---- the certificate of the whole system, whose key stays in the keys service ---- */

static int ask_keys(uint16_t type, uint16_t want, struct slice body, struct buf *ret,
                    struct err *err) {
    static int fd = -1;
    return ipc_ask_blocking(&fd, "keys.sock", type, want, body, KEYS_TIMEOUT_MS, ret, err);
}

static int sign(void *user, struct slice digest, struct buf *ret_der, struct err *err) {
    return ask_keys(KEYS_SIGN_MESSAGING, KEYS_SIGN_MESSAGING_OK, digest, ret_der, err);
}

/* Certificate and CA as PEM, asked for each time: keys renews them. */
static int system_identity(struct buf *ret, struct err *err) {
    return ask_keys(KEYS_MESSAGING, KEYS_MESSAGING_OK, SLICE(""), ret, err);
}

static int use_system(SSL_CTX *ctx, struct err *err) {
    static struct delegated_key *delegated;
    OWN(buf_done) struct buf pem = {0};
    int r = system_identity(&pem, err);
    if (r < 0) return r;
    if (!delegated) delegated = delegated_key_new(sign, NULL);
    OWN(bio_free_p) BIO *bio = BIO_new_mem_buf(pem.p, (int)pem.n);
    OWN(x509_free_p) X509 *leaf = certificate_next(bio);
    OWN(pkey_free_p) EVP_PKEY *key = leaf ? delegated_key_for(delegated, leaf) : NULL;
    r = use_certificate(ctx, leaf, bio, err);
    return r < 0 ? r : use_key(ctx, key, err);
}

/* Alone, there is no keys service. */
static bool is_alone(const struct sp_edge *e) {
    const struct sp_service *s = e->topology->service;
    return !s || !str_empty(s->ctx->settings->sp_config);
}

static int use_identity(SSL_CTX *ctx, const struct sp_edge *e, struct err *err) {
    const struct sp_identity_config *own = &e->topology->config->identity;
    if (own->certificate_pem.n && own->key_pem.n) return use_files(ctx, own, err);
    if (is_alone(e)) return err_set(err, ERR_INVALID, "the topology has no identity of its own");
    return use_system(ctx, err);
}

/* ---- whom we trust ---- */

static int trust(SSL_CTX *ctx, BIO *bio, struct err *err) {
    X509_STORE *store = SSL_CTX_get_cert_store(ctx);
    int n = 0;
    for (; bio && n < ROOTS_MAX; n++) {
        OWN(x509_free_p) X509 *ca = certificate_next(bio);
        if (!ca) break;
        if (X509_STORE_add_cert(store, ca) != 1 || SSL_CTX_add_client_CA(ctx, ca) != 1)
            return sp_tls_error(NULL, "CA bundle", err);
    }
    ERR_clear_error();
    return n ? 0 : err_set(err, ERR_INVALID, "the CA bundle holds no certificate");
}

static int trust_text(SSL_CTX *ctx, struct slice pem, struct err *err) {
    OWN(bio_free_p) BIO *bio = BIO_new_mem_buf(pem.p, (int)pem.n);
    return trust(ctx, bio, err);
}

/* The CA of this system's own certificate. */
static int trust_system(SSL_CTX *ctx, struct err *err) {
    OWN(buf_done) struct buf pem = {0};
    int r = system_identity(&pem, err);
    if (r < 0) return r;
    OWN(bio_free_p) BIO *bio = BIO_new_mem_buf(pem.p, (int)pem.n);
    X509_free(certificate_next(bio)); /* the certificate itself */
    return trust(ctx, bio, err);
}

/* A pin without a CA stands for itself: the chain is not asked for. */
static int accept_any(int ok, X509_STORE_CTX *store) { return 1; }

static int use_trust(SSL_CTX *ctx, const struct sp_edge *e, struct err *err) {
    const struct sp_peer_config *peer = &e->config->peer;
    struct slice ca = peer->ca_pem;
    int mode = SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
    if (!ca.n && !str_empty(peer->key_pin)) {
        SSL_CTX_set_verify(ctx, mode, accept_any);
        return 0;
    }
    if (!ca.n) ca = e->topology->config->identity.ca_pem;
    SSL_CTX_set_verify(ctx, mode, NULL);
    SSL_CTX_set_verify_depth(ctx, CHAIN_MAX);
    if (ca.n) return trust_text(ctx, ca, err);
    if (e->config->kind == SP_EDGE && !is_alone(e)) return trust_system(ctx, err);
    return err_set(err, ERR_INVALID,
                   "nothing says whom to trust: peer.caBundle, peer.keyPin or identity.caFile");
}

static void ctx_free_p(SSL_CTX **c) { SSL_CTX_free(*c); }

int sp_tls_context(const struct sp_edge *e, bool dialled, SSL_CTX **ret, struct err *err) {
    OPENSSL_init_ssl(OPENSSL_INIT_NO_LOAD_CONFIG, NULL);
    OWN(ctx_free_p) SSL_CTX *ctx = SSL_CTX_new(dialled ? TLS_client_method() : TLS_server_method());
    int least = e->config->kind == SP_EDGE ? TLS1_2_VERSION : TLS1_3_VERSION;
    if (!ctx || SSL_CTX_set_min_proto_version(ctx, least) != 1 ||
        SSL_CTX_set_cipher_list(ctx, "ECDHE+AESGCM:ECDHE+CHACHA20") != 1)
        return sp_tls_error(NULL, "TLS context", err);
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_read_ahead(ctx, 1);
    SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                 SSL_OP_IGNORE_UNEXPECTED_EOF);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_num_tickets(ctx, 0); /* each connection is checked anew */
    int r = use_identity(ctx, e, err);
    if (r == 0) r = use_trust(ctx, e, err);
    if (r == 0) *ret = TAKE(ctx);
    return r;
}

/* ---- who the peer is ---- */

static void pin_of(X509 *cert, char ret[PIN_BYTES]) {
    unsigned char *der = NULL, digest[SHA256_DIGEST_LENGTH];
    int n = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(cert), &der);
    SHA256(der, n > 0 ? (size_t)n : 0, digest);
    OPENSSL_free(der);
    int at = snprintf(ret, PIN_BYTES, "sha256:");
    for (size_t i = 0; i < sizeof digest; i++)
        at += snprintf(ret + at, (size_t)(PIN_BYTES - at), "%02x", digest[i]);
}

static bool has_uri(X509 *cert, const char *uri) {
    GENERAL_NAMES *all = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
    bool found = false;
    for (int i = 0; i < sk_GENERAL_NAME_num(all) && !found; i++) {
        int type;
        const ASN1_STRING *s = GENERAL_NAME_get0_value(sk_GENERAL_NAME_value(all, i), &type);
        found = type == GEN_URI &&
                slice_is(slice_from(ASN1_STRING_get0_data(s), (size_t)ASN1_STRING_length(s)), uri);
    }
    sk_GENERAL_NAME_pop_free(all, GENERAL_NAME_free);
    return found;
}

static bool has_name(X509 *cert, const char *name) {
    unsigned flags = X509_CHECK_FLAG_NEVER_CHECK_SUBJECT | X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS;
    if (strstr(name, "://")) return has_uri(cert, name);
    return X509_check_ip_asc(cert, name, 0) == 1 ||
           X509_check_host(cert, name, 0, flags, NULL) == 1;
}

/* Its common name, for those who read `peers`; bytes that could confuse them become '?'. */
static void show_name(X509 *cert, struct sp_credentials *who) {
    char name[64] = "";
    int n =
        X509_NAME_get_text_by_NID(X509_get_subject_name(cert), NID_commonName, name, sizeof name);
    for (int i = 0; i < n && i < (int)sizeof name; i++)
        if (name[i] <= ' ' || name[i] > '~' || name[i] == '"') name[i] = '?';
    size_t at = strlen(who->name);
    snprintf(who->name + at, sizeof who->name - at, " %s", n > 0 ? name : "?");
}

int sp_tls_check_peer(const struct sp_edge *e, bool dialled, SSL *ssl, struct sp_credentials *who,
                      struct err *err) {
    const struct sp_peer_config *peer = &e->config->peer;
    X509 *cert = SSL_get0_peer_certificate(ssl);
    if (!cert) return err_set(err, ERR_FORBIDDEN, "the peer shows no certificate");
    char pin[PIN_BYTES];
    pin_of(cert, pin);
    show_name(cert, who);
    if (!str_empty(peer->key_pin) && !str_eq(peer->key_pin, pin))
        return err_set(err, ERR_FORBIDDEN, "the peer's certificate is refused: its key is %s", pin);
    const char *name = peer->identity;
    if (str_empty(name) && str_empty(peer->key_pin) && dialled) name = e->config->address.host;
    if (!str_empty(name) && !has_name(cert, name))
        return err_set(err, ERR_FORBIDDEN, "the peer's certificate is refused: it is not for %s",
                       name);
    return 0;
}
