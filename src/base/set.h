/*
 * A hash set of things that hold their own key, so that the key is stored once: a pointer and a
 * third per thing, and four bytes in it. Open addressing, linear probing, tombstone-free deletion.
 * Iteration order is unspecified.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

struct set_item {  /* first member of a thing that is in a set */
    uint32_t hash; /* set_hash of its key */
};
struct set {
    struct set_item **slots;
    size_t n;   /* things */
    size_t cap; /* slots, a power of two or 0 */
};

uint32_t set_hash(struct slice key);
void set_done(struct set *s); /* not the things */
/* The first with that hash of which `same` says so; NULL: none. */
typedef bool set_same_fn(const struct set_item *item, const void *key);
void *set_find(const struct set *s, uint32_t hash, set_same_fn *same, const void *key);
/* It is in no set yet. */
void set_add(struct set *s, struct set_item *item);
/* It is in this set. */
void set_remove(struct set *s, const struct set_item *item);
/* Puts one thing where another with the same key is. */
void set_replace(struct set *s, const struct set_item *old, struct set_item *item);
/* Walks all: size_t i = 0; while ((x = set_next(s, &i))) …   No change meanwhile. */
void *set_next(const struct set *s, size_t *i);
