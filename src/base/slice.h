/* A borrowed run of bytes: pointer and length, not NUL-terminated, never owned. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct slice {
    const char *p;
    size_t n;
};

#define SLICE(lit) ((struct slice){(lit), sizeof(lit) - 1})

static inline struct slice slice_of(const char *s) { return (struct slice){s, s ? strlen(s) : 0}; }

static inline struct slice slice_from(const void *p, size_t n) { return (struct slice){p, n}; }

static inline bool slice_eq(struct slice a, struct slice b) {
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

static inline bool slice_is(struct slice a, const char *s) { return slice_eq(a, slice_of(s)); }

static inline bool slice_starts(struct slice a, const char *prefix) {
    size_t n = strlen(prefix);
    return a.n >= n && memcmp(a.p, prefix, n) == 0;
}

bool slice_ieq(struct slice a, const char *s); /* ASCII case-insensitive */

/* Cuts at the first `sep`: *head gets what stands before it, *s what follows. Without a separator
 * *head is all of *s and *s becomes empty with p == NULL. Returns false when *s was already used up
 * (p == NULL). */
bool slice_cut(struct slice *s, char sep, struct slice *head);

struct slice slice_trim(struct slice s); /* without spaces, tabs, CR, LF at both ends */

/* Decimal, no sign, no spaces, whole slice. Returns 0 or -EINVAL / -ERANGE; *ret untouched on
 * failure. */
int slice_u64(struct slice s, uint64_t *ret);

/* Writes the UTF-8 form of a code point below 0x200000 (RFC 3629 has none above 0x10ffff) and
 * returns its length, 1 to 4; there is no NUL after it. */
size_t utf8_put(char *out, uint32_t c);

/* String helpers that treat NULL as "": every optional API string may be NULL. */
bool str_eq(const char *a, const char *b);
static inline bool str_empty(const char *s) { return !s || !*s; }
static inline const char *str_or(const char *s, const char *fallback) {
    return str_empty(s) ? fallback : s;
}
bool str_starts(const char *s, const char *prefix);
bool str_ends(const char *s, const char *suffix);
