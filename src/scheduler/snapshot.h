/*
 * What the scheduler decides on: its nodes with what is used on each, and the pods that use it. A
 * pod counts from the moment its binding is sent (assumed), not only when the API shows it.
 */
#pragma once

#include "base/map.h"
#include "base/vec.h"
#include "scheduler/resources.h"

struct host_port {
    int32_t port;
    char protocol[8];
    char ip[46]; /* "" = all addresses */
};

struct sched_node {
    char *name;
    struct core_v1_node *object; /* a copy in `arena`: labels, taints, images */
    struct arena *arena;         /* replaced with the object */
    struct resources offers;     /* in arena */
    int64_t used_cpu_milli, used_memory_bytes, used_ephemeral_bytes, used_pods;
    int64_t nonzero_cpu_milli, nonzero_memory_bytes;
    struct map used_extended; /* resource name → struct extended, malloc'd */
    VEC(struct host_port) ports;
};

struct sched_pod { /* a pod that uses a node */
    char *uid;
    char *node;
    struct arena *arena;
    struct resources asks;
    int64_t nonzero_cpu_milli, nonzero_memory_bytes;
    struct {
        struct host_port *v;
        size_t n;
    } ports;
};

struct snapshot {
    VEC(struct sched_node *) nodes; /* order of arrival */
    struct map node_by_name;
    struct map pod_by_uid;
};

void snapshot_done(struct snapshot *s);
void snapshot_put_node(struct snapshot *s, const struct core_v1_node *node);
void snapshot_remove_node(struct snapshot *s, const char *name);
/* Counts the pod on that node (which need not be known yet); the same uid again replaces. */
void snapshot_add_pod(struct snapshot *s, const struct core_v1_pod *pod, const char *node);
/* True when it was counted. */
bool snapshot_remove_pod(struct snapshot *s, const char *uid);
const char *snapshot_node_of(const struct snapshot *s,
                             const char *uid); /* NULL when the pod is not counted */

/* The host ports a pod wants, in the arena. */
size_t pod_host_ports(struct arena *a, const struct core_v1_pod *pod, struct host_port **ret);
bool host_ports_clash(const struct host_port *x, const struct host_port *y);
