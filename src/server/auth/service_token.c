/*
 * Service-account tokens: signed by this cluster's key, and good only as long as everything they
 * name still exists with the same uid. Bound tokens (KEP-1205) and the legacy ones that live in a
 * Secret.
 */
#include "base/own.h"
#include "base/times.h"
#include "server/auth/authn.h"
#include "server/auth/jwt.h"
#include "server/storage/raw.h"

enum { CLOCK_SKEW_S = 10, DELETED_LEEWAY_S = 60, DIGEST_BYTES = 32, REMEMBERED_SIGNATURES = 4096 };
#define LEGACY_ISSUER "kubernetes/serviceaccount"
#define LEGACY_CLAIM "kubernetes.io/serviceaccount/"
#define EXTRA "authentication.kubernetes.io/"

static int refuse(struct authn_ask *ask, const char *why) {
    return err_set(&ask->err, ERR_UNAUTHORIZED, "%s", why);
}

static struct object *find(struct api *api, const char *plural, const char *ns, const char *name) {
    const struct api_kind *k = api_kind_by_plural("", "v1", plural);
    struct resource *res = k ? cache_of_kind(&api->cache, k) : NULL;
    return res && name ? resource_get(res, k->flags & API_NAMESPACED ? ns : "", name) : NULL;
}

/* It exists, with this uid, and is not being deleted for longer than a minute. */
static bool alive(struct authn_ask *ask, const char *plural, const char *ns, const char *name,
                  const char *uid) {
    struct object *o = find(ask->api, plural, ns, name);
    if (!o || str_empty(uid)) return false;
    struct slice json = object_json(o);
    const char *deleted = raw_path_string(ask->a, json, "metadata.deletionTimestamp");
    int64_t at_ns = 0;
    if (deleted && (time_parse(deleted, &at_ns) < 0 ||
                    loop_wall_ns(ask->api->loop) - at_ns > DELETED_LEEWAY_S * 1000000000LL))
        return false;
    return str_eq(raw_path_string(ask->a, json, "metadata.uid"), uid);
}

static bool ref_alive(struct authn_ask *ask, const char *plural, const char *ns,
                      const json_t *ref) {
    return !ref || alive(ask, plural, ns, jwt_string(ref, "name"), jwt_string(ref, "uid"));
}

static void put_account(struct authn_ask *ask, const char *ns, const char *name, const char *uid) {
    struct user *u = &ask->user;
    u->name = arena_printf(ask->a, "system:serviceaccount:%s:%s", ns, name);
    u->uid = arena_str(ask->a, uid);
    authn_add_group(ask->a, u, "system:serviceaccounts");
    authn_add_group(ask->a, u, arena_printf(ask->a, "system:serviceaccounts:%s", ns));
}

static void put_extra(struct authn_ask *ask, const struct jwt *t, const json_t *k8s) {
    static const char *const objects[] = {"pod", "node"};
    const char *jti = jwt_string(t->claims, "jti");
    if (jti)
        authn_add_extra(ask->a, &ask->user, EXTRA "credential-id",
                        arena_printf(ask->a, "JTI=%s", jti));
    for (size_t i = 0; i < ARRAY_LEN(objects); i++) {
        const json_t *ref = json_object_get(k8s, objects[i]);
        authn_add_extra(ask->a, &ask->user, arena_printf(ask->a, EXTRA "%s-name", objects[i]),
                        jwt_string(ref, "name"));
        authn_add_extra(ask->a, &ask->user, arena_printf(ask->a, EXTRA "%s-uid", objects[i]),
                        jwt_string(ref, "uid"));
    }
}

static bool in_claims(const void *claims, const char *aud) { return jwt_audience_has(claims, aud); }

static int check_bound(struct authn_ask *ask, const struct jwt *t) {
    const json_t *k8s = json_object_get(t->claims, "kubernetes.io");
    const json_t *sa = json_object_get(k8s, "serviceaccount"), *pod = json_object_get(k8s, "pod");
    const char *ns = jwt_string(k8s, "namespace"), *name = jwt_string(sa, "name");
    int64_t now_s = loop_wall_ns(ask->api->loop) / 1000000000;
    if (jwt_times(t->claims, now_s, CLOCK_SKEW_S) != JWT_VALID)
        return refuse(ask, "service account token has expired");
    if (!authn_match_audiences(ask, in_claims, t->claims))
        return refuse(ask, "token audiences are invalid for the target audiences");
    if (!ns || !sa || !ref_alive(ask, "serviceaccounts", ns, sa) ||
        !ref_alive(ask, "pods", ns, pod) ||
        !ref_alive(ask, "secrets", ns, json_object_get(k8s, "secret")) ||
        (!pod && !ref_alive(ask, "nodes", ns, json_object_get(k8s, "node"))))
        return refuse(ask, "service account token has been invalidated");
    put_account(ask, ns, name, jwt_string(sa, "uid"));
    put_extra(ask, t, k8s);
    return str_eq(jwt_string(t->claims, "sub"), ask->user.name)
               ? 0
               : refuse(ask, "the token's subject is not its service account");
}

static bool own_audience(const void *ask_p, const char *aud) {
    const struct authn_ask *ask = ask_p;
    return str_eq(aud, authn_issuer(ask->api, ask->a));
}

/* The Secret must still hold exactly this token. */
static bool secret_holds(struct authn_ask *ask, const char *ns, const char *name) {
    struct object *o = find(ask->api, "secrets", ns, name);
    if (!o) return false;
    const char *coded = raw_path_string(ask->a, object_json(o), "data.token");
    OWN(buf_done) struct buf token = {0};
    return coded && !raw_path_string(ask->a, object_json(o), "metadata.deletionTimestamp") &&
           buf_unbase64(&token, slice_of(coded)) == 0 &&
           slice_eq(buf_view(&token), slice_of(ask->token));
}

static int check_legacy(struct authn_ask *ask, const struct jwt *t) {
    const char *ns = jwt_string(t->claims, LEGACY_CLAIM "namespace");
    const char *secret = jwt_string(t->claims, LEGACY_CLAIM "secret.name");
    const char *name = jwt_string(t->claims, LEGACY_CLAIM "service-account.name");
    const char *uid = jwt_string(t->claims, LEGACY_CLAIM "service-account.uid");
    if (!authn_match_audiences(ask, own_audience, ask))
        return refuse(ask, "token audiences are invalid for the target audiences");
    if (!ns || !secret || !name || !secret_holds(ask, ns, secret) ||
        !alive(ask, "serviceaccounts", ns, name, uid))
        return refuse(ask, "service account token has been invalidated");
    put_account(ask, ns, name, uid);
    return str_eq(jwt_string(t->claims, "sub"), ask->user.name)
               ? 0
               : refuse(ask, "the token's subject is not its service account");
}

/* Signatures that were found good, by the token's digest: verifying costs more than all the rest of
 * a request. What the claims say is looked at every time. */
static bool signature_good(struct authn_ask *ask, const struct jwt *t) {
    static struct map good;
    unsigned char digest[DIGEST_BYTES];
    unsigned n = 0;
    if (EVP_Digest(ask->token, strlen(ask->token), digest, &n, EVP_sha256(), NULL) != 1)
        return false;
    struct slice key = slice_from(digest, sizeof digest);
    if (map_get(&good, key)) return true;
    if (!jwt_signed_by(t, ask->api->token_key)) return false;
    if (good.n >= REMEMBERED_SIGNATURES) map_done(&good);
    map_put(&good, key, &good);
    return true;
}

int service_token_check(struct authn_ask *ask) {
    OWN(jwt_done) struct jwt t = {0};
    struct api *api = ask->api;
    if (!api->token_key || jwt_parse(slice_of(ask->token), &t, NULL) < 0) return AUTHN_NOT_MINE;
    const char *issuer = jwt_string(t.claims, "iss");
    bool legacy = str_eq(issuer, LEGACY_ISSUER);
    if (!legacy && !str_eq(issuer, authn_issuer(api, ask->a))) return AUTHN_NOT_MINE;
    if (!str_eq(t.alg, "ES256") || !str_eq(t.kid, api->keys.token_key_id) ||
        !signature_good(ask, &t))
        return refuse(ask, "invalid bearer token");
    return legacy ? check_legacy(ask, &t) : check_bound(ask, &t);
}
