#include "server/storage/raw.h"

#include "base/buf.h"

static const char *space(const char *p, const char *end) {
    while (p < end && (*p == ' ' || *p == '\n' || *p == '\t' || *p == '\r')) p++;
    return p;
}

/* p stands on the opening quote; returns the place after the closing one, or NULL. */
static const char *string_end(const char *p, const char *end) {
    for (p++; p < end; p++) {
        const char *quote = memchr(p, '"', (size_t)(end - p));
        if (!quote) return NULL;
        const char *back = memchr(p, '\\', (size_t)(quote - p));
        if (!back) return quote + 1;
        p = back + 1; /* the loop steps over the escaped byte */
    }
    return NULL;
}

static const char *value_end(const char *p, const char *end) {
    if (p >= end) return NULL;
    if (*p == '"') return string_end(p, end);
    if (*p != '{' && *p != '[') {
        while (p < end && *p != ',' && *p != '}' && *p != ']' && *p != ' ' && *p != '\n') p++;
        return p;
    }
    size_t depth = 0;
    while (p < end) {
        if (*p == '"') {
            p = string_end(p, end);
            if (!p) return NULL;
            continue;
        }
        if (*p == '{' || *p == '[') depth++;
        if ((*p == '}' || *p == ']') && --depth == 0) return p + 1;
        p++;
    }
    return NULL;
}

static struct raw_iter enter(struct slice json, char open) {
    const char *end = json.p + json.n;
    const char *p = json.n ? space(json.p, end) : json.p;
    if (p < end && *p == open) return (struct raw_iter){p + 1, end};
    return (struct raw_iter){end, end};
}

struct raw_iter raw_object(struct slice json) {
    return enter(json, '{');
}
struct raw_iter raw_array(struct slice json) {
    return enter(json, '[');
}

bool raw_member(struct raw_iter *s, struct slice *ret_key, struct slice *ret_value) {
    const char *p = space(s->p, s->end);
    if (p < s->end && *p == ',') p = space(p + 1, s->end);
    if (p >= s->end || *p != '"') return false;
    const char *key_end = string_end(p, s->end);
    if (!key_end) return false;
    struct slice key = slice_from(p + 1, (size_t)(key_end - p) - 2);
    p = space(key_end, s->end);
    if (p >= s->end || *p != ':') return false;
    p = space(p + 1, s->end);
    const char *after = value_end(p, s->end);
    if (!after) return false;
    *ret_key = key;
    *ret_value = slice_from(p, (size_t)(after - p));
    s->p = after;
    return true;
}

bool raw_element(struct raw_iter *s, struct slice *ret_value) {
    const char *p = space(s->p, s->end);
    if (p < s->end && *p == ',') p = space(p + 1, s->end);
    if (p >= s->end || *p == ']') return false;
    const char *after = value_end(p, s->end);
    if (!after) return false;
    *ret_value = slice_from(p, (size_t)(after - p));
    s->p = after;
    return true;
}

static bool get(struct slice json, struct slice key, struct slice *ret) {
    struct raw_iter s = raw_object(json);
    struct slice k, v;
    while (raw_member(&s, &k, &v)) {
        if (!slice_eq(k, key)) continue;
        if (slice_is(v, "null")) return false;
        *ret = v;
        return true;
    }
    return false;
}

bool raw_get(struct slice json, const char *key, struct slice *ret) {
    return get(json, slice_of(key), ret);
}

bool raw_path(struct slice json, const char *path, struct slice *ret) {
    struct slice left = slice_of(path), step;
    for (int i = 0; i < 8 && slice_cut(&left, '.', &step); i++)
        if (!get(json, step, &json)) return false;
    if (left.p) return false;
    *ret = json;
    return true;
}

static unsigned hex4(const char *p) {
    unsigned v = 0;
    for (int i = 0; i < 4; i++) {
        unsigned c = (unsigned char)p[i];
        unsigned d = c >= '0' && c <= '9' ? c - '0' : (c | 32) - 'a' + 10;
        v = v << 4 | (d & 15);
    }
    return v;
}

/* *p stands after "\u". */
static unsigned unicode(const char **p, const char *end) {
    if (end - *p < 4) {
        *p = end;
        return 0xfffd;
    }
    unsigned c = hex4(*p);
    *p += 4;
    if (c >= 0xd800 && c < 0xdc00 && end - *p >= 6 && (*p)[0] == '\\' && (*p)[1] == 'u') {
        c = 0x10000 + ((c - 0xd800) << 10) + (hex4(*p + 2) - 0xdc00);
        *p += 6;
    }
    return c;
}

const char *raw_string(struct arena *a, struct slice value) {
    if (value.n < 2 || value.p[0] != '"') return NULL;
    const char *p = value.p + 1, *end = value.p + value.n - 1;
    if (!memchr(p, '\\', (size_t)(end - p))) return arena_strn(a, slice_from(p, (size_t)(end - p)));
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    char *text = arena_alloc(a, value.n), *out = text; /* unescaping never makes it longer */
    while (p < end) {
        if (*p != '\\' || end - p < 2) {
            *out++ = *p++;
            continue;
        }
        char c = p[1];
        p += 2;
        const char *at = strchr(from, c);
        if (c == 'u')
            out += utf8_put(out, unicode(&p, end));
        else if (at && c)
            *out++ = to[at - from];
    }
    *out = 0;
    return text;
}

const char *raw_path_string(struct arena *a, struct slice json, const char *path) {
    struct slice v;
    return raw_path(json, path, &v) ? raw_string(a, v) : NULL;
}

struct str_map raw_map(struct arena *a, struct slice value) {
    struct str_map m = {0};
    struct raw_iter s = raw_object(value);
    struct slice k, v;
    while (raw_member(&s, &k, &v)) {
        if (v.n < 2 || v.p[0] != '"') continue;
        struct str_pair *pair = ARENA_PUSH(a, &m);
        pair->key = arena_strn(a, k);
        pair->value = raw_string(a, v);
    }
    return m;
}
