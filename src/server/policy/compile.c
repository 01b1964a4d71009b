/* From the spec of a policy to programs: the environment that its expressions know. */
#include "base/own.h"
#include "server/policy/policy.h"

enum { KIND_BOOL = 1, KIND_STRING = 2, KIND_NULL = 4, KIND_ANY = 8 };

struct compiler {
    struct arena *a;
    struct cel_env *env;
    const struct policy_named_list *variables; /* compiled so far */
    policy_problem_fn *problem;
    void *user;
};

/* ---- types ---- */

struct member {
    const char *name;
    enum cel_kind kind;
    const struct member *of; /* of objects */
};

static const struct member gvk_members[] = {
    {"group", CEL_STRING, NULL}, {"version", CEL_STRING, NULL}, {"kind", CEL_STRING, NULL}, {0}};
static const struct member gvr_members[] = {{"group", CEL_STRING, NULL},
                                            {"version", CEL_STRING, NULL},
                                            {"resource", CEL_STRING, NULL},
                                            {0}};
static const struct member user_members[] = {{"username", CEL_STRING, NULL},
                                             {"uid", CEL_STRING, NULL},
                                             {"groups", CEL_LIST, NULL},
                                             {"extra", CEL_MAP, NULL},
                                             {0}};
static const struct member request_members[] = {{"kind", CEL_OBJECT, gvk_members},
                                                {"resource", CEL_OBJECT, gvr_members},
                                                {"subResource", CEL_STRING, NULL},
                                                {"requestKind", CEL_OBJECT, gvk_members},
                                                {"requestResource", CEL_OBJECT, gvr_members},
                                                {"requestSubResource", CEL_STRING, NULL},
                                                {"name", CEL_STRING, NULL},
                                                {"namespace", CEL_STRING, NULL},
                                                {"operation", CEL_STRING, NULL},
                                                {"userInfo", CEL_OBJECT, user_members},
                                                {"uid", CEL_STRING, NULL},
                                                {"dryRun", CEL_BOOL, NULL},
                                                {"options", CEL_DYN, NULL},
                                                {0}};

static const struct cel_type *member_type(struct arena *a, const struct cel_type *t,
                                          struct slice name) {
    const struct cel_type *strings;
    for (const struct member *m = t->source; m->name; m++) {
        if (!slice_is(name, m->name)) continue;
        switch (m->kind) {
        case CEL_OBJECT: return cel_object_type(a, m->name, member_type, m->of);
        case CEL_LIST: return cel_list_type(a, cel_type(CEL_STRING));
        case CEL_MAP:
            strings = cel_list_type(a, cel_type(CEL_STRING));
            return cel_map_type(a, cel_type(CEL_STRING), strings);
        default: return cel_type(m->kind);
        }
    }
    return NULL;
}

const struct cel_type *policy_request_type(struct arena *a) {
    return cel_object_type(a, "kubernetes.AdmissionRequest", member_type, request_members);
}

static const struct cel_type *variable_type(struct arena *a, const struct cel_type *t,
                                            struct slice name) {
    const struct policy_named_list *known = t->source;
    for (size_t i = 0; i < known->n; i++)
        if (slice_is(name, known->v[i].name))
            return known->v[i].program ? cel_program_type(known->v[i].program) : cel_type(CEL_DYN);
    return NULL;
}

static struct cel_env *environment(struct arena *a, const struct cel_type *object,
                                   const struct cel_type *params,
                                   const struct policy_named_list *variables) {
    const struct api_kind *ns = api_kind_by_name("", "v1", "Namespace");
    struct cel_env *env = cel_env_new(a);
    cel_declare(env, "object", object);
    cel_declare(env, "oldObject", object);
    cel_declare(env, "request", policy_request_type(a));
    cel_declare(env, "namespaceObject", cel_api_type(a, ns->type));
    cel_declare(env, "variables",
                cel_object_type(a, "kubernetes.variables", variable_type, variables));
    cel_declare(env, "authorizer", cel_type(CEL_AUTHORIZER));
    if (params) cel_declare(env, "params", params);
    return env;
}

/* ---- expressions ---- */

static const char *kinds_wanted(unsigned kinds) {
    if (kinds == KIND_BOOL) return "must evaluate to bool";
    return kinds == KIND_STRING ? "must evaluate to string"
                                : "must evaluate to one of string, null_type";
}

static bool gives(const struct cel_program *p, unsigned kinds) {
    switch (cel_program_type(p)->kind) {
    case CEL_BOOL: return kinds & (KIND_BOOL | KIND_ANY);
    case CEL_STRING: return kinds & (KIND_STRING | KIND_ANY);
    case CEL_NULL: return kinds & (KIND_NULL | KIND_ANY);
    case CEL_DYN: return true;
    default: return kinds & KIND_ANY;
    }
}

static struct cel_program *compile(struct compiler *c, const char *path, const char *expression,
                                   unsigned kinds) {
    struct cel_program *p = NULL;
    const char *why = NULL;
    if (str_empty(expression)) return NULL; /* told by validation */
    if (cel_compile(c->a, c->env, expression, &p, &why) < 0)
        c->problem(c->user, path, expression, arena_printf(c->a, "compilation failed: %s", why));
    else if (!gives(p, kinds))
        c->problem(c->user, path, expression, kinds_wanted(kinds));
    else
        return p;
    return NULL;
}

static enum err_reason reason_of(const char *s) {
    static const struct {
        const char *name;
        enum err_reason reason;
    } reasons[] = {{"Unauthorized", ERR_UNAUTHORIZED},
                   {"Forbidden", ERR_FORBIDDEN},
                   {"RequestEntityTooLarge", ERR_TOO_LARGE}};
    for (size_t i = 0; i < ARRAY_LEN(reasons); i++)
        if (str_eq(s, reasons[i].name)) return reasons[i].reason;
    return ERR_INVALID;
}

static void compile_validations(struct compiler *c, const policy_spec *spec, struct policy *ret) {
    for (size_t i = 0; i < spec->validations.n; i++) {
        const struct admissionregistration_v1_validation *v = &spec->validations.v[i];
        const char *at = arena_printf(c->a, "spec.validations[%zu]", i);
        struct policy_validation made = {.expression = v->expression, .message = v->message};
        made.program =
            compile(c, arena_printf(c->a, "%s.expression", at), v->expression, KIND_BOOL);
        made.message_program = compile(c, arena_printf(c->a, "%s.messageExpression", at),
                                       v->message_expression, KIND_STRING);
        made.reason = reason_of(v->reason);
        *ARENA_PUSH(c->a, &ret->validations) = made;
    }
}

static void compile_conditions(struct compiler *c,
                               const struct admissionregistration_v1_match_condition_list *list,
                               const char *path, struct policy_named_list *ret) {
    for (size_t i = 0; i < list->n; i++) {
        struct cel_program *p = compile(c, arena_printf(c->a, "%s[%zu].expression", path, i),
                                        list->v[i].expression, KIND_BOOL);
        *ARENA_PUSH(c->a, ret) = (struct policy_named){list->v[i].name, p};
    }
}

void policy_compile(struct arena *a, const policy_spec *spec, const struct cel_type *object,
                    const struct cel_type *params, struct policy *ret, policy_problem_fn *problem,
                    void *user) {
    struct compiler c = {.a = a, .problem = problem, .user = user};
    c.env = environment(a, object, params, &ret->variables);
    for (size_t i = 0; i < spec->variables.n; i++) {
        const struct admissionregistration_v1_variable *v = &spec->variables.v[i];
        struct cel_program *p = compile(&c, arena_printf(a, "spec.variables[%zu].expression", i),
                                        v->expression, KIND_ANY);
        *ARENA_PUSH(a, &ret->variables) = (struct policy_named){v->name, p};
    }
    compile_conditions(&c, &spec->match_conditions, "spec.matchConditions", &ret->conditions);
    compile_validations(&c, spec, ret);
    for (size_t i = 0; i < spec->audit_annotations.n; i++) {
        const struct admissionregistration_v1_audit_annotation *n = &spec->audit_annotations.v[i];
        struct cel_program *p =
            compile(&c, arena_printf(a, "spec.auditAnnotations[%zu].valueExpression", i),
                    n->value_expression, KIND_STRING | KIND_NULL);
        *ARENA_PUSH(a, &ret->annotations) = (struct policy_named){n->key, p};
    }
}

void policy_compile_conditions(struct arena *a,
                               const struct admissionregistration_v1_match_condition_list *list,
                               const char *path, policy_problem_fn *problem, void *user) {
    struct policy_named_list made = {0};
    struct compiler c = {.a = a, .problem = problem, .user = user};
    c.env = cel_env_new(a);
    cel_declare(c.env, "object", cel_type(CEL_DYN));
    cel_declare(c.env, "oldObject", cel_type(CEL_DYN));
    cel_declare(c.env, "request", policy_request_type(a));
    cel_declare(c.env, "authorizer", cel_type(CEL_AUTHORIZER));
    compile_conditions(&c, list, path, &made);
}
