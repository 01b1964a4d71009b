/*
 * What is known about every node for pods that ask the same: whether it fits, its score, and the
 * best of all at the root of a tournament tree. It follows the snapshot's log of changes, so one
 * more pod costs one node, not all of them.
 */
#pragma once

#include "scheduler/plugin.h"

struct place_part { /* a step of the profile that has a say about these pods */
    const struct sched_plugin *plugin;
    const void *state;
    int weight;
    bool filter, score, scaled;
    int32_t first; /* scaled: what the first node has */
    bool varies;   /* scaled: and not all of them; until the next rebuild */
};

struct place_class {
    char *key;
    size_t key_n;
    uint64_t hash, used_at, seen, epoch;
    struct arena *arena;
    struct sched_query query;
    uint64_t volumes_version, owners_version; /* of what the query was made with */
    struct place_part *parts;                 /* the plugins that are asked, in `arena` */
    size_t n_parts, n_scaled;
    int32_t *fixed; /* by node: scores that the objects decide; −1: filtered out */
    int32_t *raw;   /* width for each scaled part: scores that the objects decide, not scaled yet */
    uint64_t *tree; /* root 1: the best of all; leaves from width, 0: does not fit; rest: cache.c */
    size_t width;   /* a power of two ≥ nodes */
    struct refusals *refusals;   /* refusals.c; NULL until nothing fits */
    struct preempting *preempts; /* preempt.c; NULL until it is asked */
};
enum { PLACE_CLASSES_MAX = 256 };

/* The cache of pods like this one, current. */
struct place_class *place_class_of(struct snapshot *s, const struct core_v1_pod *pod);
void query_compile(struct sched_query *q, struct snapshot *s, struct arena *a,
                   const struct sched_profile *profile, const struct core_v1_pod *pod);
void query_release(struct sched_query *q);
/* A leaf: score + 1, how few pods, how early the node: larger is better. */
enum { LEAF_AT_BITS = 24, LEAF_AT_MAX = (1 << LEAF_AT_BITS) - 1, LEAF_SCORE_MAX = (1 << 24) - 2 };
static inline int64_t leaf_score(uint64_t leaf) { return (int64_t)(leaf >> 40) - 1; }
static inline uint32_t leaf_at(uint64_t leaf) {
    return LEAF_AT_MAX - (uint32_t)(leaf & LEAF_AT_MAX);
}
/* What decides between nodes of equal score. */
static inline uint64_t leaf_rest(uint64_t leaf) { return leaf << 24; }

/* ---- place.c, for refusals.c and preempt.c ---- */

/* Whether the node is no place for the pod now, beside all nominated there of at least its
 * priority; says why. */
bool place_refuses(const struct sched_query *q, struct sched_node *n, struct sched_why *why);
/* The same by the node alone, and by what plugins say that look at other nodes. */
bool place_refuses_alone(const struct sched_query *q, struct sched_node *n, struct sched_why *why);
bool place_refuses_for_others(const struct sched_query *q, const struct sched_node *n,
                              struct sched_why *why);
/* Asks the plugins that look at other nodes anew; false: none of them is concerned. */
bool place_prepare(struct sched_query *q);
/* By itself the node allows it and has room beside all nominated there of at least its priority,
 * but uid; other nodes' pods are not asked. */
bool place_has_room(const struct place_class *c, struct sched_node *n, const char *uid);
/* The cache of that hash, its scores maybe of a while ago; NULL: there is none. */
const struct place_class *place_class_find(struct snapshot *s, uint64_t hash);

/* ---- refusals.c: why nothing fits, kept node by node ---- */

/* Brings it up to date. wide: other nodes' pods matter, so the nodes that would do by themselves
 * are asked again. */
void refusals_update(struct place_class *c, const struct sched_query *q, bool wide);
/* "0/3 nodes are available: …" */
const char *refusals_message(struct arena *a, const struct place_class *c);
unsigned refusals_reads(const struct place_class *c);
/* To remove pods from that node would not help. */
bool refusals_hopeless(const struct place_class *c, size_t node);
size_t refusals_hopeless_nodes(const struct place_class *c);
void refusals_free(struct refusals *r);

/* ---- preempt.c ---- */
void preempting_free(struct preempting *p);
