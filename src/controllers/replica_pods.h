/*
 * What ReplicaSets and ReplicationControllers have in common: pods that are claimed by a selector,
 * made from a template, and chosen with care when there are too many. A ReplicationController is
 * seen as a ReplicaSet here; apiVersion and kind of the object stay its own.
 */
#pragma once

#include "controllers/common.h"

/* Claims, scales and counts. *ret: the status that follows, by what the world shows. */
void replica_pods(const struct world *w, const struct apps_v1_replica_set *rs, struct plan *p,
                  struct apps_v1_replica_set_status *ret);
