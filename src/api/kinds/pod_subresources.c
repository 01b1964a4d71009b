/* What pods/ephemeralcontainers and pods/resize may change. */
#include <string.h>

#include "api/kinds/kinds.h"
#include "api/rules/pods.h"

static const char *const resized[] = {"cpu", "memory"};

/* Of each container only its resources and what their change needs. */
static void keep_but_resources(struct core_v1_container_list *to,
                               const struct core_v1_container_list *wanted) {
    for (size_t i = 0; i < to->n && i < wanted->n; i++) {
        if (!str_eq(to->v[i].name, wanted->v[i].name)) continue;
        to->v[i].resources = wanted->v[i].resources;
        to->v[i].resize_policy = wanted->v[i].resize_policy;
    }
}

void pod_subresource_prepare(struct arena *a, void *obj, const void *old, const char *subresource) {
    struct core_v1_pod *pod = obj;
    const struct core_v1_pod wanted = *pod;
    if (!str_eq(subresource, "ephemeralcontainers") && !str_eq(subresource, "resize")) return;
    const struct core_v1_pod *kept = api_copy(a, &core_v1_pod_type, old);
    *pod = *kept;
    pod->metadata.resource_version = wanted.metadata.resource_version;
    pod->metadata.managed_fields = wanted.metadata.managed_fields;
    if (str_eq(subresource, "ephemeralcontainers"))
        pod->spec.ephemeral_containers = wanted.spec.ephemeral_containers;
    else
        keep_but_resources(&pod->spec.containers, &wanted.spec.containers);
}

/* ---- ephemeral containers ---- */

static void containers_by_name(const struct core_v1_container_list *list, struct map *names) {
    for (size_t i = 0; i < list->n; i++) map_seen(names, slice_of(str_or(list->v[i].name, "")));
}

static void not_for_ephemeral(const struct core_v1_ephemeral_container *c, const char *path,
                              struct api_causes *causes) {
    const struct {
        const char *field;
        bool set;
    } fields[] = {{"ports", c->ports.n > 0},
                  {"livenessProbe", c->liveness_probe != NULL},
                  {"readinessProbe", c->readiness_probe != NULL},
                  {"startupProbe", c->startup_probe != NULL},
                  {"lifecycle", c->lifecycle != NULL},
                  {"resources", c->resources.limits.n + c->resources.requests.n > 0},
                  {"resizePolicy", c->resize_policy.n > 0},
                  {"restartPolicy", !str_empty(c->restart_policy)}};
    for (size_t i = 0; i < ARRAY_LEN(fields); i++)
        if (fields[i].set)
            cause_forbidden(causes, path_of(causes, "%s.%s", path, fields[i].field),
                            "cannot be set for an Ephemeral Container");
    for (size_t i = 0; i < c->volume_mounts.n; i++)
        if (!str_empty(c->volume_mounts.v[i].sub_path) ||
            !str_empty(c->volume_mounts.v[i].sub_path_expr))
            cause_forbidden(causes, path_of(causes, "%s.volumeMounts[%zu].subPath", path, i),
                            "cannot be set for an Ephemeral Container");
}

/* Those that were there before stay as they were. */
static void kept_validate(const struct core_v1_ephemeral_container_list *now,
                          const struct core_v1_ephemeral_container_list *was, const char *base,
                          struct api_causes *causes) {
    OWN(map_done) struct map names = {0};
    for (size_t i = now->n; i > 0; i--) /* of two with one name the first counts */
        map_put(&names, slice_of(str_or(now->v[i - 1].name, "")), &now->v[i - 1]);
    for (size_t i = 0; i < was->n; i++) {
        const struct core_v1_ephemeral_container *c = map_gets(&names, was->v[i].name);
        if (!c)
            cause_forbidden(causes, base,
                            path_of(causes,
                                    "existing ephemeral containers \"%s\" may not be removed",
                                    was->v[i].name));
        else if (!api_equal(&core_v1_ephemeral_container_type, c, &was->v[i]))
            cause_forbidden(causes, base,
                            path_of(causes,
                                    "existing ephemeral containers \"%s\" may not be changed",
                                    was->v[i].name));
    }
}

static void ephemeral_validate(const struct core_v1_pod *pod, const struct core_v1_pod *old,
                               struct api_causes *causes) {
    const struct core_v1_ephemeral_container_list *now = &pod->spec.ephemeral_containers;
    static const char *const base = "spec.ephemeralContainers";
    OWN(map_done) struct map containers = {0};
    OWN(map_done) struct map names = {0};
    containers_by_name(&pod->spec.containers, &containers);
    containers_by_name(&pod->spec.init_containers, &containers);
    if (str_map_get(&old->metadata.annotations, "kubernetes.io/config.mirror"))
        cause_forbidden(causes, "", "static pods do not support ephemeral containers");
    kept_validate(now, &old->spec.ephemeral_containers, base, causes);
    for (size_t i = 0; i < now->n; i++) {
        const struct core_v1_ephemeral_container *c = &now->v[i];
        const char *path = path_of(causes, "%s[%zu]", base, i);
        if (!str_empty(c->name) &&
            (map_gets(&containers, c->name) || map_seen(&names, slice_of(c->name))))
            cause_duplicate(causes, path_of(causes, "%s.name", path), c->name);
        if (str_empty(c->image)) cause_required(causes, path_of(causes, "%s.image", path), NULL);
        if (!str_empty(c->target_container_name) &&
            !map_gets(&containers, c->target_container_name))
            cause_not_found(causes, path_of(causes, "%s.targetContainerName", path),
                            c->target_container_name);
        not_for_ephemeral(c, path, causes);
    }
}

/* ---- resize ---- */

/* Both maps without cpu and memory. */
static bool rest_same(const struct str_map *x, const struct str_map *y) {
    for (int turn = 0; turn < 2; turn++) {
        const struct str_map *from = turn ? y : x, *to = turn ? x : y;
        for (size_t i = 0; i < from->n; i++)
            if (!str_eq(from->v[i].key, resized[0]) && !str_eq(from->v[i].key, resized[1]) &&
                !str_eq(str_map_get(to, from->v[i].key), from->v[i].value))
                return false;
    }
    return true;
}

static void resize_validate(const struct core_v1_pod *pod, const struct core_v1_pod *old,
                            struct api_causes *causes) {
    for (size_t i = 0; i < pod->spec.containers.n && i < old->spec.containers.n; i++) {
        const struct core_v1_resource_requirements *now = &pod->spec.containers.v[i].resources,
                                                   *was = &old->spec.containers.v[i].resources;
        const char *path = path_of(causes, "spec.containers[%zu].resources", i);
        resources_validate(now, path, causes);
        if (!rest_same(&now->limits, &was->limits) || !rest_same(&now->requests, &was->requests))
            cause_forbidden(causes, path, "only cpu and memory resources are mutable");
    }
    if (!str_eq(pod_qos_class(&pod->spec), pod_qos_class(&old->spec)))
        cause_invalid(causes, "spec", pod_qos_class(&pod->spec),
                      "Pod QOS Class may not change as a result of resizing");
}

void pod_subresource_validate(const struct core_v1_pod *pod, const struct core_v1_pod *old,
                              const char *subresource, struct api_causes *causes) {
    if (!old) return;
    if (str_eq(subresource, "ephemeralcontainers")) ephemeral_validate(pod, old, causes);
    if (str_eq(subresource, "resize")) resize_validate(pod, old, causes);
}
