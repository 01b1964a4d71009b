/* How many pods there should be, as the controllers of a budget's pods say. Pure. */
#pragma once

#include "controllers/common.h"

struct budget_pods {
    const struct core_v1_pod **v;
    size_t n;
};

/* The sum of the scales of all controllers that have a pod among these: of a ReplicaSet's
 * Deployment, else of the ReplicaSet, StatefulSet or ReplicationController; of any other kind what
 * its scale subresource says. Pods without a controller count for nothing; an Event tells. 0; 1
 * when a scale has been asked for and is not there yet; −1, with *ret_why in the plan's arena, when
 * the scale of a controller cannot be known. */
int budget_scale(const struct world *w, const struct policy_v1_pod_disruption_budget *b,
                 const struct budget_pods *pods, struct plan *p, int32_t *ret,
                 const char **ret_why);
/* Whether a change of an object of this kind may change that sum. */
bool budget_scale_changed(const struct api_kind *k, const struct api_object *now,
                          const struct api_object *old);
