/*
 * serviceaccounts/NAME/token: a token bound to the service account and, when asked, to a pod,
 * secret or node; it dies with them. Claims as in KEP-1205; keys signs them.
 */
#include <inttypes.h>

#include "base/own.h"
#include "base/times.h"
#include "server/admission/plugin.h"
#include "server/auth/authn.h"
#include "server/keys_link.h"
#include "server/media/body.h"

enum { LIFE_MIN_S = 600, LIFE_DEFAULT_S = 3600 };
#define LIFE_MAX_S (1LL << 32)

struct token_wait {
    struct call *c;
    struct authentication_v1_token_request *request;
};

static void client_gone(struct request *r) { ((struct token_wait *)r->handler_data)->c = NULL; }

static void on_signed(void *user, struct slice token, const struct err *err) {
    struct token_wait w = *(struct token_wait *)user;
    free(user);
    struct call *c = w.c;
    if (!c) return;
    c->r->on_close = NULL;
    if (err) {
        reply_error(c, err);
        return;
    }
    w.request->status.token = arena_strn(c->a, token);
    OWN(buf_done) struct buf b = {0};
    api_encode(&b, &authentication_v1_token_request_type, w.request);
    reply_json(c, 201, buf_view(&b));
}

static const struct {
    const char *kind, *plural, *claim;
} bindable[] = {{"Pod", "pods", "pod"}, {"Secret", "secrets", "secret"}, {"Node", "nodes", "node"}};

/* What a token dies with, and for a pod also the node it is on, for the token's readers. */
struct bound {
    const char *claim; /* NULL = bound to the account only */
    const struct api_object *object, *node;
};

static int find(struct call *c, const char *plural, const char *name, struct api_object **ret,
                struct err *err) {
    const struct api_kind *k = api_kind_by_plural("", "v1", plural);
    const char *ns = k->flags & API_NAMESPACED ? c->route.ns : "";
    struct object *o = resource_get(cache_of_kind(&c->api->cache, k), ns, name);
    if (!o) return err_set(err, ERR_NOT_FOUND, "%s \"%s\" not found", plural, name);
    return api_object_decode(c->a, k, object_json(o), ret, err);
}

/* It must exist, with that uid; a pod must run as this account. */
static int find_bound(struct call *c, const struct authentication_v1_bound_object_reference *ref,
                      struct bound *ret, struct err *err) {
    size_t i = 0;
    while (i < ARRAY_LEN(bindable) && !str_eq(bindable[i].kind, ref->kind)) i++;
    if (i == ARRAY_LEN(bindable) ||
        (!str_empty(ref->api_version) && !str_eq(ref->api_version, "v1")))
        return err_set(err, ERR_BAD_REQUEST, "cannot bind token to object of type %s %s",
                       str_or(ref->api_version, "v1"), str_or(ref->kind, ""));
    struct api_object *o, *node;
    int rc = find(c, bindable[i].plural, str_or(ref->name, ""), &o, err);
    if (rc < 0) return rc;
    if (!str_empty(ref->uid) && !str_eq(ref->uid, o->metadata.uid))
        return err_set(
            err, ERR_CONFLICT,
            "the UID in the bound object reference (%s) does not match the UID in record "
            "(%s). The object might have been deleted and then recreated",
            ref->uid, o->metadata.uid);
    *ret = (struct bound){bindable[i].claim, o, NULL};
    if (!str_eq(ref->kind, "Pod")) return 0;
    const struct core_v1_pod *p = (const void *)o;
    if (!str_eq(p->spec.service_account_name, c->route.name))
        return err_set(err, ERR_BAD_REQUEST,
                       "cannot bind token for serviceaccount \"%s\" to pod running with different "
                       "serviceaccount name",
                       c->route.name);
    if (!str_empty(p->spec.node_name) && find(c, "nodes", p->spec.node_name, &node, NULL) == 0)
        ret->node = node;
    return 0;
}

static void put_ref(struct buf *b, const char *key, const struct api_object *o) {
    buf_printf(b, ",\"%s\":{\"name\":", key);
    buf_json_str(b, slice_of(o->metadata.name));
    buf_str(b, ",\"uid\":");
    buf_json_str(b, slice_of(o->metadata.uid));
    buf_char(b, '}');
}

static void put_claims(struct call *c, struct buf *b, const struct api_object *sa,
                       const struct bound *bound, const struct str_list *audiences, int64_t now_s,
                       int64_t life_s) {
    buf_str(b, "{\"aud\":[");
    for (size_t i = 0; i < audiences->n; i++) {
        if (i) buf_char(b, ',');
        buf_json_str(b, slice_of(audiences->v[i]));
    }
    buf_printf(b, "],\"exp\":%" PRId64 ",\"iat\":%" PRId64 ",\"iss\":", now_s + life_s, now_s);
    buf_json_str(b, slice_of(authn_issuer(c->api, c->a)));
    buf_printf(b, ",\"jti\":\"%s\",\"kubernetes.io\":{\"namespace\":", uuid_new(c->a));
    buf_json_str(b, slice_of(c->route.ns));
    if (bound->node) put_ref(b, "node", bound->node);
    if (bound->claim) put_ref(b, bound->claim, bound->object);
    put_ref(b, "serviceaccount", sa);
    buf_printf(b, "},\"nbf\":%" PRId64 ",\"sub\":", now_s);
    buf_json_str(
        b, slice_of(arena_printf(c->a, "system:serviceaccount:%s:%s", c->route.ns, c->route.name)));
    buf_char(b, '}');
}

static int parse(struct call *c, struct authentication_v1_token_request **ret, struct err *err) {
    struct slice json;
    struct api_decode_opts opts = {.warnings = &c->warnings};
    void *p;
    int rc = body_options(c, err);
    if (rc == 0) rc = body_json(c, &json, err);
    opts.unknown = c->unknown;
    if (rc == 0) rc = api_decode(c->a, &authentication_v1_token_request_type, json, &opts, &p, err);
    if (rc < 0) return rc;
    *ret = p;
    int64_t *life_s = (*ret)->spec.expiration_seconds, standard_s = LIFE_DEFAULT_S;
    if (!life_s) (*ret)->spec.expiration_seconds = arena_copy(c->a, &standard_s, sizeof standard_s);
    if (life_s && (*life_s < LIFE_MIN_S || *life_s > LIFE_MAX_S))
        return err_field(
            err, ERR_INVALID, "spec.expirationSeconds",
            "TokenRequest.authentication.k8s.io \"\" is invalid: spec.expirationSeconds: Invalid "
            "value: %" PRId64 ": may not specify a "
            "duration %s",
            *life_s, *life_s < LIFE_MIN_S ? "less than 10 minutes" : "larger than 2^32 seconds");
    if (!(*ret)->spec.audiences.n)
        *ARENA_PUSH(c->a, &(*ret)->spec.audiences) = authn_issuer(c->api, c->a);
    return 0;
}

static void sign(struct call *c, struct authentication_v1_token_request *t,
                 const struct api_object *sa, const struct bound *bound) {
    int64_t now_ns = loop_wall_ns(c->api->loop), now_s = now_ns / 1000000000;
    int64_t life_s = *t->spec.expiration_seconds;
    char end[TIME_TEXT_MAX];
    time_format(end, (now_s + life_s) * 1000000000);
    t->api_version = "authentication.k8s.io/v1";
    t->kind = "TokenRequest";
    t->metadata = (struct meta_v1_object_meta){
        .name = c->route.name, .namespace = c->route.ns, .creation_timestamp = time_now(c)};
    t->status.expiration_timestamp = arena_str(c->a, end);
    OWN(buf_done) struct buf claims = {0};
    put_claims(c, &claims, sa, bound, &t->spec.audiences, now_s, life_s);
    struct token_wait *w = malloc(sizeof *w);
    if (!w) abort();
    *w = (struct token_wait){c, t};
    c->r->handler_data = w;
    c->r->on_close = client_gone;
    keys_link_token(c->api, buf_view(&claims), on_signed, w);
}

static const struct api_kind token_request_kind = {.group = "authentication.k8s.io",
                                                   .version = "v1",
                                                   .kind = "TokenRequest",
                                                   .plural = "tokenrequests",
                                                   .type = &authentication_v1_token_request_type,
                                                   .api_version = "authentication.k8s.io/v1"};

struct wanted {
    struct authentication_v1_token_request *request;
    const struct api_object *account;
    struct bound bound;
};

static void on_admitted(struct admission *ad, int answer) {
    struct wanted *w = ad->user;
    if (answer != ADMISSION_OK) {
        admission_refused(ad, answer);
        return;
    }
    admission_over(ad, true);
    sign(ad->c, w->request, w->account, &w->bound);
}

void token_create(struct call *c) {
    struct err err;
    struct api_object *account;
    struct wanted *w = ARENA_NEW(c->a, struct wanted);
    struct object *o = named_object_to_create(c);
    if (!o) return;
    if (parse(c, &w->request, &err) < 0 ||
        api_object_decode(c->a, c->kind, object_json(o), &account, &err) < 0 ||
        (w->request->spec.bound_object_ref &&
         find_bound(c, w->request->spec.bound_object_ref, &w->bound, &err) < 0)) {
        reply_error(c, &err);
        return;
    }
    w->account = account;
    struct admission *ad = admission_new(c, ADMIT_CREATE, o, account);
    ad->object = (struct api_object *)(void *)w->request;
    ad->object_kind = &token_request_kind;
    ad->user = w;
    admission_ask(ad, on_admitted);
}
