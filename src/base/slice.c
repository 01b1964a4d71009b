#include "base/slice.h"

#include <errno.h>
#include <strings.h>

bool slice_ieq(struct slice a, const char *s) {
    return a.n == strlen(s) && strncasecmp(a.p, s, a.n) == 0;
}

bool slice_cut(struct slice *s, char sep, struct slice *head) {
    if (!s->p) return false;
    const char *at = s->n ? memchr(s->p, sep, s->n) : NULL;
    if (!at) {
        *head = *s;
        *s = (struct slice){NULL, 0};
        return true;
    }
    size_t n = (size_t)(at - s->p);
    *head = slice_from(s->p, n);
    *s = slice_from(at + 1, s->n - n - 1);
    return true;
}

static bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

struct slice slice_trim(struct slice s) {
    while (s.n && is_blank(s.p[0])) s.p++, s.n--;
    while (s.n && is_blank(s.p[s.n - 1])) s.n--;
    return s;
}

int slice_u64(struct slice s, uint64_t *ret) {
    uint64_t v = 0;
    if (!s.n) return -EINVAL;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] < '0' || s.p[i] > '9') return -EINVAL;
        if (__builtin_mul_overflow(v, 10u, &v) ||
            __builtin_add_overflow(v, (uint64_t)(s.p[i] - '0'), &v))
            return -ERANGE;
    }
    *ret = v;
    return 0;
}

/* Most comparisons are between words of a table: the first byte tells. */
bool str_eq(const char *a, const char *b) {
    if (!a) a = "";
    if (!b) b = "";
    return *a == *b && strcmp(a, b) == 0;
}

bool str_starts(const char *s, const char *prefix) {
    return s && strncmp(s, prefix, strlen(prefix)) == 0;
}

bool str_ends(const char *s, const char *suffix) {
    size_t n = s ? strlen(s) : 0, m = strlen(suffix);
    return m == 0 || (n >= m && memcmp(s + n - m, suffix, m) == 0);
}

size_t utf8_put(char *out, uint32_t c) {
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    size_t n = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    for (size_t i = n; --i > 0; c >>= 6) out[i] = (char)(0x80 | (c & 0x3f));
    out[0] = (char)(0xf00 >> n | c);
    return n;
}
