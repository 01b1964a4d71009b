#include "scheduler/snapshot/set.h"

#include <stdlib.h>

void set_done(struct set *s) {
    free(s->slots);
    *s = (struct set){0};
}

void *set_find(const struct set *s, uint64_t hash, set_same_fn *same, const void *key) {
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
    if (s->n * 4 >= s->cap * 3) rehash(s, s->cap ? s->cap * 2 : 16);
    put(s, item);
    s->n++;
}

void set_remove(struct set *s, const struct set_item *item) {
    size_t mask = s->cap - 1, hole = item->hash & mask;
    while (s->slots[hole] != item) hole = (hole + 1) & mask;
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
}

void *set_next(const struct set *s, size_t *i) {
    while (*i < s->cap) {
        struct set_item *item = s->slots[(*i)++];
        if (item) return item;
    }
    return NULL;
}
