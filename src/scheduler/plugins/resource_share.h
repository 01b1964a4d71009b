/* How much of a node's resources would be used: for scores over a list of resources. */
#pragma once

#include "scheduler/plugin.h"

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
