/* What the reconcilers read of pods, of which there are most; a reconciler that needs another field
 * adds it here. Containers matter by their named ports and by what they ask for, volumes by the
 * claims they stand for. */
#include "api/types.h"
#include "client/projection.h"

static const char *const metadata[] = {"name",
                                       "generateName",
                                       "namespace",
                                       "uid",
                                       "resourceVersion",
                                       "creationTimestamp",
                                       "deletionTimestamp",
                                       "deletionGracePeriodSeconds",
                                       "labels",
                                       "annotations",
                                       "ownerReferences",
                                       "finalizers",
                                       NULL};
static const char *const spec[] = {
    "nodeName",   "hostname",       "subdomain", "tolerations",  "volumes",
    "containers", "initContainers", "affinity",  "nodeSelector", "topologySpreadConstraints",
    "priority",   "overhead",       NULL};
static const char *const affinity[] = {"nodeAffinity", "podAffinity", "podAntiAffinity", NULL};
static const char *const required[] = {"requiredDuringSchedulingIgnoredDuringExecution", NULL};
static const char *const container[] = {"name", "ports", "resources", "restartPolicy", NULL};
static const char *const container_with[] = {"ports", "resources", NULL};
static const char *const resources[] = {"requests", "limits", NULL};
static const char *const volume[] = {
    "name", "persistentVolumeClaim", "ephemeral", "emptyDir", "hostPath", NULL};
static const char *const volume_with[] = {"persistentVolumeClaim", "ephemeral", "emptyDir",
                                          "hostPath", NULL};
static const char *const status[] = {
    "phase", "podIP", "startTime", "conditions", "containerStatuses", "initContainerStatuses",
    NULL};
static const char *const condition[] = {"type", "status", "lastTransitionTime", NULL};
static const char *const container_status[] = {"name", "restartCount", "state", "lastState", NULL};
static const char *const container_state[] = {"terminated", NULL};
static const char *const terminated[] = {"exitCode", "finishedAt", "reason", NULL};
static const char *const template[] = {"volumeClaimTemplate", NULL};

static const struct api_keep keep[] = {{&meta_v1_object_meta_type, metadata, NULL},
                                       {&core_v1_pod_spec_type, spec, NULL},
                                       {&core_v1_affinity_type, affinity, affinity},
                                       {&core_v1_node_affinity_type, required, required},
                                       {&core_v1_pod_affinity_type, required, required},
                                       {&core_v1_pod_anti_affinity_type, required, required},
                                       {&core_v1_container_type, container, container_with},
                                       {&core_v1_resource_requirements_type, resources, NULL},
                                       {&core_v1_volume_type, volume, volume_with},
                                       {&core_v1_ephemeral_volume_source_type, template, NULL},
                                       {&core_v1_pod_status_type, status, NULL},
                                       {&core_v1_pod_condition_type, condition, NULL},
                                       {&core_v1_container_status_type, container_status, NULL},
                                       {&core_v1_container_state_type, container_state, NULL},
                                       {&core_v1_container_state_terminated_type, terminated, NULL},
                                       {NULL, NULL, NULL}};

static const struct projection pods = {.group = "", .kind = "Pod", .keep = keep};
PROJECTION(pods);
