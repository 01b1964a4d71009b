/*
 * What is known about every node for pods that ask the same: whether it fits, its score, and the
 * best of all at the root of a tournament tree. It follows the snapshot's log of changes, so one
 * more pod costs one node, not all of them.
 */
#pragma once

#include "scheduler/plugin.h"

struct place_class {
    char *key;
    size_t key_n;
    uint64_t hash, used_at, seen, epoch;
    struct arena *arena;
    struct sched_query query;
    int32_t *fixed; /* by node: scores that the objects decide; −1: filtered out */
    uint64_t *tree; /* 1…2·width: the larger of both children; leaves from width; 0: does not fit */
    size_t width; /* a power of two ≥ nodes */
};
enum { PLACE_CLASSES_MAX = 256 };

/* The cache of pods like this one, current. */
struct place_class *place_class_of(struct snapshot *s, const struct core_v1_pod *pod);
void query_compile(struct sched_query *q, struct snapshot *s, struct arena *a,
                   const struct core_v1_pod *pod);
void query_release(struct sched_query *q);
static inline int64_t leaf_score(uint64_t leaf) { return (int64_t)(leaf >> 48); }
static inline uint32_t leaf_at(uint64_t leaf) { return UINT32_MAX - (uint32_t)leaf; }
/* Larger for a better score, then for fewer pods, then for the earlier node. */
uint64_t leaf_of(int64_t score, const struct sched_node *n);
