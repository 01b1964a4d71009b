/* What a pod's environment and volumes are made of: watched objects, tokens, facts of the node. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "base/times.h"
#include "node/agent.h"
#include "node/volumes/claims.h"
#include "node/volumes/objects.h"

enum { TOKEN_RETRY_MS = 1000 };
static const uint64_t TOKEN_MAX_AGE_MS = 24ULL * 3600 * 1000;

/* A bound token of the pod's service account; asked for again before it expires. */
struct pod_token {
    struct pod *pod;
    char *audience; /* "" = the API's own */
    int64_t expiry_s;
    char *value;         /* NULL = none yet */
    uint64_t refresh_ms; /* monotonic */
    bool busy;
    bool dead; /* the pod let go while a request was in flight */
    char error[256];
};

static const struct api_kind *kind_config_map(void) {
    static const struct api_kind *k;
    if (!k) k = api_kind_by_name("", "v1", "ConfigMap");
    return k;
}

static const struct api_kind *kind_secret(void) {
    static const struct api_kind *k;
    if (!k) k = api_kind_by_name("", "v1", "Secret");
    return k;
}

static enum lookup get_config_map(void *user, const char *name,
                                  const struct core_v1_config_map **ret) {
    struct pod *p = user;
    const struct api_object *o = NULL;
    enum lookup l = objects_get(p->agent->objects, p, kind_config_map(), p->ns, name, &o);
    *ret = (const void *)o;
    return l;
}

static enum lookup get_secret(void *user, const char *name, const struct core_v1_secret **ret) {
    struct pod *p = user;
    const struct api_object *o = NULL;
    enum lookup l = objects_get(p->agent->objects, p, kind_secret(), p->ns, name, &o);
    *ret = (const void *)o;
    return l;
}

static void wipe(char *s) {
    if (!s) return;
    explicit_bzero(s, strlen(s));
    free(s);
}

static void token_free(struct pod_token *t) {
    wipe(t->value);
    free(t->audience);
    free(t);
}

static void token_answered(struct pod_token *t, const struct authentication_v1_token_request *r,
                           const struct err *err) {
    uint64_t now = loop_now_ms(t->pod->agent->loop);
    if (err || !r || str_empty(r->status.token)) {
        snprintf(t->error, sizeof t->error, "failed to fetch token: %.200s",
                 err ? err->text : "empty answer");
        t->refresh_ms = now + TOKEN_RETRY_MS;
        return;
    }
    wipe(t->value);
    t->value = strdup(r->status.token);
    t->error[0] = 0;
    uint64_t life_ms = (uint64_t)t->expiry_s * 1000;
    int64_t expires_ns;
    if (r->status.expiration_timestamp &&
        !time_parse(r->status.expiration_timestamp, &expires_ns)) {
        int64_t left_ns = expires_ns - loop_wall_ns(t->pod->agent->loop);
        if (left_ns > 0) life_ms = (uint64_t)left_ns / 1000000;
    }
    t->refresh_ms = now + MIN_OF(life_ms * 8 / 10, TOKEN_MAX_AGE_MS);
}

static void on_token(void *user, const struct api_object *obj, struct slice body,
                     const struct err *err) {
    struct pod_token *t = user;
    struct pod *p = t->pod;
    t->busy = false;
    if (t->dead) {
        token_free(t);
    } else {
        OWN(arena_free_p) struct arena *a = arena_new();
        void *answer = NULL;
        struct err bad = {0};
        if (!err &&
            api_decode(a, &authentication_v1_token_request_type, body, NULL, &answer, &bad) < 0)
            err = &bad;
        token_answered(t, answer, err);
        p->volumes_stale = true;
        pod_kick(p);
    }
    pod_unref(p);
}

static void token_ask(struct pod_token *t) {
    struct pod *p = t->pod;
    OWN(buf_done) struct buf path = {0}, body = {0};
    const char *account = str_or(p->object->spec.service_account_name, "default");
    buf_printf(&path, "/api/v1/namespaces/%s/serviceaccounts/%s/token", p->ns, account);
    buf_str(&body, "{\"apiVersion\":\"authentication.k8s.io/v1\",\"kind\":\"TokenRequest\","
                   "\"spec\":{\"audiences\":[");
    if (!str_empty(t->audience)) buf_json_str(&body, slice_of(t->audience));
    buf_printf(&body,
               "],\"expirationSeconds\":%" PRId64 ",\"boundObjectRef\":{\"apiVersion\":"
               "\"v1\",\"kind\":\"Pod\",\"name\":",
               t->expiry_s);
    buf_json_str(&body, slice_of(p->name));
    buf_str(&body, ",\"uid\":");
    buf_json_str(&body, slice_of(p->uid));
    buf_str(&body, "}}}");
    t->busy = true;
    pod_ref(p);
    api_request(p->agent->client, "POST", path.p, "application/json", buf_view(&body), on_token, t);
}

static int get_token(void *user, const char *audience, int64_t expiry_s, const char **ret,
                     struct err *err) {
    struct pod *p = user;
    struct pod_token *t = NULL;
    audience = str_or(audience, "");
    for (size_t i = 0; i < p->tokens.n && !t; i++)
        if (str_eq(p->tokens.v[i]->audience, audience) && p->tokens.v[i]->expiry_s == expiry_s)
            t = p->tokens.v[i];
    if (!t) {
        t = calloc(1, sizeof *t);
        if (!t) abort();
        t->pod = p;
        t->audience = strdup(audience);
        t->expiry_s = expiry_s;
        vec_push(&p->tokens, t);
        token_ask(t);
    }
    if (t->value) {
        *ret = t->value;
        return 0;
    }
    err_set(err, ERR_UNAVAILABLE, "%s", t->error[0] ? t->error : "token is being fetched");
    return t->error[0] ? -ENOENT : -EAGAIN;
}

uint64_t pod_tokens_refresh(struct pod *p, uint64_t now_ms) {
    uint64_t next = 0;
    for (size_t i = 0; i < p->tokens.n; i++) {
        struct pod_token *t = p->tokens.v[i];
        if (t->busy) continue;
        if (t->refresh_ms <= now_ms)
            token_ask(t);
        else if (!next || t->refresh_ms < next)
            next = t->refresh_ms;
    }
    return next;
}

void pod_tokens_done(struct pod *p) {
    for (size_t i = 0; i < p->tokens.n; i++) {
        if (p->tokens.v[i]->busy)
            p->tokens.v[i]->dead = true;
        else
            token_free(p->tokens.v[i]);
    }
    p->tokens.n = 0;
}

static int get_claim(void *user, const char *name, bool own,
                     const struct core_v1_persistent_volume **ret, struct err *err) {
    return pod_claim_get(user, name, own, ret, err);
}

struct object_source pod_source(struct pod *p) {
    return (struct object_source){get_config_map, get_secret, get_token, get_claim, p};
}

struct pod_facts pod_facts_of(const struct pod *p) {
    const struct host_info *h = &p->agent->host;
    return (struct pod_facts){.pod = p->object,
                              .pod_ip = p->ip,
                              .host_ip = h->ip,
                              .node_name = p->agent->settings->node_name,
                              .cpu_milli = h->cpu_milli,
                              .memory_bytes = h->memory_bytes,
                              .storage_bytes = h->storage_bytes};
}
