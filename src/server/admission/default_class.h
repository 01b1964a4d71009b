/* The one object of a cluster-scoped kind that is marked as default: storage and ingress classes.
 */
#pragma once

#include "server/admission/plugin.h"

/* Remembers its answer until an object of the kind changes. One per plugin. */
struct default_class {
    const char *group, *plural, *annotations[2]; /* one of them "true" marks the default */
    struct arena *arena;
    const char *name;
    uint64_t as_of; /* UINT64_MAX at first */
};
/* Name of the newest that is marked (upstream since 1.26), or NULL. Borrowed until one changes. */
const char *default_class_name(struct default_class *d, const struct admission *ad);
