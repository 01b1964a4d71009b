/*
 * What decisions read most of a node, one line of the processor's cache each and side by side, so
 * that a score of many nodes waits for no memory. As of the node's last snapshot_changed.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct snapshot;
struct sched_node;

enum { FIGURES_ALIGN = 64 };

/* Whole numbers that a double holds exactly, also times a thousand. */
struct node_figures {
    double offers_cpu_milli, offers_memory_bytes;
    double used_cpu_milli, used_memory_bytes;
    double nonzero_cpu_milli, nonzero_memory_bytes;
    int32_t offers_pods, used_pods;
    bool plain; /* that is all there is to it: no GPUs, nobody nominated, every number fits */
} __attribute__((aligned(FIGURES_ALIGN)));

/* Larger amounts are asked about in whole numbers, node by node. */
#define FIGURES_AMOUNT_MAX (INT64_C(1) << 42)

void figures_set(struct snapshot *s, const struct sched_node *n);
/* The node is not in snapshot.nodes any more; those after it move up. */
void figures_remove(struct snapshot *s, size_t at);
