/*
 * Resources that are served in several groups or versions (Event: v1 and events.k8s.io/v1) are
 * stored in one of them. Writers convert to the storage kind before they encode, readers decode as
 * the storage kind and convert to the one that was asked for.
 */
#pragma once

#include "api/registry.h"

/* The kind whose form is in the store; k itself for nearly all. */
const struct api_kind *api_storage_kind(const struct api_kind *k);
/* The object in another form of the same resource. Strings are shared with o; o itself when the
 * kinds are the same. NULL when there is no such conversion. */
struct api_object *api_convert(struct arena *a, const struct api_kind *from,
                               const struct api_kind *to, struct api_object *o);
