/*
 * What several services want to know about a pod: is it ready, which resources does it ask for,
 * which quality-of-service class has it, how does a person read its status. Pure functions on
 * objects, no I/O.
 */
#pragma once

#include "api/types.h"
#include "base/arena.h"

/* status.conditions */
const struct core_v1_pod_condition *pod_condition_get(const struct core_v1_pod *pod,
                                                      const char *type); /* NULL when absent */
bool pod_condition_is_true(const struct core_v1_pod *pod, const char *type);
/* Sets or adds a condition (strings are borrowed). lastTransitionTime becomes now (RFC 3339) when
 * the status changed, and stays otherwise. Returns whether anything changed. */
bool pod_condition_set(struct arena *a, struct core_v1_pod *pod, const char *type,
                       const char *status, const char *reason, const char *message,
                       const char *now);

bool pod_is_ready(const struct core_v1_pod *pod);       /* condition Ready is True */
bool pod_is_terminal(const struct core_v1_pod *pod);    /* phase Succeeded or Failed */
bool pod_is_terminating(const struct core_v1_pod *pod); /* has a deletionTimestamp */
/* Neither terminal nor terminating: counts as a replica. */
bool pod_is_active(const struct core_v1_pod *pod);

/* An init container with restartPolicy Always (KEP-753). */
bool container_is_sidecar(const struct core_v1_container *c);
const struct core_v1_container_status *
container_status_find(const struct core_v1_container_status_list *list, const char *name);

/* Guaranteed, Burstable or BestEffort, computed from the spec. */
const char *pod_qos_class(const struct core_v1_pod_spec *spec);

/* What a pod asks for as a whole: the larger of the running containers with sidecars and any step
 * of initialization, or what the pod itself has (KEP-2837), plus overhead (KEP-753, KEP-688). */
struct pod_resources {
    int64_t cpu_milli;
    int64_t memory_bytes;
    int64_t ephemeral_storage_bytes;
};
struct pod_resources pod_requests(const struct core_v1_pod_spec *spec);
/* The same sum for any resource name, in whole units ("nvidia.com/gpu", "hugepages-2Mi"). */
int64_t pod_request_of(const struct core_v1_pod_spec *spec, const char *resource);

/* What `kubectl get pods` shows. */
struct pod_summary {
    const char *status; /* Running, Init:0/1, CrashLoopBackOff, Terminating, … */
    int ready, total, restarts;
    int64_t last_restart_ns; /* 0: unknown */
};
struct pod_summary pod_summarize(struct arena *a, const struct core_v1_pod *pod);
