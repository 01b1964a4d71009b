/*
 * A sorted set of objects by key: blocks of at most 256 pointers, so that an insertion moves at
 * most one block and a lookup is two binary searches. Order is that of bytes, the same as the
 * store's.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"
#include "base/vec.h"
#include "server/transport/request.h"

/* One version of one object, immutable, reference-counted. key is "namespace/name"; cluster-scoped
 * objects have an empty namespace: "/name". */
struct object {
    unsigned refs;
    uint32_t protobuf_n; /* bytes of its protobuf message once somebody has asked; 0: not known */
    uint64_t revision;
    struct bytes *json;
    uint32_t ns_n, key_n;
    char key[]; /* NUL-terminated */
};

struct object *object_new(struct slice key, uint64_t revision, struct slice json);
struct object *object_ref(struct object *o);
void object_unref(struct object *o); /* NULL is allowed */
static inline const char *object_name(const struct object *o) { return o->key + o->ns_n + 1; }
static inline struct slice object_ns(const struct object *o) { return slice_from(o->key, o->ns_n); }
static inline struct slice object_json(const struct object *o) {
    return slice_from(o->json->p, o->json->n);
}

struct key_block;
struct key_index {
    VEC(struct key_block *) blocks;
    size_t n; /* objects */
};

/* A place between objects; stays valid until the index changes. */
struct key_cursor {
    size_t block, at;
};

void key_index_done(struct key_index *x);
struct object *key_index_get(const struct key_index *x, struct slice key); /* borrowed */
/* Puts o (takes over the reference); returns the version that was there (the caller's now), or
 * NULL. */
struct object *key_index_put(struct key_index *x, struct object *o);
/* Removes; returns the version that was there (the caller's now), or NULL. */
struct object *key_index_remove(struct key_index *x, struct slice key);
/* At the first object whose key is ≥ key (> key when after). */
struct key_cursor key_index_seek(const struct key_index *x, struct slice key, bool after);
struct object *key_index_next(const struct key_index *x,
                              struct key_cursor *c); /* NULL at the end */
