/* What the reconcilers of nodes share: whether a node answers, which taints are theirs, and how
 * many nodes may lose their pods at a time. Pure. */
#pragma once

#include "controllers/common.h"

#define TAINT_NOT_READY "node.kubernetes.io/not-ready"
#define TAINT_UNREACHABLE "node.kubernetes.io/unreachable"
#define TAINT_OUT_OF_SERVICE "node.kubernetes.io/out-of-service"

typedef struct core_v1_node node;

const struct core_v1_node_condition *node_condition(const node *n, const char *type); /* or NULL */
/* The status of the condition Ready: "True", "False", "Unknown"; "" when it has none. */
const char *node_readiness(const node *n);
const struct core_v1_taint *node_taint(const node *n, const char *key, const char *effect);
/* The NoExecute taint that says that it is not ready or not reachable; NULL: none. */
const struct core_v1_taint *node_outage(const node *n);
bool node_executes_taints(const node *n); /* has a taint with the effect NoExecute */

/* Evictions by zone: a zone where most nodes are well loses up to ten nodes in ten seconds, one
 * where most are not none (or one in ten seconds, when it is large), and when no node at all is
 * ready, it is more likely that the controller is cut off: nobody is evicted. */
enum outage_verdict {
    OUTAGE_EVICT,  /* the node may get its NoExecute taint now */
    OUTAGE_WAIT,   /* later: ask again after *ret_wait_ms */
    OUTAGE_NOBODY, /* no node is ready: taints that stand go, too */
};
enum outage_verdict node_outage_verdict(const struct world *w, const node *n,
                                        uint64_t *ret_wait_ms);
/* Whether no node but this one is ready. */
bool node_is_alone(const struct world *w, const char *name);

/* Plans the condition DisruptionTarget of a pod that is about to be deleted (KEP-3329), and its
 * phase unless NULL. */
void plan_pod_disrupted(struct plan *p, const struct world *w, const struct api_object *pod,
                        const char *phase, const char *reason, const char *message);
