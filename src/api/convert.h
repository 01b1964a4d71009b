/* Resources that are served in several groups or versions: one form made from another. Which form
 * is stored follows from api_kind.store_prefix. */
#pragma once

#include "api/registry.h"

/* The object in another form of the same resource. Strings are shared with o; o itself when the
 * kinds are the same. NULL when there is no such conversion. */
struct api_object *api_convert(struct arena *a, const struct api_kind *from,
                               const struct api_kind *to, struct api_object *o);
