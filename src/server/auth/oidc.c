/*
 * ID tokens of an OpenID Connect provider (--oidc-*). Its keys are fetched by the way that its
 * discovery document names, kept, and fetched again when a token names a key that is not among
 * them; requests with such tokens wait for that.
 */
#include "base/limits.h"
#include "base/log.h"
#include "base/own.h"
#include "proto/json.h"
#include "server/auth/auth.h"
#include "server/auth/authn.h"
#include "server/auth/jwt.h"
#include "server/egress/call.h"

enum {
    FETCH_TIMEOUT_MS = 10000,
    REFRESH_MIN_MS = 10000,       /* between two fetches */
    REFRESH_OLD_MS = 3600 * 1000, /* known keys are looked at again */
    NOT_BEFORE_LEEWAY_S = 300,
    DOCUMENT_MAX_BYTES = 512 * 1024,
};

static struct {
    const struct settings_auth *set; /* NULL = no provider */
    char *ca_pem, *discovery_url;
    struct jwk_set keys;
    uint64_t tried_ms, fetched_ms; /* 0 = never */
    bool fetching;
    struct err failed; /* why there are no keys */
    VEC(struct authn_ask *) waiting;
} oidc;

int oidc_prepare(const struct settings *s, struct err *err) {
    if (str_empty(s->auth.oidc_issuer_url)) return 0;
    OWN(buf_done) struct buf ca = {0}, url = {0};
    if (!str_empty(s->auth.oidc_ca_file)) {
        int rc = auth_read_file("--oidc-ca-file", s->auth.oidc_ca_file, &ca, err);
        if (rc < 0) return rc;
    }
    size_t n = strlen(s->auth.oidc_issuer_url);
    if (s->auth.oidc_issuer_url[n - 1] == '/') n--;
    buf_append(&url, s->auth.oidc_issuer_url, n);
    buf_str(&url, "/.well-known/openid-configuration");
    struct slice left = slice_of(s->auth.oidc_signing_algs), one;
    OWN(arena_free_p) struct arena *a = arena_new();
    while (left.n && slice_cut(&left, ',', &one))
        if (!jwt_algorithm_known(arena_strn(a, one)))
            return err_field(err, ERR_BAD_REQUEST, "--oidc-signing-algs",
                             "oidc: unsupported signing alg: \"%.*s\"", (int)one.n, one.p);
    oidc.ca_pem = buf_steal(&ca);
    oidc.discovery_url = buf_steal(&url);
    oidc.set = &s->auth;
    return 0;
}

/* ---- claims ---- */

static int refuse(struct authn_ask *ask, const char *why) {
    return err_set(&ask->err, ERR_UNAUTHORIZED, "oidc: %s", why);
}

static bool algorithm_allowed(const char *alg) {
    struct slice left = slice_of(str_or(oidc.set->oidc_signing_algs, "RS256")), one;
    while (slice_cut(&left, ',', &one))
        if (slice_is(one, alg)) return jwt_algorithm_known(alg);
    return false;
}

static int take_username(struct authn_ask *ask, const json_t *claims) {
    const char *claim = str_or(oidc.set->oidc_username_claim, "sub");
    const char *prefix = oidc.set->oidc_username_prefix, *name = jwt_string(claims, claim);
    if (str_empty(name))
        return refuse(
            ask, arena_printf(ask->a, "parse username claims \"%s\": claim not present", claim));
    bool email = str_eq(claim, "email");
    const json_t *verified = json_object_get(claims, "email_verified");
    if (email && verified && !json_is_true(verified)) return refuse(ask, "email not verified");
    if (str_eq(prefix, "-") || (str_empty(prefix) && email))
        prefix = "";
    else if (str_empty(prefix))
        prefix = arena_printf(ask->a, "%s#", oidc.set->oidc_issuer_url);
    ask->user.name = arena_printf(ask->a, "%s%s", prefix, name);
    return 0;
}

static void add_group(struct authn_ask *ask, const json_t *group) {
    if (json_is_string(group))
        authn_add_group(ask->a, &ask->user,
                        arena_printf(ask->a, "%s%s", str_or(oidc.set->oidc_groups_prefix, ""),
                                     json_string_value(group)));
}

static int take_groups(struct authn_ask *ask, const json_t *claims) {
    if (str_empty(oidc.set->oidc_groups_claim)) return 0;
    const json_t *groups = json_object_get(claims, oidc.set->oidc_groups_claim), *one;
    size_t i;
    if (!groups) return 0;
    if (!json_is_string(groups) && !json_is_array(groups))
        return refuse(ask, "the groups claim is neither a text nor a list");
    add_group(ask, groups);
    json_array_foreach(groups, i, one) { add_group(ask, one); }
    return 0;
}

static bool required_claims_hold(struct authn_ask *ask, const json_t *claims) {
    if (str_empty(oidc.set->oidc_required_claim)) return true;
    struct slice left = slice_of(oidc.set->oidc_required_claim), one, key;
    while (slice_cut(&left, ',', &one)) {
        if (!slice_cut(&one, '=', &key) || !one.p) return false;
        if (!slice_is(one, str_or(jwt_string(claims, arena_strn(ask->a, key)), ""))) return false;
    }
    return true;
}

static bool own_audience(const void *ask_p, const char *aud) {
    const struct authn_ask *ask = ask_p;
    return str_eq(aud, authn_issuer(ask->api, ask->a));
}

static int take_claims(struct authn_ask *ask, const json_t *claims) {
    int64_t now_s = loop_wall_ns(ask->api->loop) / 1000000000;
    if (!jwt_audience_has(claims, oidc.set->oidc_client_id))
        return refuse(ask, arena_printf(ask->a, "verify token: oidc: expected audience \"%s\"",
                                        oidc.set->oidc_client_id));
    if (jwt_times(claims, now_s, NOT_BEFORE_LEEWAY_S) != JWT_VALID)
        return refuse(ask, "verify token: oidc: token is expired or not valid yet");
    if (!required_claims_hold(ask, claims)) return refuse(ask, "required claim not present");
    if (!authn_match_audiences(ask, own_audience, ask))
        return refuse(ask, "token audiences do not match");
    int rc = take_username(ask, claims);
    return rc < 0 ? rc : take_groups(ask, claims);
}

/* ---- keys ---- */

static void fetch_start(struct api *api);

static void fetch_over(struct api *api, const struct err *failed) {
    oidc.fetching = false;
    oidc.tried_ms = loop_now_ms(api->loop);
    oidc.failed = failed ? *failed : (struct err){0};
    if (failed)
        log_warn("oidc_keys_not_fetched", "reason=\"%s\"", failed->text);
    else
        oidc.fetched_ms = loop_now_ms(api->loop);
    __auto_type waiting = oidc.waiting;
    memset(&oidc.waiting, 0, sizeof oidc.waiting);
    for (size_t i = 0; i < waiting.n; i++) {
        struct authn_ask *ask = waiting.v[i];
        int rc = oidc_check(ask);
        if (rc == AUTHN_LATER) continue; /* cannot be: a fetch was just made */
        ask->done(ask, rc);
    }
    vec_done(&waiting);
}

static int answer_body(const struct egress_result *r, struct err *err) {
    if (r->err.reason != ERR_NONE) {
        *err = r->err;
        return err_code(err->reason);
    }
    return r->status == 200 ? 0 : err_set(err, ERR_UNAVAILABLE, "answered %d", r->status);
}

static void on_keys(void *user, const struct egress_result *r) {
    struct err err;
    struct jwk_set fresh;
    int rc = answer_body(r, &err);
    if (rc == 0) rc = jwk_set_parse(r->body, &fresh, &err);
    if (rc == 0) {
        jwk_set_done(&oidc.keys);
        oidc.keys = fresh;
    }
    fetch_over(user, rc < 0 ? &err : NULL);
}

static int call_url(struct api *api, const char *url, egress_done_fn *fn, struct err *err) {
    OWN(arena_free_p) struct arena *a = arena_new();
    struct egress_target t;
    int rc = egress_target_url(a, url, false, &t, err);
    if (rc < 0) return rc;
    t.ca_pem = oidc.ca_pem;
    egress_call(api,
                &(struct egress_request){.target = &t,
                                         .method = "GET",
                                         .timeout_ms = FETCH_TIMEOUT_MS,
                                         .max_body_bytes = DOCUMENT_MAX_BYTES},
                fn, api);
    return 0;
}

static void json_free(json_t **v) { json_decref(*v); }

static void on_discovery(void *user, const struct egress_result *r) {
    struct err err;
    OWN(json_free) json_t *doc = NULL;
    int rc = answer_body(r, &err);
    if (rc == 0) rc = json_parse(r->body, &doc, &err);
    const char *uri = jwt_string(doc, "jwks_uri");
    if (rc == 0 && !str_eq(jwt_string(doc, "issuer"), oidc.set->oidc_issuer_url))
        rc = err_set(&err, ERR_INVALID,
                     "oidc: issuer did not match the issuer returned by provider, expected \"%s\" "
                     "got \"%s\"",
                     oidc.set->oidc_issuer_url, str_or(jwt_string(doc, "issuer"), ""));
    if (rc == 0 && !str_starts(uri, "https://"))
        rc = err_set(&err, ERR_INVALID, "the provider's jwks_uri is no https URL");
    if (rc == 0) rc = call_url(user, uri, on_keys, &err);
    if (rc < 0) fetch_over(user, &err);
}

static void fetch_failed_later(void *user) { fetch_over(user, &oidc.failed); }

static void fetch_start(struct api *api) {
    if (oidc.fetching) return;
    oidc.fetching = true;
    oidc.tried_ms = loop_now_ms(api->loop);
    if (call_url(api, oidc.discovery_url, on_discovery, &oidc.failed) < 0)
        loop_defer(api->loop, fetch_failed_later, api);
}

static bool may_fetch(struct api *api) {
    return oidc.fetching || !oidc.tried_ms ||
           loop_now_ms(api->loop) - oidc.tried_ms >= REFRESH_MIN_MS;
}

static int wait_for_keys(struct authn_ask *ask) {
    if (oidc.waiting.n >= LIMIT_AUTHN_WAITING)
        return refuse(ask, "too many requests wait for keys");
    fetch_start(ask->api);
    vec_push(&oidc.waiting, ask);
    return AUTHN_LATER;
}

int oidc_check(struct authn_ask *ask) {
    OWN(jwt_done) struct jwt t = {0};
    bool known;
    if (!oidc.set || jwt_parse(slice_of(ask->token), &t, NULL) < 0 ||
        !str_eq(jwt_string(t.claims, "iss"), oidc.set->oidc_issuer_url))
        return AUTHN_NOT_MINE;
    if (!algorithm_allowed(t.alg))
        return refuse(ask, "verify token: id token signed with unsupported algorithm");
    if (jwk_set_signed(&oidc.keys, &t, &known)) {
        if (loop_now_ms(ask->api->loop) - oidc.fetched_ms > REFRESH_OLD_MS && may_fetch(ask->api))
            fetch_start(ask->api);
        return take_claims(ask, t.claims);
    }
    if (!known && may_fetch(ask->api)) return wait_for_keys(ask);
    return refuse(ask, known || oidc.failed.reason == ERR_NONE
                           ? "verify token: failed to verify signature"
                           : oidc.failed.text);
}
