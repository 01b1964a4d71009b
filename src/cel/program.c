/* Environments and programs. */
#include <assert.h>
#include <errno.h>

#include "base/own.h"
#include "base/regex.h"
#include "cel/internal.h"

struct cel_env *cel_env_new(struct arena *a) {
    struct cel_env *env = ARENA_NEW(a, struct cel_env);
    env->a = a;
    return env;
}

void cel_declare(struct cel_env *env, const char *name, const struct cel_type *type) {
    struct {
        struct cel_variable *v;
        size_t n;
    } list = {env->v, env->n};
    *ARENA_PUSH(env->a, &list) = (struct cel_variable){name, type};
    env->v = list.v;
    env->n = list.n;
}

/* Patterns that are literals are compiled now, and said to be wrong now. */
static void compile_patterns(struct cel_source *s, struct cel_node *n) {
    struct err err = {0};
    if (!n) return;
    compile_patterns(s, n->target);
    for (size_t i = 0; i < n->args.n; i++) compile_patterns(s, n->args.v[i]);
    size_t args = n->args.n + (n->target != NULL);
    if (n->kind != NODE_CALL || args != 2 || !slice_is(n->name, "matches")) return;
    struct cel_node *pattern = n->args.v[n->args.n - 1];
    if (pattern->kind != NODE_LITERAL || pattern->value.kind != CEL_STRING) return;
    if (regex_compile(s->a, cel_slice(pattern->value), &n->regex, &err) < 0)
        cel_issue(s, pattern->at, "invalid matches argument: %s", err.text);
}

int cel_compile(struct arena *a, const struct cel_env *env, const char *source,
                struct cel_program **ret, const char **ret_problem) {
    struct cel_source s = {.a = a, .text = slice_of(source)};
    struct cel_program *program = ARENA_NEW(a, struct cel_program);
    program->env = env;
    program->root = cel_parse(&s);
    if (program->root && cel_check(&s, env, program) == 0) compile_patterns(&s, program->root);
    if (!program->root || s.n_issues) {
        if (ret_problem) *ret_problem = cel_issues_text(&s);
        return -EINVAL;
    }
    *ret = program;
    return 0;
}

const struct cel_type *cel_program_type(const struct cel_program *p) {
    const struct cel_type *t = cel_actual(p->root->type);
    return t->kind == CEL_PARAM ? cel_type(CEL_DYN) : t;
}

bool cel_program_uses(const struct cel_program *p, const char *variable) {
    for (size_t i = 0; i < p->env->n; i++)
        if (str_eq(p->env->v[i].name, variable) && p->used[i]) return true;
    return false;
}

int cel_eval(const struct cel_program *p, struct cel_run *run, struct cel_value *ret,
             const char **ret_problem) {
    assert(run->n_vars >= p->env->n);
    struct cel_value *outer = run->locals;
    if (run->exhausted || run->depth > 32) {
        if (ret_problem) *ret_problem = CEL_OUT_OF_BUDGET;
        return -EINVAL;
    }
    if (!run->arena_limit) run->arena_limit = arena_used(run->a) + CEL_MEMORY_MAX;
    run->locals = ARENA_ARRAY(run->a, struct cel_value, p->n_locals + 1);
    /* One expression may use only so much of what there is for all of them. */
    uint64_t whole = run->budget, given = MIN_OF(whole, (uint64_t)CEL_COST_PER_CALL);
    if (run->depth == 0) run->budget = given;
    run->depth++;
    struct cel_value v = cel_node_value(run, p->root);
    run->depth--;
    run->locals = outer;
    if (run->depth == 0) run->budget = whole - (given - run->budget);
    if (v.kind == CEL_ERROR || run->exhausted) {
        if (run->exhausted) v = cel_exhausted();
        if (ret_problem) *ret_problem = arena_strn(run->a, cel_slice(v));
        return -EINVAL;
    }
    *ret = v;
    return 0;
}
