/* For packed.c and packed_pool.c alone. */
#pragma once

#include "api/packed.h"

struct api_part {
    uint32_t refs, hash, n;
    char bytes[];
};

/* The part with these bytes, with one reference more. */
struct api_part *pool_part(struct api_pool *p, struct slice bytes);
