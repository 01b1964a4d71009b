/*
 * Energy mode: pods come together on few nodes (plugin EnergyConsolidation), idle nodes are marked
 * for power-down, and woken when pods need them. Off unless a profile enables the plugin.
 *
 * The mark is the node's condition PoweredDown: True asks whoever can to switch it off, False to
 * switch it on again. Nothing new is placed on a node with True. A node is idle when only pods of
 * DaemonSets and static pods are on it; nodes of the control plane stay on.
 */
#pragma once

#include "scheduler/core/core.h"

#define POWER_CONDITION "PoweredDown"

struct power_rules { /* arguments of EnergyConsolidation */
    int64_t idle_ms; /* so long before it is marked */
    size_t spare;    /* idle nodes that stay on */
    size_t wakes;    /* nodes that are woken at once */
};

bool power_is_down(const struct core_v1_node *node);
/* Belongs to its node and never keeps it awake: a pod of a DaemonSet, or a static one. */
bool power_pod_of_node(const struct core_v1_pod *pod);

enum { POWER_AGAIN_MS = 5000 }; /* pods that wait for power are tried again */

/* For a pod that no node takes: a node is woken, or is waking, that would; the pod is nominated
 * there. Returns what to say of it, in a; NULL: power would not help. */
const char *core_wake_for(struct sched_core *c, struct arena *a, const struct core_v1_pod *pod);
/* Marks nodes that have been idle long enough. Returns the time until the next look; UINT64_MAX:
 * energy mode is off. */
uint64_t core_power(struct sched_core *c, uint64_t now_ms);
/* The mark was not written. */
void core_power_failed(struct sched_core *c, const char *node);
