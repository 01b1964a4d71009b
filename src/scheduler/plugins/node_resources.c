/* Resources: what fits, and the two scores over CPU and memory (least allocated, balanced
 * allocation). */
#include "base/own.h"
#include "scheduler/plugin.h"

/* Says so of every resource; more than the whole node has is for good. */
static bool enough(struct sched_why *why, const char *what, int64_t asked, int64_t offered,
                   int64_t used) {
    if (!asked || asked <= offered - used) return true;
    if (asked > offered) return sched_refuse_for_good(why, "Insufficient %.120s", what);
    return sched_refuse(why, "Insufficient %.120s", what);
}

static bool filter(const struct sched_query *q, const struct sched_node *n, const void *state,
                   struct sched_why *why) {
    const struct resources *asks = &q->class->asks;
    bool fits = n->used_pods + 1 <= n->offers.pods || sched_refuse(why, "Too many pods");
    (void)state;
    if (!fits && !why) return false;
    fits &= enough(why, "cpu", asks->cpu_milli, n->offers.cpu_milli, n->used_cpu_milli);
    fits &= enough(why, "memory", asks->memory_bytes, n->offers.memory_bytes, n->used_memory_bytes);
    fits &= enough(why, "ephemeral-storage", asks->ephemeral_bytes, n->offers.ephemeral_bytes,
                   n->used_ephemeral_bytes);
    for (size_t i = 0; i < asks->n; i++) {
        const struct extended *used = map_gets(&n->used_extended, asks->v[i].name);
        fits &= enough(why, asks->v[i].name, asks->v[i].amount,
                       extended_amount(&n->offers, asks->v[i].name), used ? used->amount : 0);
    }
    return fits;
}

/* Parts per 1000 of the node that would be used. */
static int64_t share(int64_t used, int64_t offered) {
    if (offered <= 0) return 1000;
    __int128 parts = (__int128)used * 1000 / offered;
    return parts > 1000 ? 1000 : (int64_t)parts;
}

static int64_t least_allocated(const struct sched_query *q, const struct sched_node *n,
                               const void *state) {
    (void)state;
    int64_t cpu = share(n->nonzero_cpu_milli + q->class->nonzero_cpu_milli, n->offers.cpu_milli);
    int64_t memory =
        share(n->nonzero_memory_bytes + q->class->nonzero_memory_bytes, n->offers.memory_bytes);
    return ((2000 - cpu - memory) * SCHED_SCORE_MAX / 2000);
}

static int64_t balanced(const struct sched_query *q, const struct sched_node *n,
                        const void *state) {
    (void)state;
    int64_t cpu = share(n->used_cpu_milli + q->class->asks.cpu_milli, n->offers.cpu_milli);
    int64_t memory =
        share(n->used_memory_bytes + q->class->asks.memory_bytes, n->offers.memory_bytes);
    int64_t apart = cpu > memory ? cpu - memory : memory - cpu;
    return ((1000 - apart / 2) * SCHED_SCORE_MAX /
            1000); /* standard deviation of two values: half their distance */
}

static const struct sched_plugin fit = {.name = "NodeResourcesFit",
                                        .order = 60,
                                        .weight = 1,
                                        .reads = SCHED_READS_USE,
                                        .filter = filter,
                                        .score = least_allocated};
SCHED_PLUGIN(fit);
static const struct sched_plugin balance = {.name = "NodeResourcesBalancedAllocation",
                                            .order = 70,
                                            .weight = 1,
                                            .reads = SCHED_READS_USE,
                                            .score = balanced};
SCHED_PLUGIN(balance);
