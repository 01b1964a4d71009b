/* Macros: calls that stand for something else. */
#include "base/own.h"
#include "cel/internal.h"

struct macro {
    const char *name;
    size_t min, max; /* arguments */
    enum cel_node_kind kind;
    bool is_filter;
    unsigned vars; /* 0: one or two, as the number of arguments says */
};

/* Called on a range. Where max == min + 1, the additional argument is a second variable for all,
 * exists and existsOne, and a condition for the others. */
static const struct macro macros[] = {
    {"all", 2, 3, NODE_ALL, false, 0},
    {"exists", 2, 3, NODE_EXISTS, false, 0},
    {"exists_one", 2, 2, NODE_EXISTS_ONE, false, 1},
    {"existsOne", 2, 3, NODE_EXISTS_ONE, false, 0},
    {"filter", 2, 2, NODE_COLLECT, true, 1},
    {"map", 2, 3, NODE_COLLECT, false, 1},
    {"transformList", 3, 4, NODE_COLLECT, false, 2},
    {"transformMap", 3, 4, NODE_COLLECT_MAP, false, 2},
    {"optMap", 2, 2, NODE_OPT_MAP, false, 1},
    {"optFlatMap", 2, 2, NODE_OPT_FLAT_MAP, false, 1},
};

static struct cel_node *has(struct cel_source *s, struct cel_node *call) {
    struct cel_node *what = call->args.v[0];
    if (what->kind != NODE_SELECT || what->optional_select) {
        cel_issue(s, what->at, "invalid argument to has() macro");
        return call;
    }
    what->kind = NODE_HAS;
    what->at = call->at;
    return what;
}

static bool variable(struct cel_source *s, const struct cel_node *arg, struct cel_node *to) {
    if (arg->kind != NODE_IDENT) {
        cel_issue(s, arg->at, "argument must be a simple name");
        return false;
    }
    to->vars[to->n_vars++] = arg->name;
    return true;
}

static struct cel_node *bind(struct cel_source *s, struct cel_node *call) {
    struct cel_node *n = cel_node_new(s, NODE_BIND, call->at);
    if (!variable(s, call->args.v[0], n)) return call;
    *ARENA_PUSH(s->a, &n->args) = call->args.v[1];
    *ARENA_PUSH(s->a, &n->args) = call->args.v[2];
    return n;
}

static struct cel_node *range_macro(struct cel_source *s, const struct macro *m,
                                    struct cel_node *call) {
    struct cel_node *n = cel_node_new(s, m->kind, call->at);
    bool collects = m->kind == NODE_COLLECT || m->kind == NODE_COLLECT_MAP;
    unsigned vars = m->vars ? m->vars : (unsigned)call->args.n - 1;
    n->target = call->target;
    n->name = call->name;
    for (unsigned i = 0; i < vars; i++)
        if (!variable(s, call->args.v[i], n)) return call;
    struct cel_node *first = call->args.v[vars];
    struct cel_node *second = call->args.n > vars + 1 ? call->args.v[vars + 1] : NULL;
    if (!collects) {
        *ARENA_PUSH(s->a, &n->args) = first;
        return n;
    }
    *ARENA_PUSH(s->a, &n->args) = second || m->is_filter ? first : NULL;
    *ARENA_PUSH(s->a, &n->args) = m->is_filter ? NULL : second ? second : first;
    return n;
}

struct cel_node *cel_expand(struct cel_source *s, struct cel_node *call) {
    if (!call->target)
        return slice_is(call->name, "has") && call->args.n == 1 ? has(s, call) : call;
    if (call->target->kind == NODE_IDENT && slice_is(call->target->name, "cel") &&
        slice_is(call->name, "bind") && call->args.n == 3)
        return bind(s, call);
    for (size_t i = 0; i < ARRAY_LEN(macros); i++)
        if (slice_is(call->name, macros[i].name) && call->args.n >= macros[i].min &&
            call->args.n <= macros[i].max)
            return range_macro(s, &macros[i], call);
    return call;
}

/* Pairs as KEP-2876 has them. */
struct slice cel_unescape_name(struct arena *a, struct slice name) {
    static const struct {
        const char *escaped, *plain;
    } pairs[] = {
        {"__underscores__", "__"}, {"__dot__", "."}, {"__dash__", "-"}, {"__slash__", "/"}};
    static const char *const keywords[] = {
        "true",     "false",   "null",      "in",       "as",  "break",  "const",
        "continue", "else",    "for",       "function", "if",  "import", "let",
        "loop",     "package", "namespace", "return",   "var", "void",   "while"};
    for (size_t i = 0; i < ARRAY_LEN(keywords); i++)
        if (slice_eq(name, slice_of(arena_printf(a, "__%s__", keywords[i]))))
            return slice_of(keywords[i]);
    OWN(buf_done) struct buf b = {0};
    bool changed = false;
    for (size_t i = 0; i < name.n;) {
        struct slice rest = slice_from(name.p + i, name.n - i);
        size_t k = 0;
        while (k < ARRAY_LEN(pairs) && !slice_starts(rest, pairs[k].escaped)) k++;
        if (k < ARRAY_LEN(pairs)) {
            buf_str(&b, pairs[k].plain);
            i += slice_of(pairs[k].escaped).n;
            changed = true;
        } else {
            buf_char(&b, name.p[i++]);
        }
    }
    return changed ? slice_from(arena_strn(a, buf_view(&b)), b.n) : name;
}
