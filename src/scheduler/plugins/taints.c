/* Taints and tolerations, and spec.unschedulable, which acts like a taint
 * (node.kubernetes.io/unschedulable). */
#include "api/rules/node_match.h"
#include "base/own.h"
#include "scheduler/place/plugin.h"

bool sched_taints_tolerated(const struct core_v1_pod *pod, const struct sched_node *n,
                            const struct core_v1_taint **ret_first) {
    const struct core_v1_taint *t = pod_untolerated_taint(&pod->spec, n->object, true);
    if (t) *ret_first = t;
    return !t;
}

static bool filter_unschedulable(const struct sched_query *q, const struct sched_node *n,
                                 const void *state, struct sched_why *why) {
    (void)state;
    return !n->object->spec.unschedulable ||
           pod_tolerates(&q->pod->spec, "node.kubernetes.io/unschedulable", "", "NoSchedule") ||
           sched_refuse_for_good(why, "node(s) were unschedulable");
}

static bool filter_taints(const struct sched_query *q, const struct sched_node *n,
                          const void *state, struct sched_why *why) {
    const struct core_v1_taint *t;
    (void)state;
    return sched_taints_tolerated(q->pod, n, &t) ||
           sched_refuse_for_good(why, "node(s) had untolerated taint {%.80s: %.40s}", t->key,
                                 str_or(t->value, ""));
}

/* How many taints speak against the node. */
static int64_t score(const struct sched_query *q, const struct sched_node *n, const void *state) {
    int64_t unwanted = 0;
    (void)state;
    for (size_t i = 0; i < n->object->spec.taints.n; i++) {
        const struct core_v1_taint *t = &n->object->spec.taints.v[i];
        unwanted += str_eq(t->effect, "PreferNoSchedule") &&
                    !pod_tolerates(&q->pod->spec, t->key, t->value, t->effect);
    }
    return unwanted;
}

/* The worst of the nodes that fit gets nothing. */
static int64_t scale(int64_t value, int64_t min, int64_t max) {
    (void)min;
    return max ? SCHED_SCORE_MAX - SCHED_SCORE_MAX * value / max : SCHED_SCORE_MAX;
}

static const struct sched_plugin unschedulable = {
    .name = "NodeUnschedulable", .order = 20, .filter = filter_unschedulable};
SCHED_PLUGIN(unschedulable);
static const struct sched_plugin taints = {.name = "TaintToleration",
                                           .order = 30,
                                           .weight = 3,
                                           .filter = filter_taints,
                                           .score = score,
                                           .scale = scale};
SCHED_PLUGIN(taints);
