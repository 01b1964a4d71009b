/* NodeName: a pod that names its node goes nowhere else. */
#include "scheduler/place/plugin.h"

static bool filter(const struct sched_query *q, const struct sched_node *n, const void *state,
                   struct sched_why *why) {
    (void)state;
    return str_empty(q->pod->spec.node_name) || str_eq(q->pod->spec.node_name, n->name) ||
           sched_refuse_for_good(why, "node(s) didn't match the requested node name");
}

static const struct sched_plugin node_name = {.name = "NodeName", .order = 10, .filter = filter};
SCHED_PLUGIN(node_name);
