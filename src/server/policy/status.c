/*
 * The status of ValidatingAdmissionPolicies: expressions are checked against the types of the
 * resources that the policy names, and what does not fit is a warning. Upstream has a controller
 * for it; here the write itself brings its status along, so that nobody has to wait for it. The
 * second plugin refuses webhook configurations whose matchConditions do not compile.
 */
#include "base/limits.h"
#include "base/own.h"
#include "server/commit.h"
#include "server/custom/rules.h"
#include "server/policy/policy.h"

enum {
    KINDS_MAX = 10,    /* looked at per policy, as upstream */
    TRIES_MAX = 10000, /* triples of group, version and resource that may be no kind */
};

typedef struct admissionregistration_v1_validating_admission_policy policy_object;

/* ---- type checking ---- */

struct kind_list {
    const struct api_kind *v[KINDS_MAX];
    size_t n, tries;
};

static void add_kinds(struct kind_list *kinds,
                      const struct admissionregistration_v1_named_rule_with_operations *r) {
    if (!r->resources.n) return;
    for (size_t g = 0; g < r->api_groups.n && kinds->tries < TRIES_MAX; g++)
        for (size_t v = 0; v < r->api_versions.n && kinds->tries < TRIES_MAX; v++)
            for (size_t i = 0; i < r->resources.n && kinds->n < KINDS_MAX; i++) {
                if (kinds->tries++ >= TRIES_MAX) return;
                const struct api_kind *k =
                    api_kind_by_plural(r->api_groups.v[g], r->api_versions.v[v], r->resources.v[i]);
                if (k) kinds->v[kinds->n++] = k;
            }
}

struct findings {
    struct arena *a;
    const struct api_kind *kind;
    struct admissionregistration_v1_expression_warning_list list;
};

static void on_finding(void *user, const char *path, const char *expression, const char *problem) {
    struct findings *f = user;
    struct admissionregistration_v1_expression_warning *w = NULL;
    if (str_starts(problem, "compilation failed: ")) problem += strlen("compilation failed: ");
    const char *text =
        arena_printf(f->a, "%s, Kind=%s: %s", f->kind->api_version, f->kind->kind, problem);
    for (size_t i = 0; i < f->list.n; i++)
        if (str_eq(f->list.v[i].field_ref, path)) w = &f->list.v[i];
    if (w) {
        w->warning = arena_printf(f->a, "%s\n%s", w->warning, text);
        return;
    }
    *ARENA_PUSH(f->a, &f->list) = (struct admissionregistration_v1_expression_warning){path, text};
}

static const struct cel_type *type_of(struct arena *a, const struct api_kind *k) {
    if (!k) return cel_type(CEL_DYN);
    return k->custom ? custom_rules_whole_type(a, k->custom->schema) : cel_api_type(a, k->type);
}

static void check_types(struct arena *a, policy_object *p) {
    const policy_spec *spec = &p->spec;
    struct kind_list kinds = {0};
    struct findings found = {.a = a};
    const struct cel_type *params = NULL;
    if (spec->validations.n > LIMIT_POLICY_EXPRESSIONS ||
        spec->variables.n > LIMIT_POLICY_EXPRESSIONS ||
        spec->match_conditions.n > LIMIT_POLICY_EXPRESSIONS ||
        spec->audit_annotations.n > LIMIT_POLICY_EXPRESSIONS)
        return; /* validation, which comes later, refuses it */
    for (size_t i = 0; spec->match_constraints && i < spec->match_constraints->resource_rules.n;
         i++)
        add_kinds(&kinds, &spec->match_constraints->resource_rules.v[i]);
    if (spec->param_kind)
        params = type_of(a, api_kind_by_api_version(str_or(spec->param_kind->api_version, ""),
                                                    str_or(spec->param_kind->kind, "")));
    for (size_t i = 0; i < kinds.n; i++) {
        struct policy compiled = {0};
        found.kind = kinds.v[i];
        policy_compile(a, spec, type_of(a, kinds.v[i]), params, &compiled, on_finding, &found);
    }
    p->status.type_checking = ARENA_NEW(a, struct admissionregistration_v1_type_checking);
    p->status.type_checking->expression_warnings = found.list;
}

static int set_status(struct admission *ad) {
    policy_object *p = (void *)ad->object;
    const policy_object *old = (const void *)ad->old;
    bool changed =
        !old || !api_equal(&admissionregistration_v1_validating_admission_policy_spec_type,
                           &p->spec, &old->spec);
    if (!changed && old->status.type_checking) return ADMISSION_OK;
    check_types(ad->a, p);
    p->status.observed_generation = old ? old->metadata.generation + changed : 1;
    return ADMISSION_OK;
}

static const struct admission_plugin policy_status = {.name = "ValidatingAdmissionPolicyStatus",
                                                      .order = ORDER_VALIDATING_POLICY,
                                                      .operations = ADMIT_CREATE | ADMIT_UPDATE,
                                                      .group = "admissionregistration.k8s.io",
                                                      .plural = "validatingadmissionpolicies",
                                                      .mutate = set_status};
ADMISSION_PLUGIN(policy_status);

/* ---- conditions of webhooks ---- */

static void on_problem(void *user, const char *path, const char *expression, const char *problem) {
    cause_invalid(user, path, expression, problem);
}

#define CHECK_WEBHOOKS(configuration, causes)                                                      \
    for (size_t i = 0; i < (configuration)->webhooks.n; i++)                                       \
    policy_compile_conditions((causes)->a, &(configuration)->webhooks.v[i].match_conditions,       \
                              arena_printf((causes)->a, "webhooks[%zu].matchConditions", i),       \
                              on_problem, (causes))

static int check_webhooks(struct admission *ad) {
    struct api_causes causes = {.a = ad->a};
    if (str_eq(ad->kind->plural, "mutatingwebhookconfigurations")) {
        const struct admissionregistration_v1_mutating_webhook_configuration *m =
            (const void *)ad->object;
        CHECK_WEBHOOKS(m, &causes);
    } else {
        const struct admissionregistration_v1_validating_webhook_configuration *v =
            (const void *)ad->object;
        CHECK_WEBHOOKS(v, &causes);
    }
    if (!causes.n) return ADMISSION_OK;
    OWN(buf_done) struct buf b = {0};
    const char *message =
        arena_printf(ad->a, "%s.%s \"%s\" is invalid: %s: %s", ad->kind->kind, ad->kind->group,
                     ad->name, causes.v[0].field, causes.v[0].message);
    failure_encode(&b, ERR_INVALID,
                   &(struct failure){.message = message,
                                     .name = ad->name,
                                     .group = ad->kind->group,
                                     .kind = ad->kind->kind,
                                     .causes = &causes});
    ad->refusal = slice_from(arena_copy(ad->a, b.p, b.n), b.n);
    ad->refusal_code = err_http(ERR_INVALID);
    return err_set(&ad->err, ERR_INVALID, "%s", message);
}

#define CONDITIONS_PLUGIN(symbol, resource)                                                        \
    static const struct admission_plugin symbol = {.name = "MatchConditions",                      \
                                                   .order = ORDER_VALIDATING_POLICY,               \
                                                   .operations = ADMIT_CREATE | ADMIT_UPDATE,      \
                                                   .group = "admissionregistration.k8s.io",        \
                                                   .plural = resource,                             \
                                                   .validate = check_webhooks};                    \
    ADMISSION_PLUGIN(symbol)
CONDITIONS_PLUGIN(mutating_conditions, "mutatingwebhookconfigurations");
CONDITIONS_PLUGIN(validating_conditions, "validatingwebhookconfigurations");
