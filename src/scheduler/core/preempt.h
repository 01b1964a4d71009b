/*
 * Preemption: on which node a pod would fit if others went, and which of them. Victims are few
 * (the more important ones stay where they can, those whose going violates a budget before the
 * others); the node is the one with the fewest violations of budgets, then the lowest priority of
 * its most important victim, the smallest sum of priorities, the fewest victims, the latest start.
 * Pods whose deletion is under way are no victims: their room is waited for. Pure.
 */
#pragma once

#include "scheduler/core/budgets.h"
#include "scheduler/place/plugin.h"

struct preempt_result {
    struct sched_node *node;    /* NULL: none */
    struct sched_pod **victims; /* none: only pods that leave anyway are waited for */
    size_t n;
    const char *message; /* without a node: "preemption: …" */
};

/* May it push out others now? NULL, or why not: its policy, or victims that are still leaving. */
const char *preempt_barred(const struct snapshot *s, const struct core_v1_pod *pod);
/* budgets may be NULL. The pod's own nomination is forgotten. */
struct preempt_result preempt_find(struct arena *a, struct snapshot *s,
                                   const struct budgets *budgets, const struct core_v1_pod *pod);
/* Pods nominated on the node that the pod would now go before: their nomination is void. */
struct nominated **preempt_outranked(struct arena *a, const struct snapshot *s,
                                     const struct core_v1_pod *pod, const struct sched_node *n,
                                     size_t *ret_n);
