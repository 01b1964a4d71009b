/* What the engine needs of a world beyond world.h: caches that informers fill. */
#pragma once

#include "client/cache.h"
#include "client/world.h"

/* Facts by name: struct fact. world_facts.c. */
struct map *world_facts(const struct world *w);
void world_facts_done(struct map *facts);

/* The cache of a kind, made when absent. metadata_only: see cache_new; a later call without it wins
 * while the cache is empty. */
struct cache *world_cache(struct world *w, const struct api_kind *k, bool metadata_only);
/* Lets go decoded objects of packed caches (cache_pack) that were not looked at since the last
 * call, or all of them: between reconciles only. */
void world_cool(struct world *w, bool all);
/* Takes the kind out, with its objects: the listener hears of each. */
void world_drop_kind(struct world *w, const struct api_kind *k);
/* The cache has changed like that: brings the indexes up to date, then tells the listener. */
void world_changed(struct world *w, const struct api_kind *k, const struct api_object *now,
                   const struct api_object *old);
