/* Tokens to tree, by precedence (cel-spec, "Syntax"). */
#include <string.h>

#include "base/own.h"
#include "cel/internal.h"

struct parser {
    struct cel_source *s;
    struct cel_lexer lexer;
    struct cel_token t; /* the next one */
    unsigned depth;
    bool failed;
};

static struct cel_node *expression(struct parser *p);

struct cel_node *cel_node_new(struct cel_source *s, enum cel_node_kind kind, uint32_t at) {
    struct cel_node *n = ARENA_NEW(s->a, struct cel_node);
    n->kind = kind;
    n->at = at;
    s->nodes++;
    return n;
}

static void advance(struct parser *p) {
    p->t = cel_lex(&p->lexer);
    if (p->t.kind == TOKEN_BAD) p->failed = true;
}

static struct cel_node *fail(struct parser *p, const char *why) {
    if (!p->failed) cel_issue(p->s, p->t.at, "Syntax error: %s", why);
    p->failed = true;
    return NULL;
}

static const char *shown(struct parser *p) {
    struct slice rest = slice_from(p->s->text.p + p->t.at, p->s->text.n - p->t.at);
    if (p->t.kind == TOKEN_END) return "<EOF>";
    if (p->t.text.n) return arena_strn(p->s->a, p->t.text);
    return arena_strn(p->s->a, slice_from(rest.p, MIN_OF(rest.n, (size_t)20)));
}

static bool at_operator(const struct parser *p, const char *text) {
    return p->t.kind == TOKEN_OPERATOR && slice_is(p->t.text, text);
}

static bool take(struct parser *p, const char *text) {
    if (!at_operator(p, text)) return false;
    advance(p);
    return true;
}

static bool expect(struct parser *p, const char *text) {
    if (p->failed) return false;
    if (take(p, text)) return true;
    fail(p, arena_printf(p->s->a, "mismatched input '%s' expecting '%s'", shown(p), text));
    return false;
}

static bool deeper(struct parser *p) {
    if (p->failed) return false;
    if (++p->depth > CEL_DEPTH_MAX) {
        fail(p, "expression recursion limit exceeded");
        return false;
    }
    if (p->s->nodes > CEL_NODES_MAX) {
        fail(p, "expression size exceeds limit");
        return false;
    }
    return true;
}

static void push(struct parser *p, struct cel_node *to, struct cel_node *arg) {
    *ARENA_PUSH(p->s->a, &to->args) = arg;
}

static struct cel_node *call(struct parser *p, const char *name, uint32_t at) {
    struct cel_node *n = cel_node_new(p->s, NODE_CALL, at);
    n->name = slice_of(name);
    return n;
}

static struct cel_node *call2(struct parser *p, const char *name, uint32_t at, struct cel_node *x,
                              struct cel_node *y) {
    struct cel_node *n = call(p, name, at);
    push(p, n, x);
    push(p, n, y);
    return n;
}

/* A list of expressions up to the closing operator, which is taken. With optional != NULL, `?`
 * before an element is allowed and noted. */
static bool elements(struct parser *p, struct cel_node *to, const char *close, bool optionals) {
    struct {
        bool *v;
        size_t n;
    } marks = {0};
    bool any = false;
    while (!p->failed && !at_operator(p, close)) {
        bool mark = optionals && take(p, "?");
        any |= mark;
        *ARENA_PUSH(p->s->a, &marks) = mark;
        struct cel_node *e = expression(p);
        if (!e) return false;
        push(p, to, e);
        if (!take(p, ",")) break;
    }
    if (any) to->optional = marks.v;
    return expect(p, close);
}

static struct cel_node *list(struct parser *p) {
    struct cel_node *n = cel_node_new(p->s, NODE_LIST, p->t.at);
    advance(p);
    return elements(p, n, "]", true) ? n : NULL;
}

static struct cel_node *map(struct parser *p) {
    struct cel_node *n = cel_node_new(p->s, NODE_MAP, p->t.at);
    struct {
        bool *v;
        size_t n;
    } marks = {0};
    bool any = false;
    advance(p);
    while (!p->failed && !at_operator(p, "}")) {
        bool mark = take(p, "?");
        any |= mark;
        *ARENA_PUSH(p->s->a, &marks) = mark;
        struct cel_node *key = expression(p);
        if (!key || !expect(p, ":")) return NULL;
        struct cel_node *value = expression(p);
        if (!value) return NULL;
        push(p, n, key);
        push(p, n, value);
        if (!take(p, ",")) break;
    }
    if (any) n->optional = marks.v;
    return expect(p, "}") ? n : NULL;
}

static bool reserved(struct slice name) {
    static const char *const words[] = {
        "as",  "break", "const",   "continue",  "else",   "for", "function", "if",    "import",
        "let", "loop",  "package", "namespace", "return", "var", "void",     "while", "in"};
    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        if (slice_is(name, words[i])) return true;
    return false;
}

static struct cel_node *literal(struct parser *p, struct cel_value v, uint32_t at) {
    struct cel_node *n = cel_node_new(p->s, NODE_LITERAL, at);
    n->value = v;
    return n;
}

static struct cel_node *identifier(struct parser *p) {
    static const struct {
        const char *word;
        struct cel_value value;
    } constants[] = {{"true", {.kind = CEL_BOOL, .b = true}},
                     {"false", {.kind = CEL_BOOL}},
                     {"null", {.kind = CEL_NULL}}};
    struct cel_token t = p->t;
    for (size_t i = 0; i < ARRAY_LEN(constants); i++) {
        if (!slice_is(t.text, constants[i].word)) continue;
        advance(p);
        return literal(p, constants[i].value, t.at);
    }
    if (slice_is(t.text, "in"))
        return fail(p, arena_printf(p->s->a, "mismatched input 'in' expecting an expression"));
    if (reserved(t.text))
        return fail(p,
                    arena_printf(p->s->a, "reserved identifier: %s", arena_strn(p->s->a, t.text)));
    advance(p);
    if (at_operator(p, "(")) {
        struct cel_node *n = cel_node_new(p->s, NODE_CALL, p->t.at);
        n->name = t.text;
        advance(p);
        return elements(p, n, ")", false) ? cel_expand(p->s, n) : NULL;
    }
    if (at_operator(p, "{"))
        return fail(p, arena_printf(p->s->a, "messages cannot be made here: %s",
                                    arena_strn(p->s->a, t.text)));
    struct cel_node *n = cel_node_new(p->s, NODE_IDENT, t.at);
    n->name = t.text;
    return n;
}

static struct cel_node *primary(struct parser *p) {
    if (p->t.kind == TOKEN_LITERAL) {
        struct cel_token t = p->t;
        if (t.value.kind == CEL_INT && t.value.u == (uint64_t)INT64_MAX + 1)
            return fail(p, "invalid int literal");
        advance(p);
        return literal(p, t.value, t.at);
    }
    if (p->t.kind == TOKEN_IDENT) return identifier(p);
    if (at_operator(p, "[")) return list(p);
    if (at_operator(p, "{")) return map(p);
    if (take(p, ".")) {
        if (p->t.kind == TOKEN_IDENT) return identifier(p);
    } else if (take(p, "(")) {
        struct cel_node *n = expression(p);
        return n && expect(p, ")") ? n : NULL;
    }
    return fail(p,
                arena_printf(p->s->a, "mismatched input '%s' expecting an expression", shown(p)));
}

/* Behind a dot: a field, or the call of a member function. */
static struct cel_node *member(struct parser *p, struct cel_node *target, uint32_t at) {
    bool optional = take(p, "?");
    struct slice name = p->t.text;
    if (p->t.kind != TOKEN_IDENT)
        return fail(p, arena_printf(p->s->a, "no viable alternative at input '.%s'", shown(p)));
    if (slice_is(name, "in") || slice_is(name, "true") || slice_is(name, "false") ||
        slice_is(name, "null"))
        return fail(p, arena_printf(p->s->a, "no viable alternative at input '.%s'", shown(p)));
    advance(p);
    if (!optional && at_operator(p, "(")) {
        struct cel_node *n = cel_node_new(p->s, NODE_CALL, p->t.at);
        n->name = name;
        n->target = target;
        advance(p);
        return elements(p, n, ")", false) ? cel_expand(p->s, n) : NULL;
    }
    struct cel_node *n = cel_node_new(p->s, NODE_SELECT, at);
    n->spelled = name;
    n->name = name;
    n->target = target;
    n->optional_select = optional;
    return n;
}

static struct cel_node *postfix(struct parser *p) {
    struct cel_node *n = primary(p);
    unsigned outer = p->depth;
    while (n && !p->failed && deeper(p)) {
        uint32_t at = p->t.at;
        if (take(p, ".")) {
            n = member(p, n, at);
        } else if (take(p, "[")) {
            bool optional = take(p, "?");
            struct cel_node *index = expression(p);
            if (!index || !expect(p, "]")) return NULL;
            n = call2(p, optional ? "_[?_]" : "_[_]", at, n, index);
        } else {
            break;
        }
    }
    p->depth = outer;
    return p->failed ? NULL : n;
}

static struct cel_node *unary(struct parser *p) {
    static const char *const operators[] = {"!", "-"}, *const names[] = {"!_", "-_"};
    for (size_t i = 0; i < 2; i++) {
        uint32_t at = p->t.at;
        if (!take(p, operators[i])) continue;
        /* The least int has no positive of its own. */
        if (i == 1 && p->t.kind == TOKEN_LITERAL &&
            (p->t.value.kind == CEL_INT || p->t.value.kind == CEL_DOUBLE)) {
            if (p->t.value.kind == CEL_INT)
                p->t.value.u = 0 - p->t.value.u;
            else
                p->t.value.d = -p->t.value.d;
            if (p->t.value.kind == CEL_INT && p->t.value.i == INT64_MIN) {
                struct cel_node *least = literal(p, p->t.value, at);
                advance(p);
                return least;
            }
            return postfix(p);
        }
        if (!deeper(p)) return NULL;
        struct cel_node *what = unary(p), *n = call(p, names[i], at);
        p->depth--;
        if (!what) return NULL;
        push(p, n, what);
        return n;
    }
    return postfix(p);
}

struct binary {
    const char *text, *name;
};
static const struct binary products[] = {{"*", "_*_"}, {"/", "_/_"}, {"%", "_%_"}, {0}};
static const struct binary sums[] = {{"+", "_+_"}, {"-", "_-_"}, {0}};
static const struct binary relations[] = {
    {"<=", "_<=_"}, {"<", "_<_"},   {">=", "_>=_"}, {">", "_>_"},
    {"==", "_==_"}, {"!=", "_!=_"}, {"in", "@in"},  {0}};
static const struct binary *const levels[] = {relations, sums, products};

static const struct binary *operator_here(const struct parser *p, const struct binary *table) {
    for (; table->text; table++) {
        if (at_operator(p, table->text)) return table;
        if (p->t.kind == TOKEN_IDENT && table->text[0] == 'i' && slice_is(p->t.text, "in"))
            return table;
    }
    return NULL;
}

static struct cel_node *binary(struct parser *p, size_t level) {
    if (level == ARRAY_LEN(levels)) return unary(p);
    struct cel_node *x = binary(p, level + 1);
    const struct binary *op;
    unsigned outer = p->depth;
    while (x && (op = operator_here(p, levels[level]))) {
        uint32_t at = p->t.at;
        if (!deeper(p)) return NULL;
        advance(p);
        struct cel_node *y = binary(p, level + 1);
        x = y ? call2(p, op->name, at, x, y) : NULL;
    }
    p->depth = outer;
    return p->failed ? NULL : x;
}

/* A chain of && or || as a balanced tree, so that long ones nest little. */
static struct cel_node *balanced(struct parser *p, enum cel_node_kind kind, struct cel_node **v,
                                 const uint32_t *at, size_t n) {
    if (n == 1) return v[0];
    size_t half = (n + 1) / 2;
    struct cel_node *node = cel_node_new(p->s, kind, at[half - 1]);
    node->name = kind == NODE_AND ? SLICE("_&&_") : SLICE("_||_");
    push(p, node, balanced(p, kind, v, at, half));
    push(p, node, balanced(p, kind, v + half, at + half, n - half));
    return node;
}

static struct cel_node *logic(struct parser *p, bool either) {
    struct {
        struct cel_node **v;
        size_t n;
    } parts = {0};
    struct {
        uint32_t *v;
        size_t n;
    } at = {0};
    for (;;) {
        struct cel_node *x = either ? logic(p, false) : binary(p, 0);
        if (!x) return NULL;
        *ARENA_PUSH(p->s->a, &parts) = x;
        *ARENA_PUSH(p->s->a, &at) = p->t.at;
        if (!take(p, either ? "||" : "&&")) break;
    }
    return balanced(p, either ? NODE_OR : NODE_AND, parts.v, at.v, parts.n);
}

static struct cel_node *expression(struct parser *p) {
    if (!deeper(p)) return NULL;
    struct cel_node *x = logic(p, true);
    uint32_t at = p->t.at;
    if (x && take(p, "?")) {
        struct cel_node *n = cel_node_new(p->s, NODE_CHOICE, at);
        n->name = SLICE("_?_:_");
        struct cel_node *yes = logic(p, true);
        struct cel_node *no = yes && expect(p, ":") ? expression(p) : NULL;
        if (!no) return NULL;
        push(p, n, x);
        push(p, n, yes);
        push(p, n, no);
        x = n;
    }
    p->depth--;
    return p->failed ? NULL : x;
}

struct cel_node *cel_parse(struct cel_source *s) {
    struct parser p = {.s = s, .lexer = {.s = s, .p = s->text.p, .end = s->text.p + s->text.n}};
    if (s->text.n > CEL_EXPRESSION_MAX) {
        cel_issue(s, 0, "expression code point size exceeds limit: size: %zu, limit %d", s->text.n,
                  CEL_EXPRESSION_MAX);
        return NULL;
    }
    if (!cel_utf8_valid(s->text)) {
        cel_issue(s, 0, "Syntax error: the expression is no UTF-8");
        return NULL;
    }
    advance(&p);
    struct cel_node *n = expression(&p);
    if (n && p.t.kind != TOKEN_END)
        fail(&p, arena_printf(s->a, "extraneous input '%s' expecting <EOF>", shown(&p)));
    return s->n_issues ? NULL : n;
}
