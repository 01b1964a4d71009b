/*
 * The Node object: made at the start, kept true by status writes (when something changes, and
 * every five minutes), and the Lease in kube-node-lease every ten seconds.
 */
#pragma once

#include "node/agent.h"

struct registration;
struct registration *registration_new(struct agent *g);
/* Pods can run: the node is Ready from now on. */
void registration_set_ready(struct registration *r, bool ready, const char *why);
/* The list of images changed. */
void registration_images_changed(struct registration *r);

/* Resources that others announced in the node's capacity become allocatable, and those that they
 * took back do not stay so: the merge patch of the status, or false when all is well. Pure. */
bool registration_extended(struct buf *patch, const struct core_v1_node *n);

/* Pure: the whole status of the node. `old` has the times of the conditions, NULL = none yet. */
struct node_view {
    const struct host_info *host;
    const char *node_name;
    bool ready, memory_pressure, disk_pressure;
    const char *not_ready_why;
    int64_t now_ns;
    const struct core_v1_container_image *images;
    size_t n_images;
};
void registration_status(struct arena *a, const struct node_view *v,
                         const struct core_v1_node_condition_list *old,
                         struct core_v1_node_status *ret);
