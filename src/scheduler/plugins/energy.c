/* EnergyConsolidation: nodes that have pods before idle ones, fuller ones first; nothing new on
 * nodes that are to be switched off (scheduler/core/power.h). A configuration must enable it. */
#include "base/own.h"
#include "scheduler/core/power.h"

enum { IDLE_S = 600, SPARE = 1, WAKES = 5, IN_USE = 20 };

static const void *configure(struct arena *a, const void *from, struct err *err) {
    const struct kubescheduler_v1_energy_consolidation_args *args = from;
    struct power_rules *r = ARENA_NEW(a, struct power_rules);
    (void)err;
    r->idle_ms =
        (args && args->idle_seconds ? *args->idle_seconds : (int64_t)IDLE_S) * INT64_C(1000);
    r->spare = args && args->spare_nodes ? (size_t)*args->spare_nodes : SPARE;
    r->wakes = args && args->wakes_at_once ? (size_t)*args->wakes_at_once : WAKES;
    return r;
}

static bool filter(const struct sched_query *q, const struct sched_node *n, const void *state,
                   struct sched_why *why) {
    (void)q, (void)state;
    return !n->power_down || sched_refuse_for_good(why, "node(s) were powered down");
}

static int64_t part(int64_t used, int64_t offered, int64_t most) {
    if (offered <= 0 || used <= 0) return 0;
    return used >= offered ? most : (int64_t)((__int128)used * most / offered);
}

static int64_t score(const struct sched_query *q, const struct sched_node *n, const void *state) {
    const struct pod_class *c = q->class;
    const int64_t half = (SCHED_SCORE_MAX - IN_USE) / 2;
    (void)state;
    return part(n->nonzero_cpu_milli + c->nonzero_cpu_milli, n->offers.cpu_milli, half) +
           part(n->nonzero_memory_bytes + c->nonzero_memory_bytes, n->offers.memory_bytes, half) +
           (n->used_pods ? IN_USE : 0);
}

static const struct sched_plugin energy = {.name = "EnergyConsolidation",
                                           .order = 85,
                                           .weight = 20,
                                           .reads = SCHED_READS_USE,
                                           .by_name_only = true,
                                           .args_type =
                                               &kubescheduler_v1_energy_consolidation_args_type,
                                           .configure = configure,
                                           .filter = filter,
                                           .score = score};
SCHED_PLUGIN(energy);
