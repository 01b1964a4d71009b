/* The images this node has: images.json, written as a whole and renamed into place. */
#pragma once

#include "base/vec.h"
#include "wire/image.h"

struct catalog_entry {
    struct arena *arena;
    struct image_info info;
};

struct catalog {
    int dir; /* of the state directory; borrowed */
    VEC(struct catalog_entry) entries;
};

/* A damaged file is an error that names it; an absent one is an empty catalog. */
int catalog_load(struct catalog *c, int dir, struct err *err);
void catalog_done(struct catalog *c);
/* By any normalised name, name@digest, or image id. */
const struct image_info *catalog_find(const struct catalog *c, const char *name);
/* Adds or replaces (same id: names are merged); the names move over from other images. Copies.
 * Saves. */
int catalog_put(struct catalog *c, const struct image_info *info, struct err *err);
/* Drops the name, or the whole image by id; *ret_gone when no name is left. Saves. */
int catalog_remove(struct catalog *c, const char *name, struct err *err);
bool catalog_uses_layer(const struct catalog *c, const char *layer);
