/*
 * The downward API: values of the pod and of its resources, for environment variables and files
 * (Kubernetes: Downward API). Pure.
 */
#pragma once

#include "api/types.h"
#include "base/err.h"

/* What is known of the pod and its node when a value is asked for. */
struct pod_facts {
    const struct core_v1_pod *pod;
    const char *pod_ip, *host_ip, *node_name;       /* pod_ip may be NULL */
    int64_t cpu_milli, memory_bytes, storage_bytes; /* allocatable of the node */
};

int downward_field(struct arena *a, const struct pod_facts *f, const char *path, const char **ret,
                   struct err *err);
/* container_name NULL: `self` is meant. */
int downward_resource(struct arena *a, const struct pod_facts *f,
                      const struct core_v1_container *self,
                      const struct core_v1_resource_field_selector *sel, const char **ret,
                      struct err *err);

/* Where ConfigMaps and Secrets come from; a table in tests, watched objects in the agent. */
enum lookup { LOOKUP_FOUND, LOOKUP_MISSING, LOOKUP_PENDING };
struct object_source {
    enum lookup (*config_map)(void *user, const char *name, const struct core_v1_config_map **ret);
    enum lookup (*secret)(void *user, const char *name, const struct core_v1_secret **ret);
    /* A token of the pod's service account; -EAGAIN while it is being asked for. */
    int (*token)(void *user, const char *audience, int64_t expiry_s, const char **ret,
                 struct err *err);
    /* The volume behind a claim (volumes/claims.h); -EAGAIN while it is being asked for. */
    int (*claim)(void *user, const char *name, bool own,
                 const struct core_v1_persistent_volume **ret, struct err *err);
    void *user;
};
