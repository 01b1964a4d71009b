/* The service `keys`: holds every private key and signs with them for those in `requests`. */
#include <errno.h>
#include <openssl/crypto.h>
#include <string.h>

#include "base/limits.h"
#include "base/log.h"
#include "base/own.h"
#include "keys/certificate.h"
#include "keys/keyring.h"
#include "keys/seal_keys.h"
#include "proc/ipc.h"
#include "proc/service.h"
#include "wire/keys.h"

enum { DIGEST_BYTES_MAX = 64, CLAIMS_BYTES_MAX = 64 * 1024 };

static struct keyring keyring;
static struct keys_seal seal_keys;
static struct ipc_listener *listener;

static int answer_public(const struct ipc_msg *m, struct buf *b, struct err *err) {
    struct keys_public p = {keyring.ca_pem, keyring.serving_chain_pem, keyring.token_public_pem,
                            keyring.token_key_id, keyring.front_proxy_ca_pem};
    if (m->body.n) return err_set(err, ERR_BAD_REQUEST, "unexpected body");
    keys_public_pack(b, &p);
    return 0;
}

static int sign_digest(const struct ipc_msg *m, EVP_PKEY *key, struct buf *b, struct err *err) {
    if (m->body.n < 20 || m->body.n > DIGEST_BYTES_MAX)
        return err_set(err, ERR_BAD_REQUEST, "a digest has 20 to 64 bytes");
    if (pki_sign_digest(b, key, m->body) < 0) return err_set(err, ERR_INTERNAL, "cannot sign");
    return 0;
}

static int answer_sign_tls(const struct ipc_msg *m, struct buf *b, struct err *err) {
    return sign_digest(m, keyring.serving_key, b, err);
}

static int answer_front_proxy(const struct ipc_msg *m, struct buf *b, struct err *err) {
    if (m->body.n) return err_set(err, ERR_BAD_REQUEST, "unexpected body");
    buf_str(b, keyring.front_proxy_pem);
    return 0;
}

static int answer_sign_front_proxy(const struct ipc_msg *m, struct buf *b, struct err *err) {
    return sign_digest(m, keyring.front_proxy_key, b, err);
}

static int answer_messaging(const struct ipc_msg *m, struct buf *b, struct err *err) {
    if (m->body.n) return err_set(err, ERR_BAD_REQUEST, "unexpected body");
    buf_str(b, keyring.messaging_pem);
    buf_str(b, keyring.messaging_ca_pem);
    return 0;
}

static int answer_sign_messaging(const struct ipc_msg *m, struct buf *b, struct err *err) {
    return sign_digest(m, keyring.messaging_key, b, err);
}

static int answer_sign_token(const struct ipc_msg *m, struct buf *b, struct err *err) {
    if (m->body.n < 2 || m->body.n > CLAIMS_BYTES_MAX || m->body.p[0] != '{')
        return err_set(err, ERR_BAD_REQUEST, "claims are a JSON object of at most 64 KiB");
    if (pki_sign_token(b, keyring.token_key, keyring.token_key_id, m->body) < 0)
        return err_set(err, ERR_INTERNAL, "cannot sign");
    return 0;
}

static int answer_sign_certificate(const struct ipc_msg *m, struct buf *b, struct err *err) {
    OWN(arena_free_p) struct arena *a = arena_new();
    struct keys_certificate c;
    if (keys_certificate_unpack(m->body, a, &c) < 0)
        return err_set(err, ERR_BAD_REQUEST, "malformed message");
    return certificate_sign(b, &keyring, &c, err);
}

static int answer_seal(const struct ipc_msg *m, struct buf *b, struct err *err) {
    if (m->body.n) return err_set(err, ERR_BAD_REQUEST, "unexpected body");
    keys_seal_pack(b, &seal_keys);
    return 0;
}

static const struct {
    uint16_t type, answer_type;
    const char *peer; /* who may ask, besides root */
    int (*answer)(const struct ipc_msg *m, struct buf *b, struct err *err);
} requests[] = {
    {KEYS_PUBLIC, KEYS_PUBLIC_OK, "api", answer_public},
    {KEYS_SIGN_TLS, KEYS_SIGN_TLS_OK, "api", answer_sign_tls},
    {KEYS_SIGN_TOKEN, KEYS_SIGN_TOKEN_OK, "api", answer_sign_token},
    {KEYS_SIGN_CERTIFICATE, KEYS_SIGN_CERTIFICATE_OK, "api", answer_sign_certificate},
    {KEYS_SEAL, KEYS_SEAL_OK, "api", answer_seal},
    {KEYS_FRONT_PROXY, KEYS_FRONT_PROXY_OK, "egress", answer_front_proxy},
    {KEYS_SIGN_FRONT_PROXY, KEYS_SIGN_FRONT_PROXY_OK, "egress", answer_sign_front_proxy},
    {KEYS_MESSAGING, KEYS_MESSAGING_OK, "sp", answer_messaging},
    {KEYS_SIGN_MESSAGING, KEYS_SIGN_MESSAGING_OK, "sp", answer_sign_messaging},
};

static bool may_ask(const struct ipc *c, const char *peer) {
    uid_t uid = ipc_peer_uid(c);
    return uid == 0 || uid == service_uid(peer);
}

static void on_request(struct ipc *c, struct ipc_msg *m, void *user) {
    OWN(buf_done) struct buf b = {0};
    struct err err = {0};
    for (size_t i = 0; i < ARRAY_LEN(requests); i++) {
        if (requests[i].type != m->type) continue;
        if (!may_ask(c, requests[i].peer)) {
            err_set(&err, ERR_FORBIDDEN, "message %u is for %s", m->type, requests[i].peer);
            break;
        }
        if (requests[i].answer(m, &b, &err) < 0) break;
        ipc_send(c, requests[i].answer_type, m->id, buf_view(&b), NULL, 0);
        return;
    }
    if (err.reason == ERR_NONE) err_set(&err, ERR_BAD_REQUEST, "unknown message %u", m->type);
    ipc_send_error(c, m->id, &err);
}

static void on_accepted(struct ipc *c, void *user) {
    ipc_set_handler(c, &(struct ipc_handler){.message = on_request});
}

static int keys_prepare(struct service_ctx *ctx, struct err *err) {
    OWN(buf_done) struct buf directory = {0};
    int r = keyring_open(ctx->settings, &keyring, err);
    buf_printf(&directory, "%s/var/lib/atoll/keys", ctx->settings->root);
    if (r == 0) r = seal_keys_open(directory.p, &seal_keys, err);
    if (r < 0) return r;
    OWN(buf_done) struct buf warm = {0}; /* whatever the library loads lazily, it loads now */
    char digest[32] = {0};
    if (pki_sign_digest(&warm, keyring.serving_key, slice_from(digest, sizeof digest)) < 0)
        return err_set(err, ERR_INTERNAL, "the serving key cannot sign");
    return 0;
}

static int keys_start(struct service_ctx *ctx, struct err *err) {
    uid_t peers[12];
    size_t n = service_peers(ctx, peers);
    int fd = service_fd(ctx, "listen");
    if (fd < 0) return err_set(err, ERR_INTERNAL, "no socket was handed over");
    listener = ipc_listen(ctx->loop, fd, peers, n, on_accepted, NULL);
    service_ready(ctx);
    return 0;
}

static bool keys_stop(struct service_ctx *ctx) {
    ipc_listener_free(listener);
    keyring_done(&keyring);
    OPENSSL_cleanse(&seal_keys, sizeof seal_keys);
    return false;
}

static const struct service keys_service = {
    .name = "keys", .prepare = keys_prepare, .start = keys_start, .stop = keys_stop};
SERVICE(keys_service);
