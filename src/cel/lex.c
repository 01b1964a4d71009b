/* Tokens, and what is wrong with a source. */
#include <errno.h>
#include <string.h>

#include "base/own.h"
#include "cel/internal.h"

void cel_issue(struct cel_source *s, uint32_t at, const char *fmt, ...) {
    va_list ap;
    if (s->n_issues == CEL_ISSUES_MAX) return;
    va_start(ap, fmt);
    s->issues[s->n_issues].what = arena_vprintf(s->a, fmt, ap);
    s->issues[s->n_issues++].at = at;
    va_end(ap);
}

static void put_issue(struct buf *b, const struct cel_source *s, size_t at, const char *what) {
    size_t line = 1, begin = 0, column = 0;
    if (at > s->text.n) at = s->text.n;
    for (size_t i = 0; i < at; i++) {
        if (s->text.p[i] == '\n') {
            line++;
            begin = i + 1;
        }
    }
    column = cel_runes(slice_from(s->text.p + begin, at - begin));
    const char *stop = memchr(s->text.p + begin, '\n', s->text.n - begin);
    size_t end = stop ? (size_t)(stop - s->text.p) : s->text.n;
    buf_printf(b, "ERROR: <input>:%zu:%zu: %s\n | ", line, column + 1, what);
    buf_append(b, s->text.p + begin, end - begin);
    buf_str(b, "\n | ");
    for (size_t i = 0; i < column; i++) buf_char(b, '.');
    buf_char(b, '^');
}

const char *cel_issues_text(struct cel_source *s) {
    OWN(buf_done) struct buf b = {0};
    for (size_t i = 0; i < s->n_issues; i++) {
        if (i) buf_char(&b, '\n');
        put_issue(&b, s, s->issues[i].at, s->issues[i].what);
    }
    return arena_strn(s->a, buf_view(&b));
}

static uint32_t offset(const struct cel_lexer *l, const char *p) {
    return (uint32_t)(p - l->s->text.p);
}

static bool is_letter(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}
static bool is_digit(char c) { return c >= '0' && c <= '9'; }

static void skip_space(struct cel_lexer *l) {
    for (;;) {
        while (l->p < l->end && memchr(" \t\r\n\f", *l->p, 5)) l->p++;
        if (l->end - l->p < 2 || l->p[0] != '/' || l->p[1] != '/') return;
        while (l->p < l->end && *l->p != '\n') l->p++;
    }
}

static struct cel_token bad(struct cel_lexer *l, const char *at, const char *what) {
    cel_issue(l->s, offset(l, at), "Syntax error: %s", what);
    l->p = l->end;
    return (struct cel_token){.kind = TOKEN_BAD, .at = offset(l, at)};
}

/* ---- numbers ---- */

static bool digits(struct cel_lexer *l) {
    const char *from = l->p;
    while (l->p < l->end && is_digit(*l->p)) l->p++;
    return l->p > from;
}

static struct cel_token hex_number(struct cel_lexer *l, struct cel_token t) {
    uint64_t v = 0;
    const char *from = l->p;
    bool fits = true;
    for (; l->p < l->end; l->p++) {
        char c = *l->p;
        int d = is_digit(c)            ? c - '0'
                : c >= 'a' && c <= 'f' ? c - 'a' + 10
                : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                       : -1;
        if (d < 0) break;
        if (v >> 60) fits = false;
        v = v << 4 | (uint64_t)d;
    }
    if (l->p == from) return bad(l, from, "token recognition error");
    bool is_unsigned = l->p < l->end && (*l->p == 'u' || *l->p == 'U');
    if (is_unsigned) l->p++;
    t.value = (struct cel_value){.kind = is_unsigned ? CEL_UINT : CEL_INT, .u = v};
    if (!fits || (!is_unsigned && v > INT64_MAX))
        return bad(l, from, is_unsigned ? "invalid uint literal" : "invalid int literal");
    return t;
}

/* Behind the digits: .5, e10. */
static bool fraction(struct cel_lexer *l) {
    bool any = false;
    if (l->end - l->p >= 2 && *l->p == '.' && is_digit(l->p[1])) {
        l->p++;
        any = digits(l);
    }
    const char *p = l->p;
    if (p < l->end && (*p == 'e' || *p == 'E')) {
        p++;
        if (p < l->end && (*p == '+' || *p == '-')) p++;
        if (p < l->end && is_digit(*p)) {
            l->p = p;
            any = digits(l);
        }
    }
    return any;
}

static struct cel_token number(struct cel_lexer *l, struct cel_token t) {
    const char *from = l->p;
    uint64_t v;
    if (l->end - l->p > 2 && l->p[0] == '0' && (l->p[1] == 'x' || l->p[1] == 'X')) {
        l->p += 2;
        return hex_number(l, t);
    }
    digits(l);
    if (fraction(l)) {
        t.value.kind = CEL_DOUBLE;
        if (!cel_parse_double(slice_from(from, (size_t)(l->p - from)), &t.value.d))
            return bad(l, from, "invalid double literal");
        return t;
    }
    struct slice text = slice_from(from, (size_t)(l->p - from));
    bool is_unsigned = l->p < l->end && (*l->p == 'u' || *l->p == 'U');
    if (is_unsigned) l->p++;
    t.text = slice_from(from, (size_t)(l->p - from));
    t.value.kind = is_unsigned ? CEL_UINT : CEL_INT;
    /* One more than INT64_MAX is left for the parser, which knows whether a minus stood before. */
    if (slice_u64(text, &v) < 0 || (!is_unsigned && v > (uint64_t)INT64_MAX + 1))
        return bad(l, from, is_unsigned ? "invalid uint literal" : "invalid int literal");
    t.value.u = v;
    return t;
}

/* ---- texts ---- */

/* At a quote, prefixes read. */
static struct cel_token text(struct cel_lexer *l, struct cel_token t, bool raw, bool bytes) {
    const char *from = l->p;
    char quote = *l->p;
    bool triple = l->end - l->p >= 3 && l->p[1] == quote && l->p[2] == quote;
    struct slice content;
    l->p += triple ? 3 : 1;
    const char *begin = l->p;
    for (;; l->p++) {
        if (l->p >= l->end || (!triple && (*l->p == '\n' || *l->p == '\r')))
            return bad(l, from, "token recognition error at: unterminated string");
        if (*l->p == '\\' && !raw) {
            if (++l->p >= l->end)
                return bad(l, from, "token recognition error: unterminated string");
            continue;
        }
        if (*l->p != quote) continue;
        if (!triple || (l->end - l->p >= 3 && l->p[1] == quote && l->p[2] == quote)) break;
    }
    struct slice inside = slice_from(begin, (size_t)(l->p - begin));
    l->p += triple ? 3 : 1;
    if (cel_unescape(l->s->a, inside, raw, bytes, &content) < 0)
        return bad(l, from, "token recognition error: invalid escape sequence");
    t.value = bytes ? cel_bytes(content) : cel_string(content);
    return t;
}

/* The prefixes r, R, b, B and both of them before a quote. */
static bool prefixed(const struct cel_lexer *l, bool *raw, bool *bytes, size_t *ret_n) {
    const char *p = l->p;
    *raw = *bytes = false;
    for (; p < l->end && p - l->p < 2; p++) {
        if ((*p == 'r' || *p == 'R') && !*raw)
            *raw = true;
        else if ((*p == 'b' || *p == 'B') && !*bytes)
            *bytes = true;
        else
            break;
    }
    *ret_n = (size_t)(p - l->p);
    return p < l->end && (*p == '"' || *p == '\'');
}

struct cel_token cel_lex(struct cel_lexer *l) {
    static const char *const operators[] = {"&&", "||", "==", "!=", "<=", ">=", "<", ">",
                                            "(",  ")",  "[",  "]",  "{",  "}",  ",", ":",
                                            ".",  "?",  "+",  "-",  "*",  "/",  "%", "!"};
    bool raw, bytes;
    size_t n;
    skip_space(l);
    struct cel_token t = {.kind = TOKEN_LITERAL, .at = offset(l, l->p)};
    if (l->p >= l->end) {
        t.kind = TOKEN_END;
        return t;
    }
    if (prefixed(l, &raw, &bytes, &n)) {
        l->p += n;
        return text(l, t, raw, bytes);
    }
    const char *from = l->p;
    if (is_letter(*l->p)) {
        while (l->p < l->end && (is_letter(*l->p) || is_digit(*l->p))) l->p++;
        t.kind = TOKEN_IDENT;
        t.text = slice_from(from, (size_t)(l->p - from));
        return t;
    }
    if (is_digit(*l->p) || (*l->p == '.' && l->end - l->p > 1 && is_digit(l->p[1])))
        return number(l, t);
    for (size_t i = 0; i < ARRAY_LEN(operators); i++) {
        if (!slice_starts(slice_from(l->p, (size_t)(l->end - l->p)), operators[i])) continue;
        t.kind = TOKEN_OPERATOR;
        t.text = slice_of(operators[i]);
        l->p += t.text.n;
        return t;
    }
    return bad(l, from,
               arena_printf(l->s->a, "token recognition error at: '%c'",
                            *from >= 32 && *from < 127 ? *from : '?'));
}
