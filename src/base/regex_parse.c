/* Patterns to trees, by RE2's grammar. */
#include <errno.h>
#include <string.h>

#include "base/regex_program.h"

enum { FOLD = 1, MULTI_LINE = 2, DOT_ALL = 4, UNGREEDY = 8 };

struct parser {
    struct arena *a;
    struct err *err;
    const char *begin, *p, *end;
    unsigned flags, depth;
    int rc;
};

static struct regex_node *alternatives(struct parser *s);

static struct regex_node *fail(struct parser *s, const char *what, const char *from) {
    size_t n = (size_t)(s->end - from);
    if (s->rc == 0) {
        char shown[64] = "";
        size_t k = n < sizeof shown - 1 ? n : sizeof shown - 1;
        memcpy(shown, from, k);
        for (size_t i = 0; i < k; i++)
            if ((unsigned char)shown[i] < 32 || shown[i] == 127) shown[i] = '?';
        err_set(s->err, ERR_INVALID, "error parsing regexp: %s: `%s`", what, shown);
    }
    s->rc = -EINVAL;
    s->p = s->end;
    return NULL;
}

static bool more(const struct parser *s) { return s->p < s->end; }

static bool take(struct parser *s, const char *text) {
    size_t n = strlen(text);
    if ((size_t)(s->end - s->p) < n || memcmp(s->p, text, n) != 0) return false;
    s->p += n;
    return true;
}

static uint32_t take_rune(struct parser *s) {
    size_t n;
    uint32_t rune = regex_rune(s->p, s->end, &n);
    s->p += n;
    return rune;
}

static struct regex_node *node(struct parser *s, enum regex_node_kind kind) {
    struct regex_node *n = ARENA_NEW(s->a, struct regex_node);
    n->kind = kind;
    return n;
}

static struct regex_node *assertion(struct parser *s, enum regex_assert kind) {
    struct regex_node *n = node(s, NODE_ASSERT);
    n->assertion = kind;
    return n;
}

static struct regex_node *class_node(struct parser *s, struct regex_class *c, bool negate) {
    struct regex_node *n = node(s, NODE_CLASS);
    regex_class_finish(s->a, c, s->flags & FOLD, negate);
    n->set = c;
    return n;
}

static struct regex_node *rune_node(struct parser *s, uint32_t rune) {
    if (s->flags & FOLD) {
        struct regex_class *c = ARENA_NEW(s->a, struct regex_class);
        regex_class_add(s->a, c, rune, rune);
        return class_node(s, c, false);
    }
    struct regex_node *n = node(s, NODE_RUNE);
    n->rune = rune;
    return n;
}

/* ---- escapes ---- */

static int hex_digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

/* Behind \x: two digits, or up to eight in braces. */
static bool hex_escape(struct parser *s, uint32_t *ret) {
    uint32_t v = 0;
    bool braces = take(s, "{");
    int n = 0;
    for (; more(s) && hex_digit(*s->p) >= 0 && n < (braces ? 8 : 2); n++)
        v = v * 16 + (uint32_t)hex_digit(*s->p++);
    *ret = v;
    return v <= REGEX_RUNE_MAX && (braces ? n > 0 && take(s, "}") : n == 2);
}

static bool octal_escape(struct parser *s, char first, uint32_t *ret) {
    uint32_t v = (uint32_t)(first - '0');
    /* \1 … \7 alone would be backreferences. */
    if (first != '0' && !(more(s) && *s->p >= '0' && *s->p <= '7')) return false;
    for (int n = 1; n < 3 && more(s) && *s->p >= '0' && *s->p <= '7'; n++)
        v = v * 8 + (uint32_t)(*s->p++ - '0');
    *ret = v;
    return true;
}

/* Behind the backslash: one character. */
static bool escaped_rune(struct parser *s, uint32_t *ret) {
    static const char names[] = "aftnrv", values[] = "\a\f\t\n\r\v";
    unsigned char c = (unsigned char)*s->p;
    const char *at = strchr(names, (char)c);
    if (c == 0 || c >= 0x80) return false;
    s->p++;
    if (at) {
        *ret = (uint32_t)values[at - names];
        return true;
    }
    if (c == 'x') return hex_escape(s, ret);
    if (c >= '0' && c <= '7') return octal_escape(s, (char)c, ret);
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '8' || c == '9') return false;
    *ret = c;
    return true;
}

/* \d, \pL, \p{Greek}: 1 = added to c, 0 = something else stands here, < 0 = wrong. */
static int escaped_class(struct parser *s, struct regex_class *c) {
    const char *from = s->p - 1;
    char letter = *s->p;
    if (letter != 'p' && letter != 'P') {
        if (!regex_class_perl(s->a, c, letter)) return 0;
        s->p++;
        return 1;
    }
    bool negate = letter == 'P';
    struct slice name;
    s->p++;
    if (!more(s)) return fail(s, "invalid character class range", from), -1;
    if (*s->p == '{') {
        const char *close = memchr(s->p, '}', (size_t)(s->end - s->p));
        if (!close) return fail(s, "invalid character class range", from), -1;
        name = slice_from(s->p + 1, (size_t)(close - s->p - 1));
        s->p = close + 1;
    } else {
        name = slice_from(s->p++, 1);
    }
    if (name.n && name.p[0] == '^') {
        negate = !negate;
        name = slice_from(name.p + 1, name.n - 1);
    }
    if (regex_class_unicode(s->a, c, name, negate)) return 1;
    return fail(s, "invalid character class range", from), -1;
}

/* \Q … \E */
static struct regex_node *quoted(struct parser *s) {
    struct regex_node *all = node(s, NODE_CAT);
    while (more(s) && !take(s, "\\E")) {
        struct regex_node *n = rune_node(s, take_rune(s));
        *ARENA_PUSH(s->a, &all->parts) = n;
    }
    return all;
}

static struct regex_node *escape(struct parser *s) {
    const char *from = s->p - 1;
    uint32_t rune = 0;
    if (!more(s)) return fail(s, "trailing backslash at end of expression", s->end);
    if (take(s, "A")) return assertion(s, ASSERT_TEXT_BEGIN);
    if (take(s, "z")) return assertion(s, ASSERT_TEXT_END);
    if (take(s, "b")) return assertion(s, ASSERT_WORD);
    if (take(s, "B")) return assertion(s, ASSERT_NO_WORD);
    if (take(s, "Q")) return quoted(s);
    struct regex_class *c = ARENA_NEW(s->a, struct regex_class);
    int rc = escaped_class(s, c);
    if (rc < 0) return NULL;
    if (rc > 0) return class_node(s, c, false);
    if (!escaped_rune(s, &rune)) return fail(s, "invalid escape sequence", from);
    return rune_node(s, rune);
}

/* ---- [...] ---- */

static bool class_rune(struct parser *s, uint32_t *ret) {
    if (!more(s)) return false;
    if (*s->p != '\\') {
        *ret = take_rune(s);
        return true;
    }
    s->p++;
    return more(s) && escaped_rune(s, ret);
}

/* [:name:]: 1 = added, 0 = something else, < 0 = wrong. */
static int posix_class(struct parser *s, struct regex_class *c) {
    const char *from = s->p, *close = NULL;
    if (s->end - s->p < 4 || memcmp(s->p, "[:", 2) != 0) return 0;
    for (const char *q = s->p + 2; q + 1 < s->end && !close; q++)
        if (q[0] == ':' && q[1] == ']') close = q;
    if (!close) return 0;
    struct slice name = slice_from(s->p + 2, (size_t)(close - s->p - 2));
    bool negate = name.n && name.p[0] == '^';
    if (negate) name = slice_from(name.p + 1, name.n - 1);
    if (!regex_class_posix(s->a, c, name, negate))
        return fail(s, "invalid character class range", from), -1;
    s->p = close + 2;
    return 1;
}

static int class_item(struct parser *s, struct regex_class *c) {
    const char *from = s->p;
    uint32_t lo = 0, hi;
    int rc = posix_class(s, c);
    if (rc) return rc;
    if (*s->p == '\\' && s->p + 1 < s->end) {
        s->p++;
        rc = escaped_class(s, c);
        if (rc) return rc;
        s->p--;
    }
    if (!class_rune(s, &lo)) return fail(s, "invalid escape sequence", from), -1;
    hi = lo;
    if (s->end - s->p >= 2 && s->p[0] == '-' && s->p[1] != ']') {
        s->p++;
        if (!class_rune(s, &hi) || hi < lo)
            return fail(s, "invalid character class range", from), -1;
    }
    regex_class_add(s->a, c, lo, hi);
    return 1;
}

static struct regex_node *bracket(struct parser *s) {
    const char *from = s->p - 1;
    struct regex_class *c = ARENA_NEW(s->a, struct regex_class);
    bool negate = take(s, "^"), first = true;
    for (; more(s) && (*s->p != ']' || first); first = false)
        if (class_item(s, c) < 0) return NULL;
    if (!take(s, "]")) return fail(s, "missing closing ]", from);
    return class_node(s, c, negate);
}

/* ---- groups ---- */

static bool group_flags(struct parser *s) {
    static const char letters[] = "imsU";
    bool off = false, any = false;
    unsigned flags = s->flags;
    for (; more(s) && *s->p != ':' && *s->p != ')'; s->p++) {
        const char *at = strchr(letters, *s->p);
        if (*s->p == '-' && !off)
            off = true, any = false;
        else if (at && *s->p) {
            unsigned bit = 1U << (at - letters);
            flags = off ? flags & ~bit : flags | bit;
            any = true;
        } else
            return false;
    }
    if (!more(s) || (off && !any)) return false;
    s->flags = flags;
    return true;
}

static bool group_name(struct parser *s) {
    const char *from = s->p;
    while (more(s) && (*s->p == '_' || hex_digit(*s->p) >= 0 || (*s->p >= 'g' && *s->p <= 'z') ||
                       (*s->p >= 'G' && *s->p <= 'Z')))
        s->p++;
    return s->p > from && take(s, ">");
}

static struct regex_node *group(struct parser *s) {
    const char *from = s->p - 1;
    unsigned outer = s->flags;
    if (take(s, "?P<") || take(s, "?<")) {
        if (!group_name(s)) return fail(s, "invalid named capture", from);
    } else if (take(s, "?")) {
        if (!group_flags(s)) return fail(s, "invalid or unsupported Perl syntax", from);
        if (take(s, ")")) return node(s, NODE_EMPTY); /* (?i): for the rest of this group */
        s->p++;
    }
    if (++s->depth > REGEX_DEPTH_MAX) return fail(s, "expression nests too deeply", from);
    struct regex_node *n = alternatives(s);
    s->depth--;
    s->flags = outer;
    if (s->rc) return NULL;
    if (!take(s, ")")) return fail(s, "missing closing )", s->begin);
    return n;
}

/* ---- repetition, sequence, choice ---- */

static bool number(const char **p, const char *end, int *ret) {
    int v = 0;
    const char *from = *p;
    for (; *p < end && **p >= '0' && **p <= '9'; ++*p)
        if (v <= REGEX_REPEAT_MAX) v = v * 10 + (**p - '0');
    *ret = v;
    return *p > from;
}

/* {n}, {n,}, {n,m}; anything else in braces stands for itself. */
static bool counts(struct parser *s, int *min, int *max) {
    const char *p = s->p + 1;
    if (!number(&p, s->end, min)) return false;
    *max = *min;
    if (p < s->end && *p == ',') {
        p++;
        if (p < s->end && *p == '}')
            *max = -1;
        else if (!number(&p, s->end, max))
            return false;
    }
    if (p >= s->end || *p != '}') return false;
    s->p = p + 1;
    return true;
}

static bool repetition(struct parser *s, int *min, int *max) {
    if (!more(s)) return false;
    if (*s->p == '{') return counts(s, min, max);
    if (!strchr("*+?", *s->p) || !*s->p) return false;
    *min = *s->p == '+';
    *max = *s->p == '?' ? 1 : -1;
    s->p++;
    return true;
}

static struct regex_node *repeated(struct parser *s, struct regex_node *what) {
    const char *from = s->p;
    int min = 0, max = 0;
    for (bool again = false; repetition(s, &min, &max); again = true) {
        if (again) return fail(s, "invalid nested repetition operator", from);
        if (min > REGEX_REPEAT_MAX || max > REGEX_REPEAT_MAX || (max >= 0 && min > max))
            return fail(s, "invalid repeat count", from);
        struct regex_node *n = node(s, NODE_REPEAT);
        bool lazy = take(s, "?");
        n->min = min;
        n->max = max;
        n->greedy = lazy == !!(s->flags & UNGREEDY);
        *ARENA_PUSH(s->a, &n->parts) = what;
        what = n;
    }
    return what;
}

static struct regex_node *dot(struct parser *s) {
    struct regex_class *c = ARENA_NEW(s->a, struct regex_class);
    if (!(s->flags & DOT_ALL)) regex_class_add(s->a, c, '\n', '\n');
    return class_node(s, c, true);
}

static struct regex_node *atom(struct parser *s) {
    const char *from = s->p;
    char c = *from;
    if (c != 0 && strchr("*+?", c)) return fail(s, "missing argument to repetition operator", from);
    if (take(s, "(")) return group(s);
    if (take(s, "[")) return bracket(s);
    if (take(s, "\\")) return escape(s);
    if (take(s, ".")) return dot(s);
    if (take(s, "^"))
        return assertion(s, s->flags & MULTI_LINE ? ASSERT_LINE_BEGIN : ASSERT_TEXT_BEGIN);
    if (take(s, "$"))
        return assertion(s, s->flags & MULTI_LINE ? ASSERT_LINE_END : ASSERT_TEXT_END);
    return rune_node(s, take_rune(s));
}

static struct regex_node *sequence(struct parser *s) {
    struct regex_node *all = node(s, NODE_CAT);
    while (more(s) && *s->p != '|' && *s->p != ')') {
        struct regex_node *n = atom(s);
        if (n) n = repeated(s, n);
        if (!n) return NULL;
        *ARENA_PUSH(s->a, &all->parts) = n;
    }
    return all;
}

static struct regex_node *alternatives(struct parser *s) {
    struct regex_node *all = node(s, NODE_ALT);
    do {
        struct regex_node *n = sequence(s);
        if (!n) return NULL;
        *ARENA_PUSH(s->a, &all->parts) = n;
    } while (take(s, "|"));
    return all->parts.n == 1 ? all->parts.v[0] : all;
}

int regex_parse(struct arena *a, struct slice pattern, struct regex_node **ret, struct err *err) {
    struct parser s = {
        .a = a, .err = err, .begin = pattern.p, .p = pattern.p, .end = pattern.p + pattern.n};
    if (pattern.n > REGEX_PATTERN_MAX)
        return err_set(err, ERR_INVALID, "error parsing regexp: expression too large");
    if (pattern.n == 0) {
        *ret = node(&s, NODE_EMPTY);
        return 0;
    }
    struct regex_node *n = alternatives(&s);
    if (!s.rc && more(&s)) fail(&s, "unexpected )", s.begin);
    if (s.rc) return s.rc;
    *ret = n;
    return 0;
}
