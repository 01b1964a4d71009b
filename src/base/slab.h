/*
 * Slabs: memory for many small things that live long, apart from the heap, so that what comes and
 * goes between them leaves whole pages free. Sizes are rounded up to one of a few classes; each
 * class has chunks of its own. One thread at a time. Running out of memory aborts. Under a
 * sanitizer everything comes from malloc, so that it sees what is used after it is freed.
 */
#pragma once

#include <stddef.h>

enum { SLAB_MAX_BYTES = 1024, SLAB_CLASSES = 16 }; /* larger things come from malloc */

struct slab_chunk;
struct slab {
    struct slab_chunk *with_room[SLAB_CLASSES];
    size_t chunks;     /* mapped */
    size_t used_bytes; /* handed out of them */
};

void *slab_alloc(struct slab *s, size_t size); /* aligned to 16, not zeroed */
void slab_free(struct slab *s, void *p,
               size_t size);    /* size as it was asked for; NULL is allowed */
void slab_trim(struct slab *s); /* chunks with nothing in them go */
