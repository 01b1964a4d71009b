/* Label selectors by their grammar, then field selectors. */
#include "api/values/selector.h"

#include <string.h>

#include "api/values/names.h"
#include "base/limits.h"
#include "base/own.h"

enum selector_operator {
    OPERATOR_IN,
    OPERATOR_NOT_IN,
    OPERATOR_EXISTS,
    OPERATOR_NOT_EXISTS,
    OPERATOR_GREATER,
    OPERATOR_LESS
};

struct selector_term {
    const char *key;
    enum selector_operator op;
    struct str_list values;
};

struct selector {
    bool nothing; /* matches nothing at all */
    struct selector_term *v;
    size_t n;
};

static bool integer_parse(const char *s, int64_t *ret) {
    bool negative = s && *s == '-';
    uint64_t v;
    if (!s || slice_u64(slice_of(s + negative), &v) < 0 || v > INT64_MAX) return false;
    *ret = negative ? -(int64_t)v : (int64_t)v;
    return true;
}

/* Key and values of one requirement; err gets upstream's wording without its path. */
static int term_check(struct arena *a, const struct selector_term *t, struct err *err) {
    const char *messages[NAME_MESSAGES_MAX];
    if (name_messages(a, NAME_QUALIFIED, t->key, messages))
        return err_set(err, ERR_BAD_REQUEST, "key: Invalid value: \"%s\": %s", t->key, messages[0]);
    if (t->op <= OPERATOR_NOT_IN && t->values.n == 0)
        return err_set(err, ERR_BAD_REQUEST,
                       "values: Invalid value: []: for 'in', 'notin' operators, values set can't "
                       "be empty");
    int64_t number;
    if (t->op >= OPERATOR_GREATER && !integer_parse(t->values.v[0], &number))
        return err_set(err, ERR_BAD_REQUEST,
                       "values[0]: Invalid value: \"%s\": for 'Gt', 'Lt' operators, the value must "
                       "be an integer",
                       str_or(t->values.v[0], ""));
    for (size_t i = 0; i < t->values.n; i++)
        if (name_messages(a, NAME_LABEL_VALUE, t->values.v[i], messages))
            return err_set(err, ERR_BAD_REQUEST, "values[%zu][%s]: Invalid value: \"%s\": %s", i,
                           t->key, t->values.v[i], messages[0]);
    return 0;
}

enum token {
    TOKEN_END,
    TOKEN_IDENTIFIER,
    TOKEN_COMMA,
    TOKEN_OPEN,
    TOKEN_CLOSE,
    TOKEN_NOT,
    TOKEN_EQUALS, /* = and == */
    TOKEN_NOT_EQUALS,
    TOKEN_GREATER,
    TOKEN_LESS,
    TOKEN_BAD
};

struct parser {
    struct arena *a;
    const char *p;
    enum token token;
    const char *text; /* of the token */
};

static bool is_special(char c) { return c && strchr("=!(),><", c); }
static bool is_blank(char c) { return c && strchr(" \t\r\n", c); }

static void advance(struct parser *p) {
    static const struct {
        const char *text;
        enum token token;
    } symbols[] = {
        {"==", TOKEN_EQUALS}, {"!=", TOKEN_NOT_EQUALS}, {"=", TOKEN_EQUALS},
        {"!", TOKEN_NOT},     {",", TOKEN_COMMA},       {"(", TOKEN_OPEN},
        {")", TOKEN_CLOSE},   {">", TOKEN_GREATER},     {"<", TOKEN_LESS},
    };
    while (is_blank(*p->p)) p->p++;
    p->text = "";
    p->token = TOKEN_END;
    if (!*p->p) return;
    for (size_t i = 0; i < ARRAY_LEN(symbols); i++) {
        if (!str_starts(p->p, symbols[i].text)) continue;
        p->token = symbols[i].token;
        p->text = symbols[i].text;
        p->p += strlen(symbols[i].text);
        return;
    }
    const char *start = p->p;
    while (*p->p && !is_special(*p->p) && !is_blank(*p->p)) p->p++;
    p->token = TOKEN_IDENTIFIER;
    p->text = arena_strn(p->a, slice_from(start, (size_t)(p->p - start)));
}

static int unexpected(const struct parser *p, const char *expected, struct err *err) {
    return err_set(err, ERR_BAD_REQUEST, "found '%s', expected: %s", p->text, expected);
}

static void values_add(struct parser *p, struct selector_term *t, const char *value) {
    for (size_t i = 0; i < t->values.n; i++)
        if (str_eq(t->values.v[i], value)) return;
    *ARENA_PUSH(p->a, &t->values) = value;
}

/* "(a,b,)": a missing identifier stands for the empty value. */
static int values_parse(struct parser *p, struct selector_term *t, struct err *err) {
    if (p->token != TOKEN_OPEN) return unexpected(p, "'('", err);
    advance(p);
    if (p->token == TOKEN_CLOSE) {
        advance(p);
        return 0;
    }
    for (;;) {
        const char *value = "";
        if (p->token == TOKEN_IDENTIFIER) {
            value = p->text;
            advance(p);
        } else if (p->token != TOKEN_COMMA && p->token != TOKEN_CLOSE)
            return unexpected(p, "',', ')' or identifier", err);
        if (t->values.n >= LIMIT_SELECTOR_TERMS)
            return err_set(err, ERR_BAD_REQUEST, "more than %d values", LIMIT_SELECTOR_TERMS);
        values_add(p, t, value);
        if (p->token == TOKEN_CLOSE) break;
        if (p->token != TOKEN_COMMA) return unexpected(p, "',' or ')'", err);
        advance(p);
    }
    advance(p);
    return 0;
}

static int value_parse(struct parser *p, struct selector_term *t, struct err *err) {
    const char *value = "";
    if (p->token == TOKEN_IDENTIFIER) {
        value = p->text;
        advance(p);
    } else if (p->token != TOKEN_END && p->token != TOKEN_COMMA)
        return unexpected(p, "identifier", err);
    values_add(p, t, value);
    return 0;
}

/* The operator that stands after the key; p moves past it. `list` says that "(…)" follows. */
static int operator_parse(struct parser *p, enum selector_operator *ret, bool *list,
                          struct err *err) {
    *list = p->token == TOKEN_IDENTIFIER;
    if (p->token == TOKEN_EQUALS || (*list && str_eq(p->text, "in")))
        *ret = OPERATOR_IN;
    else if (p->token == TOKEN_NOT_EQUALS || (*list && str_eq(p->text, "notin")))
        *ret = OPERATOR_NOT_IN;
    else if (p->token == TOKEN_GREATER)
        *ret = OPERATOR_GREATER;
    else if (p->token == TOKEN_LESS)
        *ret = OPERATOR_LESS;
    else
        return unexpected(p, "in, notin, =, ==, !=, gt, lt", err);
    advance(p);
    return 0;
}

static int requirement_parse(struct parser *p, struct selector_term *t, struct err *err) {
    bool negate = p->token == TOKEN_NOT, list;
    if (negate) advance(p);
    if (p->token != TOKEN_IDENTIFIER) return unexpected(p, "identifier", err);
    t->key = p->text;
    advance(p);
    if (negate || p->token == TOKEN_END || p->token == TOKEN_COMMA) {
        t->op = negate ? OPERATOR_NOT_EXISTS : OPERATOR_EXISTS;
        return term_check(p->a, t, err);
    }
    enum selector_operator op = OPERATOR_IN;
    int r = operator_parse(p, &op, &list, err);
    if (r < 0) return r;
    t->op = op;
    r = list ? values_parse(p, t, err) : value_parse(p, t, err);
    return r < 0 ? r : term_check(p->a, t, err);
}

int selector_parse(struct arena *a, const char *text, struct selector **ret, struct err *err) {
    struct selector *s = ARENA_NEW(a, struct selector);
    struct parser p = {.a = a, .p = text ? text : ""};
    advance(&p);
    while (p.token != TOKEN_END) {
        if (p.token != TOKEN_IDENTIFIER && p.token != TOKEN_NOT)
            return unexpected(
                &p, s->n ? "identifier after ','" : "!, identifier, or 'end of string'", err);
        if (s->n >= LIMIT_SELECTOR_TERMS)
            return err_set(err, ERR_BAD_REQUEST, "a selector may have at most %d requirements",
                           LIMIT_SELECTOR_TERMS);
        if (requirement_parse(&p, ARENA_PUSH(a, s), err) < 0)
            return err_wrap(err, "unable to parse requirement");
        if (p.token == TOKEN_END) break;
        if (p.token != TOKEN_COMMA) return unexpected(&p, "',' or 'end of string'", err);
        advance(&p);
        if (p.token == TOKEN_END) return unexpected(&p, "identifier after ','", err);
    }
    *ret = s;
    return 0;
}

struct selector *selector_from_map(struct arena *a, const struct str_map *m) {
    struct selector *s = ARENA_NEW(a, struct selector);
    s->v = ARENA_ARRAY(a, struct selector_term, m->n);
    for (size_t i = 0; i < m->n; i++) {
        struct selector_term *t = &s->v[s->n++];
        t->key = m->v[i].key;
        t->op = OPERATOR_IN;
        t->values.v = ARENA_ARRAY(a, const char *, 1);
        t->values.v[t->values.n++] = str_or(m->v[i].value, "");
    }
    return s;
}

int selector_from_labels(struct arena *a, const struct meta_v1_label_selector *ls,
                         struct selector **ret, struct err *err) {
    static const char *const operators[] = {"In", "NotIn", "Exists", "DoesNotExist"};
    if (!ls) {
        *ret = ARENA_NEW(a, struct selector);
        (*ret)->nothing = true;
        return 0;
    }
    struct selector *s = selector_from_map(a, &ls->match_labels);
    for (size_t i = 0; i < s->n; i++)
        if (term_check(a, &s->v[i], err) < 0) return err_code(ERR_BAD_REQUEST);
    struct selector_term *terms =
        ARENA_ARRAY(a, struct selector_term, s->n + ls->match_expressions.n);
    if (s->n) memcpy(terms, s->v, s->n * sizeof *terms);
    s->v = terms;
    for (size_t i = 0; i < ls->match_expressions.n; i++) {
        const struct meta_v1_label_selector_requirement *r = &ls->match_expressions.v[i];
        struct selector_term *t = &s->v[s->n++];
        size_t op = 0;
        while (op < ARRAY_LEN(operators) && !str_eq(operators[op], r->operator)) op++;
        if (op == ARRAY_LEN(operators))
            return err_set(err, ERR_BAD_REQUEST, "\"%s\" is not a valid label selector operator",
                           str_or(r->operator, ""));
        *t = (struct selector_term){str_or(r->key, ""), (enum selector_operator)op, r->values};
        if (term_check(a, t, err) < 0) return err_code(ERR_BAD_REQUEST);
    }
    *ret = s;
    return 0;
}

static bool term_matches(const struct selector_term *t, const struct str_map *labels) {
    const char *value = NULL;
    bool found = false;
    for (size_t i = 0; i < labels->n && !found; i++) {
        found = strcmp(labels->v[i].key, t->key) == 0;
        if (found) value = labels->v[i].value;
    }
    if (t->op == OPERATOR_EXISTS) return found;
    if (t->op == OPERATOR_NOT_EXISTS) return !found;
    if (t->op >= OPERATOR_GREATER) {
        int64_t have, want;
        if (!found || !integer_parse(value, &have) || !integer_parse(t->values.v[0], &want))
            return false;
        return t->op == OPERATOR_GREATER ? have > want : have < want;
    }
    bool in = false;
    for (size_t i = 0; found && i < t->values.n && !in; i++) in = str_eq(t->values.v[i], value);
    return t->op == OPERATOR_IN ? in : !in;
}

bool selector_matches(const struct selector *s, const struct str_map *labels) {
    if (s->nothing) return false;
    for (size_t i = 0; i < s->n; i++)
        if (!term_matches(&s->v[i], labels)) return false;
    return true;
}

bool selector_empty(const struct selector *s) { return !s->nothing && s->n == 0; }

/* The value with \\ \, \= taken back; NULL for another escape. */
static const char *unescape(struct arena *a, struct slice s) {
    char *out = arena_alloc(a, s.n + 1);
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '\\') {
            if (++i == s.n || !strchr("\\,=", s.p[i])) return NULL;
        } else if (s.p[i] == '=' || s.p[i] == ',')
            return NULL;
        out[n++] = s.p[i];
    }
    return out;
}

static int field_term_parse(struct arena *a, const char *text, struct slice part,
                            struct field_term *ret, struct err *err) {
    const char *equals = memchr(part.p, '=', part.n);
    if (!equals)
        return err_set(err, ERR_BAD_REQUEST, "invalid selector: '%s'; can't understand '%.*s'",
                       text, (int)part.n, part.p);
    size_t key_n = (size_t)(equals - part.p);
    struct slice value = slice_from(equals + 1, part.n - key_n - 1);
    ret->negate = key_n > 0 && equals[-1] == '!';
    if (ret->negate)
        key_n--;
    else if (value.n && value.p[0] == '=')
        value = slice_from(value.p + 1, value.n - 1);
    ret->path = arena_strn(a, slice_from(part.p, key_n));
    ret->value = unescape(a, value);
    if (!ret->value)
        return err_set(err, ERR_BAD_REQUEST,
                       "invalid field selector: invalid escape sequence: %.*s", (int)value.n,
                       value.p);
    return 0;
}

int field_selector_parse(struct arena *a, const char *text, struct field_terms *ret,
                         struct err *err) {
    struct field_terms terms = {0};
    const char *start = text ? text : "";
    for (const char *p = start;; p++) {
        if (*p == '\\' && p[1]) {
            p++;
            continue;
        }
        if (*p && *p != ',') continue;
        if (p > start) {
            if (terms.n >= LIMIT_SELECTOR_TERMS)
                return err_set(err, ERR_BAD_REQUEST, "a selector may have at most %d requirements",
                               LIMIT_SELECTOR_TERMS);
            struct slice part = slice_from(start, (size_t)(p - start));
            int r = field_term_parse(a, text, part, ARENA_PUSH(a, &terms), err);
            if (r < 0) return r;
        }
        if (!*p) break;
        start = p + 1;
    }
    *ret = terms;
    return 0;
}
