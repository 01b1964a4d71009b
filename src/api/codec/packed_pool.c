/* Parts of packed objects, found by their bytes. */
#include <assert.h>
#include <stdlib.h>

#include "api/codec/packed_impl.h"

struct api_pool {
    struct slab *slab;
    struct set parts;
};

struct api_pool *api_pool_new(struct slab *slab) {
    struct api_pool *p = calloc(1, sizeof *p);
    if (!p) abort();
    p->slab = slab;
    return p;
}

void api_pool_free(struct api_pool *p) {
    if (!p) return;
    assert(p->parts.n == 0);
    set_done(&p->parts);
    free(p);
}

size_t api_pool_count(const struct api_pool *p) { return p->parts.n; }

static bool has_bytes(const struct set_item *item, const void *key) {
    const struct api_part *part = (const struct api_part *)item;
    const struct slice *bytes = key;
    return part->n == bytes->n && memcmp(part->bytes, bytes->p, bytes->n) == 0;
}

struct api_part *pool_part(struct api_pool *p, struct slice bytes) {
    uint32_t hash = set_hash(bytes);
    struct api_part *part = set_find(&p->parts, hash, has_bytes, &bytes);
    if (part) {
        assert(part->refs < UINT32_MAX);
        part->refs++;
        return part;
    }
    if (bytes.n > UINT32_MAX) abort();
    part = slab_alloc(p->slab, sizeof *part + bytes.n);
    *part = (struct api_part){.item = {hash}, .refs = 1, .n = (uint32_t)bytes.n};
    memcpy(part->bytes, bytes.p, bytes.n);
    set_add(&p->parts, &part->item);
    return part;
}

void api_part_unref(struct api_pool *p, struct api_part *part) {
    assert(part->refs > 0);
    if (--part->refs) return;
    set_remove(&p->parts, &part->item);
    slab_free(p->slab, part, sizeof *part + part->n);
}
