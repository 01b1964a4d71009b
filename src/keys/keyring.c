#include "keys/keyring.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/own.h"
#include "proc/settings.h"

enum { FILE_BYTES_MAX = 64 * 1024, PATH_BYTES = 4200 };

struct pair {
    EVP_PKEY *key;
    X509 *certificate;
};

static void pair_done(struct pair *p) {
    EVP_PKEY_free(p->key);
    X509_free(p->certificate);
}

/* ---- files ---- */

/* 0, or -ENOENT; other errors are set. */
static int file_read(const char *path, struct buf *b, struct err *err) {
    OWN(close_p) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) {
        int e = errno;
        err_errno(err, e, "%s", path);
        return -e;
    }
    buf_reserve(b, FILE_BYTES_MAX);
    ssize_t n = read(fd, b->p, FILE_BYTES_MAX);
    if (n < 0) return err_errno(err, errno, "%s", path);
    b->n = (size_t)n;
    b->p[n] = 0;
    return 0;
}

/* Whole or not at all, on disk when this returns. */
static int file_write(const char *path, unsigned mode, struct slice text, struct err *err) {
    char fresh[PATH_BYTES + 8];
    snprintf(fresh, sizeof fresh, "%s.new", path);
    unlink(fresh);
    OWN(close_p) int fd = open(fresh, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
    if (fd < 0) return err_errno(err, errno, "%s", fresh);
    errno = ENOSPC; /* what a short write means */
    if (fchmod(fd, mode) < 0 || write(fd, text.p, text.n) != (ssize_t)text.n || fsync(fd) < 0 ||
        rename(fresh, path) < 0) {
        int e = errno;
        unlink(fresh);
        return err_errno(err, e, "cannot write %s", path);
    }
    return 0;
}

static void path_of(char out[PATH_BYTES], const struct settings *s, const char *name,
                    const char *suffix) {
    snprintf(out, PATH_BYTES, "%s/var/lib/atoll/keys/%s.%s", s->root, name, suffix);
}

/* ---- one key, one certificate ---- */

static int key_open(const struct settings *s, const char *name, EVP_PKEY **ret, struct err *err) {
    char path[PATH_BYTES];
    OWN(secret_buf_done) struct buf pem = {0};
    path_of(path, s, name, "key");
    int r = file_read(path, &pem, err);
    if (r == 0) {
        *ret = pki_key_read(buf_view(&pem));
        if (*ret) return 0;
        return err_set(err, ERR_INTERNAL,
                       "%s is damaged: restore it from a backup, or move it away to get a new one "
                       "(certificates and tokens made with it are void then)",
                       path);
    }
    if (r != -ENOENT) return r;
    OWN(pki_key_free_p) EVP_PKEY *key = pki_key_new(err);
    if (!key || pki_key_write(&pem, key) < 0)
        return err_set(err, ERR_INTERNAL, "cannot make a key");
    r = file_write(path, 0600, buf_view(&pem), err);
    if (r == 0) *ret = TAKE(key);
    return r;
}

/* issuer NULL = the CA itself. An unusable certificate is replaced; the key stays. */
static int pair_open(const struct settings *s, const char *name,
                     const struct certificate_plan *plan, const struct pair *issuer,
                     struct pair *ret, struct err *err) {
    char path[PATH_BYTES];
    OWN(buf_done) struct buf pem = {0};
    OWN(pair_done) struct pair p = {0};
    int r = key_open(s, name, &p.key, err);
    if (r < 0) return r;
    path_of(path, s, name, "crt");
    r = file_read(path, &pem, err);
    if (r < 0 && r != -ENOENT) return r;
    if (r == 0) p.certificate = pki_certificate_read(buf_view(&pem));
    if (!p.certificate ||
        !pki_certificate_usable(plan, p.certificate, p.key, issuer ? issuer->certificate : NULL)) {
        X509_free(p.certificate);
        p.certificate = pki_certificate_new(plan, p.key, issuer ? issuer->certificate : NULL,
                                            issuer ? issuer->key : NULL, err);
        if (!p.certificate) return -EIO;
        buf_clear(&pem);
        if (pki_certificate_write(&pem, p.certificate) < 0)
            return err_set(err, ERR_INTERNAL, "cannot write a certificate");
        r = file_write(path, 0600, buf_view(&pem), err);
        if (r < 0) return r;
    }
    *ret = p;
    p = (struct pair){0};
    return 0;
}

/* ---- the administrator's kubeconfig ---- */

static void server_url(struct buf *b, const struct settings *s) {
    OWN(arena_free_p) struct arena *a = arena_new();
    const char *address = "127.0.0.1";
    unsigned port = s->api_port;
    settings_split_listen(s->listen, a, &address, &port, NULL);
    if (str_eq(address, "0.0.0.0")) address = "127.0.0.1";
    if (str_eq(address, "::")) address = "::1";
    buf_printf(b, strchr(address, ':') ? "https://[%s]:%u" : "https://%s:%u", address, port);
}

static int kubeconfig_write(const struct settings *s, const char *ca_pem, const struct pair *admin,
                            struct err *err) {
    OWN(secret_buf_done) struct buf text = {0}, key = {0};
    OWN(buf_done) struct buf certificate = {0};
    char path[PATH_BYTES];
    if (pki_key_write(&key, admin->key) < 0 ||
        pki_certificate_write(&certificate, admin->certificate) < 0)
        return err_set(err, ERR_INTERNAL, "cannot write the administrator's key");
    buf_reserve(&text, 16 * 1024); /* no copies of the key left behind by growing */
    buf_str(&text, "apiVersion: v1\nkind: Config\nclusters:\n- name: atoll\n  cluster:\n"
                   "    server: ");
    server_url(&text, s);
    buf_str(&text, "\n    certificate-authority-data: ");
    buf_base64(&text, ca_pem, strlen(ca_pem));
    buf_str(&text, "\ncontexts:\n- name: atoll\n  context:\n    cluster: atoll\n"
                   "    user: kubernetes-admin\ncurrent-context: atoll\nusers:\n"
                   "- name: kubernetes-admin\n  user:\n    client-certificate-data: ");
    buf_base64(&text, certificate.p, certificate.n);
    buf_str(&text, "\n    client-key-data: ");
    buf_base64(&text, key.p, key.n);
    buf_char(&text, '\n');
    snprintf(path, sizeof path, "%s/etc/atoll/admin.kubeconfig", s->root);
    int r = file_write(path, 0600, buf_view(&text), err);
    if (r < 0) return r;
    snprintf(path, sizeof path, "%s/etc/atoll/ca.crt", s->root);
    return file_write(path, 0644, slice_of(ca_pem), err);
}

/* ---- CAs of their own, so that what trusts one of them trusts nobody else ---- */

struct issued {
    char *ca_pem, *pem;
    EVP_PKEY *key;
};

static int issued_open(const struct settings *s, const char *name, const char *ca_common_name,
                       const struct certificate_plan *plan, struct issued *ret, struct err *err) {
    OWN(pair_done) struct pair ca = {0}, leaf = {0};
    struct certificate_plan ca_plan = {CERTIFICATE_CA, ca_common_name, NULL, NULL};
    char ca_name[64];
    snprintf(ca_name, sizeof ca_name, "%s-ca", name);
    struct buf ca_pem = {0}, pem = {0};
    int r = pair_open(s, ca_name, &ca_plan, NULL, &ca, err);
    if (r == 0) r = pair_open(s, name, plan, &ca, &leaf, err);
    if (r < 0) return r;
    r = pki_certificate_write(&ca_pem, ca.certificate);
    if (r == 0) r = pki_certificate_write(&pem, leaf.certificate);
    EVP_PKEY *key = TAKE(leaf.key);
    *ret = (struct issued){buf_steal(&ca_pem), buf_steal(&pem), key};
    return r < 0 ? err_set(err, ERR_INTERNAL, "cannot write certificate %s", name) : 0;
}

static int front_proxy_open(const struct settings *s, struct keyring *k, struct err *err) {
    struct certificate_plan plan = {CERTIFICATE_CLIENT, "front-proxy-client", NULL, NULL};
    struct issued i = {0};
    int r = issued_open(s, "front-proxy", "atoll-front-proxy-ca", &plan, &i, err);
    k->front_proxy_ca_pem = i.ca_pem;
    k->front_proxy_pem = i.pem;
    k->front_proxy_key = i.key;
    return r;
}

/* What messages between systems are proved by; its CA is what partners are given. */
static int messaging_open(const struct settings *s, const char *names, struct keyring *k,
                          struct err *err) {
    struct certificate_plan plan = {CERTIFICATE_PEER, s->node_name, NULL, names};
    struct issued i = {0};
    char path[PATH_BYTES];
    int r = issued_open(s, "messaging", "atoll-messaging-ca", &plan, &i, err);
    k->messaging_ca_pem = i.ca_pem;
    k->messaging_pem = i.pem;
    k->messaging_key = i.key;
    if (r < 0) return r;
    snprintf(path, sizeof path, "%s/etc/atoll/messaging-ca.crt", s->root);
    return file_write(path, 0644, slice_of(k->messaging_ca_pem), err);
}

/* ---- all of it ---- */

static int texts_make(struct keyring *k, const struct pair *ca, const struct pair *serving,
                      struct err *err) {
    struct buf ca_pem = {0}, chain = {0}, public_pem = {0}, id = {0};
    int r = pki_certificate_write(&ca_pem, ca->certificate);
    if (r == 0) r = pki_certificate_write(&chain, serving->certificate);
    if (r == 0) r = pki_public_write(&public_pem, k->token_key);
    if (r == 0) r = pki_key_id(&id, k->token_key);
    k->ca_pem = buf_steal(&ca_pem);
    k->serving_chain_pem = buf_steal(&chain);
    k->token_public_pem = buf_steal(&public_pem);
    k->token_key_id = buf_steal(&id);
    return r < 0 ? err_set(err, ERR_INTERNAL, "cannot write certificates") : 0;
}

int keyring_open(const struct settings *s, struct keyring *ret, struct err *err) {
    OWN(pair_done) struct pair ca = {0}, serving = {0}, admin = {0};
    OWN(keyring_done) struct keyring k = {0};
    OWN(buf_done) struct buf names = {0};
    struct certificate_plan ca_plan = {CERTIFICATE_CA, "atoll-ca", NULL, NULL};
    struct certificate_plan admin_plan = {CERTIFICATE_CLIENT, "kubernetes-admin", "system:masters",
                                          NULL};
    pki_serving_names(&names, s);
    struct certificate_plan serving_plan = {CERTIFICATE_SERVER, "kube-apiserver", NULL, names.p};
    int r = pair_open(s, "ca", &ca_plan, NULL, &ca, err);
    if (r == 0) r = pair_open(s, "serving", &serving_plan, &ca, &serving, err);
    if (r == 0) r = pair_open(s, "admin", &admin_plan, &ca, &admin, err);
    if (r == 0) r = key_open(s, "token", &k.token_key, err);
    if (r == 0) r = front_proxy_open(s, &k, err);
    if (r == 0) r = texts_make(&k, &ca, &serving, err);
    if (r == 0) r = kubeconfig_write(s, k.ca_pem, &admin, err);
    if (r == 0) r = messaging_open(s, names.p, &k, err);
    if (r < 0) return r;
    k.ca_key = TAKE(ca.key);
    k.serving_key = TAKE(serving.key);
    *ret = k;
    k = (struct keyring){0};
    return 0;
}

void keyring_done(struct keyring *k) {
    EVP_PKEY_free(k->ca_key);
    EVP_PKEY_free(k->serving_key);
    EVP_PKEY_free(k->token_key);
    EVP_PKEY_free(k->front_proxy_key);
    EVP_PKEY_free(k->messaging_key);
    free(k->messaging_ca_pem);
    free(k->messaging_pem);
    free(k->front_proxy_ca_pem);
    free(k->front_proxy_pem);
    free(k->ca_pem);
    free(k->serving_chain_pem);
    free(k->token_public_pem);
    free(k->token_key_id);
    *k = (struct keyring){0};
}
