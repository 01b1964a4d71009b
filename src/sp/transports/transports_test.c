/* Every transport carries messages between two topologies of this program, over a pair of sockets.
 */
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/own.h"
#include "sp/fixture.h"
#include "sp/links/edge.h"

enum { LARGE = 700000, TURNS = 5000 };

/* ---- a certificate ---- */

static struct {
    struct buf certificate, key;
    char pin[72];
} own;

static void take_bio(struct buf *b, BIO *bio) {
    char *p;
    long n = BIO_get_mem_data(bio, &p);
    buf_append(b, p, (size_t)n);
    BIO_free(bio);
}

static void certificate_make(void) {
    if (own.key.n) return;
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *c = X509_new();
    X509_NAME *name = X509_get_subject_name(c);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *)"me", -1, -1, 0);
    ASN1_INTEGER_set(X509_get_serialNumber(c), 1);
    X509_gmtime_adj(X509_getm_notBefore(c), 0);
    X509_gmtime_adj(X509_getm_notAfter(c), 3600);
    X509_set_version(c, X509_VERSION_3);
    X509_set_issuer_name(c, name);
    X509_set_pubkey(c, key);
    X509_EXTENSION *names = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, "DNS:me.test");
    X509_add_ext(c, names, -1);
    X509_EXTENSION_free(names);
    assert_true(X509_sign(c, key, EVP_sha256()) > 0);
    BIO *bio = BIO_new(BIO_s_mem());
    PEM_write_bio_X509(bio, c);
    take_bio(&own.certificate, bio);
    bio = BIO_new(BIO_s_mem());
    PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL);
    take_bio(&own.key, bio);
    unsigned char *der = NULL, digest[32];
    int n = i2d_PUBKEY(key, &der);
    EVP_Digest(der, (size_t)n, digest, NULL, EVP_sha256(), NULL);
    OPENSSL_free(der);
    int at = snprintf(own.pin, sizeof own.pin, "sha256:");
    for (size_t i = 0; i < sizeof digest; i++)
        at += snprintf(own.pin + at, sizeof own.pin - (size_t)at, "%02x", digest[i]);
    X509_free(c);
    EVP_PKEY_free(key);
}

/* ---- two topologies and what connects them ---- */

struct side {
    struct sp_topology *t;
    struct sp_edge_config config;
    struct sp_edge edge;
};
static struct side above, below;

static bool large_ones;

static void with_identity(struct sp_config *c) {
    c->identity.certificate_pem = buf_view(&own.certificate);
    c->identity.key_pem = buf_view(&own.key);
    c->queue.policy = SP_BLOCK;
    c->queue.block_timeout_ms = 0;
    if (large_ones) c->message_max_bytes = 64 << 20;
}
static void is_above(struct sp_config *c) {
    with_identity(c);
    c->name = "above";
}
static void is_below(struct sp_config *c) {
    with_identity(c);
    c->name = "below";
}

static void side_make(struct side *s, enum sp_scheme scheme, enum sp_role role, bool forwarding) {
    s->t = fixture_topology(SP_PUBSUB, role == SP_PUB ? is_above : is_below);
    s->config = (struct sp_edge_config){.name = "e",
                                        .role = role,
                                        .listen = role == SP_PUB,
                                        .address = {.scheme = scheme, .host = "me.test", .port = 1},
                                        .peer.key_pin = own.pin,
                                        .forwarding = forwarding,
                                        .topology = role == SP_PUB ? "below" : "above",
                                        .subscriptions_max = 100,
                                        .queue = s->t->config->queue};
    snprintf(s->config.address.path, sizeof s->config.address.path, "/sp");
    s->edge = (struct sp_edge){.topology = s->t, .config = &s->config, .fd = -1, .ending = true};
    s->edge.transport = sp_transport_find(scheme);
    assert_non_null(s->edge.transport);
}

static void connect_both(void) {
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    struct sp_credentials who = {.name = "test"};
    sp_link_new(above.t, &above.edge, above.edge.transport, fds[0], false, SP_SUB, &who);
    sp_link_new(below.t, &below.edge, below.edge.transport, fds[1], true, SP_PUB, &who);
}

static void both_make(enum sp_scheme scheme, bool forwarding) {
    certificate_make();
    side_make(&above, scheme, SP_PUB, forwarding);
    side_make(&below, scheme, SP_SUB, forwarding);
    connect_both();
}

static void both_end(void) {
    fixture_end(above.t);
    fixture_end(below.t);
}

static void turn_until(const uint32_t *n, uint32_t wanted) {
    for (int i = 0; i < TURNS && *n < wanted; i++) fixture_pass_ms(1);
    assert_int_equal(*n, wanted);
}

static void turns(uint64_t n) {
    for (; n > 0; n--) fixture_pass_ms(1);
}

static const enum sp_scheme schemes[] = {SP_SCHEME_TCP, SP_SCHEME_TLS, SP_SCHEME_WS, SP_SCHEME_WSS,
                                         SP_SCHEME_IPC};

static struct fake *subscriber(void) {
    struct fake *sub = fixture_join(below.t, SP_SUB);
    fixture_say(sub, "+");
    turn_until(&sub->n, 1);
    assert_string_equal(fixture_heard(sub), "+");
    return sub;
}

/* A receiver that stops now and then holds up the sender, and nothing is lost or mixed up. */
static void exchange(enum sp_scheme scheme, bool forwarding) {
    both_make(scheme, forwarding);
    turn_until(&above.edge.peers, 1);
    turn_until(&below.edge.peers, 1);
    struct fake *sub = subscriber(), *pub = fixture_join(above.t, SP_PUB);
    OWN(free_p) char *large = calloc(1, LARGE + 1);
    assert_non_null(large);
    uint32_t sent = 0;
    for (int i = 0; i < 12; i++) {
        memset(large, 'a' + i, LARGE);
        fixture_block(sub, i % 4 == 2);
        fixture_say(pub, large);
        fixture_say(pub, "small");
        fixture_say(pub, "");
        sent += 3;
    }
    fixture_block(sub, false);
    turn_until(&sub->n, sent);
    for (uint32_t i = 0; i < sent; i++) {
        struct slice body = sp_message_body(sub->got[i]);
        assert_int_equal(body.n, i % 3 == 0 ? LARGE : i % 3 == 1 ? 5 : 0);
        if (i % 3 == 0)
            assert_true(body.p[0] == (char)('a' + i / 3) && body.p[LARGE - 1] == body.p[0]);
    }
    both_end();
}

TEST(transports_carry_messages_of_all_sizes) {
    for (size_t i = 0; i < ARRAY_LEN(schemes); i++) exchange(schemes[i], false);
}

TEST(transports_carry_forwarded_subscriptions) {
    for (size_t i = 0; i < ARRAY_LEN(schemes); i++) exchange(schemes[i], true);
}

/* Not in a time that grows with the square of its size. */
TEST(transports_carry_the_largest_messages) {
    enum { SIZE = 48 << 20 };
    for (size_t i = 0; i < ARRAY_LEN(schemes); i++) {
        large_ones = true;
        both_make(schemes[i], false);
        large_ones = false;
        struct fake *sub = subscriber(), *pub = fixture_join(above.t, SP_PUB);
        turn_until(&above.edge.peers, 1);
        struct sp_message *m = sp_message_new(0, slice_from(NULL, SIZE));
        memset(sp_message_body_p(m), 'x', SIZE);
        assert_true(sp_pipe_received(&pub->pipe, m));
        turn_until(&sub->n, 1);
        assert_int_equal(sub->got[0]->body_n, SIZE);
        both_end();
    }
}

TEST(transports_survive_a_peer_that_goes_at_any_moment) {
    for (size_t i = 0; i < ARRAY_LEN(schemes); i++)
        for (uint64_t n = 0; n < 12; n++) {
            both_make(schemes[i], n % 2);
            turns(n);
            struct fake *pub = fixture_join(above.t, SP_PUB);
            fixture_say(pub, "into the void");
            fixture_end(below.t);
            turns(3);
            fixture_say(pub, "and again");
            turns(3);
            assert_int_equal(above.edge.peers, 0);
            fixture_end(above.t);
        }
}

TEST(transports_with_tls_refuse_a_key_that_is_not_pinned) {
    both_make(SP_SCHEME_TLS, false);
    char other[72];
    snprintf(other, sizeof other, "%s", own.pin);
    other[70] ^= 1;
    above.config.peer.key_pin = other;
    turns(100);
    assert_int_equal(above.edge.peers, 0);
    assert_int_equal(above.edge.handshakes_failed, 1);
    assert_int_equal(above.t->broken, 1);
    both_end();
}
