/*
 * How many pods match a selector in each topology domain, kept up to date pod by pod. A term = one
 * or more pod selectors that must all match, counted over the domains of one node label. It also
 * counts the pods that bear it as an affinity term of their own, so that rules of existing pods
 * hold for new ones (symmetry). Terms are shared: equal ones are one object with a count of users.
 */
#pragma once

#include "api/values/selector.h"
#include "base/map.h"
#include "base/vec.h"

enum { NO_DOMAIN = UINT32_MAX };

/* The pseudo label whose domains are the nodes themselves. */
#define TOPOLOGY_NODE ""

struct topology {
    char *key;
    size_t users;
    struct map ids;      /* value → domain number + 1 */
    VEC(uint32_t) nodes; /* per domain: nodes that have it now */
    VEC(uint32_t) of;    /* by node, as in snapshot.nodes: its domain or NO_DOMAIN */
    size_t n_nodes;      /* nodes with any domain */
    size_t n_live;       /* domains with a node */
};

struct sched_matcher {
    struct str_list namespaces;
    struct selector *namespace_selector; /* NULL: only the list */
    struct selector *labels;
};

struct sched_term {
    char *key;
    size_t key_n;
    struct arena *arena;
    size_t users;
    struct sched_matcher *matchers;
    size_t n_matchers;
    size_t topology; /* index of snapshot.topologies */
    bool skip_terminating;
    size_t n_domains; /* length of the four arrays */
    int32_t *matched; /* pods that match */
    int32_t *anti;    /* pods that bear it as required anti-affinity */
    int32_t *hard;    /* pods that bear it as required affinity */
    int64_t *weight;  /* sum of the preferences of pods that bear it */
    int64_t all_matched, all_anti, all_hard, all_weights; /* the last: bearers, not their sum */
};

struct pod_labels;
struct snapshot;

/* What a term is made of; the strings are borrowed. */
struct term_source {
    const struct core_v1_pod *pod; /* whose term it is: its namespace and label values */
    const struct core_v1_pod_affinity_term *const *terms;
    size_t n;
    const char *topology_key;
    bool skip_terminating;
};
/* Finds or makes it, counted and with one more user. */
struct sched_term *term_use(struct snapshot *s, const struct term_source *from);
void term_release(struct snapshot *s, struct sched_term *t);
bool term_matches(const struct snapshot *s, const struct sched_term *t, const struct pod_labels *l);

/* How often the pod's domain counts, for a pod that matches or bears. sign: 1 or −1 */
void term_count_match(struct sched_term *t, uint32_t domain, int sign);
void term_count_anti(struct sched_term *t, uint32_t domain, int sign);
void term_count_hard(struct sched_term *t, uint32_t domain, int sign);
void term_count_weight(struct sched_term *t, uint32_t domain, int weight, int sign);
static inline int32_t term_matched(const struct sched_term *t, uint32_t domain) {
    return domain < t->n_domains ? t->matched[domain] : 0;
}
static inline int32_t term_anti(const struct sched_term *t, uint32_t domain) {
    return domain < t->n_domains ? t->anti[domain] : 0;
}
static inline int32_t term_hard(const struct sched_term *t, uint32_t domain) {
    return domain < t->n_domains ? t->hard[domain] : 0;
}
static inline int64_t term_weight(const struct sched_term *t, uint32_t domain) {
    return domain < t->n_domains ? t->weight[domain] : 0;
}
