/* The objects of one kind, ordered by (namespace, name): what informers fill and worlds show. How
 * each is kept is client/cached.h. */
#pragma once

#include "api/registry.h"
#include "client/cached.h"

struct cache;

struct api_keep;

/* metadata_only: objects keep the fields of struct api_object and nothing else. */
struct cache *cache_new(const struct api_kind *k, bool metadata_only);
void cache_free(struct cache *c);
const struct api_kind *cache_kind(const struct cache *c);
void cache_want_all(struct cache *c); /* ends metadata_only; only while the cache is empty */
/* What its objects are decoded with; NULL: whole. */
void cache_keep(struct cache *c, const struct api_keep *keep);
const struct api_keep *cache_kept(const struct cache *c);
/* Copies rest packed: an object is valid until the cache changes or cools. While it is empty. */
void cache_pack(struct cache *c);
/* See shelf_cool(). Heads are let go too. */
void cache_cool(struct cache *c, bool all);
/* Of objects that pass, only name, namespace, uid and resourceVersion stay in the copy. */
void cache_forget(struct cache *c, bool (*forget)(const struct api_object *o));
size_t cache_count(const struct cache *c);
/* What was forgotten is shown as a struct api_object and nothing more, or, by cache_get_whole, not.
 */
const struct api_object *cache_get(const struct cache *c, const char *ns, const char *name);
const struct api_object *cache_get_whole(const struct cache *c, const char *ns, const char *name);
/* The same, not looked into. */
struct cached *cache_entry(const struct cache *c, const char *ns, const char *name);
/* Walks in order; ns NULL: all. size_t at = 0. */
const struct api_object *cache_next(const struct cache *c, const char *ns, size_t *at);

/* An object that was replaced or removed: valid until it is freed, which comes before the cache is
 * freed. */
struct cache_old {
    struct cached *entry; /* NULL: there was none */
};
const struct api_object *cache_old_object(const struct cache_old *o); /* NULL: there was none */
const struct api_object *cache_old_whole(const struct cache_old *o);  /* NULL: or forgotten */
void cache_old_free(struct cache_old *o);

/* Inserts or replaces with a copy of o. */
struct cache_old cache_put_copy(struct cache *c, const struct api_object *o);
/* The same, taking the arena that o lives in. */
struct cache_old cache_put(struct cache *c, struct arena *a, struct api_object *o);
struct cache_old cache_remove(struct cache *c, const char *ns, const char *name);

/* Mark and sweep of a new list: begin, put what is listed or cache_touch what is unchanged, then
 * take out one after the other what was not there. */
void cache_mark_begin(struct cache *c);
void cache_touch(struct cache *c, const char *ns, const char *name);
struct cache_old cache_sweep(struct cache *c, size_t *at); /* entry NULL at the end */
