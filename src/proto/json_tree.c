/* Trees of JSON texts and back: jansson's values, this project's reader and writer, so that texts
 * are looked at once and long strings are moved, not walked. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "proto/json.h"

struct tree {
    struct json_reader r;
    struct arena *a; /* strings with escapes */
    bool last_wins;  /* of equal keys */
};

static void decref_p(json_t **v) { json_decref(*v); }

static int fail(struct tree *t, const char *why) {
    if (!t->r.why) t->r.why = why;
    return -EINVAL;
}

static int read_value(struct tree *t, json_t **ret);

/* Integers are 64 bits wide, as jansson's; greater ones are refused, not rounded. */
static int read_number(struct tree *t, json_t **ret) {
    struct slice s;
    char text[64];
    if (json_read_number(&t->r, &s) < 0) return -EINVAL;
    bool real = memchr(s.p, '.', s.n) || memchr(s.p, 'e', s.n) || memchr(s.p, 'E', s.n);
    const char *copy = s.n < sizeof text ? memcpy(text, s.p, s.n) : arena_strn(t->a, s);
    if (copy == text) text[s.n] = 0;
    errno = 0;
    if (!real) {
        long long v = strtoll(copy, NULL, 10);
        if (errno == ERANGE) return fail(t, "too big an integer");
        *ret = json_integer(v);
        return 0;
    }
    double v = strtod(copy, NULL);
    if (isinf(v)) return fail(t, "too big a number");
    *ret = json_real(v);
    return 0;
}

static int read_members(struct tree *t, json_t *object) {
    struct slice key;
    int rc = json_object_begin(&t->r);
    while (rc == 0 && (rc = json_object_next(&t->r, t->a, &key)) > 0) {
        json_t *v = NULL;
        if (!t->last_wins && json_object_getn(object, key.p, key.n))
            return fail(t, "duplicate object key");
        rc = read_value(t, &v);
        if (rc == 0 && json_object_setn_new_nocheck(object, key.p, key.n, v) < 0) abort();
    }
    return rc;
}

static int read_elements(struct tree *t, json_t *array) {
    int rc = json_array_begin(&t->r);
    while (rc == 0 && (rc = json_array_next(&t->r)) > 0) {
        json_t *v = NULL;
        rc = read_value(t, &v);
        if (rc == 0 && json_array_append_new(array, v) < 0) abort();
    }
    return rc;
}

static int read_value(struct tree *t, json_t **ret) {
    struct slice s;
    bool b;
    int rc = 0;
    OWN(decref_p) json_t *v = NULL;
    switch (json_peek(&t->r)) {
    case JSON_KIND_OBJECT: rc = read_members(t, v = json_object()); break;
    case JSON_KIND_ARRAY: rc = read_elements(t, v = json_array()); break;
    case JSON_KIND_STRING:
        rc = json_read_string(&t->r, t->a, &s);
        if (rc == 0) v = json_stringn_nocheck(s.p, s.n);
        break;
    case JSON_KIND_NUMBER: rc = read_number(t, &v); break;
    case JSON_KIND_BOOL:
        rc = json_read_bool(&t->r, &b);
        if (rc == 0) v = json_boolean(b);
        break;
    case JSON_KIND_NULL:
        rc = json_read_null(&t->r);
        v = json_null();
        break;
    default: rc = json_skip(&t->r); /* knows what is wrong */
    }
    if (rc < 0) return rc;
    if (!v) abort();
    *ret = TAKE(v);
    return 0;
}

static int parse(struct slice text, bool last_wins, json_t **ret, struct err *err) {
    OWN(arena_free_p) struct arena *a = arena_new();
    struct tree t = {.a = a, .last_wins = last_wins};
    OWN(decref_p) json_t *v = NULL;
    json_reader_init(&t.r, text);
    if (read_value(&t, &v) < 0 || json_end(&t.r) < 0) return json_reader_error(&t.r, err);
    *ret = TAKE(v);
    return 0;
}

int json_parse(struct slice text, json_t **ret, struct err *err) {
    return parse(text, false, ret, err);
}

int json_parse_last(struct slice text, json_t **ret, struct err *err) {
    return parse(text, true, ret, err);
}

/* The fewest digits that read back as the same number, and always as a number with a fraction. */
static void write_real(struct buf *b, double v) {
    char text[32];
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, v);
        if (strtod(text, NULL) == v) break;
    }
    buf_str(b, text);
    if (!strpbrk(text, ".e")) buf_str(b, ".0");
}

static void write_members(struct buf *b, const json_t *object) {
    json_t *o = (json_t *)object;
    char before = '{';
    for (void *at = json_object_iter(o); at; at = json_object_iter_next(o, at)) {
        buf_char(b, before);
        before = ',';
        buf_json_str(b, slice_from(json_object_iter_key(at), json_object_iter_key_len(at)));
        buf_char(b, ':');
        json_write(b, json_object_iter_value(at));
    }
    buf_str(b, before == '{' ? "{}" : "}");
}

void json_write(struct buf *b, const json_t *v) {
    switch (json_typeof(v)) {
    case JSON_OBJECT: write_members(b, v); break;
    case JSON_ARRAY:
        buf_char(b, '[');
        for (size_t i = 0; i < json_array_size(v); i++) {
            if (i) buf_char(b, ',');
            json_write(b, json_array_get(v, i));
        }
        buf_char(b, ']');
        break;
    case JSON_STRING:
        buf_json_str(b, slice_from(json_string_value(v), json_string_length(v)));
        break;
    case JSON_INTEGER: buf_i64(b, json_integer_value(v)); break;
    case JSON_REAL: write_real(b, json_real_value(v)); break;
    case JSON_TRUE: buf_str(b, "true"); break;
    case JSON_FALSE: buf_str(b, "false"); break;
    case JSON_NULL: buf_str(b, "null"); break;
    }
}
