/* For packed.c and packed_pool.c alone. */
#pragma once

#include "api/codec/packed.h"
#include "base/set.h"

struct api_part {
    struct set_item item; /* in the pool, by its bytes */
    uint32_t refs, n;
    char bytes[];
};

/* The part with these bytes, with one reference more. */
struct api_part *pool_part(struct api_pool *p, struct slice bytes);
