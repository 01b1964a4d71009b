/* The type checker: gives every node its type, every name its place and every call its overloads
 * (cel-spec, "Gradual Type Checking"). */
#include <errno.h>

#include "base/own.h"
#include "cel/internal.h"

struct scope {
    struct slice name;
    const struct cel_type *type;
};

struct checker {
    struct cel_source *s;
    struct arena *a;
    const struct cel_env *env;
    struct cel_program *program;
    struct cel_trail trail;
    struct scope locals[CEL_LOCALS_MAX];
    unsigned n_locals;
    bool mixed; /* the next list may hold anything: it is the argument of format() */
    struct cel_type *a_param, *b_param; /* of the signature that is being tried */
};

static const struct cel_type *check(struct checker *c, struct cel_node *n);

static const struct cel_type *dyn(void) { return cel_type(CEL_DYN); }

static const char *text(struct checker *c, const struct cel_type *t) {
    return cel_type_text(c->a, t);
}

static const struct cel_type *wrong(struct checker *c) { return cel_type(CEL_ERROR); }

/* ---- calls ---- */

/* A type of a signature, with fresh variables for its own. */
static const struct cel_type *instance(struct checker *c, const struct cel_type *t) {
    if (t->kind == CEL_PARAM) {
        struct cel_type **mine = t->name[0] == 'A' ? &c->a_param : &c->b_param;
        if (!*mine) *mine = cel_param(c->a);
        return *mine;
    }
    if (!t->elem || t == cel_type(t->kind)) return t;
    struct cel_type *made = ARENA_NEW(c->a, struct cel_type);
    *made = *t;
    made->elem = instance(c, t->elem);
    if (t->key) made->key = instance(c, t->key);
    return made;
}

/* Whether the overload takes these; *ret_result then is what it gives. */
static bool fits(struct checker *c, const struct cel_overload *o,
                 const struct cel_type *const *args, const struct cel_type **ret_result) {
    c->a_param = c->b_param = NULL;
    for (unsigned i = 0; i < o->n; i++)
        if (!cel_assign(&c->trail, instance(c, o->args[i]), args[i])) return false;
    *ret_result = instance(c, o->result);
    return true;
}

static bool same(const struct cel_type *x, const struct cel_type *y, unsigned depth) {
    x = cel_actual(x);
    y = cel_actual(y);
    if (x == y) return true;
    if (x->kind != y->kind || x->kind == CEL_PARAM || depth > 32) return false;
    if (x->kind == CEL_OBJECT) return x->field == y->field && x->source == y->source;
    if (!x->elem != !y->elem || !x->key != !y->key) return false;
    return (!x->elem || same(x->elem, y->elem, depth + 1)) &&
           (!x->key || same(x->key, y->key, depth + 1));
}

static const struct cel_type *no_overload(struct checker *c, const struct cel_node *n, bool member,
                                          const struct cel_type *const *args, size_t n_args) {
    OWN(buf_done) struct buf b = {0};
    for (size_t i = 0; i < n_args; i++) {
        if (args[i]->kind == CEL_ERROR) return wrong(c); /* said already */
        if (i == 0 && member) {
            buf_printf(&b, "%s.(", text(c, args[0]));
            continue;
        }
        buf_printf(&b, "%s%s", i == (member ? 1U : 0U) ? (member ? "" : "(") : ", ",
                   text(c, args[i]));
    }
    buf_str(&b, n_args == 0 ? "()" : ")");
    cel_issue(c->s, n->at, "found no matching overload for '%.*s' applied to '%s'", (int)n->name.n,
              n->name.p, b.p);
    return wrong(c);
}

/* Chooses among the overloads of n->name those that may fit the arguments. */
static const struct cel_type *resolve(struct checker *c, struct cel_node *n, bool member,
                                      const struct cel_type *const *args, size_t n_args) {
    struct {
        const struct cel_overload **v;
        size_t n;
    } found = {0};
    const struct cel_type *result = NULL, *one;
    for (const struct cel_overload *o = cel_overloads(n->name); o; o = o->next) {
        size_t mark = c->trail.n;
        if (o->member != member || o->n != n_args) continue;
        if (!fits(c, o, args, &one)) {
            cel_trail_undo(&c->trail, mark);
            continue;
        }
        *ARENA_PUSH(c->a, &found) = o;
        if (!result) {
            result = one;
            continue;
        }
        /* What the first one bound stays; the rest only may fit at run time. */
        bool agrees = same(result, one, 0);
        cel_trail_undo(&c->trail, mark);
        if (!agrees) result = dyn();
    }
    if (!result) return no_overload(c, n, member, args, n_args);
    n->overloads = found.v;
    n->n_overloads = found.n;
    return result;
}

static const struct cel_type *check_args(struct checker *c, struct cel_node *n, bool member) {
    const struct cel_type *args[CEL_ARGS_MAX];
    size_t k = 0;
    if (n->args.n + member > CEL_ARGS_MAX) {
        cel_issue(c->s, n->at, "too many arguments");
        return wrong(c);
    }
    if (member) args[k++] = check(c, n->target);
    for (size_t i = 0; i < n->args.n; i++) {
        c->mixed = member && n->args.v[i]->kind == NODE_LIST && slice_is(n->name, "format");
        args[k++] = check(c, n->args.v[i]);
    }
    for (size_t i = 0; i < k; i++)
        if (args[i]->kind == CEL_ERROR) return wrong(c);
    return resolve(c, n, member, args, k);
}

/* type(x) has x's type as its value. */
static const struct cel_type *check_call(struct checker *c, struct cel_node *n) {
    if (n->target && n->target->kind == NODE_IDENT) {
        const char *full = arena_printf(c->a, "%.*s.%.*s", (int)n->target->name.n,
                                        n->target->name.p, (int)n->name.n, n->name.p);
        if (cel_overloads(slice_of(full))) {
            n->name = slice_of(full);
            n->target = NULL;
        }
    }
    if (!cel_overloads(n->name)) {
        for (size_t i = 0; i < n->args.n; i++) check(c, n->args.v[i]);
        if (n->target && check(c, n->target)->kind == CEL_ERROR) return wrong(c);
        cel_issue(c->s, n->at, "undeclared reference to '%.*s' (in container '')", (int)n->name.n,
                  n->name.p);
        return wrong(c);
    }
    return check_args(c, n, n->target != NULL);
}

/* ---- names ---- */

static const struct cel_type *type_name(struct slice name) {
    static const enum cel_kind kinds[] = {CEL_BOOL,   CEL_INT,   CEL_UINT,    CEL_DOUBLE,
                                          CEL_STRING, CEL_BYTES, CEL_LIST,    CEL_MAP,
                                          CEL_NULL,   CEL_TYPE,  CEL_OPTIONAL};
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
        if (slice_is(name, cel_kind_name(kinds[i]))) return cel_type(kinds[i]);
    return NULL;
}

static const struct cel_type *check_ident(struct checker *c, struct cel_node *n) {
    for (unsigned i = c->n_locals; i-- > 0;) {
        if (!slice_eq(c->locals[i].name, n->name)) continue;
        n->local = true;
        n->slot = i;
        return c->locals[i].type;
    }
    for (size_t i = c->env->n; i-- > 0;) {
        if (!slice_is(n->name, c->env->v[i].name)) continue;
        n->slot = (unsigned)i;
        c->program->used[i] = true;
        return c->env->v[i].type;
    }
    const struct cel_type *t = type_name(n->name);
    if (t) {
        n->kind = NODE_LITERAL;
        n->value = (struct cel_value){.kind = CEL_TYPE, .type = t};
        return cel_type(CEL_TYPE);
    }
    cel_issue(c->s, n->at, "undeclared reference to '%.*s' (in container '')", (int)n->name.n,
              n->name.p);
    return wrong(c);
}

static const struct cel_type *field_type(struct checker *c, struct cel_node *n,
                                         const struct cel_type *t) {
    if (!t->field) return dyn();
    const struct cel_type *f = t->field(c->a, t, n->spelled);
    if (f) return f;
    n->name = cel_unescape_name(c->a, n->spelled);
    f = slice_eq(n->name, n->spelled) ? NULL : t->field(c->a, t, n->name);
    if (f) return f;
    cel_issue(c->s, n->at, "undefined field '%.*s'", (int)n->spelled.n, n->spelled.p);
    return wrong(c);
}

static bool is_type_path(const struct cel_node *n, const char *last) {
    return slice_is(n->name, last) && n->target->kind == NODE_SELECT &&
           slice_is(n->target->name, "protobuf") && n->target->target->kind == NODE_IDENT &&
           slice_is(n->target->target->name, "google");
}

static const struct cel_type *check_select(struct checker *c, struct cel_node *n) {
    bool timestamp = is_type_path(n, "Timestamp");
    if (n->kind == NODE_SELECT && (timestamp || is_type_path(n, "Duration"))) {
        n->kind = NODE_LITERAL;
        n->value = (struct cel_value){.kind = CEL_TYPE,
                                      .type = cel_type(timestamp ? CEL_TIMESTAMP : CEL_DURATION)};
        return cel_type(CEL_TYPE);
    }
    const struct cel_type *t = cel_actual(check(c, n->target)), *f;
    bool optional = n->optional_select;
    if (t->kind == CEL_AUTHORIZER && n->kind == NODE_SELECT &&
        slice_is(n->name, "requestResource")) {
        n->kind = NODE_CALL;
        return resolve(c, n, true, &t, 1);
    }
    if (t->kind == CEL_OPTIONAL) {
        optional = true;
        t = cel_actual(t->elem);
    }
    switch (t->kind) {
    case CEL_ERROR: return t;
    case CEL_OBJECT: f = field_type(c, n, t); break;
    case CEL_MAP: f = t->elem; break;
    case CEL_DYN:
    case CEL_PARAM: f = dyn(); break;
    default:
        cel_issue(c->s, n->at, "type '%s' does not support field selection", text(c, t));
        return wrong(c);
    }
    if (f->kind == CEL_ERROR) return f;
    if (n->kind == NODE_HAS) return cel_type(CEL_BOOL);
    return optional && cel_actual(f)->kind != CEL_OPTIONAL ? cel_optional_type(c->a, f) : f;
}

/* ---- literals of lists and maps ---- */

/* All elements have one type, unless dyn() says otherwise; `?e` stands for what is in e. */
static void join(struct checker *c, struct cel_node *e, bool optional,
                 const struct cel_type **joined) {
    const struct cel_type *t = cel_actual(check(c, e));
    if (optional && t->kind == CEL_OPTIONAL)
        t = cel_actual(t->elem);
    else if (optional && t->kind != CEL_DYN && t->kind != CEL_ERROR) {
        cel_issue(c->s, e->at, "expected type 'optional_type' but found '%s'", text(c, t));
        return;
    }
    size_t mark = c->trail.n;
    if (!*joined)
        *joined = t;
    else if (!cel_assign(&c->trail, *joined, t)) {
        cel_trail_undo(&c->trail, mark);
        cel_issue(c->s, e->at, "expected type '%s' but found '%s'", text(c, *joined), text(c, t));
    } else if (t->kind == CEL_DYN)
        *joined = t;
}

static const struct cel_type *check_list(struct checker *c, struct cel_node *n) {
    const struct cel_type *elem = NULL;
    bool mixed = c->mixed;
    c->mixed = false;
    for (size_t i = 0; mixed && i < n->args.n; i++) check(c, n->args.v[i]);
    if (mixed) return cel_list_type(c->a, dyn());
    for (size_t i = 0; i < n->args.n; i++)
        join(c, n->args.v[i], n->optional && n->optional[i], &elem);
    return cel_list_type(c->a, elem ? elem : cel_param(c->a));
}

static const struct cel_type *check_map(struct checker *c, struct cel_node *n) {
    const struct cel_type *key = NULL, *value = NULL;
    for (size_t i = 0; i + 1 < n->args.n; i += 2) {
        join(c, n->args.v[i], false, &key);
        join(c, n->args.v[i + 1], n->optional && n->optional[i / 2], &value);
    }
    return cel_map_type(c->a, key ? key : cel_param(c->a), value ? value : cel_param(c->a));
}

/* ---- macros ---- */

static bool push_local(struct checker *c, struct cel_node *n, struct slice name,
                       const struct cel_type *type) {
    if (c->n_locals == CEL_LOCALS_MAX) {
        cel_issue(c->s, n->at, "macros nest too deeply");
        return false;
    }
    c->locals[c->n_locals++] = (struct scope){name, type};
    if (c->n_locals > c->program->n_locals) c->program->n_locals = c->n_locals;
    return true;
}

/* Types of the variables that walk over a range. */
static bool range_types(struct checker *c, struct cel_node *n, const struct cel_type *t,
                        const struct cel_type *types[2]) {
    switch (t->kind) {
    case CEL_LIST:
        types[0] = n->n_vars == 2 ? cel_type(CEL_INT) : t->elem;
        types[1] = t->elem;
        return true;
    case CEL_MAP:
        types[0] = t->key;
        types[1] = t->elem;
        return true;
    case CEL_DYN:
    case CEL_PARAM: types[0] = types[1] = dyn(); return true;
    case CEL_ERROR: return false;
    default:
        cel_issue(c->s, n->target->at,
                  "expression of type '%s' cannot be range of a comprehension (must be list, map, "
                  "or dynamic)",
                  text(c, t));
        return false;
    }
}

static bool want_bool(struct checker *c, struct cel_node *e, const char *operator_name,
                      const char *before, const char *after) {
    const struct cel_type *t = check(c, e);
    if (t->kind == CEL_ERROR) return false;
    if (cel_assign(&c->trail, cel_type(CEL_BOOL), t)) return true;
    cel_issue(c->s, e->at, "found no matching overload for '%s' applied to '(%s%s%s)'",
              operator_name, before, text(c, t), after);
    return false;
}

static const struct cel_type *macro_result(struct checker *c, struct cel_node *n,
                                           const struct cel_type *const types[2],
                                           const struct cel_type *range) {
    struct cel_node *condition = n->args.v[0];
    switch (n->kind) {
    case NODE_ALL: want_bool(c, condition, "_&&_", "bool, ", ""); return cel_type(CEL_BOOL);
    case NODE_EXISTS: want_bool(c, condition, "_||_", "bool, ", ""); return cel_type(CEL_BOOL);
    case NODE_EXISTS_ONE:
        want_bool(c, condition, "_?_:_", "", ", int, int");
        return cel_type(CEL_BOOL);
    default: break;
    }
    if (condition) want_bool(c, condition, "_?_:_", "", ", list, list");
    const struct cel_type *made = n->args.v[1] ? check(c, n->args.v[1]) : types[0];
    if (made->kind == CEL_ERROR) return made;
    if (n->kind == NODE_COLLECT_MAP)
        return cel_map_type(c->a, range->kind == CEL_MAP ? range->key : types[0], made);
    return cel_list_type(c->a, made);
}

static const struct cel_type *check_macro(struct checker *c, struct cel_node *n) {
    const struct cel_type *types[2], *t = cel_actual(check(c, n->target)), *result = wrong(c);
    unsigned outer = c->n_locals;
    bool ok = range_types(c, n, t, types);
    n->slot = outer;
    for (unsigned i = 0; ok && i < n->n_vars; i++) ok = push_local(c, n, n->vars[i], types[i]);
    if (ok) result = macro_result(c, n, types, t);
    c->n_locals = outer;
    return result;
}

static const struct cel_type *check_bind(struct checker *c, struct cel_node *n) {
    const struct cel_type *t = check(c, n->args.v[0]), *result = wrong(c);
    unsigned outer = c->n_locals;
    n->slot = outer;
    if (push_local(c, n, n->vars[0], t)) result = check(c, n->args.v[1]);
    c->n_locals = outer;
    return result;
}

static const struct cel_type *check_opt_map(struct checker *c, struct cel_node *n) {
    const struct cel_type *t = cel_actual(check(c, n->target)), *result = wrong(c);
    unsigned outer = c->n_locals;
    if (t->kind == CEL_ERROR) return t;
    if (t->kind != CEL_OPTIONAL && t->kind != CEL_DYN) {
        cel_issue(c->s, n->at, "found no matching overload for '%.*s' applied to '%s'",
                  (int)n->name.n, n->name.p, text(c, t));
        return result;
    }
    n->slot = outer;
    if (push_local(c, n, n->vars[0], t->kind == CEL_DYN ? t : t->elem))
        result = check(c, n->args.v[0]);
    c->n_locals = outer;
    if (result->kind == CEL_ERROR || n->kind == NODE_OPT_FLAT_MAP) return result;
    return cel_optional_type(c->a, result);
}

static const struct cel_type *literal_type(const struct cel_node *n) {
    return cel_type(n->value.kind);
}

static const struct cel_type *check_kind(struct checker *c, struct cel_node *n) {
    switch (n->kind) {
    case NODE_LITERAL: return literal_type(n);
    case NODE_IDENT: return check_ident(c, n);
    case NODE_SELECT:
    case NODE_HAS: return check_select(c, n);
    case NODE_CALL: return check_call(c, n);
    case NODE_AND:
    case NODE_OR:
    case NODE_CHOICE: return check_args(c, n, false);
    case NODE_LIST: return check_list(c, n);
    case NODE_MAP: return check_map(c, n);
    case NODE_BIND: return check_bind(c, n);
    case NODE_OPT_MAP:
    case NODE_OPT_FLAT_MAP: return check_opt_map(c, n);
    default: return check_macro(c, n);
    }
}

static const struct cel_type *check(struct checker *c, struct cel_node *n) {
    n->type = cel_actual(check_kind(c, n));
    return n->type;
}

int cel_check(struct cel_source *s, const struct cel_env *env, struct cel_program *program) {
    struct checker *c = ARENA_NEW(s->a, struct checker);
    c->s = s;
    c->a = c->trail.a = s->a;
    c->env = env;
    c->program = program;
    program->used = ARENA_ARRAY(s->a, bool, env->n + 1);
    check(c, program->root);
    return s->n_issues ? -EINVAL : 0;
}
