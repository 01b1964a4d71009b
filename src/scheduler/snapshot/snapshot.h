/*
 * What the scheduler decides on: its nodes with what is used on each, and the pods that use it. A
 * pod counts from the moment its binding is sent (assumed), not only when the API shows it. Pods
 * that ask for the same share one pod_class, those with the same labels too one pod_labels; a
 * stored pod is a few pointers and its names.
 */
#pragma once

#include "api/rules/host_ports.h"
#include "base/set.h"
#include "scheduler/gpu/gpu_nodes.h"
#include "scheduler/snapshot/figures.h"
#include "scheduler/snapshot/gangs.h"
#include "scheduler/snapshot/owners.h"
#include "scheduler/snapshot/quotas.h"
#include "scheduler/snapshot/resources.h"
#include "scheduler/snapshot/terms.h"
#include "scheduler/snapshot/volumes.h"

enum class_bears {
    BEARS_ANTI,      /* required anti-affinity */
    BEARS_AFFINITY,  /* required affinity */
    BEARS_PREFERENCE /* of `weight`, negative for anti-affinity */
};
struct class_term { /* a term that pods of the class bear */
    struct sched_term *term;
    enum class_bears sort;
    int weight;
};

struct pod_class { /* all that a placed pod means to others, but for its labels */
    char *key;
    size_t key_n;
    uint64_t hash; /* of the key */
    size_t users;
    struct arena *arena;
    const char *namespace;
    int32_t priority;
    bool terminating;
    struct resources asks;
    struct gpu_ask gpu;
    bool gpu_wrong; /* asked for in a way that cannot be served */
    int64_t nonzero_cpu_milli, nonzero_memory_bytes;
    struct host_port *ports;
    size_t n_ports;
    struct pod_volumes volumes;
    struct class_term *bears;
    size_t n_bears;
};

/* Pods of a class with the same labels. Many pods have labels of their own, so this is small. */
struct pod_labels {
    struct set_item item; /* in snapshot.labels */
    struct pod_class *class;
    struct gang *gang;                /* NULL: none */
    VEC(struct sched_term *) matches; /* every term that selects these pods */
    size_t users;
    struct str_map map;  /* its keys are shared with others */
    struct str_pair v[]; /* of the map; then its values' text */
};

struct sched_node {
    char *name;
    size_t at;                   /* in snapshot.nodes; SIZE_MAX: pods name it, but it is unknown */
    struct core_v1_node *object; /* a copy in `arena`: labels, taints, images */
    struct arena *arena;         /* replaced with the object */
    struct resources offers;     /* in arena */
    int64_t used_cpu_milli, used_memory_bytes, used_ephemeral_bytes, used_pods;
    int64_t nonzero_cpu_milli, nonzero_memory_bytes;
    struct map used_extended; /* resource name → struct extended, malloc'd */
    struct gpu_room *gpus;    /* NULL: it has none */
    bool power_down, woken;   /* power.h: to be switched off; was woken since */
    uint64_t idle_since_ms;   /* 0: it is not idle, or nobody looked */
    VEC(struct host_port) ports;
    VEC(struct sched_pod *) pods;
    VEC(struct nominated *) nominated; /* wait for room here */
};

struct sched_pod {        /* a pod that uses a node */
    struct set_item item; /* in snapshot.pods, by uid */
    struct pod_class *class;
    struct pod_labels *labels; /* of that class */
    struct sched_node *node;
    int64_t start_s;  /* 0: not started */
    uint32_t at_node; /* in node->pods */
    uint32_t name_at; /* in text */
    uint32_t at_gang; /* in the gang's `placed` */
    uint32_t gpus;    /* devices, by bit */
    bool of_node;     /* of a DaemonSet, or static */
    bool leaving;     /* its deletion is under way: it will make room, and costs nothing */
    bool away;        /* lifted for longer than one look */
    bool lifted;
    char text[]; /* uid, then name */
};
static inline const char *sched_pod_uid(const struct sched_pod *p) { return p->text; }
static inline const char *sched_pod_name(const struct sched_pod *p) { return p->text + p->name_at; }

struct nominated { /* a pod that made room on a node and waits for it */
    char *uid, *ns, *name;
    struct sched_node *node;
    struct pod_class *class;
    struct pod_labels *labels;
};

/* What happened to nodes lately, for caches: which one, and whether more than its use changed. */
struct node_change {
    uint32_t at;
    bool object;
};
enum { SNAPSHOT_CHANGES = 16384 };

struct priority_count {
    int32_t priority;
    size_t pods;
};

struct snapshot {
    VEC(struct sched_node *) nodes; /* order of arrival */
    struct map node_by_name;        /* unknown ones too */
    struct set pods;
    struct set labels;     /* pod_labels */
    struct set label_keys; /* labels.c */
    struct map class_by_key;
    struct map term_by_key;
    struct map namespaces;             /* name → struct namespace_labels */
    struct map images;                 /* name → nodes that have it */
    VEC(struct topology *) topologies; /* NULL: free slot */
    struct map nominated_by_uid;
    struct map gangs; /* namespace/name → struct gang */
    struct quotas quotas;
    struct gpu_cluster *gpus; /* NULL: no node has any */
    struct volumes volumes;
    struct owners owners;
    VEC(struct priority_count) priorities; /* of pods that use a node, few */
    struct node_change *changes;           /* ring */
    uint64_t n_changes;                    /* ever */
    uint64_t epoch;                        /* nodes moved or images spread: caches begin again */
    struct node_figures *figures;          /* by node */
    size_t figures_cap;
    struct place_slot *places; /* caches of place.c */
    size_t n_places;
    struct map fixed_by_key;               /* place_fixed */
    uint64_t clock;                        /* of their use */
    const struct sched_profiles *profiles; /* borrowed; NULL: the default one alone */
};

void snapshot_done(struct snapshot *s);
void snapshot_put_node(struct snapshot *s, const struct core_v1_node *node);
void snapshot_remove_node(struct snapshot *s, const char *name);
/* False when its labels are the same. */
bool snapshot_put_namespace(struct snapshot *s, const char *name, const struct str_map *labels);
void snapshot_remove_namespace(struct snapshot *s, const char *name);
const struct str_map *snapshot_namespace(const struct snapshot *s, const char *name);
/* Counts the pod on that node (which need not be known yet); the same uid again replaces. */
void snapshot_add_pod(struct snapshot *s, const struct core_v1_pod *pod, const char *node);
/* NULL: it is not counted. All: set_next(&s->pods, …). */
struct sched_pod *snapshot_pod(const struct snapshot *s, const char *uid);
/* True when it was counted. */
bool snapshot_remove_pod(struct snapshot *s, const char *uid);
const char *snapshot_node_of(const struct snapshot *s,
                             const char *uid); /* NULL when the pod is not counted */
/* Its deletion is under way, or has failed. */
void snapshot_set_leaving(struct snapshot *s, struct sched_pod *p, bool leaving);
/* Takes a counted pod off its node and back, to try what would be; no cache hears of it. */
void snapshot_lift_pod(struct snapshot *s, struct sched_pod *p);
void snapshot_drop_pod(struct snapshot *s, struct sched_pod *p);
/* A node's change that its caches must hear of. */
void snapshot_changed(struct snapshot *s, const struct sched_node *n, bool object);

/* Any pod of lower priority uses a node. */
bool snapshot_has_lower(const struct snapshot *s, int32_t priority);

/* The pod gets the room on that node before others of at most its priority; NULL: no longer. */
void snapshot_nominate(struct snapshot *s, const struct core_v1_pod *pod, const char *node);
void snapshot_unnominate(struct snapshot *s, const char *uid);
const struct nominated *snapshot_nominated(const struct snapshot *s, const char *uid); /* or NULL */
/* Counts on the node, or discounts, what is nominated there with at least that priority, but uid
 * and what was nominated after it with the same. */
void snapshot_count_nominated(struct sched_node *n, int32_t priority, const char *uid, int sign);

/* place.c: forgets the caches. */
void places_done(struct snapshot *s);

/* labels.c: those of the pod, with one more user. */
struct pod_labels *labels_use(struct snapshot *s, const struct core_v1_pod *pod);
void labels_release(struct snapshot *s, struct pod_labels *l);

/* classes.c */
struct pod_class *class_use(struct snapshot *s, const struct core_v1_pod *pod);
void class_release(struct snapshot *s, struct pod_class *c);
void class_key(struct buf *b, const struct core_v1_pod *pod);
void key_text(struct buf *b, const char *text);
void key_map(struct buf *b, const struct str_map *m);

/* topologies.c: the slot of a node label, with one more user; all nodes have their domains. */
size_t topology_use(struct snapshot *s, const char *key);
void topology_release(struct snapshot *s, size_t at);
/* Gives the node its domains anew. */
void topology_place_node(struct snapshot *s, const struct sched_node *n);
/* It leaves snapshot.nodes; those after it move up. */
void topology_remove_node(struct snapshot *s, const struct sched_node *n);
/* The domain of a known node that the term counts in, or NO_DOMAIN. */
static inline uint32_t snapshot_domain(const struct snapshot *s, const struct sched_node *n,
                                       const struct sched_term *t) {
    return s->topologies.v[t->topology]->of.v[n->at];
}
/* A namespace has other labels: what its pods match is found again. */
void terms_rematch(struct snapshot *s, const char *namespace);
/* Counts or discounts all that a pod means to terms on its node. */
void terms_count_pod(const struct snapshot *s, const struct pod_labels *l,
                     const struct sched_node *n, int sign);
