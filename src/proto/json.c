#include "proto/json.h"

#include <errno.h>
#include <string.h>

#include "base/limits.h"
#include "base/plain.h"

const char *json_kind_name(enum json_kind kind) {
    static const char *const names[] = {"nothing", "object", "array", "string",
                                        "number",  "bool",   "null"};
    return names[kind];
}

void json_reader_init(struct json_reader *r, struct slice text) {
    *r = (struct json_reader){.begin = text.p, .p = text.p, .end = text.p};
    if (text.n) r->end += text.n; /* nothing may be NULL */
}

static int fail(struct json_reader *r, const char *why) {
    if (!r->why) r->why = why;
    return -EINVAL;
}

static void skip_space(struct json_reader *r) {
    while (r->p < r->end && (*r->p == ' ' || *r->p == '\n' || *r->p == '\t' || *r->p == '\r'))
        r->p++;
}

enum json_kind json_peek(struct json_reader *r) {
    skip_space(r);
    if (r->p == r->end) return JSON_KIND_INVALID;
    switch (*r->p) {
    case '{': return JSON_KIND_OBJECT;
    case '[': return JSON_KIND_ARRAY;
    case '"': return JSON_KIND_STRING;
    case 't':
    case 'f': return JSON_KIND_BOOL;
    case 'n': return JSON_KIND_NULL;
    case '-': return JSON_KIND_NUMBER;
    default: return *r->p >= '0' && *r->p <= '9' ? JSON_KIND_NUMBER : JSON_KIND_INVALID;
    }
}

static int begin(struct json_reader *r, enum json_kind kind, const char *why) {
    if (json_peek(r) != kind) return fail(r, why);
    if (r->depth >= LIMIT_JSON_DEPTH) return fail(r, "nested too deeply");
    r->first |= UINT64_C(1) << (r->depth % 64);
    r->depth++;
    r->p++;
    return 0;
}

/* Between members: 1 when one follows, 0 when `close` was there. */
static int next(struct json_reader *r, char close) {
    uint64_t bit = UINT64_C(1) << ((r->depth - 1) % 64);
    bool first = r->first & bit;
    r->first &= ~bit;
    skip_space(r);
    if (r->p == r->end) return fail(r, "unexpected end");
    if (*r->p == close) {
        r->p++;
        r->depth--;
        return 0;
    }
    if (first) return 1;
    if (*r->p != ',') return fail(r, close == '}' ? "expected ',' or '}'" : "expected ',' or ']'");
    r->p++;
    return 1;
}

int json_object_begin(struct json_reader *r) {
    return begin(r, JSON_KIND_OBJECT, "expected an object");
}

int json_object_next(struct json_reader *r, struct arena *a, struct slice *ret_key) {
    int rc = next(r, '}');
    if (rc <= 0) return rc;
    if (json_peek(r) != JSON_KIND_STRING) return fail(r, "expected a key in quotes");
    if (json_read_string(r, a, ret_key) < 0) return -EINVAL;
    skip_space(r);
    if (r->p == r->end || *r->p != ':') return fail(r, "expected ':'");
    r->p++;
    return 1;
}

int json_array_begin(struct json_reader *r) {
    return begin(r, JSON_KIND_ARRAY, "expected an array");
}

int json_array_next(struct json_reader *r) { return next(r, ']'); }

/* Bytes of the UTF-8 character at p (RFC 3629), 0 when it is none. */
static unsigned utf8_length(const char *text, const char *end) {
    const unsigned char *p = (const unsigned char *)text;
    size_t n = (size_t)(end - text);
    unsigned length = p[0] < 0xc2 ? 0 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : p[0] < 0xf5 ? 4 : 0;
    if (length == 0 || n < length) return 0;
    for (unsigned i = 1; i < length; i++)
        if ((p[i] & 0xc0) != 0x80) return 0;
    if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f)) return 0;
    if ((p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f)) return 0;
    return length;
}

static int hex4(struct json_reader *r, unsigned *ret) {
    unsigned v = 0;
    if (r->end - r->p < 4) return fail(r, "unexpected end in an escape");
    for (int i = 0; i < 4; i++) {
        char c = r->p[i];
        unsigned digit = c >= '0' && c <= '9'   ? (unsigned)(c - '0')
                         : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a' + 10)
                         : c >= 'A' && c <= 'F' ? (unsigned)(c - 'A' + 10)
                                                : 16;
        if (digit == 16) return fail(r, "bad \\u escape");
        v = v << 4 | digit;
    }
    r->p += 4;
    *ret = v;
    return 0;
}

/* After the backslash. */
static int unescape(struct json_reader *r, char **out) {
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    if (r->p == r->end) return fail(r, "unexpected end in a string");
    char c = *r->p++;
    const char *plain = c ? strchr(from, c) : NULL;
    if (plain) {
        *(*out)++ = to[plain - from];
        return 0;
    }
    unsigned v, low;
    if (c != 'u') return fail(r, "bad escape in a string");
    if (hex4(r, &v) < 0) return -EINVAL;
    if (v == 0) return fail(r, "NUL character in a string");
    if (v >= 0xdc00 && v <= 0xdfff) return fail(r, "lone surrogate in a string");
    if (v >= 0xd800 && v <= 0xdbff) {
        if (r->end - r->p < 2 || r->p[0] != '\\' || r->p[1] != 'u')
            return fail(r, "lone surrogate in a string");
        r->p += 2;
        if (hex4(r, &low) < 0) return -EINVAL;
        if (low < 0xdc00 || low > 0xdfff) return fail(r, "lone surrogate in a string");
        v = 0x10000 + ((v - 0xd800) << 10) + (low - 0xdc00);
    }
    *out += utf8_put(*out, v);
    return 0;
}

/* Moves over plain characters up to a quote or backslash. */
static int scan_plain(struct json_reader *r) {
    const char *p = r->p, *end = r->end;
    for (;;) {
        p += plain_length(p, (size_t)(end - p), true);
        r->p = p;
        if (p == end) return fail(r, "unexpected end in a string");
        if (*p == '"' || *p == '\\') return 0;
        if ((unsigned char)*p < 0x20) return fail(r, "control character in a string");
        unsigned n = utf8_length(p, end);
        if (n == 0) return fail(r, "invalid UTF-8 in a string");
        p += n;
    }
}

int json_read_string(struct json_reader *r, struct arena *a, struct slice *ret) {
    if (json_peek(r) != JSON_KIND_STRING) return fail(r, "expected a string");
    const char *start = ++r->p;
    if (scan_plain(r) < 0) return -EINVAL;
    if (*r->p == '"') {
        *ret = slice_from(start, (size_t)(r->p++ - start));
        return 0;
    }
    /* An escape never grows: the text up to the closing quote is room enough. */
    const char *close = r->p;
    while (close < r->end && *close != '"') close += *close == '\\' ? 2 : 1;
    if (close >= r->end) return fail(r, "unexpected end in a string");
    char *text = arena_alloc(a, (size_t)(close - start) + 1), *out = text;
    r->p = start;
    for (;;) {
        const char *run = r->p;
        if (scan_plain(r) < 0) return -EINVAL;
        memcpy(out, run, (size_t)(r->p - run));
        out += r->p - run;
        if (*r->p++ == '"') break;
        if (unescape(r, &out) < 0) return -EINVAL;
    }
    *ret = slice_from(text, (size_t)(out - text));
    return 0;
}

static bool digits(struct json_reader *r) {
    const char *start = r->p;
    while (r->p < r->end && *r->p >= '0' && *r->p <= '9') r->p++;
    return r->p > start;
}

int json_read_number(struct json_reader *r, struct slice *ret_text) {
    if (json_peek(r) != JSON_KIND_NUMBER) return fail(r, "expected a number");
    const char *start = r->p;
    if (*r->p == '-') r->p++;
    if (r->p < r->end && *r->p == '0')
        r->p++;
    else if (!digits(r))
        return fail(r, "bad number");
    if (r->p < r->end && *r->p == '.') {
        r->p++;
        if (!digits(r)) return fail(r, "bad number");
    }
    if (r->p < r->end && (*r->p == 'e' || *r->p == 'E')) {
        r->p++;
        if (r->p < r->end && (*r->p == '+' || *r->p == '-')) r->p++;
        if (!digits(r)) return fail(r, "bad number");
    }
    *ret_text = slice_from(start, (size_t)(r->p - start));
    return 0;
}

static bool literal(struct json_reader *r, const char *word) {
    size_t n = strlen(word);
    skip_space(r);
    if ((size_t)(r->end - r->p) < n || memcmp(r->p, word, n) != 0) return false;
    r->p += n;
    return true;
}

int json_read_bool(struct json_reader *r, bool *ret) {
    if (literal(r, "true"))
        *ret = true;
    else if (literal(r, "false"))
        *ret = false;
    else
        return fail(r, "expected true or false");
    return 0;
}

int json_read_null(struct json_reader *r) {
    return literal(r, "null") ? 0 : fail(r, "expected null");
}

/* A string that nobody will read: checked, not kept. */
static int skip_string(struct json_reader *r) {
    r->p++;
    for (;;) {
        char scratch[4], *out = scratch;
        if (scan_plain(r) < 0) return -EINVAL;
        if (*r->p++ == '"') return 0;
        if (unescape(r, &out) < 0) return -EINVAL;
    }
}

static int skip_key(struct json_reader *r) {
    int rc = next(r, '}');
    if (rc <= 0) return rc;
    if (json_peek(r) != JSON_KIND_STRING) return fail(r, "expected a key in quotes");
    if (skip_string(r) < 0) return -EINVAL;
    skip_space(r);
    if (r->p == r->end || *r->p != ':') return fail(r, "expected ':'");
    r->p++;
    return 1;
}

int json_skip(struct json_reader *r) {
    struct slice text;
    bool b;
    int rc;
    switch (json_peek(r)) {
    case JSON_KIND_STRING: return skip_string(r);
    case JSON_KIND_NUMBER: return json_read_number(r, &text);
    case JSON_KIND_BOOL: return json_read_bool(r, &b);
    case JSON_KIND_NULL: return json_read_null(r);
    case JSON_KIND_OBJECT:
        if (json_object_begin(r) < 0) return -EINVAL;
        while ((rc = skip_key(r)) > 0)
            if (json_skip(r) < 0) return -EINVAL;
        return rc;
    case JSON_KIND_ARRAY:
        if (json_array_begin(r) < 0) return -EINVAL;
        while ((rc = json_array_next(r)) > 0)
            if (json_skip(r) < 0) return -EINVAL;
        return rc;
    default: return fail(r, r->p == r->end ? "unexpected end" : "expected a value");
    }
}

int json_read_raw(struct json_reader *r, struct buf *out) {
    skip_space(r);
    const char *p = r->p;
    if (json_skip(r) < 0) return -EINVAL;
    bool quoted = false;
    buf_reserve(out, (size_t)(r->p - p));
    for (const char *start = p; p < r->p;) {
        bool space = !quoted && (*p == ' ' || *p == '\n' || *p == '\t' || *p == '\r');
        if (*p == '"') quoted = !quoted;
        p += quoted && *p == '\\' ? 2 : 1;
        if (space || p >= r->p) {
            buf_append(out, start, (size_t)(p - start) - space);
            start = p;
        }
    }
    return 0;
}

int json_end(struct json_reader *r) {
    skip_space(r);
    return r->p == r->end ? 0 : fail(r, "text after the value");
}

int json_reader_error(const struct json_reader *r, struct err *err) {
    return err_set(err, ERR_BAD_REQUEST, "invalid JSON at byte %zu: %s", (size_t)(r->p - r->begin),
                   r->why ? r->why : "unknown");
}
