/*
 * The arithmetic of a Deployment's rolling update: how many pods each ReplicaSet should have next.
 * Pure numbers; deployment.c turns them into writes. Invariants: all replicas together never exceed
 * replicas + surge; available ones never fall below replicas − unavailable because of a step.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "api/type.h"

struct rollout_set {
    int32_t replicas;  /* spec.replicas now */
    int32_t pods;      /* that it has: more than replicas until it has scaled down */
    int32_t available; /* status.availableReplicas */
    int32_t want;      /* out */
};

struct rollout {
    int32_t replicas; /* of the Deployment */
    int32_t surge, unavailable;
    struct rollout_set current;
    struct rollout_set *old; /* oldest first */
    size_t n_old;
};

/* A number, or a percentage of all replicas; absent: 25%. */
int32_t rollout_amount(const struct int_or_string *v, int32_t replicas, bool up);
/* maxSurge rounds up, maxUnavailable down; both zero: one unavailable. Absent values are 25%. */
void rollout_limits(const struct int_or_string *surge, const struct int_or_string *unavailable,
                    int32_t replicas, int32_t *ret_surge, int32_t *ret_unavailable);
/* Sets every want. */
void rollout_step(struct rollout *r);
/* All old ones down before the new one comes up. old_pods: pods of old ReplicaSets that still
 * exist. */
void rollout_recreate(struct rollout *r, int32_t old_pods);
/* No rollout, only the number of replicas: the one set that has pods follows it, several share the
 * change in proportion to their size. */
void rollout_scale(struct rollout *r);
