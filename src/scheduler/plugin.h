/*
 * A scheduler plugin: a pure filter and/or score of one node for one pod. One file in plugins/,
 * registered by SCHED_PLUGIN(). Filters run in the order of their names' `order`, cheapest and most
 * selective first.
 */
#pragma once

#include "scheduler/snapshot.h"

struct sched_query { /* the pod that is placed; prepared once, read by every plugin */
    const struct core_v1_pod *pod;
    struct resources asks;
    int64_t nonzero_cpu_milli, nonzero_memory_bytes;
    struct host_port *ports;
    size_t n_ports;
    const struct snapshot *snapshot;
};

enum { SCHED_REASON_MAX = 160, SCHED_SCORE_MAX = 100 };

struct sched_plugin {
    const char *name;
    int order;  /* filters: smaller runs earlier */
    int weight; /* scores */
    /* True when the pod may run there; else writes why, as `kubectl describe pod` shows it behind a
     * count of nodes. */
    bool (*filter)(const struct sched_query *q, const struct sched_node *n,
                   char reason[SCHED_REASON_MAX]);
    /* 0…SCHED_SCORE_MAX */
    int (*score)(const struct sched_query *q, const struct sched_node *n);
};

#define SCHED_PLUGIN(sym)                                                                          \
    __attribute__((used, retain, section("atoll_sched_plugins"))) static const struct sched_plugin \
        *const sched_plugin_p_##sym = &sym

/* All that are linked in, by order, then name; at most SCHED_PLUGINS_MAX. */
enum { SCHED_PLUGINS_MAX = 64 };
size_t sched_plugins(const struct sched_plugin *ret[SCHED_PLUGINS_MAX]);

struct sched_result {
    const char *node;    /* NULL: none fits */
    const char *message; /* when none fits: "0/3 nodes are available: 2 Insufficient cpu, 1 node(s)
                            were unschedulable." */
};
/* Filters and scores every node; the best wins, ties go to the one after the last winner. */
struct sched_result sched_place(struct arena *a, const struct snapshot *s,
                                const struct core_v1_pod *pod, size_t *rotor);
