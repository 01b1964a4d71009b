/* The Deployment reconciler's parts: deployment.c (sets and rollout), deployment_status.c. */
#pragma once

#include "controllers/common.h"

typedef struct apps_v1_deployment deployment;
typedef struct apps_v1_replica_set replica_set;

struct deployment_view {
    const struct world *w;
    const deployment *d;
    struct plan *p;
    struct arena *a;
    const replica_set *current; /* NULL: still to be made */
    const replica_set **old;    /* oldest first */
    size_t n_old;
    int64_t max_revision; /* of the old ones */
    int32_t surge, unavailable;
    bool created; /* this plan creates the current one */
};

/* Plans the write of the status that follows from what the world shows, if it is another one. */
void deployment_status_write(struct deployment_view *v);
