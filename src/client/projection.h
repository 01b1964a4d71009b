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
    /* Objects that are seen whole all the same, told by their metadata; NULL: none. */
    bool (*whole)(const struct api_object *o);
};

/* NULL: reconcilers see the whole of it. */
const struct api_keep *projection_of(const struct api_kind *k);

/* Decodes into a: with keep (NULL: whole), or whole when the kind has a projection with that keep
 * that wants this object so. 0 or < 0. */
int projection_decode(struct arena *a, const struct api_kind *k, const struct api_keep *keep,
                      struct slice json, struct api_object **ret);

#define PROJECTION(sym)                                                                            \
    __attribute__((                                                                                \
        used, retain,                                                                              \
        section("atoll_projections"))) static const struct projection *const projection_p_##sym =  \
        &sym
