/* NodePorts: two pods cannot have the same host port. */
#include "scheduler/plugin.h"

#include <stdio.h>

static bool filter(const struct sched_query *q, const struct sched_node *n,
                   char reason[SCHED_REASON_MAX]) {
    for (size_t i = 0; i < q->n_ports; i++)
        for (size_t j = 0; j < n->ports.n; j++)
            if (host_ports_clash(&q->ports[i], &n->ports.v[j])) {
                snprintf(reason, SCHED_REASON_MAX,
                         "node(s) didn't have free ports for the requested pod ports");
                return false;
            }
    return true;
}

static const struct sched_plugin node_ports = {.name = "NodePorts", .order = 50, .filter = filter};
SCHED_PLUGIN(node_ports);
