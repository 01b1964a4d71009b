/*
 * Pods of a DaemonSet: on which nodes they should be, what they look like, how soon one that has
 * failed is replaced. Pure.
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

/* How often pods have failed on each node, noted down in the world: a node that always refuses one
 * is asked ever more seldom, from once a second to once in a quarter of an hour. */
struct daemon_failures {
    const char *note;
    const char *uid;
    bool changed;
    int64_t now_ms;
    struct arena *a;
    struct daemon_failure {
        const char *node;
        int64_t n, last_ms;
    } * v;
    size_t n;
};
void daemon_failures_read(struct daemon_failures *f, const struct world *w, const daemon_set *d,
                          struct arena *a);
/* 0: the failed pod may go now, which is counted; else milliseconds to wait. */
uint64_t daemon_failure_wait_ms(struct daemon_failures *f, const char *node);
void daemon_failures_write(const struct daemon_failures *f, struct plan *p);
/* Of one that is gone. */
void daemon_failures_drop(const struct world *w, const char *ns, const char *name, struct plan *p);
