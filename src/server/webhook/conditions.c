/* matchConditions of webhooks: CEL over the request and its objects. */
#include "server/webhook/hooks.h"

#include "cel/cel.h"
#include "server/admission/authorizer.h"
#include "server/policy/policy.h"

/* Expressions know: object, oldObject, request, authorizer. */
struct webhook_conditions {
    struct {
        const char *name;
        struct cel_program *program;
    } * v;
    size_t n;
};

struct webhook_conditions *
webhook_conditions_new(struct arena *a,
                       const struct admissionregistration_v1_match_condition_list *list,
                       const char **ret_problem) {
    struct webhook_conditions *w = ARENA_NEW(a, struct webhook_conditions);
    struct cel_env *env = cel_env_new(a);
    cel_declare(env, "object", cel_type(CEL_DYN));
    cel_declare(env, "oldObject", cel_type(CEL_DYN));
    cel_declare(env, "request", policy_request_type(a));
    cel_declare(env, "authorizer", cel_type(CEL_AUTHORIZER));
    w->v = arena_array(a, list->n, sizeof *w->v);
    for (size_t i = 0; i < list->n; i++) {
        const char *problem = NULL;
        w->v[i].name = list->v[i].name;
        if (cel_compile(a, env, list->v[i].expression, &w->v[i].program, &problem) < 0) {
            *ret_problem = arena_printf(
                a, "matchConditions[%zu].expression: compilation failed: %s", i, problem);
            return NULL;
        }
        w->n++;
    }
    return w;
}

int webhook_conditions_hold(const struct webhook_conditions *w, struct admission *ad,
                            struct slice request, struct slice object, struct slice old,
                            const char **ret_problem) {
    const struct cel_type *dyn = cel_type(CEL_DYN);
    struct cel_value vars[] = {cel_json(ad->a, dyn, object), cel_json(ad->a, dyn, old),
                               cel_json(ad->a, policy_request_type(ad->a), request),
                               admission_authorizer(ad, ad->kind)};
    struct cel_run run = {.a = ad->a,
                          .vars = vars,
                          .n_vars = 4,
                          .budget = CEL_COST_BUDGET,
                          .authorize = admission_authorize,
                          .user = ad};
    int holds = 1;
    for (size_t i = 0; i < w->n; i++) {
        struct cel_value v;
        const char *problem = "the result is no bool";
        int r = cel_eval(w->v[i].program, &run, &v, &problem);
        if (r == 0 && v.kind == CEL_BOOL && !v.b) return 0; /* whatever the others are */
        if (r == 0 && v.kind == CEL_BOOL) continue;
        *ret_problem =
            arena_printf(ad->a, "expression '%s' resulted in error: %s", w->v[i].name, problem);
        holds = -1;
    }
    return holds;
}
