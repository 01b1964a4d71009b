/* Tests of the scheduler's core: a cluster that is only the core, and what it says to do. */
#pragma once

#include "base/own.h"
#include "base/test.h"
#include "scheduler/core/core.h"

struct cluster {
    struct sched_core core;
    struct arena *a;
    struct map pods; /* name → struct core_v1_pod that waits; its name is its uid */
    uint64_t now_ms;
    char said[4096]; /* "bind pod node", "evict pod", …, one per line; since the last look */
};

void cluster_init(struct cluster *c);
void cluster_done(struct cluster *c);
void cluster_node(struct cluster *c, const char *name, const char *more);
/* more: of the spec, begins with a comma, or "". */
void cluster_pod(struct cluster *c, const char *name, const char *cpu, int priority,
                 const char *labels, const char *more);
/* The same, running there. */
void cluster_runs(struct cluster *c, const char *name, const char *cpu, int priority,
                  const char *labels, const char *node);
void cluster_gone(struct cluster *c, const char *name);
void cluster_group(struct cluster *c, const char *name, int least);
void cluster_quota(struct cluster *c, const char *namespace, const char *min, const char *max);
void cluster_budget(struct cluster *c, const char *name, const char *app, int allowed);
/* The next pods are of this namespace; "d" at first. */
extern const char *cluster_namespace;
/* Runs until nothing is ready and compares what was said; bound pods run, evicted ones stay until
 * they are gone. */
void cluster_expect(struct cluster *c, const char *said);
void cluster_pass(struct cluster *c, uint64_t ms);
