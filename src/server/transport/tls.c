#include "server/transport/tls.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdlib.h>

#include "base/own.h"
#include "proto/delegated_key.h"

enum { CHAIN_MAX = 8, ORGANIZATIONS_MAX = 64, NAME_MAX_BYTES = 512 };

struct server_tls {
    SSL_CTX *ctx;
    struct delegated_key *delegated;
};

static int tls_error(struct err *err, const char *what) {
    char text[160] = "no detail";
    unsigned long code = ERR_get_error();
    if (code) ERR_error_string_n(code, text, sizeof text);
    ERR_clear_error();
    return err_set(err, ERR_INTERNAL, "TLS set-up: %s: %s", what, text);
}

/* ---- Context ---- */

static void x509_free_p(X509 **x) { X509_free(*x); }
static void bio_free_p(BIO **b) { BIO_free(*b); }
static void pkey_free_p(EVP_PKEY **k) { EVP_PKEY_free(*k); }

static int use_chain(struct server_tls *t, const char *pem, struct err *err) {
    OWN(bio_free_p) BIO *bio = BIO_new_mem_buf(pem, -1);
    OWN(x509_free_p) X509 *leaf = bio ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;
    if (!leaf || SSL_CTX_use_certificate(t->ctx, leaf) != 1)
        return tls_error(err, "server certificate");
    for (int i = 0; i < CHAIN_MAX; i++) {
        X509 *next = PEM_read_bio_X509(bio, NULL, NULL, NULL);
        if (!next) break;
        if (SSL_CTX_add0_chain_cert(t->ctx, next) != 1) {
            X509_free(next);
            return tls_error(err, "certificate chain");
        }
    }
    ERR_clear_error(); /* the end of the PEM text is an "error" */
    OWN(pkey_free_p) EVP_PKEY *key = delegated_key_for(t->delegated, leaf);
    if (!key) return tls_error(err, "the server certificate needs an EC public key");
    if (SSL_CTX_use_PrivateKey(t->ctx, key) != 1) return tls_error(err, "delegated key");
    return 0;
}

static int trust_clients(struct server_tls *t, const char *pem, struct err *err) {
    OWN(bio_free_p) BIO *bio = BIO_new_mem_buf(pem, -1);
    X509_STORE *store = SSL_CTX_get_cert_store(t->ctx);
    int n = 0;
    for (; bio && n < CHAIN_MAX; n++) {
        OWN(x509_free_p) X509 *ca = PEM_read_bio_X509(bio, NULL, NULL, NULL);
        if (!ca) break;
        if (X509_STORE_add_cert(store, ca) != 1 || SSL_CTX_add_client_CA(t->ctx, ca) != 1)
            return tls_error(err, "client CA");
    }
    ERR_clear_error();
    return n ? 0 : err_set(err, ERR_INTERNAL, "TLS set-up: no client CA certificate in PEM text");
}

/* Verification never ends a handshake; tls_read_peer looks at the result. */
static int accept_any(int ok, X509_STORE_CTX *ctx) { return 1; }

static int choose_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_n,
                       const unsigned char *in, unsigned in_n, void *user) {
    static const unsigned char ours[] = "\x02h2\x08http/1.1";
    unsigned char *picked;
    if (SSL_select_next_proto(&picked, out_n, ours, sizeof ours - 1, in, in_n) !=
        OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    *out = picked;
    return SSL_TLSEXT_ERR_OK;
}

static int configure(SSL_CTX *ctx, struct err *err) {
    static const char suites[] = /* the quicker one first: lists are mostly encryption */
        "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256";
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                              SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_read_ahead(ctx, 1); /* a record by one system call, not by two */
    SSL_CTX_set_options(ctx, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION |
                                 SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA |
                                 SSL_OP_NO_TICKET);
    /* No resumption: each connection is verified anew. To write a ticket OpenSSL decodes the
     * client's certificate once more, a fifth of every handshake, and few clients resume. */
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_num_tickets(ctx, 0);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, accept_any);
    SSL_CTX_set_verify_depth(ctx, CHAIN_MAX);
    SSL_CTX_set_alpn_select_cb(ctx, choose_alpn, NULL);
    if (SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) != 1 ||
        SSL_CTX_set_cipher_list(ctx, "ECDHE+AESGCM:ECDHE+CHACHA20") != 1 ||
        SSL_CTX_set_ciphersuites(ctx, suites) != 1)
        return tls_error(err, "options");
    return 0;
}

int server_tls_new(const char *chain_pem, const char *client_ca_pem, server_sign_fn *sign,
                   void *user, struct server_tls **ret, struct err *err) {
    struct server_tls *t = calloc(1, sizeof *t);
    if (!t) abort();
    *t = (struct server_tls){SSL_CTX_new(TLS_server_method()), delegated_key_new(sign, user)};
    int r = t->ctx ? configure(t->ctx, err) : tls_error(err, "context");
    if (r == 0) r = use_chain(t, chain_pem, err);
    if (r == 0) r = trust_clients(t, client_ca_pem, err);
    if (r < 0) {
        server_tls_free(t);
        return r;
    }
    *ret = t;
    return 0;
}

void server_tls_free(struct server_tls *t) {
    if (!t) return;
    SSL_CTX_free(t->ctx);
    delegated_key_free(t->delegated);
    free(t);
}

/* ---- Connections ---- */

SSL *tls_accept(struct server_tls *t, int fd) {
    SSL *ssl = SSL_new(t->ctx);
    if (ssl && SSL_set_fd(ssl, fd) != 1) {
        SSL_free(ssl);
        ssl = NULL;
    }
    if (ssl) SSL_set_accept_state(ssl);
    return ssl;
}

bool tls_chose_http2(const struct conn *c) {
    const unsigned char *name = NULL;
    unsigned n = 0;
    SSL_get0_alpn_selected(c->ssl, &name, &n);
    return n == 2 && memcmp(name, "h2", 2) == 0;
}

/* The text of one name entry; NULL when it is unusable: empty, too long or with a NUL inside. */
static const char *entry_text(struct arena *a, const X509_NAME_ENTRY *entry) {
    unsigned char *utf8 = NULL;
    int n = ASN1_STRING_to_UTF8(&utf8, X509_NAME_ENTRY_get_data(entry));
    const char *text = NULL;
    if (n > 0 && n <= NAME_MAX_BYTES && !memchr(utf8, 0, (size_t)n))
        text = arena_strn(a, slice_from(utf8, (size_t)n));
    OPENSSL_free(utf8);
    return text;
}

void tls_read_peer(struct conn *c) {
    X509 *cert = SSL_get0_peer_certificate(c->ssl);
    if (!cert || SSL_get_verify_result(c->ssl) != X509_V_OK) return;
    const X509_NAME *name = X509_get_subject_name(cert);
    const char **organizations = ARENA_ARRAY(c->arena, const char *, ORGANIZATIONS_MAX + 1);
    size_t n = 0;
    int at = -1;
    while ((at = X509_NAME_get_index_by_NID(name, NID_organizationName, at)) >= 0) {
        const char *text = entry_text(c->arena, X509_NAME_get_entry(name, at));
        if (!text || n == ORGANIZATIONS_MAX) return;
        organizations[n++] = text;
    }
    at = X509_NAME_get_index_by_NID(name, NID_commonName, -1);
    const char *common_name = at >= 0 ? entry_text(c->arena, X509_NAME_get_entry(name, at)) : NULL;
    if (!common_name) return;
    c->peer.has_certificate = true;
    c->peer.common_name = common_name;
    c->peer.organizations = organizations;
    listener_identify(c, slice_of(common_name));
}
