#include "server/transport/transport_fixture.h"

#include <fcntl.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/own.h"
#include "server/transport/tls.h"

/* A certificate authority of the test's own; keys are made on the spot. */
struct identity {
    EVP_PKEY *key;
    X509 *cert;
};

static struct identity make(const struct identity *issuer, const char *common_name,
                            const char *organization, long valid_s) {
    struct identity id = {EVP_EC_gen("P-256"), X509_new()};
    X509_NAME *name = X509_get_subject_name(id.cert);
    if (organization)
        X509_NAME_add_entry_by_txt(name, "O", MBSTRING_UTF8, (const unsigned char *)organization,
                                   -1, -1, 0);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *)common_name, -1,
                               -1, 0);
    X509_set_version(id.cert, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(id.cert), 7);
    X509_gmtime_adj(X509_getm_notBefore(id.cert), -3600);
    X509_gmtime_adj(X509_getm_notAfter(id.cert), valid_s);
    X509_set_pubkey(id.cert, id.key);
    X509_set_issuer_name(id.cert, X509_get_subject_name(issuer ? issuer->cert : id.cert));
    if (!issuer) {
        X509_EXTENSION *ca = X509V3_EXT_conf_nid(NULL, NULL, NID_basic_constraints, "CA:TRUE");
        X509_add_ext(id.cert, ca, -1);
        X509_EXTENSION_free(ca);
    }
    assert_true(X509_sign(id.cert, issuer ? issuer->key : id.key, EVP_sha256()) > 0);
    return id;
}

static void drop(struct identity *id) {
    EVP_PKEY_free(id->key);
    X509_free(id->cert);
}

static char *pem(X509 *cert) {
    BIO *bio = BIO_new(BIO_s_mem());
    PEM_write_bio_X509(bio, cert);
    char *p;
    long n = BIO_get_mem_data(bio, &p);
    char *text = strndup(p, (size_t)n);
    BIO_free(bio);
    return text;
}

static unsigned signatures;
static bool refuse_to_sign;

static int sign(void *user, struct slice digest, struct buf *ret, struct err *err) {
    unsigned char der[128];
    size_t n = sizeof der;
    signatures++;
    if (refuse_to_sign) return err_set(err, ERR_UNAVAILABLE, "no");
    EVP_PKEY_CTX *c = EVP_PKEY_CTX_new(((struct identity *)user)->key, NULL);
    assert_true(EVP_PKEY_sign_init(c) > 0);
    assert_true(EVP_PKEY_sign(c, der, &n, (const unsigned char *)digest.p, digest.n) > 0);
    EVP_PKEY_CTX_free(c);
    buf_append(ret, der, n);
    return 0;
}

struct world {
    struct identity ca, server;
    struct server_tls *tls;
    struct fixture *f;
};

static struct world *world_new(void) {
    struct world *w = calloc(1, sizeof *w);
    w->ca = make(NULL, "ca", NULL, 3600);
    w->server = make(&w->ca, "api", NULL, 3600);
    char *chain = pem(w->server.cert), *ca = pem(w->ca.cert);
    struct err err = {0};
    if (server_tls_new(chain, ca, sign, &w->server, &w->tls, &err) < 0) fail_msg("%s", err.text);
    w->f = fixture_new(w->tls);
    signatures = 0;
    refuse_to_sign = false;
    free(chain);
    free(ca);
    return w;
}

static void world_free(struct world *w) {
    fixture_free(w->f);
    server_tls_free(w->tls);
    drop(&w->ca);
    drop(&w->server);
    free(w);
}

struct client {
    SSL_CTX *ctx;
    SSL *ssl;
    int fd;
};

static struct client client_new(struct world *w, const struct identity *id, int version) {
    struct client c = {.ctx = SSL_CTX_new(TLS_client_method())};
    if (version) SSL_CTX_set_max_proto_version(c.ctx, version);
    X509_STORE_add_cert(SSL_CTX_get_cert_store(c.ctx), w->ca.cert);
    SSL_CTX_set_verify(c.ctx, SSL_VERIFY_PEER, NULL);
    if (id) {
        SSL_CTX_use_certificate(c.ctx, id->cert);
        SSL_CTX_use_PrivateKey(c.ctx, id->key);
    }
    c.fd = fixture_connect(w->f);
    fcntl(c.fd, F_SETFL, O_NONBLOCK);
    c.ssl = SSL_new(c.ctx);
    SSL_set_fd(c.ssl, c.fd);
    return c;
}

static void client_free(struct client *c) {
    SSL_free(c->ssl);
    SSL_CTX_free(c->ctx);
    close(c->fd);
}

static int client_connect(struct world *w, struct client *c) {
    for (int i = 0; i < 20; i++) {
        int r = SSL_connect(c->ssl);
        if (r == 1) return 1;
        if (SSL_get_error(c->ssl, r) != SSL_ERROR_WANT_READ) return r;
        fixture_turn(w->f);
    }
    return 0;
}

static void client_send(struct world *w, struct client *c, const char *text) {
    assert_int_equal(SSL_write(c->ssl, text, (int)strlen(text)), strlen(text));
    fixture_turn(w->f);
}

#define HOLD "GET /hold HTTP/1.1\r\nHost: x\r\n\r\n"

TEST(tls_handshake_is_signed_elsewhere) {
    static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    for (int i = 0; i < 2; i++) {
        struct world *w = world_new();
        struct client c = client_new(w, NULL, versions[i]);
        assert_int_equal(client_connect(w, &c), 1);
        assert_int_equal(SSL_version(c.ssl), versions[i]);
        assert_int_equal(signatures, 1);
        client_send(w, &c, HOLD);
        const struct peer *peer = w->f->last->peer;
        assert_int_equal(peer->kind, PEER_TLS);
        assert_string_equal(peer->address, "127.0.0.1");
        assert_false(peer->has_certificate);
        assert_null(peer->common_name);
        request_respond(w->f->last, 200, "text/plain", SLICE("hello"), NULL);
        fixture_turn(w->f);
        char answer[500];
        int n = SSL_read(c.ssl, answer, sizeof answer - 1);
        assert_true(n > 5);
        assert_memory_equal(answer + n - 5, "hello", 5);
        client_free(&c);
        world_free(w);
    }
}

TEST(tls_signer_that_refuses_ends_the_handshake) {
    struct world *w = world_new();
    refuse_to_sign = true;
    struct client c = client_new(w, NULL, 0);
    assert_true(client_connect(w, &c) < 1);
    fixture_turn(w->f);
    assert_int_equal(server_connections(w->f->server), 0);
    client_free(&c);
    world_free(w);
}

/* Many records that arrive together: those behind the first have been read from the socket with it,
 * so no event tells of them. */
static unsigned answers_of(struct world *w, struct client *c, unsigned requests, size_t body_bytes,
                           bool hold_first) {
    OWN(buf_done) struct buf answers = {0};
    char body[4000] = "", part[4000];
    memset(body, 'x', body_bytes);
    OWN(buf_done) struct buf post = {0};
    buf_printf(&post, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: %zu\r\n\r\n%s", body_bytes,
               body);
    if (hold_first) client_send(w, c, HOLD);
    for (unsigned i = 0; i < requests; i++) { /* the server does not run meanwhile */
        int n = SSL_write(c->ssl, post.p, (int)post.n);
        for (; n <= 0; n = SSL_write(c->ssl, post.p, (int)post.n)) fixture_turn(w->f);
    }
    fixture_turn(w->f);
    if (hold_first) request_respond(w->f->last, 200, "text/plain", SLICE("hello"), NULL);
    for (int i = 0; i < 200; i++) {
        fixture_turn(w->f);
        int n = SSL_read(c->ssl, part, sizeof part);
        if (n > 0) buf_append(&answers, part, (size_t)n);
    }
    unsigned found = 0;
    for (const char *at = answers.p; at && (at = strstr(at, "HTTP/1.1 ")); at++) found++;
    return found;
}

TEST(tls_records_that_come_together_are_all_handled) {
    for (int hold = 0; hold < 2; hold++) {
        struct world *w = world_new();
        struct client c = client_new(w, NULL, 0);
        assert_int_equal(client_connect(w, &c), 1);
        assert_int_equal(answers_of(w, &c, 60, hold ? 3900 : 20, hold), 60 + hold);
        client_free(&c);
        world_free(w);
    }
}

TEST(tls_buffers_are_kept_while_a_connection_is_busy) {
    struct world *w = world_new();
    struct client c = client_new(w, NULL, 0), d = client_new(w, NULL, 0);
    assert_int_equal(client_connect(w, &c), 1);
    assert_int_equal(client_connect(w, &d), 1);
    assert_int_equal(answers_of(w, &d, 2, 20, false), 2);
    assert_int_equal(conns_warm(), 0);
    assert_int_equal(answers_of(w, &c, 60, 3900, false), 60);
    assert_int_equal(conns_warm(), 1);
    fixture_pass(w->f, 2500); /* quiet */
    assert_int_equal(conns_warm(), 0);
    assert_int_equal(answers_of(w, &c, 60, 3900, false), 60); /* it works on as before */
    assert_int_equal(conns_warm(), 1);
    client_free(&c);
    client_free(&d);
    world_free(w);
    assert_int_equal(conns_warm(), 0);
}

/* A stream of numbered lines, from one place that changes as soon as a piece is written, until the
 * socket is full. Returns how many lines there are. */
static unsigned fill_with_lines(struct world *w, unsigned lines_a_piece) {
    enum { LINE_BYTES = 100 };
    size_t piece_n = (size_t)lines_a_piece * LINE_BYTES;
    char *piece = malloc(piece_n + 1);
    unsigned line = 0;
    request_stream_begin(w->f->last, 200, "text/plain", NULL);
    for (size_t queued = 0; queued == 0 && line < 1000 * lines_a_piece;) {
        for (unsigned i = 0; i < lines_a_piece; i++)
            snprintf(piece + (size_t)i * LINE_BYTES, LINE_BYTES + 1, "%098u\r\n", line++);
        queued = request_stream_write(w->f->last, slice_from(piece, piece_n));
        memset(piece, '!', piece_n);
    }
    free(piece);
    return line;
}

static void expect_lines(struct buf *got, unsigned lines) {
    char want[101];
    const char *at = strstr(got->p, "\r\n\r\n");
    for (unsigned i = 0; i < lines; i++) {
        snprintf(want, sizeof want, "%098u\r\n", i);
        const char *next = at ? strstr(at, want) : NULL;
        if (!next || next - at > 120) fail_msg("line %u is not where it should be", i);
        at = next + 98;
    }
}

TEST(tls_slow_reader_gets_every_record_once) {
    static const unsigned lines_a_piece[] = {20, 700, 3000}; /* less than a record, and several */
    for (unsigned i = 0; i < 3; i++) {
        struct world *w = world_new();
        struct client c = client_new(w, NULL, i == 1 ? TLS1_2_VERSION : 0);
        assert_int_equal(client_connect(w, &c), 1);
        client_send(w, &c, HOLD);
        unsigned lines = fill_with_lines(w, lines_a_piece[i]);
        request_stream_write(w->f->last, SLICE("the end"));
        request_stream_end(w->f->last);
        OWN(buf_done) struct buf got = {0};
        char part[5000];
        while (!got.n || !strstr(got.p + (got.n > 30 ? got.n - 30 : 0), "the end\r\n0\r\n\r\n")) {
            int n = SSL_read(c.ssl, part, sizeof part);
            if (n > 0)
                buf_append(&got, part, (size_t)n);
            else
                assert_int_equal(SSL_get_error(c.ssl, n), SSL_ERROR_WANT_READ);
            fixture_turn(w->f);
        }
        expect_lines(&got, lines);
        client_send(w, &c, HOLD);
        assert_int_equal(w->f->requests, 2);
        request_respond(w->f->last, 200, "text/plain", SLICE("hello"), NULL);
        client_free(&c);
        world_free(w);
    }
}

TEST(tls_reader_that_stops_is_cut_off) {
    struct world *w = world_new();
    struct client c = client_new(w, NULL, 0);
    assert_int_equal(client_connect(w, &c), 1);
    client_send(w, &c, "GET /hold/told HTTP/1.1\r\nHost: x\r\n\r\n");
    fill_with_lines(w, 700);
    fixture_pass(w->f, LIMIT_HTTP_REQUEST_MS - 2000);
    assert_int_equal(w->f->closed, 0);
    fixture_pass(w->f, 4000);
    assert_int_equal(w->f->closed, 1);
    client_free(&c);
    world_free(w);
}

TEST(tls_version_1_1_is_refused) {
    struct world *w = world_new();
    struct client c = client_new(w, NULL, TLS1_1_VERSION);
    assert_true(client_connect(w, &c) < 1);
    client_free(&c);
    world_free(w);
}

TEST(tls_client_certificate_names_the_peer) {
    struct world *w = world_new();
    struct identity admin = make(&w->ca, "kubernetes-admin", "system:masters", 3600);
    struct client c = client_new(w, &admin, 0);
    assert_int_equal(client_connect(w, &c), 1);
    client_send(w, &c, HOLD);
    const struct peer *peer = w->f->last->peer;
    assert_true(peer->has_certificate);
    assert_string_equal(peer->common_name, "kubernetes-admin");
    assert_string_equal(peer->organizations[0], "system:masters");
    assert_null(peer->organizations[1]);
    request_respond(w->f->last, 204, NULL, (struct slice){0}, NULL);
    client_free(&c);
    drop(&admin);
    world_free(w);
}

TEST(tls_certificates_that_do_not_verify_count_as_none) {
    struct world *w = world_new();
    struct identity other_ca = make(NULL, "ca", NULL, 3600);
    struct identity foreign = make(&other_ca, "kubernetes-admin", "system:masters", 3600);
    struct identity self_made = make(NULL, "kubernetes-admin", "system:masters", 3600);
    struct identity expired = make(&w->ca, "kubernetes-admin", "system:masters", -60);
    const struct identity *bad[] = {&foreign, &self_made, &expired};
    for (int i = 0; i < 3; i++) {
        struct client c = client_new(w, bad[i], 0);
        assert_int_equal(client_connect(w, &c), 1);
        client_send(w, &c, HOLD);
        assert_false(w->f->last->peer->has_certificate);
        assert_null(w->f->last->peer->common_name);
        request_respond(w->f->last, 204, NULL, (struct slice){0}, NULL);
        client_free(&c);
    }
    drop(&other_ca), drop(&foreign), drop(&self_made), drop(&expired);
    world_free(w);
}

/* Whoever brings a session of an earlier connection is verified like everybody. */
static void expect_no_resumption(int version) {
    struct world *w = world_new();
    struct identity admin = make(&w->ca, "kubernetes-admin", "system:masters", 3600);
    struct client first = client_new(w, &admin, version);
    assert_int_equal(client_connect(w, &first), 1);
    client_send(w, &first, HOLD);
    request_respond(w->f->last, 204, NULL, (struct slice){0}, NULL);
    SSL_SESSION *session = SSL_get1_session(first.ssl);
    assert_false(SSL_SESSION_is_resumable(session));
    struct client c = client_new(w, &admin, version);
    SSL_set_session(c.ssl, session);
    assert_int_equal(client_connect(w, &c), 1);
    assert_false(SSL_session_reused(c.ssl));
    assert_int_equal(signatures, 2);
    client_send(w, &c, HOLD);
    assert_true(w->f->last->peer->has_certificate);
    assert_string_equal(w->f->last->peer->common_name, "kubernetes-admin");
    request_respond(w->f->last, 204, NULL, (struct slice){0}, NULL);
    SSL_SESSION_free(session);
    client_free(&first);
    client_free(&c);
    drop(&admin);
    world_free(w);
}

TEST(tls_resumes_no_session) {
    expect_no_resumption(TLS1_2_VERSION);
    expect_no_resumption(TLS1_3_VERSION);
}

TEST(tls_alpn_chooses_the_protocol) {
    static const struct {
        const char *offer, *want;
    } cases[] = {{"\x02h2\x08http/1.1", "h2"},
                 {"\x08http/1.1", "http/1.1"},
                 {"\x03"
                  "foo",
                  NULL}};
    for (int i = 0; i < 3; i++) {
        struct world *w = world_new();
        struct client c = client_new(w, NULL, 0);
        SSL_set_alpn_protos(c.ssl, (const unsigned char *)cases[i].offer,
                            (unsigned)strlen(cases[i].offer));
        int r = client_connect(w, &c);
        if (cases[i].want) {
            const unsigned char *name;
            unsigned n;
            SSL_get0_alpn_selected(c.ssl, &name, &n);
            assert_int_equal(r, 1);
            assert_true(slice_is(slice_from(name, n), cases[i].want));
        } else {
            assert_true(r < 1);
        }
        client_free(&c);
        world_free(w);
    }
}

TEST(tls_silent_and_plain_clients_are_dropped) {
    struct world *w = world_new();
    int plain = fixture_connect(w->f), silent = fixture_connect(w->f);
    fixture_send(w->f, plain, SLICE("GET / HTTP/1.1\r\nHost: x\r\n\r\n"));
    assert_int_equal(server_connections(w->f->server), 1);
    fixture_pass(w->f, 12000);
    assert_int_equal(server_connections(w->f->server), 0);
    close(plain), close(silent);
    world_free(w);
}

TEST(tls_set_up_says_what_is_wrong) {
    struct world *w = world_new();
    char *chain = pem(w->server.cert), *ca = pem(w->ca.cert);
    struct server_tls *t = NULL;
    struct err err = {0};
    assert_true(server_tls_new("junk", ca, sign, NULL, &t, &err) < 0);
    assert_non_null(strstr(err.text, "server certificate"));
    assert_true(server_tls_new(chain, "junk", sign, NULL, &t, &err) < 0);
    assert_non_null(strstr(err.text, "client CA"));
    assert_null(t);
    free(chain);
    free(ca);
    world_free(w);
}
