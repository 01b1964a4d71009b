/* NodeName: a pod that names its node goes nowhere else. */
#include "scheduler/plugin.h"

#include <stdio.h>

static bool filter(const struct sched_query *q, const struct sched_node *n,
                   char reason[SCHED_REASON_MAX]) {
    if (str_empty(q->pod->spec.node_name) || str_eq(q->pod->spec.node_name, n->name)) return true;
    snprintf(reason, SCHED_REASON_MAX, "node(s) didn't match the requested node name");
    return false;
}

static const struct sched_plugin node_name = {.name = "NodeName", .order = 10, .filter = filter};
SCHED_PLUGIN(node_name);
