/*
 * Claims and the volumes that may be theirs: what the controllers, the scheduler and the nodes must
 * see alike. Pure functions on objects, no I/O.
 */
#pragma once

#include "api/types.h"
#include "base/arena.h"

#define CLAIM_SELECTED_NODE "volume.kubernetes.io/selected-node"
#define CLAIM_BIND_COMPLETED "pv.kubernetes.io/bind-completed"
#define CLAIM_BOUND_BY_CONTROLLER "pv.kubernetes.io/bound-by-controller" /* of volumes, too */
#define VOLUME_PROVISIONED_BY "pv.kubernetes.io/provisioned-by"
/* The provisioner of this system: directories of the node that the scheduler has chosen. */
#define LOCAL_PROVISIONER "atoll.dev/local"
/* The label of its volumes that names their node. */
#define LOCAL_VOLUME_NODE "atoll.dev/node"
/* Where those directories are beneath the root of a node; each has its volume's name. */
#define LOCAL_VOLUMES_PATH "/var/lib/atoll/volumes"

/* Bound, both sides; its volume is spec.volumeName. */
bool claim_is_bound(const struct core_v1_persistent_volume_claim *c);
/* The class of a claim or of a volume; "" for none. */
const char *claim_class(const struct core_v1_persistent_volume_claim *c);

/* Its claimRef names the claim: by name and, when it has one, by uid. */
bool volume_is_for(const struct core_v1_persistent_volume *v,
                   const struct core_v1_persistent_volume_claim *c);
/* Why the volume cannot be the claim's, whoever has it now, or NULL when it can: deletion, size,
 * class, mode, access modes. The claim's selector is a matter of choice and not looked at. */
const char *volume_misfit(struct arena *a, const struct core_v1_persistent_volume *v,
                          const struct core_v1_persistent_volume_claim *c);
/* The claim's selector allows the volume. */
bool claim_selects(struct arena *a, const struct core_v1_persistent_volume_claim *c,
                   const struct core_v1_persistent_volume *v);
/* The volume's node affinity allows the node. */
bool volume_reaches(const struct core_v1_persistent_volume *v, const struct core_v1_node *n);
/* Made by LOCAL_PROVISIONER on that node. */
bool volume_is_local_to(const struct core_v1_persistent_volume *v, const char *node);
/* For sorting pointers to volumes: the smaller first, then by name. */
int volume_cmp_size(const void *x, const void *y);
