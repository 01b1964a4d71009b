/* Entries of caches by uid. Of two with the same uid the last one is found. */
#pragma once

#include "client/cached.h"

struct uid_index {
    struct set entries;
};

void uid_index_done(struct uid_index *x); /* the entries are not its own */
struct cached *uid_index_get(const struct uid_index *x, const char *uid); /* NULL: none */
void uid_index_put(struct uid_index *x, struct cached *e);                /* in place of another */
/* Takes out what is found by the uid of `like` when that is of its kind and name. */
void uid_index_remove(struct uid_index *x, const struct api_kind *k, const struct api_object *like);
