/*
 * What a reconciler may see: a consistent, read-only, in-memory copy of the resources it watches,
 * and the time. No I/O, no clock of its own. Filled by informers in the controllers service, by
 * lists of objects in tests, and by the simulator.
 *
 * A kind is named by its Kind ("Pod", "Deployment"); "Kind.group" where the name alone is not
 * unique ("Event.events.k8s.io"). Objects are valid until the world changes next, so during the
 * whole of one reconcile; never write to them: copy (api_object_copy) into the plan's arena first.
 * All iteration is in the order of (namespace, name), so the same world always gives the same plan.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "api/registry.h"

struct world;

/* The object or NULL. ns NULL or "" for cluster-scoped kinds. */
const struct api_object *world_get(const struct world *w, const char *kind, const char *ns,
                                   const char *name);
/* By the key of a reconciler, "ns/name" or "name". */
const struct api_object *world_by_key(const struct world *w, const char *kind, const char *key);
/* Since when, by this world's clock, the object is there as it is now; 0: it is not. A world that
 * has just begun sees everything anew. */
int64_t world_unchanged_since_ns(const struct world *w, const char *kind, const char *ns,
                                 const char *name);
/* The object by its uid; NULL when absent or when the object of that uid is not in the world. */
const struct api_object *world_by_uid(const struct world *w, const char *kind, const char *uid);
/* Walks all objects of a kind (ns NULL: of all namespaces): size_t at = 0; while ((o = world_next(
 * w, "Pod", ns, &at))) … */
const struct api_object *world_next(const struct world *w, const char *kind, const char *ns,
                                    size_t *at);
size_t world_count(const struct world *w, const char *kind);
/* Walks the objects of a kind whose controller (owner reference with controller=true) has this uid.
 */
const struct api_object *world_owned(const struct world *w, const char *owner_uid, const char *kind,
                                     size_t *at);
/* Walks what a controller with this uid may claim: the objects of that kind in its namespace which
 * it controls, then those that nobody controls. Of the kinds that controllers claim only: Pod,
 * ReplicaSet, ControllerRevision. */
const struct api_object *world_claimable(const struct world *w, const char *owner_uid,
                                         const char *kind, const char *ns, size_t *at);
/* Walks everything, of every kind in the world, that has any owner reference to this uid. ret_kind
 * gets the kind (may be NULL). */
const struct api_object *world_dependents(const struct world *w, const char *owner_uid,
                                          const struct api_kind **ret_kind, size_t *at);
/* The kind's table row, or NULL when the world does not hold that kind. */
const struct api_kind *world_kind(const struct world *w, const char *kind);
/* Walks the kinds the world holds. */
const struct api_kind *world_kind_next(const struct world *w, size_t *at);

/* Whether every kind that there is, custom ones too, is in the world with all its objects: what
 * concludes from absence across kinds asks this first. */
bool world_complete(const struct world *w);

int64_t world_now_ns(const struct world *w); /* wall clock, nanoseconds since 1970 */

/* ---- Facts: what the world holds beside objects ---- */

/* The newest answer to GET of an API path that some reconciler wants (plan_want), by that path; or
 * what a reconciler has written down (plan_note), by the name it chose. */
struct fact {
    struct slice body;      /* what was answered or written down; "" when there is none */
    enum err_reason reason; /* of a request that failed; ERR_NONE: body holds */
    const char *error;      /* NULL: body holds */
    int64_t asked_ns;       /* world time when it was asked for: nothing newer is in it */
    struct fact_value *value;
};
const struct fact *world_fact(const struct world *w, const char *name); /* NULL: not known yet */
/* What `read` makes of the body; NULL when that failed. Read once, however many ask. */
typedef void *fact_read_fn(struct arena *a, struct slice body);
const void *fact_read(const struct fact *f, fact_read_fn *read);

/* ---- Making and changing a world: the engine, tests and the simulator only ---- */

/* Copies; error NULL: the body holds. */
void world_set_fact(struct world *w, const char *name, int64_t asked_ns, struct slice body,
                    const struct err *error);
void world_drop_fact(struct world *w, const char *name);

struct world *world_new(void);
void world_free(struct world *w); /* NULL is allowed */
void world_set_now(struct world *w, int64_t now_ns);
void world_set_complete(struct world *w, bool complete); /* a new world is */
/* Declares a kind: without it objects of that kind are unknown. Twice is allowed. */
void world_add_kind(struct world *w, const struct api_kind *k);

/* One change, for map functions and the engine. now is NULL after a removal, old before an
 * addition; both valid during the call. */
typedef void world_changed_fn(void *user, const struct api_kind *k, const struct api_object *now,
                              const struct api_object *old);
void world_on_change(struct world *w, world_changed_fn *fn, void *user); /* one listener */
/* Inserts or replaces; takes the arena that holds o. */
void world_put(struct world *w, const struct api_kind *k, struct arena *a, struct api_object *o);
void world_remove(struct world *w, const struct api_kind *k, const char *ns, const char *name);

/* ---- Tests ---- */

/* A world from nothing: knows every stored kind, now = 2026-01-01T00:00:00Z. */
struct world *world_test_new(void);
/* world_put of what a reconciler sees of o (client/projection.h); returns that. */
const struct api_object *world_put_seen(struct world *w, const struct api_kind *k, struct arena *a,
                                        struct api_object *o);
/* Adds a copy of o (its apiVersion and kind must be set). uid and resourceVersion are made up when
 * empty, creationTimestamp = now when empty. Returns the copy that is in the world. */
const struct api_object *world_add(struct world *w, const struct api_object *o);
/* The same from JSON text; aborts the test program when it does not decode. */
const struct api_object *world_add_json(struct world *w, const char *json);

struct plan;
/* Does what the plan says to the world, as the API server would: new names from generateName, uids,
 * revisions, generation on spec changes, conflicts. Defaults and validation are not run. A delete
 * removes at once, except objects with finalizers, which get a deletionTimestamp. Of patches only
 * merge and strategic merge patches, plain requests not at all. Returns the number of writes that
 * changed something; -errno and err on the first that fails. */
int world_apply(struct world *w, struct plan *p, struct err *err);
