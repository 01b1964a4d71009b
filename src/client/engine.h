/*
 * Runs reconcilers: watches what they ask for, keeps one queue of keys per reconciler (a key that
 * is already queued is not queued twice, one that runs is run again afterwards), gives each run the
 * world and an empty plan, and applies the plan. A failed key waits 5 ms, doubling up to 60 s. A
 * key is not run before the informers have shown the result of the writes its last run made, so a
 * reconciler never acts on a view older than its own writes.
 *
 * To add a controller: one file with
 *   static const char *const watches[] = {"ReplicaSet", "Pod", NULL};
 *   static const struct reconciler replicaset = {.name = "replicaset", .kind = "ReplicaSet",
 *       .watches = watches, .reconcile = replicaset_reconcile};
 *   RECONCILER(replicaset);
 */
#pragma once

#include "client/client.h"
#include "client/plan.h"
#include "client/world.h"

/* Receives the keys that a change concerns. */
struct keys;
void keys_add(struct keys *k, const char *key);
void keys_add_name(struct keys *k, const char *ns, const char *name); /* "ns/name" or "name" */
void keys_add_object(struct keys *k, const struct api_object *o);

struct reconciler {
    const char *name; /* shown in logs, unique */
    /* What the keys stand for: objects of this kind by "namespace/name" (or "name"). */
    const char *kind;
    /* NULL-terminated kinds that wake it and are in its world, its own kind among them. "*" stands
     * for every stored kind. Kinds that only "*" names are kept with their metadata alone: of such
     * objects nothing but the fields of struct api_object may be read. */
    const char *const *watches;
    /* Keys that a change concerns; now NULL = removed, old NULL = new. NULL map: an object of
     * `kind` gives its own key, others the key of their controller when that is of `kind`. A map
     * that wants the default as well calls reconciler_default_map. */
    void (*map)(const struct reconciler *r, const struct world *w, const struct api_kind *k,
                const struct api_object *now, const struct api_object *old, struct keys *out);
    /* Reads w, writes p. Non-zero with err: nothing of p is applied, the key is tried again with
     * back-off. The object of the key may be gone: then clean up or return 0. */
    int (*reconcile)(const struct world *w, const char *key, struct plan *p, struct err *err);
};

void reconciler_default_map(const struct reconciler *r, const struct world *w,
                            const struct api_kind *k, const struct api_object *now,
                            const struct api_object *old, struct keys *out);
/* Splits "ns/name" or "name" in the arena; *ret_ns is "" for cluster-scoped keys. */
void key_split(struct arena *a, const char *key, const char **ret_ns, const char **ret_name);

#define RECONCILER(sym)                                                                            \
    __attribute__((                                                                                \
        used, retain,                                                                              \
        section("atoll_reconcilers"))) static const struct reconciler *const reconciler_p_##sym =  \
        &sym

/* All that are linked in, sorted by name. The array is malloc'd, the entries are static. */
const struct reconciler **reconcilers(size_t *ret_n);

struct engine;
/* Starts informers for all that the reconcilers watch; the first reconcile runs when all of a
 * reconciler's kinds are synced. Borrowed: client, list and entries. component names the source of
 * Events ("controllers"). */
struct engine *engine_new(struct loop *l, struct api_client *c,
                          const struct reconciler *const *list, size_t n, const char *component);
void engine_free(struct engine *e);

struct engine_stats {
    uint64_t reconciles, writes, conflicts, failures;
    size_t queued;  /* keys ready to run */
    size_t delayed; /* keys waiting for back-off, a requeue time or their own writes */
    size_t running; /* plans being applied */
    bool synced;    /* every informer has its first list */
};
void engine_stats(const struct engine *e, struct engine_stats *ret);
