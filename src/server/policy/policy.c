/* ValidatingAdmissionPolicy: bound policies are asked one after the other (KEP-3488). */
#include "server/policy/policy.h"

#include "base/own.h"
#include "server/admission/authorizer.h"
#include "server/auth/audit.h"
#include "server/webhook/review.h"

enum { MESSAGE_BYTES_MAX = 5 * 1024, ANNOTATION_BYTES_MAX = 10 * 1024, WARNINGS_MAX = 64 };

/* One policy on its way through one request, with one parameter. */
struct evaluation {
    struct admission *ad;
    const struct policy_binding *b;
    const struct policy *p;
    struct cel_run run;
    struct cel_value vars[POLICY_VARIABLE_COUNT];
    struct cel_value *computed; /* of variables; CEL_RAW: not yet */
    const char *problem;        /* of the last expression */
};

/* What a request is refused for: the first denial. */
struct denial {
    const char *message; /* NULL: it is not */
    enum err_reason reason;
};

/* ---- expressions ---- */

/* variables.NAME: worked out when first asked for. */
static int variable(struct cel_run *run, void *user, struct slice name, struct cel_value *ret) {
    struct evaluation *e = user;
    const struct policy_named_list *list = &e->p->variables;
    const char *problem = "";
    size_t i = 0;
    while (i < list->n && !slice_is(name, list->v[i].name)) i++;
    if (i == list->n) return 0;
    struct cel_value *v = &e->computed[i];
    if (v->kind == CEL_RAW && cel_eval(list->v[i].program, run, v, &problem) < 0) {
        struct slice why =
            slice_of(arena_printf(e->ad->a, "composited variable \"%s\" fails to evaluate: %s",
                                  list->v[i].name, problem));
        *v = (struct cel_value){.kind = CEL_ERROR, .p = why.p, .n = why.n};
    }
    *ret = *v;
    return 1;
}

static int evaluate(struct evaluation *e, const struct cel_program *p, struct cel_value *ret) {
    e->run.exhausted = false; /* of the one before: there may be something left for this one */
    return cel_eval(p, &e->run, ret, &e->problem);
}

static struct cel_value namespace_object(struct admission *ad) {
    const struct api_kind *k = api_kind_by_name("", "v1", "Namespace");
    bool namespaced = ad->kind->flags & API_NAMESPACED;
    struct object *o = namespaced ? admission_find(ad, "", "namespaces", "", ad->ns) : NULL;
    return o ? cel_json(ad->a, cel_api_type(ad->a, k->type), object_json(o)) : cel_null();
}

static void evaluation_init(struct evaluation *e, struct admission *ad,
                            const struct policy_binding *b, const struct api_kind *form) {
    const struct cel_type *dyn = cel_type(CEL_DYN);
    OWN(buf_done) struct buf request = {0};
    struct review r;
    *e = (struct evaluation){.ad = ad, .b = b, .p = b->policy};
    review_init(&r, ad, form);
    review_request(&request, &r, false);
    struct slice text = slice_from(arena_copy(ad->a, request.p, request.n), request.n);
    e->vars[POLICY_OBJECT] = cel_json(ad->a, dyn, r.object);
    e->vars[POLICY_OLD_OBJECT] = cel_json(ad->a, dyn, r.old);
    e->vars[POLICY_REQUEST] = cel_json(ad->a, policy_request_type(ad->a), text);
    e->vars[POLICY_NAMESPACE_OBJECT] = namespace_object(ad);
    e->vars[POLICY_VARIABLES] = cel_computed(ad->a, variable, e);
    e->vars[POLICY_AUTHORIZER] = admission_authorizer(ad, form);
    e->run = (struct cel_run){.a = ad->a,
                              .vars = e->vars,
                              .n_vars = POLICY_VARIABLE_COUNT,
                              .budget = CEL_COST_BUDGET,
                              .authorize = admission_authorize,
                              .user = ad};
}

static void with_params(struct evaluation *e, struct cel_value params) {
    e->vars[POLICY_PARAMS] = params;
    e->computed = ARENA_ARRAY(e->ad->a, struct cel_value, e->p->variables.n);
    for (size_t i = 0; i < e->p->variables.n; i++) e->computed[i].kind = CEL_RAW;
}

/* ---- outcomes ---- */

static void deny(struct evaluation *e, struct denial *d, const char *message,
                 enum err_reason reason) {
    if (d->message) return;
    d->message = arena_printf(e->ad->a,
                              "ValidatingAdmissionPolicy '%s' with binding '%s' denied request: %s",
                              e->p->name, e->b->name, message);
    d->reason = reason;
}

/* validation.policy.admission.k8s.io/validation_failure */
static void note_failure(struct evaluation *e, size_t index, const char *message) {
    OWN(buf_done) struct buf b = {0};
    buf_str(&b, "[{\"message\":");
    buf_json_str(&b, slice_of(message));
    buf_str(&b, ",\"policy\":");
    buf_json_str(&b, slice_of(e->p->name));
    buf_str(&b, ",\"binding\":");
    buf_json_str(&b, slice_of(e->b->name));
    buf_printf(&b, ",\"expressionIndex\":%zu,\"validationActions\":[\"%sAudit\"]}]", index,
               e->b->deny   ? "Deny\",\""
               : e->b->warn ? "Warn\",\""
                            : "");
    audit_annotate(e->ad->c, "validation.policy.admission.k8s.io/validation_failure",
                   arena_strn(e->ad->a, buf_view(&b)));
}

static void failed(struct evaluation *e, struct denial *d, size_t index, const char *message,
                   enum err_reason reason) {
    struct call *c = e->ad->c;
    if (e->b->deny) deny(e, d, message, reason);
    if (e->b->audit) note_failure(e, index, message);
    if (e->b->warn && c->warnings.n < WARNINGS_MAX)
        *ARENA_PUSH(e->ad->a, &c->warnings) = arena_printf(
            e->ad->a, "Validation failed for ValidatingAdmissionPolicy '%s' with binding '%s': %s",
            e->p->name, e->b->name, message);
}

static const char *failure_message(struct evaluation *e, const struct policy_validation *v) {
    struct cel_value m;
    if (v->message_program && evaluate(e, v->message_program, &m) == 0 && m.kind == CEL_STRING) {
        struct slice s = slice_trim(slice_from(m.p, m.n));
        if (s.n && s.n <= MESSAGE_BYTES_MAX && !memchr(s.p, '\n', s.n))
            return arena_strn(e->ad->a, s);
    }
    if (!str_empty(v->message)) return v->message;
    struct slice expression = slice_trim(slice_of(v->expression));
    return arena_printf(e->ad->a, "failed expression: %.*s", (int)expression.n, expression.p);
}

static void validate_one(struct evaluation *e, size_t i, struct denial *d) {
    const struct policy_validation *v = &e->p->validations.v[i];
    struct cel_value result;
    bool known = evaluate(e, v->program, &result) == 0;
    if (known && result.kind == CEL_BOOL) {
        if (!result.b) failed(e, d, i, failure_message(e, v), v->reason);
        return;
    }
    if (e->p->fail_open) return;
    const char *why = known              ? "the result is no bool"
                      : e->run.exhausted ? "validation failed due to running out of cost budget, "
                                           "no further validation rules will be run"
                                         : e->problem;
    failed(e, d, i,
           arena_printf(e->ad->a, "expression '%s' resulted in error: %s", v->expression, why),
           v->reason);
}

static void annotate(struct evaluation *e, const struct policy_named *n) {
    struct cel_value v;
    if (evaluate(e, n->program, &v) < 0 || v.kind != CEL_STRING) return;
    struct slice s = slice_trim(slice_from(v.p, MIN_OF(v.n, (size_t)ANNOTATION_BYTES_MAX)));
    if (s.n)
        audit_annotate(e->ad->c, arena_printf(e->ad->a, "%s/%s", e->p->name, n->name),
                       arena_strn(e->ad->a, s));
}

/* 1: the policy is about this request; 0: it is not; -1: nobody knows. */
static int conditions_hold(struct evaluation *e) {
    int holds = 1;
    for (size_t i = 0; i < e->p->conditions.n; i++) {
        struct cel_value v;
        int rc = evaluate(e, e->p->conditions.v[i].program, &v);
        if (rc == 0 && v.kind == CEL_BOOL && !v.b) return 0;
        if (rc < 0 || v.kind != CEL_BOOL) holds = -1;
    }
    return holds;
}

static void run_policy(struct evaluation *e, struct denial *d) {
    int holds = conditions_hold(e);
    if (holds < 0 && !e->p->fail_open)
        deny(e, d, arena_printf(e->ad->a, "match conditions failed: %s", str_or(e->problem, "")),
             ERR_INVALID);
    if (holds <= 0) return;
    for (size_t i = 0; i < e->p->validations.n; i++) validate_one(e, i, d);
    for (size_t i = 0; i < e->p->annotations.n; i++) annotate(e, &e->p->annotations.v[i]);
}

static void run_binding(struct admission *ad, const struct policy_binding *b, struct denial *d) {
    const struct api_kind *form = b->policy ? policy_matches(&b->policy->match, ad) : NULL;
    if (!form || (b->match && !policy_matches(b->match, ad))) return;
    struct evaluation *e = ARENA_NEW(ad->a, struct evaluation);
    struct policy_params params;
    const char *problem = b->policy->broken;
    evaluation_init(e, ad, b, form);
    if (problem || policy_params(ad, b, &params, &problem) < 0) {
        if (!b->policy->fail_open)
            deny(e, d, arena_printf(ad->a, "failed to configure binding: %s", problem),
                 ERR_INVALID);
        return;
    }
    if (params.none_needed) {
        with_params(e, cel_null());
        run_policy(e, d);
    }
    for (size_t i = 0; i < params.n; i++) {
        with_params(e, cel_json(ad->a, cel_type(CEL_DYN), params.v[i]));
        run_policy(e, d);
    }
}

/* ---- the plugin ---- */

static int refuse(struct admission *ad, const struct denial *d) {
    OWN(buf_done) struct buf b = {0};
    const struct api_kind *k = ad->c->kind ? ad->c->kind : ad->kind;
    const char *title = resource_title(ad->a, k->group, k->plural);
    const char *message =
        arena_printf(ad->a, "%s \"%s\" is forbidden: %s", title, ad->name, d->message);
    struct api_cause cause = {"", "", d->message};
    struct api_causes causes = {.a = ad->a, .v = &cause, .n = 1};
    failure_encode(&b, d->reason,
                   &(struct failure){.message = message,
                                     .name = ad->name,
                                     .group = k->group,
                                     .kind = k->plural,
                                     .causes = &causes});
    ad->refusal = slice_from(arena_copy(ad->a, b.p, b.n), b.n);
    ad->refusal_code = err_http(d->reason);
    return err_set(&ad->err, d->reason, "%s", message);
}

static int validate(struct admission *ad) {
    struct policies *all = match_exempt(ad) ? NULL : policies_get(ad->api);
    struct denial d = {0};
    if (!all) return ADMISSION_OK;
    for (size_t i = 0; i < all->bindings.n; i++) run_binding(ad, &all->bindings.v[i], &d);
    policies_unref(all);
    return d.message ? refuse(ad, &d) : ADMISSION_OK;
}

static const struct admission_plugin validating_policy = {
    .name = "ValidatingAdmissionPolicy",
    .order = ORDER_VALIDATING_POLICY,
    .operations = ADMIT_CREATE | ADMIT_UPDATE | ADMIT_DELETE | ADMIT_CONNECT,
    .subresources = true,
    .validate = validate};
ADMISSION_PLUGIN(validating_policy);
