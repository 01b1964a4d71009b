/*
 * Which nodes a pod may run on by what their objects say: labels, names, taints. Pure; what is used
 * on a node is no matter here.
 */
#pragma once

#include "api/types.h"

/* All its requirements hold; a term without any matches nothing. */
bool node_term_matches(const struct core_v1_node_selector_term *t, const struct core_v1_node *n);
/* Any of its terms matches. */
bool node_selector_matches(const struct core_v1_node_selector *s, const struct core_v1_node *n);
/* spec.nodeSelector and the required node affinity. */
bool pod_selects_node(const struct core_v1_pod_spec *spec, const struct core_v1_node *n);

bool toleration_covers(const struct core_v1_toleration *t, const char *key, const char *value,
                       const char *effect);
/* value may be NULL: "". */
bool pod_tolerates(const struct core_v1_pod_spec *spec, const char *key, const char *value,
                   const char *effect);
/* The first taint with the effect NoExecute, or also NoSchedule, that the pod does not tolerate;
 * NULL: none. spec.unschedulable of the node is no taint here. */
const struct core_v1_taint *pod_untolerated_taint(const struct core_v1_pod_spec *spec,
                                                  const struct core_v1_node *n, bool no_schedule);
/* How long a pod stays on a node that is not ready or does not answer, when it does not say itself:
 * 30 seconds (docs/decisions/0049-nodes-that-do-not-answer.md). */
void pod_default_tolerations(struct arena *a, struct core_v1_pod_spec *spec);
