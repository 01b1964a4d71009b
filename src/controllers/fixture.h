/* Tests of reconcilers: a world, one run of a reconciler on it, and what a node would do to pods.
 */
#pragma once

#include "base/own.h"
#include "base/test.h"
#include "controllers/common.h"

/* Runs the reconciler that has this name on a key and does what it plans. Returns how many writes
 * changed the world; fails the test on an error. */
int run(struct world *w, const char *reconciler, const char *key);
/* Runs it until it writes nothing: at most 10 times. A reconciler that never rests fails. */
void settle(struct world *w, const char *reconciler, const char *key);
/* One run without doing anything. The caller frees it. */
struct plan *plan_of(const struct world *w, const char *reconciler, const char *key);
/* The same after a run whose write failed with that text. */
struct plan *plan_after(const struct world *w, const char *reconciler, const char *key,
                        const char *failure);
/* Asserts that another run plans no write; Events and requeues are none. */
void assert_rests(const struct world *w, const char *reconciler, const char *key);

/* As a node: the pod is Running, and Ready or not since now. */
void pod_runs(struct world *w, const struct api_object *pod, bool ready);
/* The pod has ended. */
void pod_ends(struct world *w, const struct api_object *pod, const char *phase);
/* A copy that may be changed and is put into the world afterwards by edit_done. */
struct api_object *edit(const struct api_object *o, struct arena **ret_a);
void edit_done(struct world *w, struct arena *a, struct api_object *o);

void pass_ms(struct world *w, int64_t ms);
const struct core_v1_pod *pod_get(const struct world *w, const char *name);
const struct apps_v1_replica_set *set_get(const struct world *w, const char *name);
