#include "client/skim.h"

#include "base/limits.h"
#include "base/plain.h"

static void skip_space(struct slice *s) {
    while (s->n && (*s->p == ' ' || *s->p == '\t' || *s->p == '\n' || *s->p == '\r'))
        s->p++, s->n--;
}

static void advance(struct slice *s, size_t n) {
    s->p += n;
    s->n -= n;
}

/* Bytes of the string at the start of s, with its quotes; 0 when there is none. */
static size_t string_length(struct slice s) {
    if (!s.n || *s.p != '"') return 0;
    for (size_t i = 1; i < s.n; i++) {
        i += plain_length(s.p + i, s.n - i, false);
        if (i == s.n) break;
        if (s.p[i] == '\\')
            i++;
        else if (s.p[i] == '"')
            return i + 1;
    }
    return 0;
}

/* Bytes of a { } or [ ] with all that is in it. */
static size_t nested_length(struct slice s) {
    size_t depth = 0;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (c == '"') {
            size_t n = string_length(slice_from(s.p + i, s.n - i));
            if (!n) return 0;
            i += n - 1;
        } else if (c == '{' || c == '[') {
            if (++depth > LIMIT_JSON_DEPTH) return 0;
        } else if ((c == '}' || c == ']') && --depth == 0) {
            return i + 1;
        }
    }
    return 0;
}

static size_t value_length(struct slice s) {
    if (!s.n) return 0;
    if (*s.p == '"') return string_length(s);
    if (*s.p == '{' || *s.p == '[') return nested_length(s);
    size_t n = 0;
    while (n < s.n && !strchr(",]} \t\r\n", s.p[n])) n++;
    return n;
}

struct skim skim_init(struct slice s) {
    skip_space(&s);
    if (!s.n || (*s.p != '{' && *s.p != '[')) return (struct skim){{0}, true};
    advance(&s, 1);
    return (struct skim){s, false};
}

static bool fail(struct skim *k) {
    k->bad = true;
    return false;
}

/* To the next item; false at the closing bracket. */
static bool item_begin(struct skim *k) {
    if (k->bad) return false;
    skip_space(&k->left);
    if (k->left.n && *k->left.p == ',') {
        advance(&k->left, 1);
        skip_space(&k->left);
    }
    if (!k->left.n) return fail(k);
    return *k->left.p != '}' && *k->left.p != ']';
}

static bool value_take(struct skim *k, struct slice *ret) {
    size_t n = value_length(k->left);
    if (!n) return fail(k);
    *ret = slice_from(k->left.p, n);
    advance(&k->left, n);
    return true;
}

bool skim_member(struct skim *k, struct slice *ret_key, struct slice *ret_value) {
    if (!item_begin(k)) return false;
    size_t n = string_length(k->left);
    if (!n) return fail(k);
    *ret_key = slice_from(k->left.p + 1, n - 2);
    advance(&k->left, n);
    skip_space(&k->left);
    if (!k->left.n || *k->left.p != ':') return fail(k);
    advance(&k->left, 1);
    skip_space(&k->left);
    return value_take(k, ret_value);
}

bool skim_element(struct skim *k, struct slice *ret_value) {
    return item_begin(k) && value_take(k, ret_value);
}

struct slice skim_get(struct slice object, const char *key) {
    struct skim k = skim_init(object);
    struct slice name, value;
    while (skim_member(&k, &name, &value))
        if (slice_is(name, key)) return value;
    return (struct slice){0};
}

struct slice skim_string(struct slice value) {
    if (value.n < 2 || *value.p != '"' || memchr(value.p, '\\', value.n)) return SLICE("");
    return slice_from(value.p + 1, value.n - 2);
}
