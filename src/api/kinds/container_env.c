/* Environment, references to fields, and resources of a container. */
#include <string.h>

#include "api/kinds/kinds.h"
#include "api/values/quantity.h"

static bool in_list(const char *const *list, size_t n, const char *s) {
    for (size_t i = 0; i < n; i++)
        if (str_eq(list[i], s)) return true;
    return false;
}

/* "metadata.labels['KEY']": which map, and whether the key is one. */
static bool subscript_validate(const char *field_path, const char *path,
                               struct api_causes *causes) {
    static const char *const maps[] = {"metadata.labels['", "metadata.annotations['"};
    for (size_t i = 0; i < ARRAY_LEN(maps); i++) {
        if (!str_starts(field_path, maps[i]) || !str_ends(field_path, "']")) continue;
        size_t head = strlen(maps[i]), n = strlen(field_path);
        if (n < head + 2) return false;
        char *key = arena_strn(causes->a, slice_from(field_path + head, n - head - 2));
        if (i == 1)
            for (char *p = key; *p; p++)
                if (*p >= 'A' && *p <= 'Z') *p = (char)(*p - 'A' + 'a');
        name_validate(causes, path, NAME_QUALIFIED, key);
        return true;
    }
    return false;
}

void object_field_validate(const struct core_v1_object_field_selector *f, bool volume,
                           const char *path, struct api_causes *causes) {
    static const char *const env[] = {"metadata.annotations",
                                      "metadata.labels",
                                      "metadata.name",
                                      "metadata.namespace",
                                      "metadata.uid",
                                      "spec.nodeName",
                                      "spec.serviceAccountName",
                                      "status.hostIP",
                                      "status.hostIPs",
                                      "status.podIP",
                                      "status.podIPs"};
    static const char *const volumes[] = {"metadata.annotations", "metadata.labels",
                                          "metadata.name", "metadata.namespace", "metadata.uid"};
    const char *field = str_or(f->field_path, "");
    const char *at = path_of(causes, "%s.fieldPath", path);
    if (!*field || subscript_validate(field, at, causes)) return;
    if (volume) {
        if (!in_list(volumes, ARRAY_LEN(volumes), field))
            cause_not_supported(causes, at, field, volumes, ARRAY_LEN(volumes));
        return;
    }
    /* A whole map is no value for a variable. */
    if (!in_list(env + 2, ARRAY_LEN(env) - 2, field))
        cause_not_supported(causes, at, field, env + 2, ARRAY_LEN(env) - 2);
}

void resource_field_validate(const struct core_v1_resource_field_selector *f, bool volume,
                             const char *path, struct api_causes *causes) {
    static const char *const resources[] = {
        "limits.cpu",   "limits.ephemeral-storage",   "limits.memory",
        "requests.cpu", "requests.ephemeral-storage", "requests.memory"};
    if (volume && str_empty(f->container_name))
        cause_required(causes, path_of(causes, "%s.containerName", path), NULL);
    const char *resource = str_or(f->resource, "");
    if (*resource && !in_list(resources, ARRAY_LEN(resources), resource) &&
        !str_starts(resource, "limits.hugepages-") && !str_starts(resource, "requests.hugepages-"))
        cause_not_supported(causes, path_of(causes, "%s.resource", path), resource, resources,
                            ARRAY_LEN(resources));
}

static void value_from_validate(const struct core_v1_env_var *e, const char *path,
                                struct api_causes *causes) {
    const struct core_v1_env_var_source *s = e->value_from;
    size_t n = (size_t) !!s->field_ref + !!s->resource_field_ref + !!s->config_map_key_ref +
               !!s->secret_key_ref;
    if (n == 0)
        cause_invalid(causes, path, "",
                      "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or "
                      "`secretKeyRef`");
    else if (!str_empty(e->value))
        cause_invalid(causes, path, "", "may not be specified when `value` is not empty");
    if (n > 1)
        cause_invalid(causes, path, "", "may not have more than one field specified at a time");
    if (s->field_ref)
        object_field_validate(s->field_ref, false, path_of(causes, "%s.fieldRef", path), causes);
    if (s->resource_field_ref)
        resource_field_validate(s->resource_field_ref, false,
                                path_of(causes, "%s.resourceFieldRef", path), causes);
    if (s->config_map_key_ref && str_empty(s->config_map_key_ref->name))
        cause_required(causes, path_of(causes, "%s.configMapKeyRef.name", path), NULL);
    if (s->secret_key_ref && str_empty(s->secret_key_ref->name))
        cause_required(causes, path_of(causes, "%s.secretKeyRef.name", path), NULL);
}

static void env_from_validate(const struct core_v1_env_from_source *e, const char *path,
                              struct api_causes *causes) {
    if (!e->config_map_ref && !e->secret_ref)
        cause_invalid(causes, path, "", "must specify one of: `configMapRef` or `secretRef`");
    if (e->config_map_ref && e->secret_ref)
        cause_invalid(causes, path, "", "may not have more than one field specified at a time");
    if (e->config_map_ref && str_empty(e->config_map_ref->name))
        cause_required(causes, path_of(causes, "%s.configMapRef.name", path), NULL);
    if (e->secret_ref && str_empty(e->secret_ref->name))
        cause_required(causes, path_of(causes, "%s.secretRef.name", path), NULL);
}

void env_validate(const struct core_v1_container *c, const char *path, struct api_causes *causes) {
    for (size_t i = 0; i < c->env.n; i++)
        if (c->env.v[i].value_from)
            value_from_validate(&c->env.v[i], path_of(causes, "%s.env[%zu].valueFrom", path, i),
                                causes);
    for (size_t i = 0; i < c->env_from.n; i++)
        env_from_validate(&c->env_from.v[i], path_of(causes, "%s.envFrom[%zu]", path, i), causes);
}

/* A resource that a container can have: cpu, memory, ephemeral-storage, hugepages-SIZE, or one of
 * somebody's domain. */
static void resource_name_validate(const char *name, const char *path, struct api_causes *causes) {
    static const char *const standard[] = {"cpu", "memory", "ephemeral-storage"};
    name_validate(causes, path, NAME_QUALIFIED, name);
    if (!strchr(name, '/') && !in_list(standard, ARRAY_LEN(standard), name) &&
        !str_starts(name, "hugepages-"))
        cause_invalid(causes, path, name, "must be a standard resource for containers");
}

static bool is_extended(const char *name) {
    return strchr(name, '/') && !str_starts(name, "kubernetes.io/");
}

static void amounts_validate(const struct str_map *map, const char *path,
                             struct api_causes *causes) {
    for (size_t i = 0; i < map->n; i++) {
        const char *name = map->v[i].key, *value = str_or(map->v[i].value, "");
        const char *at = path_of(causes, "%s[%s]", path, name);
        resource_name_validate(name, path, causes);
        if (quantity_cmp(value, "0") < 0)
            cause_invalid(causes, at, value, "must be greater than or equal to 0");
        if (is_extended(name) && quantity_milli(value) % 1000 != 0)
            cause_invalid(causes, at, value, "must be an integer");
    }
}

void resources_validate(const struct core_v1_resource_requirements *r, const char *path,
                        struct api_causes *causes) {
    const char *requests = path_of(causes, "%s.requests", path);
    amounts_validate(&r->limits, path_of(causes, "%s.limits", path), causes);
    amounts_validate(&r->requests, requests, causes);
    for (size_t i = 0; i < r->requests.n; i++) {
        const char *name = r->requests.v[i].key, *request = str_or(r->requests.v[i].value, "");
        const char *limit = str_map_get(&r->limits, name);
        if (limit && (is_extended(name) || str_starts(name, "hugepages-"))) {
            if (quantity_cmp(request, limit) != 0)
                cause_invalid(causes, requests, request,
                              path_of(causes, "must be equal to %s limit of %s", name, limit));
        } else if (limit && quantity_cmp(request, limit) > 0)
            cause_invalid(
                causes, requests, request,
                path_of(causes, "must be less than or equal to %s limit of %s", name, limit));
        else if (!limit && (is_extended(name) || str_starts(name, "hugepages-")))
            cause_required(causes, path_of(causes, "%s.limits", path),
                           "Limit must be set for non overcommitable resources");
    }
}
