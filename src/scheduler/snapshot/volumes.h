/*
 * What decisions need to know of storage: claims, volumes, classes, the CSI drivers of nodes; and
 * which volumes a pod brings along. Copies of objects, by name. Pure.
 */
#pragma once

#include "api/registry.h"
#include "api/rules/claims.h"
#include "base/map.h"

struct snapshot;

struct volumes {
    struct map claims;  /* namespace/name → struct stored_object of volumes.c */
    struct map volumes; /* the others by name */
    struct map classes;
    struct map csi_nodes;
    struct map csi_drivers;
    struct map capacities; /* namespace/name */
    uint64_t version;      /* of all of it */
};

void volumes_done(struct volumes *v);
/* False when nothing that is read of it has changed. */
bool volumes_put_claim(struct volumes *v, const struct core_v1_persistent_volume_claim *o);
bool volumes_put_volume(struct volumes *v, const struct core_v1_persistent_volume *o);
bool volumes_put_class(struct volumes *v, const struct storage_v1_storage_class *o);
bool volumes_put_csi_node(struct volumes *v, const struct storage_v1_csi_node *o);
bool volumes_put_csi_driver(struct volumes *v, const struct storage_v1_csi_driver *o);
bool volumes_put_capacity(struct volumes *v, const struct storage_v1_csi_storage_capacity *o);
void volumes_remove_claim(struct volumes *v, const char *namespace, const char *name);
void volumes_remove_volume(struct volumes *v, const char *name);
void volumes_remove_class(struct volumes *v, const char *name);
void volumes_remove_csi_node(struct volumes *v, const char *name);
void volumes_remove_csi_driver(struct volumes *v, const char *name);
void volumes_remove_capacity(struct volumes *v, const char *namespace, const char *name);

/* NULL: there is none. Valid until it changes. */
const struct core_v1_persistent_volume_claim *
volumes_claim(const struct volumes *v, const char *namespace, const char *name);
const struct core_v1_persistent_volume *volumes_volume(const struct volumes *v, const char *name);
const struct storage_v1_storage_class *volumes_class(const struct volumes *v, const char *name);
const struct storage_v1_csi_node *volumes_csi_node(const struct volumes *v, const char *node);

/* Walks all: size_t at = 0. */
const struct storage_v1_csi_storage_capacity *volumes_next_capacity(const struct volumes *v,
                                                                    size_t *at);
/* Does that driver tell by CSIStorageCapacity how much room there is? */
bool volumes_tells_capacity(const struct volumes *v, const char *driver);

/* ---- what a pod brings ---- */

struct pod_disk { /* a disk that the pod names itself */
    const char *id;
    bool read_only, shareable; /* shareable: by readers */
};
struct pod_volumes {
    struct str_list claims; /* names in its namespace */
    bool own;               /* one of them was made for this very pod */
    struct pod_disk *disks;
    size_t n_disks;
};
/* In a. */
struct pod_volumes pod_volumes_of(struct arena *a, const struct core_v1_pod *pod);
/* Appends all that pod_volumes_of reads. */
void pod_volumes_key(struct buf *b, const struct core_v1_pod *pod);
