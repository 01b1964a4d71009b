#include "base/set.h"

#include <assert.h>
#include <stdlib.h>

#include "base/map.h"

enum { SLOTS_MIN = 16 };

uint32_t set_hash(struct slice key) { return (uint32_t)map_hash(key); }

void set_done(struct set *s) {
    free(s->slots);
    *s = (struct set){0};
}

void *set_find(const struct set *s, uint32_t hash, set_same_fn *same, const void *key) {
    if (!s->n) return NULL;
    size_t mask = s->cap - 1;
    for (size_t i = hash & mask; s->slots[i]; i = (i + 1) & mask)
        if (s->slots[i]->hash == hash && same(s->slots[i], key)) return s->slots[i];
    return NULL;
}

static void put(struct set *s, struct set_item *item) {
    size_t mask = s->cap - 1, i = item->hash & mask;
    while (s->slots[i]) i = (i + 1) & mask;
    s->slots[i] = item;
}

/* Three quarters full at most, and at least an eighth. */
static void rehash(struct set *s, size_t cap) {
    struct set old = *s;
    s->slots = calloc(cap, sizeof(struct set_item *));
    if (!s->slots) abort();
    s->cap = cap;
    for (size_t i = 0; i < old.cap; i++)
        if (old.slots[i]) put(s, old.slots[i]);
    free(old.slots);
}

void set_add(struct set *s, struct set_item *item) {
    if (s->n * 4 >= s->cap * 3) rehash(s, s->cap ? s->cap * 2 : SLOTS_MIN);
    put(s, item);
    s->n++;
}

static size_t place_of(const struct set *s, const struct set_item *item) {
    size_t mask = s->cap - 1, i = item->hash & mask;
    while (s->slots[i] != item) i = (i + 1) & mask;
    return i;
}

void set_replace(struct set *s, const struct set_item *old, struct set_item *item) {
    assert(old->hash == item->hash);
    s->slots[place_of(s, old)] = item;
}

void set_remove(struct set *s, const struct set_item *item) {
    size_t mask = s->cap - 1, hole = place_of(s, item);
    s->slots[hole] = NULL;
    s->n--;
    /* Close the gap: move back each later one of the run that may stand in the hole. */
    for (size_t i = (hole + 1) & mask; s->slots[i]; i = (i + 1) & mask) {
        size_t home = s->slots[i]->hash & mask;
        if (((i - home) & mask) < ((i - hole) & mask)) continue;
        s->slots[hole] = s->slots[i];
        s->slots[i] = NULL;
        hole = i;
    }
    if (s->cap > SLOTS_MIN && s->n < s->cap / 8) rehash(s, s->cap / 2);
}

void *set_next(const struct set *s, size_t *i) {
    while (*i < s->cap) {
        struct set_item *item = s->slots[(*i)++];
        if (item) return item;
    }
    return NULL;
}
