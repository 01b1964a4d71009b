#include "egress/channel.h"

#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "base/own.h"
#include "egress/trust.h"
#include "proc/loop.h"

enum { NAMES_SHOWN = 16, DEPTH_MAX = 8 };

void channel_done(struct channel *c) {
    SSL_free(c->ssl);
    c->ssl = NULL;
    close_p(&c->fd);
    c->fd = -1;
}

int channel_connect(struct channel *c, const struct sockaddr *address) {
    socklen_t n =
        address->sa_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
    int one = 1;
    OWN(close_p) int fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) return -errno;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect(fd, address, n) < 0 && errno != EINPROGRESS) return -errno;
    c->fd = TAKE_FD(fd);
    return 0;
}

int channel_connected(struct channel *c) {
    int e = 0;
    socklen_t n = sizeof e;
    if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &e, &n) < 0) return -errno;
    return -e;
}

/* ---- TLS ---- */

static void ctx_free_p(SSL_CTX **c) { SSL_CTX_free(*c); }

static int broken(struct err *err, const char *what) {
    char text[160] = "no detail";
    unsigned long code = ERR_get_error();
    if (code) ERR_error_string_n(code, text, sizeof text);
    ERR_clear_error();
    return err_set(err, ERR_INTERNAL, "%s: %s", what, text);
}

static bool is_address(const char *s) {
    unsigned char b[16];
    return inet_pton(AF_INET, s, b) == 1 || inet_pton(AF_INET6, s, b) == 1;
}

static const char *name_of(const struct egress_prelude *p) {
    return *p->server_name ? p->server_name : p->host;
}

static int expect_name(SSL *ssl, const char *name) {
    X509_VERIFY_PARAM *v = SSL_get0_param(ssl);
    X509_VERIFY_PARAM_set_hostflags(v, X509_CHECK_FLAG_NEVER_CHECK_SUBJECT |
                                           X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    if (is_address(name)) return X509_VERIFY_PARAM_set1_ip_asc(v, name);
    return SSL_set_tlsext_host_name(ssl, name) == 1 && X509_VERIFY_PARAM_set1_host(v, name, 0);
}

int channel_secure(struct channel *c, const struct egress_prelude *p, struct err *err) {
    static const unsigned char protocols[] = "\x08http/1.1";
    OPENSSL_init_ssl(OPENSSL_INIT_NO_LOAD_CONFIG, NULL);
    OWN(ctx_free_p) SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    if (!ctx || SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) != 1)
        return broken(err, "TLS context");
    SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                              SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_options(ctx, SSL_OP_IGNORE_UNEXPECTED_EOF | SSL_OP_NO_RENEGOTIATION);
    SSL_CTX_set_verify(ctx, p->insecure ? SSL_VERIFY_NONE : SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_verify_depth(ctx, DEPTH_MAX);
    SSL_CTX_set_alpn_protos(ctx, protocols, sizeof protocols - 1);
    int r = p->insecure ? 0 : trust_roots(ctx, p->ca_pem, err);
    if (r == 0 && p->identity == EGRESS_FRONT_PROXY) r = trust_front_proxy(ctx, err);
    if (r < 0) return r;
    c->ssl = SSL_new(ctx);
    if (!c->ssl || SSL_set_fd(c->ssl, c->fd) != 1 || !expect_name(c->ssl, name_of(p)))
        return broken(err, "TLS session");
    SSL_set_connect_state(c->ssl);
    return 0;
}

/* "a, b" of the certificate's alternative names. */
static void names_of(struct buf *b, X509 *leaf, bool addresses) {
    GENERAL_NAMES *all = leaf ? X509_get_ext_d2i(leaf, NID_subject_alt_name, NULL, NULL) : NULL;
    int shown = 0;
    for (int i = 0; i < sk_GENERAL_NAME_num(all) && shown < NAMES_SHOWN; i++) {
        int type;
        const ASN1_STRING *s = GENERAL_NAME_get0_value(sk_GENERAL_NAME_value(all, i), &type);
        char text[INET6_ADDRSTRLEN];
        if (type == GEN_DNS && !addresses) {
            buf_printf(b, "%s%.*s", shown++ ? ", " : "", ASN1_STRING_length(s),
                       (const char *)ASN1_STRING_get0_data(s));
        } else if (type == GEN_IPADD && addresses) {
            int family = ASN1_STRING_length(s) == 4 ? AF_INET : AF_INET6;
            if (inet_ntop(family, ASN1_STRING_get0_data(s), text, sizeof text))
                buf_printf(b, "%s%s", shown++ ? ", " : "", text);
        }
    }
    sk_GENERAL_NAME_pop_free(all, GENERAL_NAME_free);
}

static void wrong_name(struct channel *c, const char *name, struct err *err) {
    OWN(buf_done) struct buf names = {0};
    bool address = is_address(name);
    names_of(&names, SSL_get0_peer_certificate(c->ssl), address);
    if (names.n)
        err_set(err, ERR_INTERNAL,
                "tls: failed to verify certificate: x509: certificate is valid for %s, not %s",
                names.p, name);
    else if (address)
        err_set(err, ERR_INTERNAL,
                "tls: failed to verify certificate: x509: cannot validate certificate for %s "
                "because it doesn't contain any IP SANs",
                name);
    else
        err_set(err, ERR_INTERNAL,
                "tls: failed to verify certificate: x509: certificate is not valid for any names, "
                "but wanted to match %s",
                name);
}

static void not_verified(struct channel *c, long result, const char *name, struct err *err) {
    static const char prefix[] = "tls: failed to verify certificate: x509: ";
    switch (result) {
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH: wrong_name(c, name, err); break;
    case X509_V_ERR_CERT_HAS_EXPIRED:
    case X509_V_ERR_CERT_NOT_YET_VALID:
        err_set(err, ERR_INTERNAL, "%scertificate has expired or is not yet valid", prefix);
        break;
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_CERT_SIGNATURE_FAILURE:
        err_set(err, ERR_INTERNAL, "%scertificate signed by unknown authority", prefix);
        break;
    default: err_set(err, ERR_INTERNAL, "%s%s", prefix, X509_verify_cert_error_string(result));
    }
}

int channel_handshake(struct channel *c, const struct egress_prelude *p, struct err *err) {
    ERR_clear_error();
    errno = 0;
    int rc = SSL_do_handshake(c->ssl);
    if (rc == 1) return 0;
    int e = SSL_get_error(c->ssl, rc), system_error = errno;
    c->want = e == SSL_ERROR_WANT_WRITE ? FD_WRITE : FD_READ;
    if (e == SSL_ERROR_WANT_READ || e == SSL_ERROR_WANT_WRITE) return -EAGAIN;
    long result = SSL_get_verify_result(c->ssl);
    unsigned long code = ERR_peek_error();
    int reason = ERR_GET_REASON(code);
    if (!p->insecure && result != X509_V_OK)
        not_verified(c, result, name_of(p), err);
    else if (reason == SSL_R_WRONG_VERSION_NUMBER)
        err_set(err, ERR_INTERNAL, "tls: first record does not look like a TLS handshake");
    else if (code && reason != SSL_R_UNEXPECTED_EOF_WHILE_READING)
        err_set(err, ERR_INTERNAL, "remote error: tls: %s",
                str_or(ERR_reason_error_string(code), "handshake failure"));
    else if (system_error)
        err_errno(err, system_error, "read tcp");
    else
        err_set(err, ERR_INTERNAL, "EOF");
    ERR_clear_error();
    return -EPROTO;
}

/* ---- bytes ---- */

static ssize_t failure(struct channel *c, int rc) {
    int e = SSL_get_error(c->ssl, rc);
    ERR_clear_error();
    c->want = e == SSL_ERROR_WANT_WRITE ? FD_WRITE : FD_READ;
    if (e == SSL_ERROR_WANT_READ || e == SSL_ERROR_WANT_WRITE) return -EAGAIN;
    return e == SSL_ERROR_ZERO_RETURN ? 0 : -ECONNRESET;
}

ssize_t channel_read(struct channel *c, void *p, size_t n) {
    if (c->ssl) {
        int rc = SSL_read(c->ssl, p, (int)MIN_OF(n, (size_t)INT_MAX));
        return rc > 0 ? rc : failure(c, rc);
    }
    ssize_t got = recv(c->fd, p, n, MSG_DONTWAIT);
    c->want = FD_READ;
    return got >= 0 ? got : errno == EINTR ? -EAGAIN : -errno;
}

ssize_t channel_write(struct channel *c, const void *p, size_t n) {
    if (c->ssl) {
        int rc = SSL_write(c->ssl, p, (int)MIN_OF(n, (size_t)INT_MAX));
        if (rc > 0) return rc;
        ssize_t e = failure(c, rc);
        return e ? e : -EPIPE;
    }
    ssize_t sent = send(c->fd, p, n, MSG_DONTWAIT | MSG_NOSIGNAL);
    c->want = FD_WRITE;
    return sent >= 0 ? sent : errno == EINTR ? -EAGAIN : -errno;
}

void channel_shut(struct channel *c) {
    if (c->ssl) {
        SSL_shutdown(c->ssl);
        ERR_clear_error();
    }
    shutdown(c->fd, SHUT_WR);
}
