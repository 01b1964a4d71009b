/* Resources: what fits, and the two scores over CPU and memory (least allocated, balanced
 * allocation). */
#include <stdio.h>

#include "base/own.h"
#include "scheduler/plugin.h"

static bool insufficient(char reason[SCHED_REASON_MAX], const char *what) {
    snprintf(reason, SCHED_REASON_MAX, "Insufficient %.120s", what);
    return false;
}

static bool filter(const struct sched_query *q, const struct sched_node *n,
                   char reason[SCHED_REASON_MAX]) {
    if (n->used_pods + 1 > n->offers.pods) {
        snprintf(reason, SCHED_REASON_MAX, "Too many pods");
        return false;
    }
    if (q->asks.cpu_milli && q->asks.cpu_milli > n->offers.cpu_milli - n->used_cpu_milli)
        return insufficient(reason, "cpu");
    if (q->asks.memory_bytes &&
        q->asks.memory_bytes > n->offers.memory_bytes - n->used_memory_bytes)
        return insufficient(reason, "memory");
    if (q->asks.ephemeral_bytes &&
        q->asks.ephemeral_bytes > n->offers.ephemeral_bytes - n->used_ephemeral_bytes)
        return insufficient(reason, "ephemeral-storage");
    for (size_t i = 0; i < q->asks.n; i++) {
        const struct extended *used = map_gets(&n->used_extended, q->asks.v[i].name);
        int64_t left = extended_amount(&n->offers, q->asks.v[i].name) - (used ? used->amount : 0);
        if (q->asks.v[i].amount && q->asks.v[i].amount > left)
            return insufficient(reason, q->asks.v[i].name);
    }
    return true;
}

/* Parts per 1000 of the node that would be used. */
static int64_t share(int64_t used, int64_t offered) {
    if (offered <= 0) return 1000;
    __int128 parts = (__int128)used * 1000 / offered;
    return parts > 1000 ? 1000 : (int64_t)parts;
}

static int least_allocated(const struct sched_query *q, const struct sched_node *n) {
    int64_t cpu = share(n->nonzero_cpu_milli + q->nonzero_cpu_milli, n->offers.cpu_milli);
    int64_t memory =
        share(n->nonzero_memory_bytes + q->nonzero_memory_bytes, n->offers.memory_bytes);
    return (int)((2000 - cpu - memory) * SCHED_SCORE_MAX / 2000);
}

static int balanced(const struct sched_query *q, const struct sched_node *n) {
    int64_t cpu = share(n->used_cpu_milli + q->asks.cpu_milli, n->offers.cpu_milli);
    int64_t memory = share(n->used_memory_bytes + q->asks.memory_bytes, n->offers.memory_bytes);
    int64_t apart = cpu > memory ? cpu - memory : memory - cpu;
    return (int)((1000 - apart / 2) * SCHED_SCORE_MAX /
                 1000); /* standard deviation of two values: half their distance */
}

static const struct sched_plugin fit = {.name = "NodeResourcesFit",
                                        .order = 60,
                                        .weight = 1,
                                        .filter = filter,
                                        .score = least_allocated};
SCHED_PLUGIN(fit);
static const struct sched_plugin balance = {
    .name = "NodeResourcesBalancedAllocation", .order = 70, .weight = 1, .score = balanced};
SCHED_PLUGIN(balance);
