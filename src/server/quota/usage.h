/*
 * What one object uses of a ResourceQuota, and which quotas count it. Pure. Names of resources and
 * rules are upstream's (pkg/quota evaluators): pods, services and claims are measured, everything
 * else is counted.
 */
#pragma once

#include "api/registry.h"
#include "api/values/quantity.h"

struct quota_amount {
    const char *resource; /* as in spec.hard: pods, requests.cpu, count/deployments.apps */
    struct quantity q;
};
struct quota_amounts {
    struct quota_amount *v;
    size_t n;
};

struct quota_usage {
    struct quota_amounts amounts; /* none is negative */
    /* What scopes ask; of pods only. */
    bool is_pod, terminating, best_effort, cross_namespace;
    const char *priority_class;
    int64_t over_ns; /* a pod stops counting then (its deletion is overdue); 0 = not known yet */
};

/* Measured: its use can change while it lives, and depends on more than its kind. */
bool quota_measures(const char *group, const char *plural);
/* All of it is in the arena or borrowed from o. */
void quota_usage_of(struct arena *a, const char *group, const char *plural,
                    const struct api_object *o, int64_t now_ns, struct quota_usage *ret);
/* Names under which an object that is only counted counts: two at most, NULL for none. */
void quota_count_names(struct arena *a, const char *group, const char *plural,
                       const char *ret_names[2]);

/* What a pod has at once at most: containers and sidecars together, or one init container with the
 * sidecars before it. overhead: with that of its sandbox. */
void quota_pod_resources(struct arena *a, const struct core_v1_pod_spec *p, bool limits,
                         bool overhead, struct quota_amounts *ret);

/* Whether the scopes of the quota take in this object. */
bool quota_covers(const struct core_v1_resource_quota_spec *spec, const struct quota_usage *u);
/* "limits.cpu for: a,b; memory for: a": what containers must say because the quota limits it;
 * NULL = nothing. */
const char *quota_must_specify(struct arena *a, const struct core_v1_resource_quota_spec *spec,
                               const struct core_v1_pod_spec *pod);

const struct quantity *quota_amount_find(const struct quota_amounts *l, const char *resource);
/* Each minus what `before` had of it; nothing below zero. */
void quota_amounts_subtract(struct quota_amounts *l, const struct quota_amounts *before);
