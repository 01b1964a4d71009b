/* POST of kinds that are never stored: reviews of access, of tokens and of oneself. The answer is
 * the object with its status filled in. */
#include "base/own.h"
#include "server/admission/plugin.h"
#include "server/auth/authn.h"
#include "server/auth/authz.h"
#include "server/auth/node_authz.h"
#include "server/media/convert.h"

static void answer(struct call *c, struct api_object *obj) {
    OWN(buf_done) struct buf b = {0};
    api_object_encode(&b, c->kind, obj);
    reply_object(c, 201, buf_view(&b));
}

/* ---- access reviews ---- */

/* As a list would send it; only equality narrows what is asked. */
static const char *selector_text(struct arena *a,
                                 const struct authorization_v1_field_selector_attributes *f) {
    if (!f) return NULL;
    if (!str_empty(f->raw_selector)) return f->raw_selector;
    OWN(buf_done) struct buf b = {0};
    for (size_t i = 0; i < f->requirements.n; i++) {
        const struct meta_v1_field_selector_requirement *r = &f->requirements.v[i];
        if (str_eq(r->operator, "In") && r->values.n == 1)
            buf_printf(&b, "%s%s=%s", b.n ? "," : "", str_or(r->key, ""), r->values.v[0]);
    }
    return arena_strn(a, buf_view(&b));
}

/* Either as text or in parts, not both. */
static bool selectors_valid(struct call *c,
                            const struct authorization_v1_resource_attributes *res) {
    static const char why[] = "may not specified at the same time as requirements";
    struct api_causes causes = {.a = c->a};
    if (res->field_selector && !str_empty(res->field_selector->raw_selector) &&
        res->field_selector->requirements.n)
        cause_invalid(&causes, "spec.resourceAttributes.fieldSelector.rawSelector",
                      res->field_selector->raw_selector, why);
    if (res->label_selector && !str_empty(res->label_selector->raw_selector) &&
        res->label_selector->requirements.n)
        cause_invalid(&causes, "spec.resourceAttributes.labelSelector.rawSelector",
                      res->label_selector->raw_selector, why);
    if (causes.n) reply_invalid(c, "", &causes);
    return !causes.n;
}

static int attributes_of(struct call *c, const struct authorization_v1_resource_attributes *res,
                         const struct authorization_v1_non_resource_attributes *path,
                         struct attributes *ret) {
    if (!res == !path) {
        struct api_causes causes = {.a = c->a};
        cause_invalid(
            &causes, "spec.resourceAttributes", "null",
            "exactly one of nonResourceAttributes or resourceAttributes must be specified");
        reply_invalid(c, "", &causes);
        return -1;
    }
    *ret = (struct attributes){
        .verb = "", .group = "", .resource = "", .subresource = "", .name = "", .ns = ""};
    if (path) {
        ret->verb = str_or(path->verb, "");
        ret->path = str_or(path->path, "");
        return 0;
    }
    if (!selectors_valid(c, res)) return -1;
    ret->verb = str_or(res->verb, "");
    ret->group = str_or(res->group, "");
    ret->resource = str_or(res->resource, "");
    ret->subresource = str_or(res->subresource, "");
    ret->name = str_or(res->name, "");
    ret->ns = str_or(res->namespace, "");
    ret->field_selector = selector_text(c->a, res->field_selector);
    if (res->label_selector && !str_empty(res->label_selector->raw_selector))
        ret->label_selector = res->label_selector->raw_selector;
    return 0;
}

static void decide(struct call *c, const struct user *u, const struct attributes *at,
                   struct authorization_v1_subject_access_review_status *status) {
    *status = (struct authorization_v1_subject_access_review_status){
        .allowed = authz_allows(c->api->authz, u, at)};
    if (status->allowed) status->reason = authz_reason(c->api->authz, c->a, u);
}

static void self_subject_access(struct call *c, struct api_object *obj) {
    struct authorization_v1_self_subject_access_review *r = (void *)obj;
    struct attributes at;
    if (attributes_of(c, r->spec.resource_attributes, r->spec.non_resource_attributes, &at) < 0)
        return;
    decide(c, &c->user, &at, &r->status);
    answer(c, obj);
}

static void subject_access_spec(struct call *c, struct api_object *obj,
                                const struct authorization_v1_subject_access_review_spec *spec,
                                struct authorization_v1_subject_access_review_status *status,
                                const char *only_ns) {
    struct attributes at;
    if (attributes_of(c, spec->resource_attributes, spec->non_resource_attributes, &at) < 0) return;
    struct api_causes causes = {.a = c->a};
    if (str_empty(spec->user) && !spec->groups.n)
        cause_invalid(&causes, "spec.user", "", "at least one of user or group must be specified");
    if (only_ns && !str_eq(at.ns, only_ns))
        cause_invalid(&causes, "spec.resourceAttributes.namespace", at.ns,
                      "must match metadata.namespace");
    if (causes.n) {
        reply_invalid(c, "", &causes);
        return;
    }
    struct user u = {.name = str_or(spec->user, ""),
                     .uid = spec->uid,
                     .groups = spec->groups,
                     .extra = spec->extra};
    decide(c, &u, &at, status);
    answer(c, obj);
}

static void subject_access(struct call *c, struct api_object *obj) {
    struct authorization_v1_subject_access_review *r = (void *)obj;
    subject_access_spec(c, obj, &r->spec, &r->status, NULL);
}

static void local_subject_access(struct call *c, struct api_object *obj) {
    struct authorization_v1_local_subject_access_review *r = (void *)obj;
    subject_access_spec(c, obj, &r->spec, &r->status, c->route.ns);
}

/* ---- rules ---- */

struct collecting {
    struct arena *a;
    struct authorization_v1_subject_rules_review_status *status;
};

static void add_rule(void *user, const struct rbac_v1_policy_rule *r) {
    struct collecting *k = user;
    if (r->non_resource_urls.n)
        *ARENA_PUSH(k->a, &k->status->non_resource_rules) =
            (struct authorization_v1_non_resource_rule){.verbs = r->verbs,
                                                        .non_resource_urls = r->non_resource_urls};
    else
        *ARENA_PUSH(k->a, &k->status->resource_rules) =
            (struct authorization_v1_resource_rule){.verbs = r->verbs,
                                                    .api_groups = r->api_groups,
                                                    .resources = r->resources,
                                                    .resource_names = r->resource_names};
}

static void self_subject_rules(struct call *c, struct api_object *obj) {
    struct authorization_v1_self_subject_rules_review *r = (void *)obj;
    if (str_empty(r->spec.namespace)) {
        reply_failure(c, ERR_BAD_REQUEST, &(struct failure){.message = "no namespace on request"});
        return;
    }
    struct collecting k = {c->a, &r->status};
    authz_rules(c->api->authz, &c->user, r->spec.namespace, add_rule, &k);
    if (node_identity(&c->user)) {
        r->status.incomplete = true;
        r->status.evaluation_error = "node authorizer does not support user rule resolution";
    }
    answer(c, obj);
}

/* ---- identities ---- */

static void put_user(struct authentication_v1_user_info *to, const struct user *u) {
    *to = (struct authentication_v1_user_info){
        .username = u->name, .uid = u->uid, .groups = u->groups, .extra = u->extra};
}

static void self_subject(struct call *c, struct api_object *obj) {
    put_user(&((struct authentication_v1_self_subject_review *)(void *)obj)->status.user_info,
             &c->user);
    answer(c, obj);
}

struct reviewing {
    struct authn_ask ask;
    struct call *c;
    struct api_object *object;
};

static void on_reviewed(struct authn_ask *ask, int result) {
    struct reviewing *w = ask->user_data;
    struct authentication_v1_token_review *r = (void *)w->object;
    r->status = (struct authentication_v1_token_review_status){0};
    if (result == 0) {
        authn_add_group(ask->a, &ask->user, "system:authenticated");
        r->status.authenticated = true;
        put_user(&r->status.user, &ask->user);
        r->status.audiences = ask->matched;
    } else {
        r->status.error = arena_str(ask->a, ask->err.text);
    }
    answer(w->c, w->object);
}

static void token_review(struct call *c, struct api_object *obj) {
    struct authentication_v1_token_review *r = (void *)obj;
    if (str_empty(r->spec.token)) {
        reply_failure(c, ERR_BAD_REQUEST,
                      &(struct failure){.message = "token is required for TokenReview in "
                                                   "authentication"});
        return;
    }
    struct reviewing *w = ARENA_NEW(c->a, struct reviewing);
    *w = (struct reviewing){.c = c, .object = obj};
    w->ask = (struct authn_ask){.api = c->api,
                                .a = c->a,
                                .token = r->spec.token,
                                .audiences = r->spec.audiences,
                                .done = on_reviewed,
                                .user_data = w};
    int rc = authn_token(&w->ask);
    if (rc != AUTHN_LATER) on_reviewed(&w->ask, rc);
}

static const struct {
    const char *plural;
    void (*run)(struct call *c, struct api_object *obj);
} reviews[] = {
    {"selfsubjectaccessreviews", self_subject_access},
    {"subjectaccessreviews", subject_access},
    {"localsubjectaccessreviews", local_subject_access},
    {"selfsubjectrulesreviews", self_subject_rules},
    {"selfsubjectreviews", self_subject},
    {"tokenreviews", token_review},
    {"bindings", binding_create},
};

struct admitting {
    void (*run)(struct call *c, struct api_object *obj);
};

static void on_admitted(struct admission *ad, int result) {
    const struct admitting *w = ad->user;
    struct call *c = ad->c;
    if (result != ADMISSION_OK) {
        admission_refused(ad, result);
        return;
    }
    struct api_object *obj = ad->object;
    if (ad->defaults_again) api_default(c->a, c->kind->type, obj);
    admission_over(ad, false);
    w->run(c, obj);
}

void review_create(struct call *c, struct api_object *obj) {
    for (size_t i = 0; i < ARRAY_LEN(reviews); i++) {
        if (!str_eq(reviews[i].plural, c->kind->plural)) continue;
        struct admitting *w = ARENA_NEW(c->a, struct admitting);
        *w = (struct admitting){reviews[i].run};
        if (c->kind->flags & API_NAMESPACED) obj->metadata.namespace = c->route.ns;
        struct admission *ad = admission_new(c, ADMIT_CREATE, NULL, NULL);
        ad->object = obj;
        ad->name = str_or(obj->metadata.name, "");
        ad->user = w;
        admission_ask(ad, on_admitted);
        return;
    }
    reply_method_not_allowed(c);
}
