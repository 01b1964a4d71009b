/*
 * Tokens that nobody here knows, asked of a service that the administrator named
 * (--authentication-token-webhook-config-file): POST of a TokenReview. Verdicts are kept for two
 * minutes by the token's digest.
 */
#include <openssl/evp.h>

#include "base/limits.h"
#include "base/log.h"
#include "base/own.h"
#include "proto/json.h"
#include "proto/yaml.h"
#include "server/auth/auth.h"
#include "server/auth/authn.h"
#include "server/egress/call.h"

enum {
    REVIEW_TIMEOUT_MS = 10000,
    CACHE_MS = 2 * 60 * 1000,
    CACHE_ENTRIES = 1024,
    DIGEST_BYTES = 32
};

struct verdict {
    struct arena *a;
    uint64_t until_ms;
    bool authenticated;
    struct user user;
    struct str_list audiences;
    const char *error;
};

static struct {
    char *url, *ca_pem, *authorization; /* url NULL = no webhook */
    bool insecure;
    struct map verdicts; /* by digest of token and audiences */
    size_t asking;
} hook;

/* ---- the kubeconfig ---- */

static const json_t *named(const json_t *config, const char *list, const char *name,
                           const char *member) {
    const json_t *one;
    size_t i;
    json_array_foreach(json_object_get(config, list), i, one) {
        if (str_eq(json_string_value(json_object_get(one, "name")), name))
            return json_object_get(one, member);
    }
    return NULL;
}

static const char *text_of(const json_t *o, const char *key) {
    return json_string_value(json_object_get(o, key));
}

static int take_authority(const json_t *cluster, struct err *err) {
    OWN(buf_done) struct buf pem = {0};
    const char *data = text_of(cluster, "certificate-authority-data");
    const char *file = text_of(cluster, "certificate-authority");
    int rc = 0;
    if (data && buf_unbase64(&pem, slice_of(data)) < 0)
        rc = err_set(err, ERR_INVALID, "certificate-authority-data is not base64");
    else if (!data && file)
        rc = auth_read_file("certificate-authority", file, &pem, err);
    if (rc == 0) hook.ca_pem = buf_steal(&pem);
    return rc;
}

static int take_user(const json_t *user, struct err *err) {
    OWN(buf_done) struct buf header = {0}, token = {0};
    const char *text = text_of(user, "token"), *file = text_of(user, "tokenFile");
    if (text_of(user, "client-certificate") || text_of(user, "client-certificate-data"))
        return err_set(err, ERR_INVALID, "client certificates are not supported; use token");
    if (!text && file) {
        int rc = auth_read_file("tokenFile", file, &token, err);
        if (rc < 0) return rc;
        text = token.p;
    }
    if (str_empty(text)) return 0;
    buf_str(&header, "Bearer ");
    buf_slice(&header, slice_trim(slice_of(text)));
    hook.authorization = buf_steal(&header);
    return 0;
}

static int take_config(const json_t *config, struct err *err) {
    const char *context_name = text_of(config, "current-context");
    const json_t *context = named(config, "contexts", context_name, "context");
    const json_t *cluster = named(config, "clusters", text_of(context, "cluster"), "cluster");
    const json_t *user = named(config, "users", text_of(context, "user"), "user");
    const char *server = text_of(cluster, "server");
    if (!str_starts(server, "https://"))
        return err_set(err, ERR_INVALID, "the cluster of current-context needs an https server");
    hook.insecure = json_is_true(json_object_get(cluster, "insecure-skip-tls-verify"));
    int rc = take_authority(cluster, err);
    if (rc == 0) rc = take_user(user, err);
    if (rc < 0) return rc;
    hook.url = strdup(server);
    return hook.url ? 0 : -1;
}

static void json_free(json_t **v) { json_decref(*v); }

int token_webhook_prepare(const struct settings *s, struct err *err) {
    const char *path = s->auth.token_webhook_file;
    static const char option[] = "--authentication-token-webhook-config-file";
    if (str_empty(path)) return 0;
    OWN(buf_done) struct buf yaml = {0}, text = {0};
    OWN(json_free) json_t *config = NULL;
    int rc = auth_read_file(option, path, &yaml, err);
    if (rc == 0) rc = yaml_to_json(buf_view(&yaml), &text, err);
    if (rc == 0) rc = json_parse(buf_view(&text), &config, err);
    if (rc == 0) rc = take_config(config, err);
    return rc < 0 ? err_wrap(err, "%s %s", option, path) : 0;
}

/* ---- verdicts ---- */

static void key_of(const struct authn_ask *ask, unsigned char key[DIGEST_BYTES]) {
    OWN(buf_done) struct buf all = {0};
    buf_append(&all, ask->token, strlen(ask->token) + 1);
    for (size_t i = 0; i < ask->audiences.n; i++)
        buf_append(&all, ask->audiences.v[i], strlen(ask->audiences.v[i]) + 1);
    unsigned n = 0;
    if (EVP_Digest(all.p, all.n, key, &n, EVP_sha256(), NULL) != 1) abort();
}

static void forget_all(void) {
    struct map_entry *e;
    for (size_t i = 0; (e = map_next(&hook.verdicts, &i));) {
        struct verdict *v = e->value;
        arena_free(v->a); /* v lies in it */
    }
    map_done(&hook.verdicts);
}

static int use(struct authn_ask *ask, const struct verdict *v) {
    if (!v->authenticated)
        return err_set(&ask->err, ERR_UNAUTHORIZED, "%s", str_or(v->error, "invalid bearer token"));
    struct arena *a = ask->a;
    ask->user.name = arena_str(a, v->user.name);
    ask->user.uid = arena_str(a, v->user.uid);
    for (size_t i = 0; i < v->user.groups.n; i++)
        authn_add_group(a, &ask->user, arena_str(a, v->user.groups.v[i]));
    for (size_t i = 0; i < v->user.extra.n; i++)
        for (size_t j = 0; j < v->user.extra.v[i].value.n; j++)
            authn_add_extra(a, &ask->user, arena_str(a, v->user.extra.v[i].key),
                            v->user.extra.v[i].value.v[j]);
    for (size_t i = 0; i < v->audiences.n; i++)
        *ARENA_PUSH(a, &ask->matched) = arena_str(a, v->audiences.v[i]);
    return 0;
}

/* ---- asking ---- */

/* Those of the asked audiences that the answer names; an answer without any knows none: it is for
 * the API's own. */
static bool take_audiences(struct authn_ask *ask, struct verdict *v, const struct str_list *told) {
    const char *own = authn_issuer(ask->api, v->a);
    const struct str_list standard = {.v = &own, .n = 1};
    const struct str_list *wanted = ask->audiences.n ? &ask->audiences : &standard;
    const struct str_list *have = told->n ? told : &standard;
    for (size_t i = 0; i < wanted->n; i++)
        if (str_list_has(have, wanted->v[i]))
            *ARENA_PUSH(v->a, &v->audiences) = arena_str(v->a, wanted->v[i]);
    return v->audiences.n > 0;
}

static struct verdict *verdict_of(struct authn_ask *ask, struct slice body, struct err *err) {
    struct arena *a = arena_new();
    void *decoded;
    if (api_decode(a, &authentication_v1_token_review_type, body, NULL, &decoded, err) < 0) {
        arena_free(a);
        return NULL;
    }
    const struct authentication_v1_token_review_status *s =
        &((const struct authentication_v1_token_review *)decoded)->status;
    struct verdict *v = ARENA_NEW(a, struct verdict);
    *v = (struct verdict){.a = a,
                          .until_ms = loop_now_ms(ask->api->loop) + CACHE_MS,
                          .authenticated = s->authenticated && !str_empty(s->user.username),
                          .user = {s->user.username, s->user.uid, s->user.groups, s->user.extra},
                          .error = s->error};
    if (v->authenticated && !take_audiences(ask, v, &s->audiences)) {
        v->authenticated = false;
        v->error = "token audiences do not match";
    }
    return v;
}

static void on_answer(void *user, const struct egress_result *r) {
    struct authn_ask *ask = user;
    struct verdict *v = NULL;
    ask->err = r->err;
    hook.asking--;
    if (r->err.reason == ERR_NONE && r->status / 100 != 2)
        err_set(&ask->err, ERR_UNAVAILABLE, "the token webhook answered %d", r->status);
    if (ask->err.reason == ERR_NONE) v = verdict_of(ask, r->body, &ask->err);
    if (!v) {
        log_warn("token_webhook_failed", "reason=\"%s\"", ask->err.text);
        ask->done(ask, -1);
        return;
    }
    unsigned char key[DIGEST_BYTES];
    key_of(ask, key);
    if (hook.verdicts.n >= CACHE_ENTRIES) forget_all();
    struct verdict *old = map_put(&hook.verdicts, slice_from(key, sizeof key), v);
    if (old) arena_free(old->a);
    ask->done(ask, use(ask, v));
}

static void put_review(struct buf *b, const struct authn_ask *ask) {
    buf_str(b,
            "{\"kind\":\"TokenReview\",\"apiVersion\":\"authentication.k8s.io/v1\",\"metadata\":{"
            "},\"spec\":{\"token\":");
    buf_json_str(b, slice_of(ask->token));
    buf_str(b, ",\"audiences\":[");
    if (!ask->audiences.n) buf_json_str(b, slice_of(authn_issuer(ask->api, ask->a)));
    for (size_t i = 0; i < ask->audiences.n; i++) {
        if (i) buf_char(b, ',');
        buf_json_str(b, slice_of(ask->audiences.v[i]));
    }
    buf_str(b, "]},\"status\":{}}");
}

int token_webhook_check(struct authn_ask *ask) {
    if (!hook.url) return AUTHN_NOT_MINE;
    unsigned char key[DIGEST_BYTES];
    key_of(ask, key);
    struct verdict *v = map_get(&hook.verdicts, slice_from(key, sizeof key));
    if (v && loop_now_ms(ask->api->loop) < v->until_ms) return use(ask, v);
    if (hook.asking >= LIMIT_AUTHN_WAITING)
        return err_set(&ask->err, ERR_UNAUTHORIZED, "too many tokens are being reviewed");
    struct egress_target t;
    int rc = egress_target_url(ask->a, hook.url, false, &t, &ask->err);
    if (rc < 0) return rc;
    t.ca_pem = hook.ca_pem;
    t.insecure = hook.insecure;
    OWN(buf_done) struct buf body = {0};
    put_review(&body, ask);
    struct http_header header = {"authorization", hook.authorization};
    struct http_headers headers = {&header, 1};
    hook.asking++;
    egress_call(ask->api,
                &(struct egress_request){.target = &t,
                                         .method = "POST",
                                         .body = buf_view(&body),
                                         .headers = hook.authorization ? &headers : NULL,
                                         .timeout_ms = REVIEW_TIMEOUT_MS},
                on_answer, ask);
    return AUTHN_LATER;
}
