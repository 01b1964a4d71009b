/* What makes a pod of a StatefulSet that pod: its number, its name, its labels and its claims.
 * Pure. */
#pragma once

#include "controllers/common.h"

typedef struct apps_v1_stateful_set stateful_set;

/* The number in the name SET-NUMBER; false when the name is none of this set. */
bool stateful_ordinal(const stateful_set *s, const char *pod_name, int64_t *ret);
/* Whether a claim of that name belongs to a pod of the set. */
bool stateful_claims(const stateful_set *s, const char *claim_name);

void stateful_pod_create(const stateful_set *s, const struct core_v1_pod_template_spec *t,
                         const char *revision, int64_t ordinal, struct plan *p);
void stateful_pod_delete(const stateful_set *s, const struct core_v1_pod *pod, struct plan *p);
/* Gives an adopted pod the labels it should have been made with. */
void stateful_pod_label(const struct core_v1_pod *pod, int64_t ordinal, struct plan *p);

/* Makes the claims of this number that are missing. False: some are missing still, or are about to
 * go with a pod that has gone; a pod must not be made yet. */
bool stateful_claims_make(const struct world *w, const stateful_set *s, int64_t ordinal,
                          struct plan *p);
/* Sets who takes the claims along: the set, the pod (which is about to leave for good) or nobody,
 * by persistentVolumeClaimRetentionPolicy. */
void stateful_claims_retain(const struct world *w, const stateful_set *s,
                            const struct core_v1_pod *pod, int64_t ordinal, bool condemned,
                            struct plan *p);
