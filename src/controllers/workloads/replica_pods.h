/*
 * What ReplicaSets and ReplicationControllers have in common: pods that are claimed by a selector,
 * made from a template, and chosen with care when there are too many. A ReplicationController is
 * seen as a ReplicaSet here; apiVersion and kind of the object stay its own.
 */
#pragma once

#include "controllers/common.h"

/* Claims, scales and counts. status_write(user, status, p) gets the status that follows, by what
 * the world shows, and plans its write: after the pods' own, but before them when those failed the
 * last time, so that the condition ReplicaFailure gets out. */
void replica_pods(const struct world *w, const struct apps_v1_replica_set *rs, struct plan *p,
                  void (*status_write)(const void *user, const struct apps_v1_replica_set_status *s,
                                       struct plan *p),
                  const void *user);
