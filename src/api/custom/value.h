/*
 * A JSON value in an arena: what a custom resource is between the bytes that came and the bytes
 * that are stored. Members of objects are sorted by their key, so that equal values have equal
 * bytes; numbers that are whole are kept exactly. Nesting is bounded by LIMIT_JSON_DEPTH.
 */
#pragma once

#include "api/type.h"
#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

enum value_kind {
    VALUE_NULL,
    VALUE_BOOL,
    VALUE_INT,
    VALUE_DOUBLE,
    VALUE_STRING,
    VALUE_ARRAY,
    VALUE_OBJECT
};

struct value_member;
struct value;
struct value_items {
    struct value *v;
    size_t n;
};
struct value_members {
    struct value_member *v;
    size_t n;
};
struct value {
    enum value_kind kind;
    unsigned place; /* of a member in the text it came from, for the parser only */
    union {
        bool boolean;
        int64_t integer;
        double number;
        struct slice text; /* NUL-terminated */
        struct value_items items;
        struct value_members members;
    };
};
struct value_member {
    struct slice key; /* NUL-terminated */
    struct value value;
};

/* A place in a value, as upstream writes it: spec.rules[0].host, metadata.labels[a.b/c]. */
struct value_path {
    struct buf text;
};
/* Each returns the length to go back to. */
size_t value_path_field(struct value_path *p, struct slice name);
size_t value_path_key(struct value_path *p, struct slice key);
size_t value_path_index(struct value_path *p, size_t index);
void value_path_back(struct value_path *p, size_t length);
const char *value_path_text(const struct value_path *p);

/* The text's value. Repeated keys: the last one counts, and each is told in duplicates (may be
 * NULL) with its path below `at`. ERR_BAD_REQUEST when the text is no JSON, ERR_TOO_LARGE when it
 * takes too much memory. */
int value_parse(struct arena *a, struct slice json, const char *at, struct str_list *duplicates,
                struct value *ret, struct err *err);
void value_encode(struct buf *b, const struct value *v);
struct value value_copy(struct arena *a, const struct value *v);
bool value_equal(const struct value *x, const struct value *y);

/* The member of an object; NULL when absent or when v is no object. */
struct value *value_get(const struct value *v, struct slice key);
static inline struct value *value_gets(const struct value *v, const char *key) {
    return value_get(v, slice_of(key));
}
/* Sets a member; v is an object. The new value is a shallow copy. */
void value_set(struct arena *a, struct value *v, struct slice key, const struct value *to);
void value_remove(struct value *v, size_t member);
/* The text of a string; NULL for other kinds and for v NULL. */
const char *value_text(const struct value *v);
static inline bool value_is(const struct value *v, enum value_kind k) { return v && v->kind == k; }
static inline bool value_true(const struct value *v) {
    return value_is(v, VALUE_BOOL) && v->boolean;
}
/* Whole numbers, also those written with a fraction of zero. */
bool value_integer(const struct value *v, int64_t *ret);
double value_number(const struct value *v); /* 0 when it is no number */
