#include "server/auth/authn.h"

#include <errno.h>
#include <jansson.h>
#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#include "base/limits.h"
#include "base/own.h"
#include "proto/json.h"

enum { TOKEN_MAX_BYTES = 16 * 1024, CLOCK_SKEW_S = 10 };

static void add_group(struct arena *a, struct user *u, const char *group) {
    *ARENA_PUSH(a, &u->groups) = group;
}

static int unauthorized(struct err *err) { return err_set(err, ERR_UNAUTHORIZED, "Unauthorized"); }

/* ---- unix socket ---- */

static int by_uid(struct call *c, uid_t uid, struct user *ret, struct err *err) {
    const char *service = uid ? service_name_of_uid(uid) : NULL;
    if (uid == 0) {
        ret->name = "system:admin";
        add_group(c->a, ret, "system:masters");
    } else if (str_eq(service, "node")) {
        ret->name = arena_printf(c->a, "system:node:%s", c->api->settings->node_name);
        add_group(c->a, ret, "system:nodes");
    } else if (service) {
        ret->name = arena_printf(c->a, "system:atoll:%s", service);
    } else {
        return unauthorized(err);
    }
    add_group(c->a, ret, "system:authenticated");
    return 0;
}

/* ---- client certificate ---- */

static int by_certificate(struct call *c, struct user *ret, struct err *err) {
    const struct peer *p = c->r->peer;
    if (str_empty(p->common_name)) return unauthorized(err);
    ret->name = arena_str(c->a, p->common_name);
    for (const char *const *o = p->organizations; o && *o; o++)
        add_group(c->a, ret, arena_str(c->a, *o));
    add_group(c->a, ret, "system:authenticated");
    return 0;
}

/* ---- tokens (RFC 7515 compact JWS, ES256 of RFC 7518) ---- */

void *authn_public_key(const char *pem) {
    BIO *bio = BIO_new_mem_buf(pem, -1);
    if (!bio) return NULL;
    EVP_PKEY *key = PEM_read_bio_PUBKEY(bio, NULL, NULL, NULL);
    BIO_free(bio);
    return key;
}

void authn_public_key_free(void *key) { EVP_PKEY_free(key); }

static void bn_p(BIGNUM **n) { BN_free(*n); }
static void sig_p(ECDSA_SIG **s) { ECDSA_SIG_free(*s); }
static void md_ctx_p(EVP_MD_CTX **m) { EVP_MD_CTX_free(*m); }

static bool signature_valid(EVP_PKEY *key, struct slice text, const unsigned char raw[64]) {
    OWN(sig_p) ECDSA_SIG *sig = ECDSA_SIG_new();
    OWN(bn_p) BIGNUM *r = BN_bin2bn(raw, 32, NULL);
    OWN(bn_p) BIGNUM *s = BN_bin2bn(raw + 32, 32, NULL);
    if (!sig || !r || !s || !ECDSA_SIG_set0(sig, r, s)) return false;
    r = s = NULL; /* the signature owns them now */
    unsigned char *der = NULL;
    int der_n = i2d_ECDSA_SIG(sig, &der);
    OWN(md_ctx_p) EVP_MD_CTX *md = EVP_MD_CTX_new();
    bool ok = der_n > 0 && md && EVP_DigestVerifyInit(md, NULL, EVP_sha256(), NULL, key) == 1 &&
              EVP_DigestVerify(md, der, (size_t)der_n, (const unsigned char *)text.p, text.n) == 1;
    OPENSSL_free(der);
    return ok;
}

static bool part_json(struct slice part, json_t **ret) {
    OWN(buf_done) struct buf text = {0};
    if (buf_unbase64url(&text, part) < 0) return false;
    return json_parse(buf_view(&text), ret, NULL) == 0 && json_is_object(*ret);
}

static void json_free(json_t **v) { json_decref(*v); }

/* The claims of a token with a good signature, or NULL. */
static json_t *verified_claims(struct api *api, const char *token) {
    struct slice all = slice_of(token), left = all, head, body, sig;
    if (all.n > TOKEN_MAX_BYTES || !api->token_key) return NULL;
    if (!slice_cut(&left, '.', &head) || !slice_cut(&left, '.', &body) ||
        !slice_cut(&left, '.', &sig) || left.p)
        return NULL;
    OWN(json_free) json_t *header = NULL, *claims = NULL;
    if (!part_json(head, &header)) return NULL;
    const char *alg = json_string_value(json_object_get(header, "alg"));
    const char *kid = json_string_value(json_object_get(header, "kid"));
    if (!str_eq(alg, "ES256") || !str_eq(kid, api->keys.token_key_id)) return NULL;
    OWN(buf_done) struct buf raw = {0};
    if (buf_unbase64url(&raw, sig) < 0 || raw.n != 64) return NULL;
    struct slice text = slice_from(all.p, head.n + 1 + body.n);
    if (!signature_valid(api->token_key, text, (const unsigned char *)raw.p)) return NULL;
    if (!part_json(body, &claims)) return NULL;
    return TAKE(claims);
}

const char *authn_issuer(struct api *api, struct arena *a) {
    return arena_printf(a, "https://kubernetes.default.svc.%s", api->settings->cluster_domain);
}

static bool audience_in(const json_t *aud, const char *wanted) {
    if (json_is_string(aud)) return str_eq(json_string_value(aud), wanted);
    size_t i;
    json_t *one;
    json_array_foreach(aud, i, one) if (str_eq(json_string_value(one), wanted)) return true;
    return false;
}

/* An object that a token names by kind, name and uid still exists, with that uid. */
static bool alive(struct api *api, const char *plural, const char *ns, const json_t *ref,
                  bool *ret_named) {
    if (!ref) return true;
    *ret_named = true;
    const char *name = json_string_value(json_object_get(ref, "name"));
    const char *uid = json_string_value(json_object_get(ref, "uid"));
    const struct api_kind *k = api_kind_by_plural("", "v1", plural);
    struct resource *res = k ? cache_of_kind(&api->cache, k) : NULL;
    const char *in = k && k->flags & API_NAMESPACED ? ns : "";
    struct object *o = res && name && uid ? resource_get(res, in, name) : NULL;
    if (!o) return false;
    struct arena *a = arena_new();
    struct api_object *decoded;
    bool same = api_object_decode(a, k, object_json(o), &decoded, NULL) == 0 &&
                str_eq(decoded->metadata.uid, uid);
    arena_free(a);
    return same;
}

static bool times_hold(struct api *api, const json_t *claims) {
    int64_t now_s = loop_wall_ns(api->loop) / 1000000000;
    const json_t *exp = json_object_get(claims, "exp"), *nbf = json_object_get(claims, "nbf");
    if (!json_is_integer(exp) || now_s >= json_integer_value(exp)) return false;
    return !nbf || now_s + CLOCK_SKEW_S >= json_integer_value(nbf);
}

static void add_extra(struct arena *a, struct user *u, const char *key, const char *text) {
    if (!text) return;
    struct str_list_pair *pair = ARENA_PUSH(a, &u->extra);
    pair->key = key;
    *ARENA_PUSH(a, &pair->value) = arena_str(a, text);
}

/* Everything the claims name must still be there. */
static bool bound_alive(struct api *api, struct arena *a, const json_t *claims, struct user *u) {
    const json_t *k8s = json_object_get(claims, "kubernetes.io");
    const char *ns = json_string_value(json_object_get(k8s, "namespace"));
    const json_t *sa = json_object_get(k8s, "serviceaccount");
    const json_t *pod = json_object_get(k8s, "pod");
    bool has_sa = false, other = false;
    if (!ns || !alive(api, "serviceaccounts", ns, sa, &has_sa) || !has_sa) return false;
    if (!alive(api, "pods", ns, pod, &other)) return false;
    if (!alive(api, "secrets", ns, json_object_get(k8s, "secret"), &other)) return false;
    const char *name = json_string_value(json_object_get(sa, "name"));
    u->name = arena_printf(a, "system:serviceaccount:%s:%s", ns, name);
    u->uid = arena_str(a, json_string_value(json_object_get(sa, "uid")));
    add_group(a, u, "system:serviceaccounts");
    add_group(a, u, arena_printf(a, "system:serviceaccounts:%s", ns));
    add_group(a, u, "system:authenticated");
    const char *jti = json_string_value(json_object_get(claims, "jti"));
    if (jti)
        add_extra(a, u, "authentication.kubernetes.io/credential-id",
                  arena_printf(a, "JTI=%s", jti));
    add_extra(a, u, "authentication.kubernetes.io/pod-name",
              json_string_value(json_object_get(pod, "name")));
    add_extra(a, u, "authentication.kubernetes.io/pod-uid",
              json_string_value(json_object_get(pod, "uid")));
    return str_eq(json_string_value(json_object_get(claims, "sub")), u->name);
}

int authn_token(struct api *api, struct arena *a, const char *token,
                const struct str_list *audiences, struct user *ret, struct str_list *ret_audiences,
                struct err *err) {
    OWN(json_free) json_t *claims = verified_claims(api, token);
    const char *issuer = authn_issuer(api, a);
    struct user u = {0};
    if (!claims || !times_hold(api, claims) ||
        !str_eq(json_string_value(json_object_get(claims, "iss")), issuer))
        return err_set(err, ERR_UNAUTHORIZED, "invalid bearer token");
    struct str_list own = {.v = &issuer, .n = 1}, match = {0};
    const struct str_list *wanted = audiences && audiences->n ? audiences : &own;
    const json_t *aud = json_object_get(claims, "aud");
    for (size_t i = 0; i < wanted->n; i++)
        if (audience_in(aud, wanted->v[i])) *ARENA_PUSH(a, &match) = wanted->v[i];
    if (!match.n) return err_set(err, ERR_UNAUTHORIZED, "token audiences do not match");
    if (!bound_alive(api, a, claims, &u))
        return err_set(err, ERR_UNAUTHORIZED, "service account token has been invalidated");
    *ret = u;
    *ret_audiences = match;
    return 0;
}

static int by_token(struct call *c, const char *authorization, struct user *ret, struct err *err) {
    struct slice scheme, left = slice_of(authorization);
    struct str_list audiences;
    if (!slice_cut(&left, ' ', &scheme) || !left.p || !slice_ieq(scheme, "bearer"))
        return unauthorized(err);
    const char *token = arena_strn(c->a, slice_trim(left));
    if (authn_token(c->api, c->a, token, NULL, ret, &audiences, err) < 0) return unauthorized(err);
    return 0;
}

int authn_request(struct call *c, struct user *ret, struct err *err) {
    *ret = (struct user){0};
    const struct peer *p = c->r->peer;
    const char *authorization = http_header(&c->r->headers, "authorization");
    if (p->kind == PEER_TLS && p->has_certificate) return by_certificate(c, ret, err);
    if (authorization) return by_token(c, authorization, ret, err);
    if (p->kind == PEER_UNIX) return by_uid(c, p->uid, ret, err);
    return unauthorized(err);
}
