/*
 * Sets of fields of an object, as managedFields writes them (meta/v1 FieldsV1, KEP 555): a tree of
 * path elements
 *   f:NAME   member of an object          k:{"name":"x"}   item of a list, by its keys
 *   v:VALUE  item of a set, by its value  i:N              item by its place
 * where "." says that the place itself is in the set. A tree lives in an arena and is never changed
 * once it is sorted; operations give new trees that share parts of the old ones.
 */
#pragma once

#include <stdbool.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

struct fields {
    struct slice name; /* f: as between the quotes of canonical JSON; k, v, i: the text itself */
    char type;         /* 'f', 'k', 'v', 'i'; 0 at the root */
    bool member;       /* the place itself is in the set */
    struct fields *v;  /* what is below, sorted by type and name */
    size_t n;
};

/* FieldsV1 text. trusted: this system wrote it; else names are brought into canonical form.
 * 400 when it is none. */
int fields_parse(struct arena *a, struct slice json, bool trusted, struct fields *ret,
                 struct err *err);
void fields_write(struct buf *b, const struct fields *f); /* FieldsV1, without "." at the root */

/* Appends below f, in any order; fields_sort() before anything else looks at the tree. The pointer
 * is good until the next call for the same f. */
struct fields *fields_add(struct arena *a, struct fields *f, char type, struct slice name);
/* Sorts, joins what was added twice, drops what is empty. */
void fields_sort(struct fields *f);

static inline bool fields_empty(const struct fields *f) { return !f->member && !f->n; }
bool fields_equal(const struct fields *x, const struct fields *y);
const struct fields *fields_find(const struct fields *f, char type, struct slice name);

struct fields fields_union(struct arena *a, const struct fields *x, const struct fields *y);
struct fields fields_intersection(struct arena *a, const struct fields *x, const struct fields *y);
/* x without the places of y; what is below a place of y stays. */
struct fields fields_difference(struct arena *a, const struct fields *x, const struct fields *y);
/* x without the places of y and all that is below them. */
struct fields fields_cut(struct arena *a, const struct fields *x, const struct fields *y);

/* Each place of the set as upstream prints it: .spec.containers[name="x"].image */
typedef void fields_path_fn(void *user, struct slice path);
void fields_paths(const struct fields *f, fields_path_fn *fn, void *user);
/* Appends one path element to such a text. */
void fields_element_text(struct buf *b, char type, struct slice name);
