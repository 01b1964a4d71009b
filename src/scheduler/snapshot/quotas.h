/*
 * ElasticQuotas: how much of each resource a namespace is sure to get (min), and may have at most
 * (max). What others do not use of their min is lent; the owner gets it back by preemption. Uses
 * are counted pod by pod with the snapshot. Pure.
 */
#pragma once

#include "base/map.h"
#include "base/vec.h"
#include "scheduler/snapshot/resources.h"

struct pod_class;
struct snapshot;

struct quota_line { /* one resource; of unlisted ones a namespace may have all and owns nothing */
    char *resource;
    int64_t min, max;          /* max < 0: none. cpu in milli */
    int64_t used;              /* by pods on nodes, `leaving` of it by those that are about to go */
    int64_t leaving, promised; /* promised: to pods for which room is made */
};
struct quota {
    char *namespace, *name; /* the oldest of a namespace holds; others are ignored */
    char *created;
    VEC(struct quota_line) lines;
    bool changed; /* since its status was written; the service's */
};
struct quotas {
    struct map by_namespace;
    VEC(struct quota_line) all; /* sums of min and used */
    uint64_t epoch;
};

void quotas_done(struct quotas *q);
/* Counts what its namespace's pods use now. */
void quotas_put(struct snapshot *s, const struct scheduling_v1alpha1_elastic_quota *o);
void quotas_remove(struct snapshot *s, const char *namespace, const char *name);
const struct quota *quota_of(const struct snapshot *s, const char *namespace);
/* Counts a pod of that class: it uses a node, is about to leave it, is promised room. */
enum quota_use { QUOTA_USED, QUOTA_LEAVING, QUOTA_PROMISED };
void quotas_count(struct snapshot *s, const struct pod_class *c, enum quota_use use, int sign);

/* May one more such pod be placed, that is promised nothing? NULL, or why not, in a. */
const char *quota_refuses(struct arena *a, const struct snapshot *s, const struct pod_class *c);
/* Its namespace has more than its min of anything that the pod asks for, once the pod is there too
 * (more), or as it is; without what is about to leave. */
bool quota_over_min(const struct snapshot *s, const struct pod_class *c, bool more);
/* The weighted dominant share (Ghodsi et al., "Dominant Resource Fairness", NSDI 2011): the largest
 * of used ÷ min over its resources. */
double quota_share(const struct quota *q);
