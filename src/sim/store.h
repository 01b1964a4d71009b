/*
 * The store protocol in memory: objects by kind, namespace and name, one revision per change over
 * all of them, and a log per kind from which watches read. Objects are versions that never change;
 * whoever keeps one holds a reference.
 */
#pragma once

#include "api/registry.h"
#include "sim/core.h"

struct sim_object {
    unsigned refs;
    uint64_t revision;
    const struct api_kind *kind;
    const char *ns, *name; /* in text */
    struct slice json;     /* canonical, with its resourceVersion; in text */
    char text[];
};

enum sim_change_type { SIM_ADDED, SIM_MODIFIED, SIM_DELETED };
struct sim_change {
    enum sim_change_type type;
    struct sim_object *object; /* DELETED: the last state, with the revision of the deletion */
};

struct sim_resource {
    const struct api_kind *kind;
    struct map objects; /* "ns/name" → struct sim_object */
    VEC(struct sim_change) log;
    uint64_t log_first; /* number of the first change that is still in the log */
    uint64_t compacted; /* watches from before this revision begin anew */
    uint64_t n_writes;  /* since the beginning */
};

/* After each change; old NULL: added, now NULL: removed. */
typedef void sim_changed_fn(struct sim *s, const struct sim_change *c,
                            const struct sim_object *old);

struct sim_store {
    struct sim_resource *resources; /* by index of kinds */
    size_t n_resources;
    struct map by_kind; /* store_prefix → struct sim_resource */
    uint64_t revision;
    VEC(sim_changed_fn *) listeners;
    uint64_t n_writes;
};

void store_new(struct sim *s);
void store_free(struct sim *s);
void store_listen(struct sim *s, sim_changed_fn *fn);
struct sim_resource *store_resource(const struct sim *s, const struct api_kind *k);
/* NULL when the name is not that of a kind that is stored. */
struct sim_resource *store_resource_of(const struct sim *s, const char *group, const char *kind);
struct sim_object *store_get(const struct sim_resource *r, const char *ns, const char *name);
/* Decoded into a; aborts when a stored object cannot be read. */
struct api_object *store_decode(struct arena *a, const struct sim_object *o);
/* Puts o in with the next revision, and returns the version that is stored now. */
struct sim_object *store_put(struct sim *s, const struct api_kind *k, struct api_object *o);
void store_remove(struct sim *s, const struct api_kind *k, struct api_object *last);
/* All objects, by namespace and name; the list is malloc'd, the objects borrowed. */
struct sim_object **store_list(const struct sim_resource *r, size_t *ret_n);
/* Forgets the log: watches that are behind read a list again. */
void store_compact(struct sim *s, struct sim_resource *r);
struct sim_object *object_hold(struct sim_object *o);
void object_drop(struct sim_object *o);
