/*
 * A sorted set of objects by key: blocks of at most 256 pointers, so that an insertion moves at
 * most one block and a lookup is two binary searches. Order is that of bytes, the same as the
 * store's.
 */
#pragma once

#include <stdbool.h>
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
    union {
        struct bytes *json;
        struct cold_page *page; /* of a cold one: server/storage/cold.h */
    };
    uint16_t ns_n, key_n;
    uint32_t held : 31; /* references of the history, which alone holds cold ones */
    uint32_t cold : 1;
    char key[]; /* NUL-terminated */
};

struct object *object_new(struct slice key, uint64_t revision, struct slice json);
struct object *object_ref(struct object *o);
void object_unref(struct object *o); /* NULL is allowed */
void objects_trim(void);             /* room that freed ones have left goes back */
static inline void object_unref_p(struct object **o) { object_unref(*o); }
static inline const char *object_name(const struct object *o) { return o->key + o->ns_n + 1; }
static inline struct slice object_ns(const struct object *o) { return slice_from(o->key, o->ns_n); }
static inline struct slice object_json(const struct object *o) {
    return slice_from(o->json->p, o->json->n);
}

struct key_block; /* shared with snapshots: who writes to a shared one makes a copy first */
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

/* The objects of a moment in the order of their keys, however the index changes afterwards. Making
 * one costs a step per block, not per object. Zero: empty. */
struct key_snapshot {
    struct key_block **blocks; /* references; [block, n_blocks) are still held */
    size_t n_blocks;
    size_t block, at;
    size_t left; /* objects that are still to come */
};

/* All from the first key ≥ start (> start when after) on that begin with prefix, which start does,
 * too, unless it is empty. */
struct key_snapshot key_index_snapshot(const struct key_index *x, struct slice start, bool after,
                                       struct slice prefix);
/* NULL at the end. Borrowed until the next call; lets go of the blocks behind it. */
struct object *key_snapshot_next(struct key_snapshot *s);
/* The one that `ahead` calls of key_snapshot_next come before. NULL: not so many are left. */
struct object *key_snapshot_peek(const struct key_snapshot *s, size_t ahead);
void key_snapshot_done(struct key_snapshot *s);
