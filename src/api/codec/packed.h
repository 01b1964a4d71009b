/*
 * Decoded objects at rest: a packed form that holds only the fields that are set, for readers that
 * keep many objects and look at few of them. Composite parts of metadata and spec that many objects
 * have alike (containers, tolerations, labels) are kept once in a pool and counted. Unpacking costs
 * about as much as a copy; texts are not copied but point into the packed bytes.
 *
 * The form is private to one process of one build: it is never stored and never sent, so it is
 * trusted.
 */
#pragma once

#include "api/type.h"
#include "base/slab.h"
#include "base/vec.h"

struct api_pool; /* the parts that are shared */
struct api_part; /* one of them */

struct api_pool *api_pool_new(struct slab *slab); /* slab: borrowed, the parts are in it */
void api_pool_free(struct api_pool *p);           /* no part may be left; NULL is allowed */
size_t api_pool_count(const struct api_pool *p);  /* parts */
void api_part_unref(struct api_pool *p, struct api_part *part);

/* What api_pack fills: zeroed before its first use, then used again and again. */
struct api_packed {
    struct buf bytes;
    VEC(struct api_part *) parts; /* each with a reference that is the caller's from then on */
    size_t room_bytes;            /* what the object takes when unpacked */
};
void api_packed_done(
    struct api_packed *p); /* frees the room; parts that are still in it are lost */

/* Replaces what ret held. */
void api_pack(struct api_pool *pool, const struct api_type *t, const void *obj,
              struct api_packed *ret);
/* room: room_bytes zeroed bytes, aligned to 16; the object begins there and ends with it, with
 * bytes and with the parts. */
void *api_unpack(const struct api_type *t, const char *bytes, struct api_part *const *parts,
                 void *room);
