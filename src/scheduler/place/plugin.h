/*
 * A scheduler plugin: a pure filter and/or score of one node for one pod. One file in plugins/,
 * registered by SCHED_PLUGIN(). Filters run in the order of their `order`, cheapest and most
 * selective first. What a plugin reads decides how long its answers are kept.
 */
#pragma once

#include "api/types.h"
#include "scheduler/snapshot/snapshot.h"

enum { SCHED_REASON_MAX = 160, SCHED_SCORE_MAX = 100, SCHED_PLUGINS_MAX = 64 };
#define SCHED_SCORE_NONE INT64_MIN

struct sched_why { /* reasons why one node does not fit */
    char text[8][SCHED_REASON_MAX];
    size_t n;
    bool hopeless;      /* to remove pods from the node would not help */
    const char *plugin; /* whose reasons these are */
};
/* Both return false, for filters to return. why may be NULL: nobody asks. */
bool sched_refuse(struct sched_why *why, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
bool sched_refuse_for_good(struct sched_why *why, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

struct weighted_term {
    struct sched_term *term;
    int weight; /* negative: anti-affinity */
};
struct spread_rule {
    struct sched_term *term;    /* over the rule's label */
    struct sched_term *by_node; /* the same pods by node; NULL when all nodes count */
    const struct core_v1_topology_spread_constraint *constraint;
    bool hard, self, by_affinity, by_taints;
};

struct sched_plugin;

/* A plugin as a profile has it. */
struct sched_step {
    const struct sched_plugin *plugin;
    const void *args; /* what its configure made */
    int weight;
    bool filter, score;
};
struct sched_profile {
    const char *name;                       /* the schedulerName of its pods */
    struct sched_step v[SCHED_PLUGINS_MAX]; /* by order */
    size_t n;
    bool without_preemption;
};

/* A pod as a question; shared by pods that ask the same. Everything in the arena of its cache. */
struct sched_query {
    const char *uid;               /* of the one that is placed now */
    const struct core_v1_pod *pod; /* namespace, labels and what its spec says about nodes */
    struct snapshot *snapshot;
    const struct sched_profile *profile;
    struct pod_class *class;
    struct pod_labels *labels; /* of that class */
    /* prepared when the cache is made */
    struct sched_term **affinity, **anti;
    size_t n_affinity, n_anti;
    bool affinity_self;                        /* matches all its own affinity terms */
    bool by_owner;                             /* spread depends on what the pod belongs to */
    const struct meta_v1_label_selector *like; /* then: its owners' selector; NULL: none */
    struct weighted_term *preferred;
    size_t n_preferred;
    struct spread_rule *spread;
    size_t n_spread;
    struct arena *a; /* of the cache while that is made, then of the decision */
    /* By step of the profile: what the plugin's filter and score get, and whether they have a say.
     * Of SCHED_READS_ALL made anew for each decision. */
    const void *state[SCHED_PLUGINS_MAX];
    bool concerned[SCHED_PLUGINS_MAX];
};

enum sched_reads {
    /* The node's object, and of the pod: nodeName, nodeSelector, node affinity, tolerations, images
     * and claims. Kept until the object changes, and for all pods that say the same there. */
    SCHED_READS_OBJECT,
    SCHED_READS_USE, /* also what is used on this node, and all of the pod */
    SCHED_READS_ALL  /* also other nodes: asked for each decision */
};

/* Eight nodes side by side, for the processor's vectors: figures.h. */
enum { SCHED_LANES = 8 };
struct sched_lanes {
    double offers_cpu_milli[SCHED_LANES], offers_memory_bytes[SCHED_LANES];
    double used_cpu_milli[SCHED_LANES], used_memory_bytes[SCHED_LANES];
    double nonzero_cpu_milli[SCHED_LANES], nonzero_memory_bytes[SCHED_LANES];
    int32_t offers_pods[SCHED_LANES], used_pods[SCHED_LANES];
    int32_t fits[SCHED_LANES];  /* 1 or 0 */
    int32_t score[SCHED_LANES]; /* the weighted sum so far */
};

struct sched_plugin {
    const char *name;
    int order;  /* filters: smaller runs earlier */
    int weight; /* scores, in the default profile */
    enum sched_reads reads;
    bool by_name_only; /* no part of the default profile: a configuration must enable it */
    /* Arguments: pluginConfig[].args decoded by args_type (NULL: it takes none), NULL when there
     * are none. Returns what its callbacks get, in a; NULL with err (its field within args) when
     * they are wrong. */
    const struct api_type *args_type;
    const void *(*configure)(struct arena *a, const void *args, struct err *err);
    /* What filter and score get as `state` for this pod, in q->a; NULL: it is no concern of the
     * plugin, which is not asked. Made once for pods that ask the same; with SCHED_READS_ALL for
     * each decision. Without it the state is args, and every pod a concern. */
    void *(*prepare)(const struct sched_query *q, const void *args);
    /* True when the pod may run there; else says why (why may be NULL). */
    bool (*filter)(const struct sched_query *q, const struct sched_node *n, const void *state,
                   struct sched_why *why);
    /* Why no node will ever do for such a pod as things are; NULL: some may. Its filter refuses all
     * then. NULL function: never. */
    const char *(*bars)(const void *state);
    /* 0…SCHED_SCORE_MAX; with `scale` any number of 32 bits, or SCHED_SCORE_NONE: nothing, and no
     * measure for the others. */
    int64_t (*score)(const struct sched_query *q, const struct sched_node *n, const void *state);
    /* From what nodes that fit scored to 0…SCHED_SCORE_MAX; not for SCHED_READS_USE. */
    int64_t (*scale)(int64_t score, int64_t min, int64_t max);
    /* SCHED_READS_ALL: does it have a say about this pod? NULL: always when it can. */
    bool (*filters)(const void *state);
    bool (*scores)(const void *state);
    /* SCHED_READS_USE, for speed: whether the pod is one for lanes, and what filter and score say
     * of nodes in lanes, which have no GPUs; weight ≤ 10,000. NULL: node by node; filter_lanes: all
     * fit. */
    bool (*in_lanes)(const struct sched_query *q, const void *state);
    void (*filter_lanes)(const struct sched_query *q, const void *state, struct sched_lanes *l);
    void (*score_lanes)(const struct sched_query *q, const void *state, int weight,
                        struct sched_lanes *l);
    /* SCHED_READS_ALL, for speed: what filter and score say of n nodes, by their place in
     * snapshot.nodes. filter_many keeps those that pass, in order, and returns how many. */
    size_t (*filter_many)(const struct sched_query *q, const void *state, uint32_t *at, size_t n);
    void (*score_many)(const struct sched_query *q, const void *state, const uint32_t *at, size_t n,
                       int64_t *scores);
};

#define SCHED_PLUGIN(sym)                                                                          \
    __attribute__((used, retain, section("atoll_sched_plugins"))) static const struct sched_plugin \
        *const sched_plugin_p_##sym = &sym

/* All that are linked in, by order, then name; at most SCHED_PLUGINS_MAX. Sorted once. */
size_t sched_plugins(const struct sched_plugin *ret[SCHED_PLUGINS_MAX]);

/* Every plugin without arguments but those by name only; of all pods whose schedulerName no profile
 * has. */
const struct sched_profile *sched_default_profile(void);
/* profiles.c: whose rules hold for pods with that schedulerName. */
const struct sched_profile *snapshot_profile(const struct snapshot *s, const char *name);
/* Calls p's configure. */
const void *sched_configure(struct arena *a, const struct sched_plugin *p, const void *args,
                            struct err *err);

/* What several plugins ask. */
bool sched_node_selected(const struct core_v1_pod *pod, const struct sched_node *n);
bool sched_taints_tolerated(const struct core_v1_pod *pod, const struct sched_node *n,
                            const struct core_v1_taint **ret_first);

struct sched_result {
    const char *node;    /* NULL: none fits; lives as long as the node */
    const char *message; /* when none fits: "0/3 nodes are available: 2 Insufficient cpu, 1 node(s)
                            were unschedulable." */
    struct place_class *class; /* then: why, node by node (place.h); NULL without nodes */
    unsigned refused;          /* then: bit 1 << SCHED_READS_… of the plugins that refused */
};
/* The best of the nodes that fit; the emptiest of equals. Looks only at nodes that changed since an
 * equal pod was placed, unless other nodes' pods matter to this one. */
struct sched_result sched_place(struct arena *a, struct snapshot *s, const struct core_v1_pod *pod);

/* For preemption: a question and whether that one node fits now. */
struct sched_query *sched_query_of(struct arena *a, struct snapshot *s,
                                   const struct core_v1_pod *pod);
bool sched_fits(struct sched_query *q, struct sched_node *n, struct sched_why *why);
/* "0/3 nodes are available: …" out of the reasons of nodes. */
struct tally {
    struct refusal {
        const char *reason;
        size_t nodes;
    } * v;
    size_t n;
};
const char *tally_text(struct arena *a, size_t n_nodes, const struct tally *t);
