/*
 * The oracle of the crash tests: a seeded workload for a store, and what a store may hold after a
 * crash in the middle of it. The change log is the whole truth: the state at a revision follows
 * from it.
 */
#pragma once

#include "disk.h"
#include "store/backend.h"

struct model;

struct model *model_new(uint64_t seed);
void model_free(struct model *m);

/* One operation of the workload on the store: a batch of writes, a compaction or housekeeping. 0;
 * < 0 as the store answered. Wrong answers of the store are problems (model_problem). */
int model_step(struct model *m, struct store_backend *b);
/* The store on path opens and holds all that was acknowledged and nothing that was not asked for:
 * revisions, objects now and at an old revision, log, and it goes on working. False: see
 * model_problem(). */
bool model_check(struct model *m, const char *path, struct disk_random *r);
const char *model_problem(const struct model *m); /* "" = none */
