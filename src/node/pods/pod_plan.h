/*
 * What should happen to the containers of a pod now: a pure function of the model and the time.
 * Init containers run in order, sidecars stay, main containers run side by side; the restart
 * policies and their delays hold; stopping goes main first, then sidecars backwards
 * (Kubernetes: Pod Lifecycle, Init Containers, Sidecar Containers).
 */
#pragma once

#include "node/pods/pod.h"

enum container_action { ACTION_NONE, ACTION_START, ACTION_STOP };

struct pod_plan {
    enum container_action actions[LIMIT_CONTAINERS_PER_POD];
    bool initialized; /* every init container is complete */
    bool finished;    /* nothing runs and nothing will: tear down */
    uint64_t wake_ms; /* monotonic time to look again; 0 = only on events */
};

void pod_plan(const struct pod *p, uint64_t now_ms, struct pod_plan *ret);
