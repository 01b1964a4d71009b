#include "scheduler/snapshot/sources.h"

#define IGNORED (void)namespace

static bool put_namespace(struct snapshot *s, const struct api_object *o) {
    return snapshot_put_namespace(s, o->metadata.name, &o->metadata.labels);
}
static void remove_namespace(struct snapshot *s, const char *namespace, const char *name) {
    IGNORED;
    snapshot_remove_namespace(s, name);
}

/* ---- storage ---- */

static bool put_claim(struct snapshot *s, const struct api_object *o) {
    return volumes_put_claim(&s->volumes, (const struct core_v1_persistent_volume_claim *)o);
}
static void remove_claim(struct snapshot *s, const char *namespace, const char *name) {
    volumes_remove_claim(&s->volumes, namespace, name);
}
static bool put_volume(struct snapshot *s, const struct api_object *o) {
    return volumes_put_volume(&s->volumes, (const struct core_v1_persistent_volume *)o);
}
static void remove_volume(struct snapshot *s, const char *namespace, const char *name) {
    IGNORED;
    volumes_remove_volume(&s->volumes, name);
}
static bool put_class(struct snapshot *s, const struct api_object *o) {
    return volumes_put_class(&s->volumes, (const struct storage_v1_storage_class *)o);
}
static void remove_class(struct snapshot *s, const char *namespace, const char *name) {
    IGNORED;
    volumes_remove_class(&s->volumes, name);
}
static bool put_csi_node(struct snapshot *s, const struct api_object *o) {
    return volumes_put_csi_node(&s->volumes, (const struct storage_v1_csi_node *)o);
}
static void remove_csi_node(struct snapshot *s, const char *namespace, const char *name) {
    IGNORED;
    volumes_remove_csi_node(&s->volumes, name);
}

static bool put_csi_driver(struct snapshot *s, const struct api_object *o) {
    return volumes_put_csi_driver(&s->volumes, (const struct storage_v1_csi_driver *)o);
}
static void remove_csi_driver(struct snapshot *s, const char *namespace, const char *name) {
    IGNORED;
    volumes_remove_csi_driver(&s->volumes, name);
}
static bool put_capacity(struct snapshot *s, const struct api_object *o) {
    return volumes_put_capacity(&s->volumes, (const struct storage_v1_csi_storage_capacity *)o);
}
static void remove_capacity(struct snapshot *s, const char *namespace, const char *name) {
    volumes_remove_capacity(&s->volumes, namespace, name);
}

/* ---- what pods belong to ---- */

static bool put_service(struct snapshot *s, const struct api_object *o) {
    owners_put_service(&s->owners, (const struct core_v1_service *)o);
    return false; /* where pods fit does not depend on it */
}
static void remove_service(struct snapshot *s, const char *namespace, const char *name) {
    owners_remove_service(&s->owners, namespace, name);
}
static bool put_replica_set(struct snapshot *s, const struct api_object *o) {
    const struct apps_v1_replica_set *r = (const struct apps_v1_replica_set *)o;
    owners_put_controller(&s->owners, "ReplicaSet", &r->metadata, NULL, r->spec.selector);
    return false;
}
static void remove_replica_set(struct snapshot *s, const char *namespace, const char *name) {
    owners_remove_controller(&s->owners, "ReplicaSet", namespace, name);
}
static bool put_stateful_set(struct snapshot *s, const struct api_object *o) {
    const struct apps_v1_stateful_set *r = (const struct apps_v1_stateful_set *)o;
    owners_put_controller(&s->owners, "StatefulSet", &r->metadata, NULL, r->spec.selector);
    return false;
}
static void remove_stateful_set(struct snapshot *s, const char *namespace, const char *name) {
    owners_remove_controller(&s->owners, "StatefulSet", namespace, name);
}
static bool put_replication_controller(struct snapshot *s, const struct api_object *o) {
    const struct core_v1_replication_controller *r =
        (const struct core_v1_replication_controller *)o;
    owners_put_controller(&s->owners, "ReplicationController", &r->metadata, &r->spec.selector,
                          NULL);
    return false;
}
static void remove_replication_controller(struct snapshot *s, const char *namespace,
                                          const char *name) {
    owners_remove_controller(&s->owners, "ReplicationController", namespace, name);
}

/* ---- rights to resources ---- */

static bool put_quota(struct snapshot *s, const struct api_object *o) {
    quotas_put(s, (const struct scheduling_v1alpha1_elastic_quota *)o);
    return true;
}
static bool put_group(struct snapshot *s, const struct api_object *o) {
    gangs_put(s, (const struct scheduling_v1alpha1_pod_group *)o);
    return true;
}

/* ---- what is read of them ---- */

#define METADATA "name", "namespace", "uid", "resourceVersion"
static const char *const nothing[] = {NULL};
static const char *const names[] = {METADATA, NULL};
static const char *const names_labels[] = {METADATA, "labels", "deletionTimestamp", NULL};
static const char *const claim_metadata[] = {METADATA, "annotations", "deletionTimestamp",
                                             "ownerReferences", NULL};
static const char *const phase[] = {"phase", NULL};
static const char *const selector[] = {"selector", NULL};
static const char *const csi[] = {"driver", "volumeHandle", NULL};

static const struct api_keep namespace_keep[] = {{&meta_v1_object_meta_type, names_labels, NULL},
                                                 {&core_v1_namespace_spec_type, nothing, NULL},
                                                 {&core_v1_namespace_status_type, nothing, NULL},
                                                 {NULL, NULL, NULL}};
static const struct api_keep claim_keep[] = {
    {&meta_v1_object_meta_type, claim_metadata, NULL},
    {&core_v1_persistent_volume_claim_status_type, phase, NULL},
    {NULL, NULL, NULL}};
static const struct api_keep volume_keep[] = {
    {&meta_v1_object_meta_type, names_labels, NULL},
    {&core_v1_persistent_volume_status_type, phase, NULL},
    {&core_v1_csi_persistent_volume_source_type, csi, NULL},
    {NULL, NULL, NULL}};
static const struct api_keep names_keep[] = {{&meta_v1_object_meta_type, names, NULL},
                                             {NULL, NULL, NULL}};
static const struct api_keep service_keep[] = {{&meta_v1_object_meta_type, names, NULL},
                                               {&core_v1_service_spec_type, selector, NULL},
                                               {&core_v1_service_status_type, nothing, NULL},
                                               {NULL, NULL, NULL}};
static const struct api_keep controller_keep[] = {
    {&meta_v1_object_meta_type, names, NULL},
    {&apps_v1_replica_set_spec_type, selector, NULL},
    {&apps_v1_replica_set_status_type, nothing, NULL},
    {&apps_v1_stateful_set_spec_type, selector, NULL},
    {&apps_v1_stateful_set_status_type, nothing, NULL},
    {&core_v1_replication_controller_spec_type, selector, NULL},
    {&core_v1_replication_controller_status_type, nothing, NULL},
    {NULL, NULL, NULL}};

#define HELPS true
#define SAYS_NOTHING false
const struct sched_source sched_sources[] = {
    {"", "v1", "Namespace", namespace_keep, put_namespace, remove_namespace, SAYS_NOTHING, false},
    {"", "v1", "PersistentVolumeClaim", claim_keep, put_claim, remove_claim, HELPS, false},
    {"", "v1", "PersistentVolume", volume_keep, put_volume, remove_volume, SAYS_NOTHING, false},
    {"storage.k8s.io", "v1", "StorageClass", names_keep, put_class, remove_class, SAYS_NOTHING,
     false},
    {"storage.k8s.io", "v1", "CSINode", names_keep, put_csi_node, remove_csi_node, HELPS, false},
    {"storage.k8s.io", "v1", "CSIDriver", names_keep, put_csi_driver, remove_csi_driver, HELPS,
     false},
    {"storage.k8s.io", "v1", "CSIStorageCapacity", names_keep, put_capacity, remove_capacity,
     SAYS_NOTHING, false},
    {"", "v1", "Service", service_keep, put_service, remove_service, SAYS_NOTHING, false},
    {"apps", "v1", "ReplicaSet", controller_keep, put_replica_set, remove_replica_set, SAYS_NOTHING,
     false},
    {"apps", "v1", "StatefulSet", controller_keep, put_stateful_set, remove_stateful_set,
     SAYS_NOTHING, false},
    {"", "v1", "ReplicationController", controller_keep, put_replication_controller,
     remove_replication_controller, SAYS_NOTHING, false},
    {"scheduling.x-k8s.io", "v1alpha1", "ElasticQuota", NULL, put_quota, NULL, HELPS, true},
    {"scheduling.x-k8s.io", "v1alpha1", "PodGroup", NULL, put_group, NULL, HELPS, true},
    {NULL, NULL, NULL, NULL, NULL, NULL, false, false},
};
