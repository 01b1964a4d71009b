/* Resources that are served in several groups or versions: one form made from another. Which form
 * is stored follows from API_CONVERTED: of the kinds with one store_prefix, the one without it. */
#pragma once

#include "api/registry.h"

/* The object in another form of the same resource. Strings are shared with o; o itself when the
 * kinds are the same. NULL when there is no such conversion. */
struct api_object *api_convert(struct arena *a, const struct api_kind *from,
                               const struct api_kind *to, struct api_object *o);

/* One direction of one pair of forms, registered by the file that knows both. The result has
 * everything but apiVersion and kind, which api_convert sets. */
struct api_conversion {
    const struct api_type *from, *to;
    void *(*run)(struct arena *a, const void *obj);
};

#define API_CONVERSION(sym)                                                                        \
    __attribute__((used, retain, section("atoll_conversions"))) static const struct api_conversion \
        *const api_conversion_p_##sym = &sym
