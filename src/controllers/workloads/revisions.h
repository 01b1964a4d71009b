/*
 * ControllerRevisions: the history of the pod templates of a StatefulSet or DaemonSet. Each holds
 * one template as a patch (spec.template, replaced as a whole), which is what kubectl rollout
 * history and undo read. Pure.
 */
#pragma once

#include "controllers/common.h"

struct revision_owner {
    const struct api_object *object;
    const struct meta_v1_label_selector *selector;
    const struct core_v1_pod_template_spec *template;
    const int32_t *collision_count; /* NULL: no name was taken yet */
};

typedef struct apps_v1_controller_revision controller_revision;

struct revisions {
    const controller_revision **v; /* oldest first */
    size_t n;
    const controller_revision *update; /* the one of the owner's template */
};

enum revisions_state {
    REVISIONS_KNOWN,   /* ret->update is there */
    REVISIONS_PLANNED, /* the plan claims, makes or renumbers one: its result comes first */
    REVISIONS_TAKEN,   /* the name of the new one is another's: count it in status.collisionCount */
};

/* For adoption_map: what is adopted by those that have a history, pods and revisions. */
extern const char *const revision_claimed[];

/* Labels of the hash on revisions and pods. */
extern const char revision_hash_key[]; /* controller-revision-hash */

/* Adopts and releases revisions, finds the one of the template, makes it when there is none, and
 * numbers it as the newest. A dying owner writes nothing: update may then be NULL. */
enum revisions_state revisions_sync(const struct world *w, const struct revision_owner *o,
                                    struct plan *p, struct revisions *ret);
/* NULL when there is none of that name. */
const controller_revision *revision_named(const struct revisions *r, const char *name);
/* The hash in its labels, which its name ends in. */
const char *revision_hash(const controller_revision *r);
/* The template that it keeps; NULL when it cannot be read. */
struct core_v1_pod_template_spec *revision_template(struct arena *a, const controller_revision *r);
/* Deletes the oldest that nobody uses until `limit` (NULL: 10) unused ones are left. */
void revisions_trim(const struct revisions *r, const int32_t *limit,
                    bool (*used)(const void *user, const controller_revision *r), const void *user,
                    struct plan *p);
