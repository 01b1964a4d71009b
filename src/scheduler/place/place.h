/*
 * What is known about every node for pods that ask the same: whether it fits, its score, and the
 * best of all at the root of a tournament tree. It follows the snapshot's log of changes, so one
 * more pod costs one node, not all of them.
 */
#pragma once

#include "scheduler/place/plugin.h"
#include "scheduler/place/tournament.h"

struct place_part { /* a step of the profile that has a say about these pods */
    const struct sched_plugin *plugin;
    const void *state;
    int weight;
    bool filter, score, scaled;
    int32_t first; /* scaled: what the first node has */
    bool varies;   /* scaled: and not all of them; until the next rebuild */
};
struct place_parts { /* those of the plugins that read as much */
    struct place_part *v;
    size_t n, n_scaled;
};

/* What the nodes' objects decide for all pods that say the same about nodes: fixed.c. */
struct place_fixed {
    char *key; /* NULL: of one class alone */
    size_t key_n;
    size_t users;
    struct arena *arena;
    struct sched_query own, *query; /* own: of any of its pods; or that of its class */
    struct place_parts parts;       /* of SCHED_READS_OBJECT */
    uint64_t seen, epoch;
    size_t width;
    int32_t *scores; /* by node; −1: filtered out */
    int32_t *raw;    /* width for each scaled part: not scaled yet, INT32_MIN: nothing */
};

struct place_class {
    char *key;
    size_t key_n;
    uint64_t hash, used_at, seen, epoch;
    struct arena *arena;
    struct sched_query query;
    uint64_t volumes_version, owners_version; /* of what the query was made with */
    struct place_fixed *fixed;
    struct place_parts parts;    /* of SCHED_READS_USE, in `arena` */
    bool in_lanes;               /* all of them can be asked eight nodes at a time */
    uint64_t *tree;              /* tournament.h; leaves: 0: does not fit; rest: cache.c */
    size_t width;                /* a power of two ≥ nodes */
    struct refusals *refusals;   /* refusals.c; NULL until nothing fits */
    struct preempting *preempts; /* preempt.c; NULL until it is asked */
};
struct place_slot {
    uint64_t hash; /* of the key */
    struct place_class *class;
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
enum { LEAF_REST_SHIFT = 24 };
static inline uint64_t leaf_rest(uint64_t leaf) { return leaf << LEAF_REST_SHIFT; }

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
/* The cache of pods with that hash of their key, its scores maybe of a while ago; NULL: there is
 * none. */
const struct place_class *place_class_find(struct snapshot *s, uint64_t hash);

/* ---- fixed.c ---- */

/* Appends all that plugins of SCHED_READS_OBJECT read of a pod without claims. */
void place_fixed_key(struct buf *b, const struct core_v1_pod *pod);
/* For the pods of c, with one more user. */
struct place_fixed *place_fixed_of(struct place_class *c, struct snapshot *s);
void place_fixed_follow(struct place_fixed *f, struct snapshot *s);
void place_fixed_release(struct snapshot *s, struct place_fixed *f);
/* The parts of the query's profile that read as much; prepares the query for them. */
struct place_parts place_parts_of(struct sched_query *q, struct arena *a, enum sched_reads reads);

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
