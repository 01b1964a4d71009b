/*
 * What must never be, looked at after every change of the store, and what must be at the end.
 */
#pragma once

#include "sim/api.h"

void oracle_new(struct sim *s);
void oracle_free(struct sim *s);
/* A pod under this budget (an object of the store) is about to be evicted. */
void oracle_eviction(struct sim *s, const struct sim_object *budget);
/* When all has come to rest: nothing is left that waits to go, everything that has owners has one
 * that lives. */
void oracle_final(struct sim *s);

/* normal.c: the state, one line per object, without what chance decides: names that were made up,
 * uids, times, addresses, which node. Sorted; history and events are left out. */
void normal_form(struct sim *s, struct buf *out);
/* Of everything that is stored, to the byte. */
uint64_t state_hash(const struct sim *s);
