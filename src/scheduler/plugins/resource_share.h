/* How much of a node's resources would be used: for scores over a list of resources. */
#pragma once

#include "scheduler/place/plugin.h"

enum resource_sort { RESOURCE_CPU, RESOURCE_MEMORY, RESOURCE_EPHEMERAL, RESOURCE_EXTENDED };
struct resource_weight {
    const char *name;
    enum resource_sort sort;
    int64_t weight;
};
struct resource_weights {
    const struct resource_weight *v;
    size_t n;
};
/* As configured; without any, cpu and memory with weight 1. */
struct resource_weights resource_weights_of(struct arena *a,
                                            const struct kubescheduler_v1_resource_spec_list *l);

enum { SHARE_ALL = 1000, SHARE_NONE_OFFERED = -1 };
/* Parts per 1000 of what the node offers that pods would use with this one; more than 1000 when it
 * would not fit; SHARE_NONE_OFFERED: the resource is no matter here. nonzero: containers that ask
 * for no CPU or memory count as if they did. */
int64_t resource_share(const struct sched_query *q, const struct sched_node *n,
                       const struct resource_weight *r, bool nonzero);

/* ---- the same for nodes in lanes, of cpu and memory ---- */

/* Only these two, as it is without configuration but for the weights; those are not too large. */
bool resource_lanes_suit(const struct resource_weights *w);
/* Shares of at most SHARE_ALL + 1, so that too much is seen. asked: of the pod. */
static inline void resource_share_lanes(const double *used, const double *offered, int64_t asked,
                                        int32_t ret[SCHED_LANES]) {
    for (size_t i = 0; i < SCHED_LANES; i++) {
        double share = (used[i] + (double)asked) * SHARE_ALL / offered[i];
        ret[i] = (int32_t)(share > SHARE_ALL + 1 ? SHARE_ALL + 1 : share);
    }
}
