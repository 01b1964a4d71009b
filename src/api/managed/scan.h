/*
 * A cursor over canonical JSON, for walks that look at every member once. Text that is not
 * canonical (white space, broken) is walked wrongly but never past its end.
 */
#pragma once

#include <string.h>

#include "base/slice.h"

struct scan {
    const char *p, *end;
};

static inline struct scan scan_of(struct slice s) { return (struct scan){s.p, s.p + s.n}; }
static inline char scan_peek(const struct scan *s) { return s->p < s->end ? *s->p : 0; }

/* At an opening quote; returns what follows the string. */
static inline const char *scan_string(const char *p, const char *end) {
    for (p++; p < end; p++) {
        const char *quote = memchr(p, '"', (size_t)(end - p));
        if (!quote) return end;
        const char *slash = quote;
        while (slash > p && slash[-1] == '\\') slash--;
        if ((quote - slash) % 2 == 0) return quote + 1;
        p = quote;
    }
    return end;
}

/* Behind the value that begins at p. */
static inline const char *scan_skip(const char *p, const char *end) {
    size_t depth = 0;
    while (p < end) {
        switch (*p) {
        case '"': p = scan_string(p, end); break;
        case '{':
        case '[':
            depth++;
            p++;
            continue;
        case '}':
        case ']':
            if (depth == 0) return p;
            depth--;
            p++;
            break;
        case ',':
            if (depth == 0) return p;
            p++;
            continue;
        default:
            p++;
            if (depth) continue;
            while (p < end && *p != ',' && *p != '}' && *p != ']') p++;
            return p;
        }
        if (depth == 0) return p;
    }
    return end;
}

/* The value at the cursor, which moves behind it. */
static inline struct slice scan_value(struct scan *s) {
    const char *start = s->p;
    s->p = scan_skip(s->p, s->end);
    return slice_from(start, (size_t)(s->p - start));
}

/* Enters an object or array; false (value skipped) when there is none. */
static inline bool scan_enter(struct scan *s, char open) {
    if (scan_peek(s) != open) {
        scan_value(s);
        return false;
    }
    s->p++;
    return true;
}

/* Next element of an array that was entered; false: the cursor is behind it. */
static inline bool scan_element(struct scan *s) {
    char c = scan_peek(s);
    if (c == ',') {
        s->p++;
        return s->p < s->end;
    }
    if (c == ']' || c == '}') {
        s->p++;
        return false;
    }
    return c != 0;
}

/* Next member of an object that was entered: its key as between the quotes, the cursor at the
 * value. */
static inline bool scan_member(struct scan *s, struct slice *ret_key) {
    if (!scan_element(s)) return false;
    if (scan_peek(s) != '"') {
        s->p = s->end;
        return false;
    }
    const char *start = s->p + 1;
    s->p = scan_string(s->p, s->end);
    if (s->p >= s->end || *s->p != ':') {
        s->p = s->end;
        return false;
    }
    *ret_key = slice_from(start, (size_t)(s->p - start - 1));
    s->p++;
    return s->p < s->end;
}
