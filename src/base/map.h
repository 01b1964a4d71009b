/*
 * Hash map from byte strings to pointers. Keys are copied, values are borrowed. SipHash-1-3 with a
 * seed drawn once per process, so that hostile keys cannot choose their bucket. Open addressing,
 * linear probing, tombstone-free deletion. Iteration order is unspecified; sort where order can be
 * seen.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

struct map_entry {
    char *key; /* NUL-terminated copy; NULL = empty slot */
    size_t key_n;
    uint64_t hash;
    void *value;
};

struct map {
    struct map_entry *slots;
    size_t n;   /* entries */
    size_t cap; /* slots, a power of two or 0 */
};

void map_done(struct map *m);                         /* frees keys and slots, not the values */
void *map_get(const struct map *m, struct slice key); /* NULL when absent */
static inline void *map_gets(const struct map *m, const char *key) {
    return map_get(m, slice_of(key));
}
/* Inserts or replaces; returns the value that was there, or NULL. value must not be NULL. */
void *map_put(struct map *m, struct slice key, void *value);
/* Whether this key was there before; it is now. For sets, and for finding what is told twice. */
static inline bool map_seen(struct map *m, struct slice key) { return map_put(m, key, m) != NULL; }
/* Removes; returns the value that was there, or NULL. */
void *map_del(struct map *m, struct slice key);
/* Walks all entries: size_t i = 0; while ((e = map_next(m, &i))) ...   No insertion or removal
 * meanwhile. */
struct map_entry *map_next(const struct map *m, size_t *i);

/* The seed of all maps of this process; the simulator and fuzzers fix it before first use. */
void map_seed(uint64_t k0, uint64_t k1);
uint64_t map_hash(struct slice key);
