/* NodeAffinity: nodeSelector and node affinity, required and preferred, of the pod and of its
 * profile. */
#include "api/rules/node_match.h"
#include "base/own.h"
#include "scheduler/place/plugin.h"

bool sched_node_selected(const struct core_v1_pod *pod, const struct sched_node *n) {
    return pod_selects_node(&pod->spec, n->object);
}

static const struct core_v1_node_affinity *affinity_of(const struct core_v1_pod *pod) {
    return pod->spec.affinity ? pod->spec.affinity->node_affinity : NULL;
}

static bool filter(const struct sched_query *q, const struct sched_node *n, const void *state,
                   struct sched_why *why) {
    const struct core_v1_node_affinity *added = state;
    const struct core_v1_node_selector *also =
        added ? added->required_during_scheduling_ignored_during_execution : NULL;
    if (also && !node_selector_matches(also, n->object))
        return sched_refuse_for_good(why, "node(s) didn't match scheduler-enforced node affinity");
    return sched_node_selected(q->pod, n) ||
           sched_refuse_for_good(why, "node(s) didn't match Pod's node affinity/selector");
}

static int64_t preferences(const struct core_v1_node_affinity *affinity,
                           const struct core_v1_node *n) {
    int64_t sum = 0;
    if (!affinity) return 0;
    for (size_t i = 0; i < affinity->preferred_during_scheduling_ignored_during_execution.n; i++) {
        const struct core_v1_preferred_scheduling_term *t =
            &affinity->preferred_during_scheduling_ignored_during_execution.v[i];
        if (node_term_matches(&t->preference, n)) sum += t->weight;
    }
    return sum;
}

static int64_t score(const struct sched_query *q, const struct sched_node *n, const void *state) {
    return preferences(affinity_of(q->pod), n->object) + preferences(state, n->object);
}

/* The best of the nodes that fit gets everything. */
static int64_t scale(int64_t value, int64_t min, int64_t max) {
    (void)min;
    return max ? SCHED_SCORE_MAX * value / max : 0;
}

static const void *configure(struct arena *a, const void *from, struct err *err) {
    const struct kubescheduler_v1_node_affinity_args *args = from;
    (void)err;
    return args && args->added_affinity
               ? api_copy(a, &core_v1_node_affinity_type, args->added_affinity)
               : NULL;
}

static const struct sched_plugin node_affinity = {.name = "NodeAffinity",
                                                  .order = 40,
                                                  .weight = 2,
                                                  .args_type =
                                                      &kubescheduler_v1_node_affinity_args_type,
                                                  .configure = configure,
                                                  .filter = filter,
                                                  .score = score,
                                                  .scale = scale};
SCHED_PLUGIN(node_affinity);
