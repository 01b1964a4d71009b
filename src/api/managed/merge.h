/*
 * Merging of an applied configuration into a live object, by shape (upstream's
 * structured-merge-diff): members and items of granular parts one by one, everything else as a
 * whole.
 */
#pragma once

#include <jansson.h>

#include "api/managed/fields.h"
#include "api/managed/shape.h"

/* The result is a new reference; it shares what did not change with both. */
json_t *fields_merge(struct arena *a, struct shape shape, const json_t *live, const json_t *config);
/* Removes from v what is in last (the manager's set before) and has nothing in owned (everybody's
 * sets now). */
void fields_prune(struct arena *a, struct shape shape, json_t *v, const struct fields *last,
                  const struct fields *owned);
/* The text that a walk over fields understands. The tree's depth is bounded by who made it. */
void json_canonical(struct buf *b, const json_t *v);
