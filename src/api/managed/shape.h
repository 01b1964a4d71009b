/*
 * The shape of a value, as merging by fields sees it (server-side apply, managed fields): is it one
 * thing that is replaced whole, or something with parts, and what names the parts. Two
 * implementations: the tables of built-in kinds (shape.c) and the structural schemas of custom
 * resources (custom/). A shape is a small value, passed by copy; what it points to outlives the
 * call.
 *
 * Upstream's words for the same: x-kubernetes-list-type, -list-map-keys, -map-type and the atoms of
 * structured-merge-diff.
 */
#pragma once

#include "api/table.h"
#include "base/buf.h"
#include "base/slice.h"

enum shape_kind {
    SHAPE_DEDUCED, /* no schema (preserve-unknown-fields, RawExtension): objects are maps, lists are
                      atomic, the rest scalars */
    SHAPE_SCALAR,  /* string, number, bool, int-or-string */
    SHAPE_STRUCT,  /* object with named fields */
    SHAPE_MAP,     /* object whose members come and go one by one (granular) */
    SHAPE_ATOMIC,  /* list, map or struct that is replaced whole */
    SHAPE_LIST_SET, /* list of scalars, each at most once */
    SHAPE_LIST_MAP, /* list of objects, told apart by the values of some fields (keys) */
};

struct shape {
    const struct shape_ops *ops;
    const void *impl;
    unsigned part; /* for the implementation's use */
};

struct shape_ops {
    enum shape_kind (*kind)(struct shape s);
    /* STRUCT, MAP: the member called name; false when there is no such field. A MAP has the same
     * shape for all; a STRUCT that keeps unknown fields gives DEDUCED for them. hint: see
     * api_field_find(); may be NULL. */
    bool (*field)(struct shape s, struct slice name, unsigned *hint, struct shape *ret);
    /* LIST_MAP: the shape of an item. */
    struct shape (*item)(struct shape s);
    /* LIST_MAP: names of the key fields, sorted, NULL-terminated. */
    const char *const *(*keys)(struct shape s);
    /* LIST_MAP: appends the JSON text that counts for an item without this key; false: there is
     * none. */
    bool (*key_default)(struct shape s, const char *key, struct buf *out);
};

static inline enum shape_kind shape_kind(struct shape s) { return s.ops->kind(s); }
static inline bool shape_field(struct shape s, struct slice name, unsigned *hint,
                               struct shape *ret) {
    return s.ops->field(s, name, hint, ret);
}
static inline struct shape shape_item(struct shape s) { return s.ops->item(s); }
static inline const char *const *shape_keys(struct shape s) { return s.ops->keys(s); }
static inline bool shape_key_default(struct shape s, const char *key, struct buf *out) {
    return s.ops->key_default(s, key, out);
}

struct api_kind;
/* Objects of the kind, built in or custom. */
struct shape shape_of_kind(const struct api_kind *k);
/* Objects of a table. */
struct shape shape_of_type(const struct api_type *t);
/* Anything, without a schema. */
struct shape shape_deduced(void);
