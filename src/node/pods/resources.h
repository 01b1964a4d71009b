/*
 * Requests and limits as cgroup values: cpu shares and quota, memory, and the OOM score that the
 * pod's quality of service earns (Kubernetes: Node-pressure Eviction, "oom_score_adj values").
 * Pure.
 */
#pragma once

#include "api/types.h"
#include "wire/broker.h"

const char *resources_qos(const struct core_v1_pod_spec *s); /* Guaranteed, Burstable, BestEffort */
void resources_container(const struct core_v1_pod *p, const struct core_v1_container *c,
                         int64_t node_memory_bytes, struct broker_resources *ret);
void resources_pod(const struct core_v1_pod *p, struct broker_resources *ret);

/* What a pod takes of a node: sums of requests, init containers counted as upstream does. */
struct resources_sum {
    int64_t cpu_milli, memory_bytes, storage_bytes;
};
void resources_request(const struct core_v1_pod *p, struct resources_sum *ret);
/* The limit (or request) of one container, NULL when absent. */
const char *resources_limit(const struct core_v1_container *c, const char *name);
