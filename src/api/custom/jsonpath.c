#include "api/custom/jsonpath.h"

#include <stdlib.h>

#include "base/own.h"

enum { DEPTH_MAX = 16, STEPS_MAX = 64, VISITS_MAX = 100 * 1000 };

enum step_kind { STEP_FIELD, STEP_ANY, STEP_SLICE, STEP_FILTER, STEP_DEEP };
enum operator{ OP_EXISTS, OP_EQ, OP_NE, OP_LT, OP_LE, OP_GT, OP_GE };

/* One side of a comparison: a path from the element, or a constant. */
struct operand {
    struct jsonpath *path;
    struct value constant;
};
struct step {
    enum step_kind kind;
    struct slice name; /* STEP_FIELD, STEP_DEEP */
    int64_t from, to;  /* STEP_SLICE; to INT64_MAX: to the end */
    enum operator op;
    struct operand left, right;
};
struct jsonpath {
    struct step *v;
    size_t n;
};

struct parser {
    struct arena *a;
    const char *p, *text;
    int depth;
    struct err *err;
};

static int path(struct parser *s, const char *stops, struct jsonpath *ret);

static int bad(struct parser *s, const char *why) {
    return err_set(s->err, ERR_INVALID, "%s at position %td of \"%s\"", why, s->p - s->text,
                   s->text);
}

static void spaces(struct parser *s) {
    while (*s->p == ' ') s->p++;
}

static bool number(struct parser *s, int64_t *ret) {
    char *end;
    if (*s->p != '-' && !(*s->p >= '0' && *s->p <= '9')) return false;
    long long v = strtoll(s->p, &end, 10);
    if (end == s->p) return false;
    s->p = end;
    *ret = v;
    return true;
}

/* After the opening quote. */
static int quoted(struct parser *s, char quote, struct slice *ret) {
    OWN(buf_done) struct buf b = {0};
    for (; *s->p && *s->p != quote; s->p++) {
        if (*s->p == '\\' && s->p[1]) s->p++;
        buf_char(&b, *s->p);
    }
    if (*s->p != quote) return bad(s, "unterminated string");
    s->p++;
    *ret = slice_from(arena_strn(s->a, buf_view(&b)), b.n);
    return 0;
}

static int operand(struct parser *s, struct operand *ret) {
    int64_t whole;
    int rc = 0;
    spaces(s);
    if (*s->p == '@' || *s->p == '$' || *s->p == '.') {
        ret->path = ARENA_NEW(s->a, struct jsonpath);
        rc = path(s, " =!<>)", ret->path);
    } else if (*s->p == '"' || *s->p == '\'') {
        char quote = *s->p++;
        ret->constant.kind = VALUE_STRING;
        rc = quoted(s, quote, &ret->constant.text);
    } else if (strncmp(s->p, "true", 4) == 0 || strncmp(s->p, "false", 5) == 0) {
        ret->constant = (struct value){.kind = VALUE_BOOL, .boolean = *s->p == 't'};
        s->p += *s->p == 't' ? 4 : 5;
    } else {
        const char *from = s->p;
        if (!number(s, &whole)) return bad(s, "unrecognized character");
        ret->constant = (struct value){.kind = VALUE_INT, .integer = whole};
        if (*s->p == '.') {
            char *end;
            ret->constant = (struct value){.kind = VALUE_DOUBLE, .number = strtod(from, &end)};
            s->p = end;
        }
    }
    spaces(s);
    return rc;
}

/* After "?(". */
static int filter(struct parser *s, struct step *step) {
    static const struct {
        const char *text;
        enum operator op;
    } operators[] = {{"==", OP_EQ}, {"!=", OP_NE}, {"<=", OP_LE},
                     {">=", OP_GE}, {"<", OP_LT},  {">", OP_GT}};
    step->kind = STEP_FILTER;
    step->op = OP_EXISTS;
    int rc = operand(s, &step->left);
    for (size_t i = 0; rc == 0 && i < ARRAY_LEN(operators); i++) {
        if (strncmp(s->p, operators[i].text, strlen(operators[i].text)) != 0) continue;
        s->p += strlen(operators[i].text);
        step->op = operators[i].op;
        rc = operand(s, &step->right);
        break;
    }
    if (rc == 0 && (s->p[0] != ')' || s->p[1] != ']')) rc = bad(s, "unterminated filter");
    if (rc == 0) s->p += 2;
    return rc;
}

/* [2], [-1], [1:3], [:2] */
static int range(struct parser *s, struct step *step) {
    step->kind = STEP_SLICE;
    step->to = INT64_MAX;
    bool from = number(s, &step->from);
    if (*s->p == ':') {
        s->p++;
        number(s, &step->to);
    } else if (!from) {
        return bad(s, "invalid array index");
    } else {
        step->to = step->from == -1 ? INT64_MAX : step->from + 1;
    }
    if (*s->p != ']') return bad(s, "unterminated array");
    s->p++;
    return 0;
}

/* After the opening bracket. */
static int bracket(struct parser *s, struct step *step) {
    int rc;
    if (*s->p == '\'' || *s->p == '"') {
        char quote = *s->p++;
        step->kind = STEP_FIELD;
        if ((rc = quoted(s, quote, &step->name)) < 0) return rc;
        if (*s->p != ']') return bad(s, "unterminated array");
        s->p++;
        return 0;
    }
    if (s->p[0] == '*' && s->p[1] == ']') {
        step->kind = STEP_ANY;
        s->p += 2;
        return 0;
    }
    if (s->p[0] == '?' && s->p[1] == '(') {
        s->p += 2;
        return filter(s, step);
    }
    return range(s, step);
}

static int field(struct parser *s, const char *stops, struct step *step) {
    OWN(buf_done) struct buf b = {0};
    while (*s->p && *s->p != '.' && *s->p != '[' && !strchr(stops, *s->p)) {
        if (*s->p == '\\' && s->p[1]) s->p++;
        buf_char(&b, *s->p++);
    }
    if (!b.n) return bad(s, "empty name");
    step->name = slice_from(arena_strn(s->a, buf_view(&b)), b.n);
    if (slice_is(step->name, "*")) step->kind = STEP_ANY;
    return 0;
}

static int path(struct parser *s, const char *stops, struct jsonpath *ret) {
    int rc = 0;
    if (++s->depth > DEPTH_MAX) return bad(s, "too deep");
    if (*s->p == '$' || *s->p == '@') s->p++;
    while (rc == 0 && *s->p && !strchr(stops, *s->p)) {
        if (ret->n >= STEPS_MAX) return bad(s, "too many steps");
        struct step *step = ARENA_PUSH(s->a, ret);
        if (*s->p == '[') {
            s->p++;
            rc = bracket(s, step);
        } else if (s->p[0] == '.' && s->p[1] == '.') {
            s->p += 2;
            step->kind = STEP_DEEP;
            rc = field(s, stops, step);
        } else if (*s->p == '.') {
            s->p++;
            if (!*s->p || *s->p == '[' || strchr(stops, *s->p))
                ret->n--; /* "." is the root, ".[0]" an element */
            else
                rc = field(s, stops, step);
        } else {
            rc = bad(s, "unrecognized character");
        }
    }
    s->depth--;
    return rc;
}

int jsonpath_parse(struct arena *a, const char *text, struct jsonpath **ret, struct err *err) {
    struct err own;
    struct parser s = {.a = a, .p = text, .text = text, .err = err ? err : &own};
    struct jsonpath *p = ARENA_NEW(a, struct jsonpath);
    int rc = path(&s, "", p);
    if (rc == 0) *ret = p;
    return rc;
}

bool jsonpath_is_simple(const char *text) {
    if (*text != '.') return false;
    for (const char *p = text + 1;; p++) {
        const char *from = p;
        while (*p && *p != '.' && !strchr("[]()*?@$ '\"", *p)) p++;
        if (p == from || (*p && *p != '.')) return false;
        if (!*p) return true;
    }
}

/* ---- evaluation: depth first, until one result ---- */

struct search {
    size_t visits;
};

static const struct value *walk(struct search *s, const struct step *v, size_t n,
                                const struct value *at);

static const struct value *resolve(struct search *s, const struct operand *o,
                                   const struct value *element) {
    return o->path ? walk(s, o->path->v, o->path->n, element) : &o->constant;
}

static int order(const struct value *x, const struct value *y) {
    if (x->kind == VALUE_STRING && y->kind == VALUE_STRING) {
        int c = memcmp(x->text.p, y->text.p, MIN_OF(x->text.n, y->text.n));
        return c ? c : (x->text.n > y->text.n) - (x->text.n < y->text.n);
    }
    double a = value_number(x), b = value_number(y);
    return (a > b) - (a < b);
}

static bool holds(struct search *s, const struct step *f, const struct value *element) {
    const struct value *x = resolve(s, &f->left, element);
    if (f->op == OP_EXISTS || !x) return x != NULL;
    const struct value *y = resolve(s, &f->right, element);
    if (!y) return false;
    switch (f->op) {
    case OP_EQ: return value_equal(x, y);
    case OP_NE: return !value_equal(x, y);
    case OP_LT: return order(x, y) < 0;
    case OP_LE: return order(x, y) <= 0;
    case OP_GT: return order(x, y) > 0;
    case OP_GE: return order(x, y) >= 0;
    case OP_EXISTS: break;
    }
    return true;
}

static const struct value *walk_items(struct search *s, const struct step *v, size_t n,
                                      const struct value *at) {
    int64_t len = (int64_t)at->items.n, from = 0, to = len;
    if (v->kind == STEP_SLICE) {
        from = v->from < 0 ? v->from + len : v->from;
        to = v->to < 0 ? v->to + len : MIN_OF(v->to, len);
    }
    for (int64_t i = MAX_OF(from, 0); i < to; i++) {
        const struct value *item = &at->items.v[i];
        if (v->kind == STEP_FILTER && !holds(s, v, item)) continue;
        const struct value *found = walk(s, v + 1, n - 1, item);
        if (found) return found;
    }
    return NULL;
}

static const struct value *walk_deep(struct search *s, const struct step *v, size_t n,
                                     const struct value *at) {
    const struct value *here = value_get(at, v->name), *found = NULL;
    if (++s->visits > VISITS_MAX) return NULL;
    if (here && (found = walk(s, v + 1, n - 1, here))) return found;
    for (size_t i = 0; at->kind == VALUE_OBJECT && !found && i < at->members.n; i++)
        found = walk_deep(s, v, n, &at->members.v[i].value);
    for (size_t i = 0; at->kind == VALUE_ARRAY && !found && i < at->items.n; i++)
        found = walk_deep(s, v, n, &at->items.v[i]);
    return found;
}

static const struct value *walk(struct search *s, const struct step *v, size_t n,
                                const struct value *at) {
    if (++s->visits > VISITS_MAX) return NULL;
    if (!n) return at;
    if (v->kind == STEP_DEEP) return walk_deep(s, v, n, at);
    if (v->kind == STEP_FIELD) {
        const struct value *member = value_get(at, v->name);
        return member ? walk(s, v + 1, n - 1, member) : NULL;
    }
    if (at->kind == VALUE_ARRAY) return walk_items(s, v, n, at);
    const struct value *found = NULL;
    for (size_t i = 0; v->kind != STEP_SLICE && at->kind == VALUE_OBJECT && i < at->members.n;
         i++) {
        const struct value *member = &at->members.v[i].value;
        if (v->kind == STEP_FILTER && !holds(s, v, member)) continue;
        if ((found = walk(s, v + 1, n - 1, member))) break;
    }
    return found;
}

const struct value *jsonpath_first(const struct jsonpath *p, const struct value *root) {
    struct search s = {0};
    return walk(&s, p->v, p->n, root);
}
