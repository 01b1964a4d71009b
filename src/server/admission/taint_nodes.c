/* TaintNodesByCondition: a new node is not ready until the node lifecycle controller has seen it
 * ready. */
#include "server/admission/plugin.h"

static int taint_node(struct admission *ad) {
    struct core_v1_node *n = (void *)ad->object;
    for (size_t i = 0; i < n->spec.taints.n; i++)
        if (str_eq(n->spec.taints.v[i].key, "node.kubernetes.io/not-ready") &&
            str_eq(n->spec.taints.v[i].effect, "NoSchedule"))
            return 0;
    struct core_v1_taint *t = ARENA_PUSH(ad->a, &n->spec.taints);
    t->key = "node.kubernetes.io/not-ready";
    t->effect = "NoSchedule";
    return 0;
}

static const struct admission_plugin plugin = {.name = "TaintNodesByCondition",
                                               .order = ORDER_TAINT_NODES_BY_CONDITION,
                                               .operations = ADMIT_CREATE,
                                               .group = "",
                                               .plural = "nodes",
                                               .mutate = taint_node};
ADMISSION_PLUGIN(plugin);
