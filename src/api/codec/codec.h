/* What the files of the codec share: decode.c, encode.c, default.c, validate.c, equal.c, copy.c. */
#pragma once

#include "api/table.h"

/* Finds a repeated key in an otherwise sorted or unsorted map and puts it in order. Pairs begin
 * with their key; of equal keys the last one stays. on_duplicate may be NULL. */
void map_sort(struct arena *a, struct api_list *map, size_t pair_size,
              void (*on_duplicate)(void *user, const char *key), void *user);

/* Nanoseconds of any duration that Go reads. 0 or -EINVAL. */
int duration_parse(const char *s, int64_t *ret_ns);
/* Canonical text of a duration ("1h30m0s"), or NULL when s is none. */
const char *duration_canonical(struct arena *a, const char *s);
