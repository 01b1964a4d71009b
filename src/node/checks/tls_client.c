#include "node/checks/tls_client.h"

#include <errno.h>
#include <limits.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdlib.h>

#include "base/own.h"
#include "proc/loop.h"

struct tls_client {
    SSL *ssl;
    bool shaken;
};

static SSL_CTX *context(void) {
    static SSL_CTX *ctx;
    if (ctx) return ctx;
    OPENSSL_init_ssl(OPENSSL_INIT_NO_LOAD_CONFIG, NULL); /* the sandbox opens no files */
    ctx = SSL_CTX_new(TLS_client_method());
    if (!ctx) abort();
    SSL_CTX_set_verify(ctx, SSL_VERIFY_NONE, NULL);
    SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                              SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_options(ctx, SSL_OP_IGNORE_UNEXPECTED_EOF);
    return ctx;
}

struct tls_client *tls_client_new(int fd) {
    struct tls_client *t = calloc(1, sizeof *t);
    if (!t) abort();
    t->ssl = SSL_new(context());
    if (!t->ssl || !SSL_set_fd(t->ssl, fd)) abort();
    SSL_set_connect_state(t->ssl);
    return t;
}

void tls_client_free(struct tls_client *t) {
    if (!t) return;
    SSL_free(t->ssl);
    free(t);
}

/* OpenSSL's answer as an errno. */
static int failure(struct tls_client *t, int rc, unsigned *want) {
    int e = SSL_get_error(t->ssl, rc);
    ERR_clear_error();
    *want = e == SSL_ERROR_WANT_WRITE ? FD_WRITE : FD_READ;
    if (e == SSL_ERROR_WANT_READ || e == SSL_ERROR_WANT_WRITE) return EAGAIN;
    return e == SSL_ERROR_ZERO_RETURN ? 0 : ECONNRESET;
}

int tls_client_handshake(struct tls_client *t, unsigned *ret_want) {
    if (t->shaken) return 0;
    int rc = SSL_do_handshake(t->ssl);
    if (rc == 1) {
        t->shaken = true;
        return 0;
    }
    int e = failure(t, rc, ret_want);
    return e ? -e : -ECONNRESET;
}

ssize_t tls_client_read(struct tls_client *t, void *p, size_t n) {
    unsigned want;
    int rc = SSL_read(t->ssl, p, (int)MIN_OF(n, (size_t)INT_MAX));
    if (rc > 0) return rc;
    errno = failure(t, rc, &want);
    return errno ? -1 : 0;
}

ssize_t tls_client_write(struct tls_client *t, const void *p, size_t n) {
    unsigned want;
    int rc = SSL_write(t->ssl, p, (int)MIN_OF(n, (size_t)INT_MAX));
    if (rc > 0) return rc;
    errno = failure(t, rc, &want);
    if (!errno) errno = EPIPE;
    return -1;
}

bool tls_client_pending(const struct tls_client *t) { return SSL_pending(t->ssl) > 0; }
