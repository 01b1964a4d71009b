/*
 * ValidatingAdmissionPolicies, made ready for use: expressions compiled, rules and selectors worked
 * out once per change of a policy or binding, not per request. policy_compile.c: from a spec to
 * programs; policies.c: those of the cache; policy_params.c: parameters; policy.c: the plugin;
 * policy_kinds.c: defaults and validation of the two kinds; policy_status.c: type checking.
 */
#pragma once

#include "cel/cel.h"
#include "server/admission/match.h"

/* Places of the variables that expressions know. params is the last, since there need not be any.
 */
enum {
    POLICY_OBJECT,
    POLICY_OLD_OBJECT,
    POLICY_REQUEST,
    POLICY_NAMESPACE_OBJECT,
    POLICY_VARIABLES,
    POLICY_AUTHORIZER,
    POLICY_PARAMS,
    POLICY_VARIABLE_COUNT
};

/* MatchResources. */
struct policy_match {
    bool equivalent;
    struct match_rule *rules, *excluded;
    size_t n_rules, n_excluded;
    struct selector *namespaces, *objects;
};

struct policy_named { /* conditions, variables, audit annotations */
    const char *name;
    struct cel_program *program;
};
struct policy_named_list {
    struct policy_named *v;
    size_t n;
};

struct policy_validation {
    const char *expression, *message;
    struct cel_program *program, *message_program; /* the latter may be NULL */
    enum err_reason reason;
};

struct policy {
    const char *name;
    bool fail_open;
    const char *param_api_version, *param_kind; /* NULL: no parameters */
    struct policy_match match;
    struct policy_named_list conditions, variables, annotations;
    struct {
        struct policy_validation *v;
        size_t n;
    } validations;
    const char *broken; /* why it cannot be used; NULL: it can */
};

struct policy_binding {
    const char *name;
    const struct policy *policy; /* NULL: there is none of that name */
    bool deny, warn, audit;
    const struct policy_match *match;                        /* NULL: whatever the policy matches */
    const struct admissionregistration_v1_param_ref *params; /* NULL: none */
    struct selector *param_selector;                         /* NULL: by name */
};

/* Shared by the requests that use it, so that a change meanwhile does not matter to them. */
struct policies {
    unsigned refs;
    struct arena *a;
    uint64_t policies_changed, bindings_changed;
    struct {
        struct policy_binding *v;
        size_t n;
    } bindings; /* by name */
};

/* Those of the cache, a new reference; NULL when there are none. */
struct policies *policies_get(struct api *api);
void policies_unref(struct policies *p); /* NULL is allowed */
/* The form by which the request meets it; NULL: it does not. */
const struct api_kind *policy_matches(const struct policy_match *m, struct admission *ad);

/* ---- policy_compile.c ---- */

/* An expression that cannot be used. */
typedef void policy_problem_fn(void *user, const char *path, const char *expression,
                               const char *problem);
typedef struct admissionregistration_v1_validating_admission_policy_spec policy_spec;
/* Compiles all expressions of a spec. object and params: the types of those variables; NULL params:
 * no such variable. */
void policy_compile(struct arena *a, const policy_spec *spec, const struct cel_type *object,
                    const struct cel_type *params, struct policy *ret, policy_problem_fn *problem,
                    void *user);
/* The conditions of a webhook. */
void policy_compile_conditions(struct arena *a,
                               const struct admissionregistration_v1_match_condition_list *list,
                               const char *path, policy_problem_fn *problem, void *user);
/* The type of the variable `request`. */
const struct cel_type *policy_request_type(struct arena *a);

/* ---- policy_params.c ---- */

struct policy_params {
    struct slice *v; /* JSON */
    size_t n;
    bool none_needed; /* the binding names none: evaluate once, params is null */
};
/* < 0: they cannot be found out, *ret_problem says why. */
int policy_params(struct admission *ad, const struct policy_binding *b, struct policy_params *ret,
                  const char **ret_problem);
