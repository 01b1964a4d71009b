/*
 * Replay of a trace: pods with their CPU, memory and GPU are placed one by one on nodes, by one of
 * several scores, and what is allocated is noted as they arrive. The procedure of "Beware of
 * Fragmentation" (USENIX ATC 2023): pods sorted by name, shuffled with a seed, then samples of them
 * with replacement until 130 % of the GPU of all nodes has arrived; each is tried once, every node
 * is scored, nothing leaves.
 */
#pragma once

#include "base/err.h"
#include "base/vec.h"
#include "scheduler/gpu/gpu.h"

enum { REPLAY_GROUPS = 5 }; /* of pods with GPU: shares, 1, 2, 4, other numbers of devices */

struct replay_node {
    char *name;
    struct gpu_room room;
    int64_t memory_mib;             /* left */
    uint32_t rank;                  /* among equals; smaller is first */
    uint32_t groups[REPLAY_GROUPS]; /* pods there */
};

struct replay_pod {
    char *name;
    struct gpu_ask ask;
    int64_t memory_mib;
    uint32_t shape; /* pods that ask the same */
};

struct trace {
    VEC(struct replay_node) nodes;
    VEC(struct replay_pod) pods;
    VEC(char *) models;
    uint32_t n_shapes;
    int64_t gpu_milli; /* of all nodes */
};
/* Columns by name: sn, cpu_milli, memory_mib, gpu, model; name, cpu_milli, memory_mib, num_gpu,
 * gpu_milli, gpu_spec (models joined by |, or empty). Others are passed over. */
int trace_load(struct trace *t, const char *nodes_csv, const char *pods_csv, struct err *err);
void trace_done(struct trace *t);

struct replay { /* one run */
    struct replay_node *nodes;
    size_t n_nodes;
    struct gpu_demand *demand;
    uint64_t random;
};

struct replay_mode {
    const char *name, *rule;
    /* Higher is better, within 31 bits; asked only where the pod fits. Sets the devices. NULL: any
     * node that fits. */
    int64_t (*score)(const struct replay *r, struct replay_node *n, const struct replay_pod *p,
                     uint32_t *ret_devices);
    bool learns;  /* knows of the demand only what has arrived */
    bool cluster; /* decided by the whole scheduler */
};
/* replay_scores.c; ends with an entry without a name. */
extern const struct replay_mode replay_modes[];
/* replay_cluster.c: the nodes as the scheduler's, in that order; where it places a pod, or −1. */
struct replay_cluster;
struct replay_cluster *replay_cluster_new(const struct trace *t, const uint32_t *order);
void replay_cluster_free(struct replay_cluster *c); /* NULL is allowed */
int64_t replay_cluster_place(struct replay_cluster *c, const struct replay_pod *p,
                             uint32_t *ret_devices);
unsigned replay_group(const struct gpu_ask *ask);
/* splitmix64, and a number below n out of it. */
uint32_t replay_random_below(uint64_t *state, uint32_t n);
