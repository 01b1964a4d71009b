/*
 * GPUFragmentation: a pod that asks for GPU fits when one device has its share left, or as many are
 * wholly idle as it asks for; the best node is the one where it costs the cluster the least
 * (scheduler/gpu/gpu.h). Pods that ask for none keep off nodes with GPUs, then off those whose CPU
 * the GPUs need most. GPU is what is scarce: the plugin outweighs the others.
 */
#include "base/own.h"
#include "scheduler/place/plugin.h"

enum {
    BEST = 60000,    /* a node without GPUs, for a pod that asks for none */
    MIDDLE = 45000,  /* less the cost in milli-GPU */
    OUTWEIGHS = 200, /* each of those, in points of other plugins */
};

static const char none_left[] = "node(s) didn't have enough idle GPU on one device";

static bool filter(const struct sched_query *q, const struct sched_node *n, const void *state,
                   struct sched_why *why) {
    const struct pod_class *c = q->class;
    (void)state;
    if (c->gpu_wrong)
        return sched_refuse_for_good(
            why,
            "the pod asks for GPUs in a way that no node can serve: up to %d of one maker's, or "
            "up to 999 (or thousands) of " GPU_MILLI_RESOURCE,
            GPU_DEVICES_MAX);
    if (!c->gpu.devices) return true;
    if (!n->gpus) return sched_refuse_for_good(why, none_left);
    struct gpu_ask ask = c->gpu;
    ask.cpu_milli = 0; /* NodeResourcesFit looks after it */
    struct gpu_room room = *n->gpus;
    room.cpu_milli = 0;
    return gpu_fits(&room, &ask) || sched_refuse(why, none_left);
}

static int64_t score(const struct sched_query *q, const struct sched_node *n, const void *state) {
    const struct gpu_cluster *g = q->snapshot->gpus;
    uint32_t devices;
    (void)state;
    if (!g || !n->gpus) return g ? BEST : 0;
    int64_t cpu = n->offers.cpu_milli - n->used_cpu_milli;
    if (cpu != n->gpus->cpu_milli) {
        n->gpus->cpu_milli = cpu;
        n->gpus->usable = -1;
    }
    int64_t cost = gpu_cost(&g->demand, n->gpus, &q->class->gpu, &devices) / GPU_COST_UNIT;
    return MIN_OF(MAX_OF(MIDDLE - cost, 0), BEST - 1);
}

/* Nodes in lanes have no GPUs. */
static bool in_lanes(const struct sched_query *q, const void *state) {
    (void)state;
    return !q->class->gpu_wrong && !q->class->gpu.devices;
}

static void score_lanes(const struct sched_query *q, const void *state, int weight,
                        struct sched_lanes *l) {
    int32_t more = q->snapshot->gpus ? weight * BEST : 0;
    (void)state;
    for (size_t i = 0; i < SCHED_LANES; i++) l->score[i] += more;
}

static const struct sched_plugin gpu_fragmentation = {.name = "GPUFragmentation",
                                                      .order = 65,
                                                      .weight = OUTWEIGHS,
                                                      .reads = SCHED_READS_USE,
                                                      .filter = filter,
                                                      .score = score,
                                                      .in_lanes = in_lanes,
                                                      .score_lanes = score_lanes};
SCHED_PLUGIN(gpu_fragmentation);
