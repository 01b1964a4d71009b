/*
 * One object of a cache, at rest. Its four names stand beside it, so that it is found, ordered and
 * compared without being looked into. The object itself is either decoded for good, or packed
 * (api/codec/packed.h) and decoded when somebody looks: then it stays decoded until shelf_cool()
 * finds that nobody has looked for a while. A head has nothing but the names.
 */
#pragma once

#include "api/codec/packed.h"
#include "api/registry.h"
#include "base/set.h"

/* What the entries of one cache have in common. */
struct shelf;

struct cached {
    struct set_item by_uid; /* the uid index's */
    uint32_t mark;          /* the cache's, of lists */
    struct shelf *shelf;
    struct api_object *object; /* decoded; NULL: not now */
    struct arena *arena;       /* of what is decoded for good, else NULL */
    int64_t came_ns;           /* the world's: when this version came */
    uint32_t used, live_at;    /* when it was looked at; its place among the decoded ones */
    uint32_t room_bytes;       /* decoded */
    uint32_t name_at, size_bytes;
    uint32_t n_parts : 31;
    uint32_t head : 1; /* name, namespace, uid and resourceVersion are all that is known */
    /* The parts; namespace, name, uid, resourceVersion, each with its NUL; the packed bytes. */
    struct api_part *parts[];
};

struct shelf *shelf_new(const struct api_kind *k);
void shelf_free(struct shelf *s); /* after its entries; NULL is allowed */
/* Both while there are no entries. Objects keep their metadata alone; objects rest packed. */
void shelf_metadata_only(struct shelf *s, bool only);
void shelf_pack(struct shelf *s);
size_t shelf_live(const struct shelf *s); /* packed objects and heads that are decoded now */
/* Lets go what was decoded and has not been looked at since the last call, or all of it. What
 * cached_object() gave before is not valid any more. */
void shelf_cool(struct shelf *s, bool all);

/* What the entries of all shelves take outside the heap. */
size_t shelves_bytes(void);

struct cached *cached_new(struct shelf *s, const struct api_object *o); /* a copy */
struct cached *cached_new_head(struct shelf *s, const struct api_object *o);
/* Takes the arena that o lives in; never packed. */
struct cached *cached_take(struct shelf *s, struct arena *a, struct api_object *o);
void cached_free(struct cached *e); /* NULL is allowed */

const struct api_kind *cached_kind(const struct cached *e);
/* Never NULL: "" where the object has none. */
static inline const char *cached_ns(const struct cached *e) {
    return (const char *)(e->parts + e->n_parts);
}
static inline const char *cached_name(const struct cached *e) { return cached_ns(e) + e->name_at; }
const char *cached_uid(const struct cached *e);
const char *cached_revision(const struct cached *e);
/* Valid until the entry is freed or its shelf is cooled. Of a head, and where only metadata is
 * kept, a struct api_object and nothing more. */
const struct api_object *cached_object(struct cached *e);
