/*
 * Pods of a DaemonSet: on which nodes they should be, what they look like. Pure.
 */
#pragma once

#include "controllers/common.h"

typedef struct apps_v1_daemon_set daemon_set;

enum daemon_place {
    DAEMON_UNWANTED, /* no pod may be there */
    DAEMON_KEPT,     /* none would be made, one that is there stays */
    DAEMON_WANTED
};

/* What its pods have in common: the template with the tolerations of daemons. */
struct core_v1_pod_spec *daemon_pod_spec(struct arena *a, const daemon_set *d);
enum daemon_place daemon_place(const struct core_v1_pod_spec *spec, const struct core_v1_node *n);
/* Where it is, or is meant for; NULL: nowhere in particular. */
const char *daemon_pod_node(const struct core_v1_pod *pod);
void daemon_pod_create(const daemon_set *d, const struct core_v1_pod_spec *spec, const char *hash,
                       const char *node, struct plan *p);
void daemon_pod_delete(const daemon_set *d, const struct core_v1_pod *pod, struct plan *p);
