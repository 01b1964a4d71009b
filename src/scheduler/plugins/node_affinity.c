/* nodeSelector and node affinity, required and preferred. */
#include "api/node_match.h"
#include "scheduler/plugin.h"

bool sched_node_selected(const struct core_v1_pod *pod, const struct sched_node *n) {
    return pod_selects_node(&pod->spec, n->object);
}

static bool filter(const struct sched_query *q, const struct sched_node *n, const void *state,
                   struct sched_why *why) {
    (void)state;
    return sched_node_selected(q->pod, n) ||
           sched_refuse_for_good(why, "node(s) didn't match Pod's node affinity/selector");
}

static int64_t score(const struct sched_query *q, const struct sched_node *n, const void *state) {
    (void)state;
    const struct core_v1_node_affinity *affinity =
        q->pod->spec.affinity ? q->pod->spec.affinity->node_affinity : NULL;
    if (!affinity) return 0;
    int64_t sum = 0, all = 0;
    for (size_t i = 0; i < affinity->preferred_during_scheduling_ignored_during_execution.n; i++) {
        const struct core_v1_preferred_scheduling_term *t =
            &affinity->preferred_during_scheduling_ignored_during_execution.v[i];
        all += t->weight;
        if (node_term_matches(&t->preference, n->object)) sum += t->weight;
    }
    return all ? sum * SCHED_SCORE_MAX / all : 0;
}

static const struct sched_plugin node_affinity = {
    .name = "NodeAffinity", .order = 40, .weight = 2, .filter = filter, .score = score};
SCHED_PLUGIN(node_affinity);
