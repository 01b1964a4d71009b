/*
 * Records are written to memory first and sent from there, so that what the kernel does not take at
 * once can be kept: the caller may come back with other bytes.
 */
#include "sp/transports/tls.h"

#include <errno.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/own.h"
#include "proc/loop.h"
#include "sp/links/edge.h"

enum { WRITE_BYTES = 64 * 1024 };

struct tls {
    struct sp_link *link;
    SSL *ssl;
    BIO *records;    /* what SSL has to send; owned by it */
    struct buf left; /* of which the kernel did not take this */
    bool owed;       /* the last byte reported as not taken is in a record already */
    bool dialled;
};

static void ctx_free_p(SSL_CTX **c) { SSL_CTX_free(*c); }

static void close_tls(void *state);

static void *open_tls(struct sp_link *l, bool dialled, struct err *err) {
    OWN(ctx_free_p) SSL_CTX *ctx = NULL;
    if (sp_tls_context(l->pipe.edge, dialled, &ctx, err) < 0) return NULL;
    struct tls *t = calloc(1, sizeof *t);
    if (!t) abort();
    *t = (struct tls){.link = l, .dialled = dialled};
    t->ssl = SSL_new(ctx);
    t->records = BIO_new(BIO_s_mem());
    BIO *in = BIO_new_socket(l->fd, BIO_NOCLOSE);
    if (!t->ssl || !t->records || !in) abort();
    SSL_set_bio(t->ssl, in, t->records);
    const char *host = l->pipe.edge->config->address.host;
    if (dialled && !strchr(host, ':') && strspn(host, "0123456789.") < strlen(host))
        SSL_set_tlsext_host_name(t->ssl, host);
    if (dialled)
        SSL_set_connect_state(t->ssl);
    else
        SSL_set_accept_state(t->ssl);
    return t;
}

/* 0: all records are on their way; -EAGAIN: some wait for the descriptor. */
static int send_records(struct tls *t) {
    if (!t->left.n) {
        char *p;
        long n = BIO_get_mem_data(t->records, &p);
        if (n <= 0) return 0;
        ssize_t sent = send(t->link->fd, p, (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent < 0 && errno != EAGAIN && errno != EINTR) return -errno;
        if (sent < n) buf_append(&t->left, p + MAX_OF(sent, 0), (size_t)(n - MAX_OF(sent, 0)));
        BIO_reset(t->records);
        return t->left.n ? -EAGAIN : 0;
    }
    ssize_t sent = send(t->link->fd, t->left.p, t->left.n, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN && errno != EINTR) return -errno;
    if (sent > 0) buf_consume(&t->left, (size_t)sent);
    return t->left.n ? -EAGAIN : send_records(t);
}

static int handshake(void *state, struct err *err) {
    struct tls *t = state;
    ERR_clear_error();
    int done = SSL_is_init_finished(t->ssl) ? 1 : SSL_do_handshake(t->ssl);
    int why = done == 1 ? 0 : SSL_get_error(t->ssl, done);
    int sent = send_records(t); /* an alert, too */
    if (sent < 0 && sent != -EAGAIN) return err_errno(err, -sent, "TLS handshake");
    if (done != 1 && why != SSL_ERROR_WANT_READ) return sp_tls_error(t->ssl, "TLS handshake", err);
    if (done == 1 && sent == 0) {
        int r = sp_tls_check_peer(t->link->pipe.edge, t->dialled, t->ssl, &t->link->pipe.who, err);
        return r < 0 ? r : 1;
    }
    sp_link_want(t->link, (done == 1 ? 0u : FD_READ) | (sent ? FD_WRITE : 0u));
    return 0;
}

static ssize_t read_tls(void *state, void *p, size_t n) {
    struct tls *t = state;
    size_t got = 0;
    while (got < n) {
        size_t more = 0;
        ERR_clear_error();
        int r = SSL_read_ex(t->ssl, (char *)p + got, n - got, &more);
        if (r == 1) {
            got += more;
            continue;
        }
        if (got) break; /* the reason comes again */
        int why = SSL_get_error(t->ssl, r);
        if (why == SSL_ERROR_ZERO_RETURN) return 0;
        if (why == SSL_ERROR_WANT_READ) return -EAGAIN;
        return why == SSL_ERROR_SYSCALL && errno ? -errno : -EPROTO;
    }
    return (ssize_t)got;
}

/* Encrypts at most WRITE_BYTES, but for the first `skip` bytes. */
static size_t encrypt(struct tls *t, const struct iovec *v, int n, size_t skip) {
    size_t taken = 0;
    for (int i = 0; i < n && taken < WRITE_BYTES; i++) {
        size_t from = MIN_OF(skip, v[i].iov_len), written = 0;
        skip -= from;
        size_t want = MIN_OF(v[i].iov_len - from, WRITE_BYTES - taken);
        if (!want) continue;
        if (SSL_write_ex(t->ssl, (const char *)v[i].iov_base + from, want, &written) != 1) break;
        taken += written;
        if (written < v[i].iov_len - from) break;
    }
    return taken;
}

static ssize_t writev_tls(void *state, const struct iovec *v, int n) {
    struct tls *t = state;
    int r = send_records(t);
    if (r < 0) return r;
    size_t skip = t->owed ? 1 : 0;
    t->owed = false;
    ERR_clear_error();
    size_t taken = skip + encrypt(t, v, n, skip);
    if (!taken) return -EPROTO;
    r = send_records(t);
    if (r < 0 && r != -EAGAIN) return r;
    if (r == -EAGAIN && taken > skip + 1) { /* so that the caller comes again when it can */
        t->owed = true;
        taken--;
    }
    return (ssize_t)taken;
}

static size_t pending(void *state) {
    const struct tls *t = state;
    return SSL_has_pending(t->ssl) ? 1 : 0;
}

static void close_tls(void *state) {
    struct tls *t = state;
    ERR_clear_error();
    if (SSL_is_init_finished(t->ssl) && SSL_shutdown(t->ssl) == 0) send_records(t);
    SSL_free(t->ssl);
    ERR_clear_error();
    buf_done(&t->left);
    free(t);
}

const struct sp_stream sp_stream_tls = {.open = open_tls,
                                        .handshake = handshake,
                                        .read = read_tls,
                                        .writev = writev_tls,
                                        .pending = pending,
                                        .close = close_tls};

static const struct sp_transport tls = {.scheme = SP_SCHEME_TLS,
                                        .stream = &sp_stream_tls,
                                        .codec = &sp_codec_tcp,
                                        .listen = sp_tcp_listen,
                                        .dial = sp_tcp_dial,
                                        .resolves = true};
SP_TRANSPORT(tls);
