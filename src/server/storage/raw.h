/*
 * Reads single members out of canonical JSON without building a tree: what the api service needs
 * from stored bytes (labels, owner references, the place of resourceVersion) while it sends the
 * rest on untouched. For JSON that this system wrote itself; on anything else the functions say
 * "not there" and never read past the end.
 */
#pragma once

#include <stdbool.h>

#include "api/type.h"
#include "base/arena.h"
#include "base/slice.h"

/* Members of an object or elements of an array, in order. key is raw (without quotes, escapes left
 * as they are). */
struct raw_iter {
    const char *p, *end;
};
struct raw_iter raw_object(struct slice json); /* at an object; anything else has no members */
struct raw_iter raw_array(struct slice json);
bool raw_member(struct raw_iter *s, struct slice *ret_key, struct slice *ret_value);
bool raw_element(struct raw_iter *s, struct slice *ret_value);

/* The raw value of a direct member; false when absent or null. */
bool raw_get(struct slice json, const char *key, struct slice *ret);
/* The same along "metadata.labels"; at most 8 steps. */
bool raw_path(struct slice json, const char *path, struct slice *ret);
/* A string value, unescaped, in the arena; NULL when the value is not a string. */
const char *raw_string(struct arena *a, struct slice value);
/* path as string; NULL when absent or not a string. */
const char *raw_path_string(struct arena *a, struct slice json, const char *path);
/* An object of strings as a map; other members are left out. */
struct str_map raw_map(struct arena *a, struct slice value);
