/*
 * What reconcilers see of a kind, when that is less than all: declared once for all of them, beside
 * them, by PROJECTION(). The engine's informers decode no more, so the world holds no more, in the
 * service and in tests alike; plan_update and plan_update_status of such a kind end the program,
 * since they would remove the rest from the stored object: write it by patches.
 */
#pragma once

#include "api/registry.h"

struct projection {
    const char *group, *kind;
    const struct api_keep *keep;
};

/* NULL: reconcilers see the whole of it. */
const struct api_keep *projection_of(const struct api_kind *k);

#define PROJECTION(sym)                                                                            \
    __attribute__((                                                                                \
        used, retain,                                                                              \
        section("atoll_projections"))) static const struct projection *const projection_p_##sym =  \
        &sym
