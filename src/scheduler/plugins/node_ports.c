/* NodePorts: two pods cannot have the same host port. */
#include "scheduler/place/plugin.h"

static bool filter(const struct sched_query *q, const struct sched_node *n, const void *state,
                   struct sched_why *why) {
    (void)state;
    for (size_t i = 0; i < q->class->n_ports; i++)
        for (size_t j = 0; j < n->ports.n; j++)
            if (host_ports_clash(&q->class->ports[i], &n->ports.v[j]))
                return sched_refuse(why,
                                    "node(s) didn't have free ports for the requested pod ports");
    return true;
}

static void *prepare(const struct sched_query *q, const void *args) {
    (void)args;
    return q->class->n_ports ? q->class->ports : NULL;
}

static const struct sched_plugin node_ports = {.name = "NodePorts",
                                               .order = 50,
                                               .reads = SCHED_READS_USE,
                                               .prepare = prepare,
                                               .filter = filter};
SCHED_PLUGIN(node_ports);
