/*
 * JSON input (RFC 8259). Two ways in: a pull reader over bytes for code that knows what it expects
 * (the decoder of API objects: one pass, no tree, duplicate keys seen by the caller), and
 * json_parse for code that wants a tree (jansson). Both refuse the same texts: bad UTF-8, lone
 * surrogates, NUL characters, nesting beyond LIMIT_JSON_DEPTH, anything after the value.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

enum json_kind {
    JSON_KIND_INVALID,
    JSON_KIND_OBJECT,
    JSON_KIND_ARRAY,
    JSON_KIND_STRING,
    JSON_KIND_NUMBER,
    JSON_KIND_BOOL,
    JSON_KIND_NULL
};
/* object, array, string, number, bool, null */
const char *json_kind_name(enum json_kind kind);

struct json_reader {
    const char *begin, *p, *end;
    uint64_t first; /* bit d: no member was read yet at depth d */
    unsigned depth;
    const char *why; /* set by the first failure */
};

void json_reader_init(struct json_reader *r, struct slice text);
/* What comes next, white space skipped. */
enum json_kind json_peek(struct json_reader *r);

/* All of these return 0, or -EINVAL with r->why set. */
int json_object_begin(struct json_reader *r);
/* 1: *ret_key was read and its value follows; 0: the object has ended. The key points into the text
 * or, where it had escapes, into the arena. */
int json_object_next(struct json_reader *r, struct arena *a, struct slice *ret_key);
int json_array_begin(struct json_reader *r);
int json_array_next(struct json_reader *r); /* 1: an element follows; 0: the array has ended */
int json_read_string(struct json_reader *r, struct arena *a, struct slice *ret);
int json_read_number(struct json_reader *r, struct slice *ret_text);
int json_read_bool(struct json_reader *r, bool *ret);
int json_read_null(struct json_reader *r);
int json_skip(struct json_reader *r);                      /* any value */
int json_read_raw(struct json_reader *r, struct buf *out); /* any value, without white space */
int json_end(struct json_reader *r);                       /* only white space is left */
/* Says in err what r->why is and where. Returns the -errno of a 400. */
int json_reader_error(const struct json_reader *r, struct err *err);

/* The tree of a text; duplicate keys are refused. 400 says where. The caller owns *ret. */
int json_parse(struct slice text, json_t **ret, struct err *err);
/* The same, of equal keys the last one. */
int json_parse_last(struct slice text, json_t **ret, struct err *err);
/* Appends the text of a tree, without white space, members in the tree's order. */
void json_write(struct buf *b, const json_t *v);
