/* NodeResourcesBalancedAllocation: better where all resources would be used alike. */
#include <math.h>

#include "base/own.h"
#include "scheduler/plugins/resource_share.h"

enum { RESOURCES_MAX = 32 };

/* 1000 less the standard deviation; of two values it is half their distance. */
static int64_t evenness(const int64_t *shares, size_t n) {
    if (n < 2) return SHARE_ALL;
    if (n == 2) return SHARE_ALL - llabs(shares[0] - shares[1]) / 2;
    double mean = 0, square = 0;
    for (size_t i = 0; i < n; i++) mean += (double)shares[i] / (double)n;
    for (size_t i = 0; i < n; i++)
        square += ((double)shares[i] - mean) * ((double)shares[i] - mean);
    return SHARE_ALL - (int64_t)sqrt(square / (double)n);
}

static int64_t score(const struct sched_query *q, const struct sched_node *n, const void *state) {
    const struct resource_weights *resources = state;
    int64_t shares[RESOURCES_MAX];
    size_t count = 0;
    for (size_t i = 0; i < resources->n; i++) {
        int64_t share = resource_share(q, n, &resources->v[i], false);
        if (share != SHARE_NONE_OFFERED) shares[count++] = MIN_OF(share, SHARE_ALL);
    }
    return evenness(shares, count) * SCHED_SCORE_MAX / SHARE_ALL;
}

static bool in_lanes(const struct sched_query *q, const void *state) {
    (void)q;
    return resource_lanes_suit(state);
}

static void score_lanes(const struct sched_query *q, const void *state, int weight,
                        struct sched_lanes *l) {
    int32_t cpu[SCHED_LANES], memory[SCHED_LANES];
    const struct resources *asks = &q->class->asks;
    (void)state;
    resource_share_lanes(l->used_cpu_milli, l->offers_cpu_milli, asks->cpu_milli, cpu);
    resource_share_lanes(l->used_memory_bytes, l->offers_memory_bytes, asks->memory_bytes, memory);
    for (size_t i = 0; i < SCHED_LANES; i++) {
        int32_t apart = MIN_OF(cpu[i], SHARE_ALL) - MIN_OF(memory[i], SHARE_ALL);
        apart = apart < 0 ? -apart : apart;
        l->score[i] += weight * ((SHARE_ALL - apart / 2) * SCHED_SCORE_MAX / SHARE_ALL);
    }
}

static const void *configure(struct arena *a, const void *from, struct err *err) {
    const struct kubescheduler_v1_node_resources_balanced_allocation_args *args = from;
    if (args && args->resources.n > RESOURCES_MAX) {
        err_field(err, ERR_INVALID, "resources", "Too many: %zu: must have at most %d items",
                  args->resources.n, RESOURCES_MAX);
        return NULL;
    }
    for (size_t i = 0; args && i < args->resources.n; i++)
        if (args->resources.v[i].weight > 1) {
            err_field(err, ERR_INVALID, arena_printf(a, "resources[%zu].weight", i),
                      "Invalid value: %lld: resource weight must be 1",
                      (long long)args->resources.v[i].weight);
            return NULL;
        }
    struct resource_weights *ret = ARENA_NEW(a, struct resource_weights);
    *ret = resource_weights_of(a, args ? &args->resources : NULL);
    return ret;
}

static const struct sched_plugin balance = {
    .name = "NodeResourcesBalancedAllocation",
    .order = 70,
    .weight = 1,
    .reads = SCHED_READS_USE,
    .args_type = &kubescheduler_v1_node_resources_balanced_allocation_args_type,
    .configure = configure,
    .score = score,
    .in_lanes = in_lanes,
    .score_lanes = score_lanes};
SCHED_PLUGIN(balance);
