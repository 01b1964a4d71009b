/*
 * metadata.managedFields: who set which fields, for every write (KEP 555). A manager is told apart
 * by its name, the operation (Apply or Update), the subresource and, for Update, the version.
 *
 * An ordinary write takes the fields it changes away from everybody else; an apply owns what its
 * configuration holds and conflicts with others over what it would change. Pure: no I/O, no clock.
 */
#pragma once

#include <jansson.h>

#include "api/managed/walk.h"
#include "api/types.h"

enum {
    MANAGED_UPDATE_ENTRIES = 10,
    MANAGED_SENT_ENTRIES = 1000, /* that a client may send */
    MANAGED_NAME_BYTES = 128,
};

struct managed_write {
    struct arena *a;
    struct shape shape;
    enum fields_part part;
    bool reconcile; /* the schema may be another than when the entries were written */
    const char *manager, *api_version, *subresource, *now;
    struct slice empty;  /* canonical JSON of an object of the kind with nothing in it */
    struct slice before; /* canonical JSON of the object as it was; empty: a new one */
};

typedef struct meta_v1_managed_fields_entry managed_entry;
typedef struct meta_v1_managed_fields_entry_list managed_list;

struct managed {
    managed_list entries;
    managed_entry *touched; /* whose time becomes now if the object is stored; NULL: nobody's */
};

/* An ordinary write that makes the object `after`. was: the entries so far. */
void managed_update(const struct managed_write *w, const managed_list *was, struct slice after,
                    struct managed *ret);
/* Sets the time of what was touched, and the order of the entries. */
void managed_stamp(struct managed *m, const char *now);

/* Entries that a client sent, in canonical form; < 0 when they are invalid. */
int managed_accept(struct arena *a, const managed_list *sent, managed_list *ret);
/* [] or [{}]: the client wants no entries. */
bool managed_is_reset(const managed_list *sent);
bool managed_same(const managed_list *x, const managed_list *y);

/* ---- apply ---- */

struct managed_conflict {
    const managed_entry *with;
    const char *path; /* .spec.replicas */
};
struct managed_conflict_list {
    struct managed_conflict *v;
    size_t n;
};

struct managed_apply {
    struct managed_write w;
    const managed_list *was;
    bool force;
    const struct fields *allowed; /* conflicts that do not count; NULL: none */
    /* managed_merge() fills in: */
    struct fields config;
    managed_list base; /* was, or "before-first-apply" */
};

/* The live object (NULL: a new one) with the configuration merged in, and without what this
 * manager applied before and nobody has any more. 400: it does not fit the kind. */
int managed_merge(struct managed_apply *m, const json_t *live, const json_t *config, json_t **ret,
                  struct err *err);
/* Afterwards: after is the merged object in canonical form. 0, or -1 with the conflicts. */
int managed_applied(struct managed_apply *m, struct slice after, struct managed *ret,
                    struct managed_conflict_list *ret_conflicts);
/* Apply failed with 1 conflict: conflict with "x" using apps/v1: .spec.replicas */
const char *managed_conflicts_text(struct arena *a, const struct managed_conflict_list *l);
/* "x" with subresource "scale" using apps/v1 */
const char *managed_entry_text(struct arena *a, const managed_entry *e);
