/* Amounts of resources: the four that every pod uses as plain numbers, others (extended resources,
 * huge pages) by name. */
#pragma once

#include "api/registry.h"

struct extended {
    const char *name;
    int64_t amount;
};

struct resources {
    int64_t cpu_milli, memory_bytes, ephemeral_bytes, pods;
    struct extended *v;
    size_t n;
};

/* What the pod asks for: the larger of its containers together (with sidecars) and any one init
 * step, plus overhead (KEP-753). */
struct resources pod_asks(struct arena *a, const struct core_v1_pod *pod);
/* The same with 100m CPU and 200 MiB for containers that ask for nothing: for scores only. */
void pod_asks_nonzero(const struct core_v1_pod *pod, int64_t *ret_cpu_milli,
                      int64_t *ret_memory_bytes);
/* Amounts by name, as quotas and groups write them. */
struct resources resources_of(struct arena *a, const struct str_map *m);
/* The pod as it uses its node: a container whose request was lowered has what the node granted it
 * until the node has taken that back (KEP-1287). pod itself when nothing differs. */
const struct core_v1_pod *pod_as_granted(struct arena *a, const struct core_v1_pod *pod);
struct resources node_offers(struct arena *a, const struct core_v1_node *node);
int64_t extended_amount(const struct resources *r, const char *name);
