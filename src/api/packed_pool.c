/* Parts of packed objects, found by their bytes: open addressing, linear probing. */
#include <assert.h>
#include <stdlib.h>

#include "api/packed_impl.h"
#include "base/map.h"

enum { SLOTS_MIN = 16 };

struct api_pool {
    struct slab *slab;
    struct api_part **slots;
    size_t n, cap; /* cap: a power of two or 0 */
};

struct api_pool *api_pool_new(struct slab *slab) {
    struct api_pool *p = calloc(1, sizeof *p);
    if (!p) abort();
    p->slab = slab;
    return p;
}

void api_pool_free(struct api_pool *p) {
    if (!p) return;
    assert(p->n == 0);
    free(p->slots);
    free(p);
}

size_t api_pool_count(const struct api_pool *p) { return p->n; }

/* Three quarters full at most, and at least an eighth. */
static void resize(struct api_pool *p, size_t cap) {
    struct api_part **slots = calloc(cap, sizeof(struct api_part *));
    if (!slots) abort();
    for (size_t i = 0; i < p->cap; i++) {
        if (!p->slots[i]) continue;
        size_t at = p->slots[i]->hash & (cap - 1);
        while (slots[at]) at = (at + 1) & (cap - 1);
        slots[at] = p->slots[i];
    }
    free(p->slots);
    p->slots = slots;
    p->cap = cap;
}

static struct api_part *part_new(struct slab *slab, struct slice bytes, uint32_t hash) {
    if (bytes.n > UINT32_MAX) abort();
    struct api_part *part = slab_alloc(slab, sizeof *part + bytes.n);
    *part = (struct api_part){.refs = 1, .hash = hash, .n = (uint32_t)bytes.n};
    memcpy(part->bytes, bytes.p, bytes.n);
    return part;
}

struct api_part *pool_part(struct api_pool *p, struct slice bytes) {
    if (p->n >= p->cap / 4 * 3) resize(p, p->cap ? p->cap * 2 : SLOTS_MIN);
    uint32_t hash = (uint32_t)map_hash(bytes);
    size_t at = hash & (p->cap - 1);
    for (struct api_part *part; (part = p->slots[at]); at = (at + 1) & (p->cap - 1)) {
        if (part->hash != hash || part->n != bytes.n || memcmp(part->bytes, bytes.p, bytes.n) != 0)
            continue;
        assert(part->refs < UINT32_MAX);
        part->refs++;
        return part;
    }
    p->n++;
    return p->slots[at] = part_new(p->slab, bytes, hash);
}

void api_part_unref(struct api_pool *p, struct api_part *part) {
    assert(part->refs > 0);
    if (--part->refs) return;
    size_t mask = p->cap - 1, hole = part->hash & mask;
    while (p->slots[hole] != part) hole = (hole + 1) & mask;
    p->slots[hole] = NULL;
    p->n--;
    /* Close the gap: move back each later entry of the run that may stand in the hole. */
    for (size_t i = (hole + 1) & mask; p->slots[i]; i = (i + 1) & mask) {
        size_t home = p->slots[i]->hash & mask;
        if (((i - home) & mask) < ((i - hole) & mask)) continue;
        p->slots[hole] = p->slots[i];
        p->slots[i] = NULL;
        hole = i;
    }
    slab_free(p->slab, part, sizeof *part + part->n);
    if (p->cap > SLOTS_MIN && p->n < p->cap / 8) resize(p, p->cap / 2);
}
