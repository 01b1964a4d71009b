/*
 * Nodes that are only pretended: each renews its lease, sees the pods bound to it after a moment,
 * lets them start, become ready, end and stop in virtual time, and tells the API. What a pod does
 * is told by its annotations.
 */
#pragma once

#include "sim/api.h"

/* Annotations of pods: it ends by itself after so many milliseconds, with that status (0). */
#define SIM_RUNS_MS "sim.atoll/runs-ms"
#define SIM_EXIT "sim.atoll/exit"

void nodes_new(struct sim *s);
void nodes_free(struct sim *s);
/* A node called NAME that offers that much; its kubelet starts. */
void node_add(struct sim *s, const char *name, unsigned cpus, unsigned memory_gib, unsigned pods);
/* n chooses the node. */
void node_partition(struct sim *s, uint64_t n, uint64_t for_us);
void node_power_off(struct sim *s, uint64_t n, uint64_t for_us);
void nodes_heal(struct sim *s); /* all are up and connected, now */
/* Pods that run on nodes now. */
size_t nodes_running(const struct sim *s);
