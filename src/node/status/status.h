/*
 * The pod's status as the API shows it, computed from the model: phase, conditions, container
 * states with the reasons that kubectl and controllers know (Kubernetes: Pod Lifecycle). Pure but
 * for the transition times of conditions, which are kept in the model.
 */
#pragma once

#include "node/pods/pod.h"

struct status_host {
    const char *host_ip;
    const char *runtime; /* the scheme of container IDs: crun, runc */
};

/* Fills *ret in the arena. Conditions that others own (PodScheduled, readiness gates) are kept. */
void status_compute(struct arena *a, struct pod *p, const struct status_host *h, int64_t now_ns,
                    struct core_v1_pod_status *ret);
/* Pending, Running, Succeeded or Failed. */
const char *status_phase(const struct pod *p);
/* A merge patch of the status subresource; a reason or message that is gone is removed. */
void status_patch(struct buf *out, const struct pod *p, const struct core_v1_pod_status *s);
/* Takes over what the API remembers: restart counts, ends of runs, transition times. */
void status_adopt(struct pod *p, const struct core_v1_pod_status *s);
