/* Volumes: one source each, paths that stay inside, names used once. */
#include <string.h>

#include "api/kinds/kinds.h"
#include "api/table.h"
#include "api/values/quantity.h"

void steps_validate(struct api_causes *causes, const char *field, const char *path) {
    struct slice rest = slice_of(path), part;
    while (slice_cut(&rest, '/', &part)) {
        if (!slice_is(part, "..")) continue;
        cause_invalid(causes, field, path, "must not contain '..'");
        return; /* for "../.." too, one is enough */
    }
}

/* A path inside a volume: relative and without "..". */
static void inner_path(struct api_causes *causes, const char *field, const char *path) {
    if (str_empty(path)) return; /* the table asks for it where it must be */
    if (*path == '/') {
        cause_invalid(causes, field, path, "must be a relative path");
        return;
    }
    steps_validate(causes, field, path);
    if (str_starts(path, "..") && path[2] && path[2] != '/')
        cause_invalid(causes, field, path, "must not start with '..'");
}

size_t source_count(const struct api_type *type, const void *v) {
    size_t n = 0;
    for (unsigned i = 0; i < type->n_fields; i++) {
        const struct api_field *f = &type->fields[i];
        if (f->form == API_OBJECT && f->shape == API_ONE && (f->flags & API_POINTER))
            n += *(void *const *)api_at_const(v, f) != NULL;
    }
    return n;
}

static void items_validate(const struct core_v1_key_to_path_list *items, const char *path,
                           struct api_causes *causes) {
    for (size_t i = 0; i < items->n; i++)
        inner_path(causes, path_of(causes, "%s.items[%zu].path", path, i), items->v[i].path);
}

static void downward_validate(const struct core_v1_downward_api_volume_file_list *items,
                              const char *path, struct api_causes *causes) {
    for (size_t i = 0; i < items->n; i++) {
        const struct core_v1_downward_api_volume_file *f = &items->v[i];
        const char *at = path_of(causes, "%s.items[%zu]", path, i);
        inner_path(causes, path_of(causes, "%s.path", at), f->path);
        if (f->field_ref && f->resource_field_ref)
            cause_invalid(causes, at, "resource",
                          "fieldRef and resourceFieldRef can not be specified simultaneously");
        else if (f->field_ref)
            object_field_validate(f->field_ref, true, path_of(causes, "%s.fieldRef", at), causes);
        else if (f->resource_field_ref)
            resource_field_validate(f->resource_field_ref, true,
                                    path_of(causes, "%s.resourceFieldRef", at), causes);
        else
            cause_required(causes, at, "one of fieldRef and resourceFieldRef is required");
    }
}

static void projection_validate(const struct core_v1_volume_projection *p, const char *path,
                                struct api_causes *causes) {
    size_t n = source_count(&core_v1_volume_projection_type, p);
    if (n == 0) cause_required(causes, path, "must specify a projected volume source type");
    if (n > 1) cause_forbidden(causes, path, "may not specify more than 1 volume type per source");
    if (p->secret) {
        const char *at = path_of(causes, "%s.secret", path);
        if (str_empty(p->secret->name))
            cause_required(causes, path_of(causes, "%s.name", at), NULL);
        items_validate(&p->secret->items, at, causes);
    }
    if (p->config_map) {
        const char *at = path_of(causes, "%s.configMap", path);
        if (str_empty(p->config_map->name))
            cause_required(causes, path_of(causes, "%s.name", at), NULL);
        items_validate(&p->config_map->items, at, causes);
    }
    if (p->downward_api)
        downward_validate(&p->downward_api->items, path_of(causes, "%s.downwardAPI", path), causes);
    if (p->service_account_token) {
        const char *at = path_of(causes, "%s.serviceAccountToken", path);
        inner_path(causes, path_of(causes, "%s.path", at), p->service_account_token->path);
        const int64_t *seconds = p->service_account_token->expiration_seconds;
        if (seconds && *seconds > (int64_t)1 << 32)
            cause_invalid_int(causes, path_of(causes, "%s.expirationSeconds", at), *seconds,
                              "may not be larger than 2^32 seconds");
    }
}

static void empty_dir_validate(const struct core_v1_empty_dir_volume_source *e, const char *path,
                               struct api_causes *causes) {
    if (e->size_limit && quantity_cmp(e->size_limit, "0") < 0)
        cause_forbidden(causes, path_of(causes, "%s.sizeLimit", path),
                        "SizeLimit field must be a valid resource quantity");
}

static void host_path_validate(const struct core_v1_host_path_volume_source *h, const char *path,
                               struct api_causes *causes) {
    steps_validate(causes, path_of(causes, "%s.path", path), str_or(h->path, ""));
}

static void fc_validate(const struct core_v1_fc_volume_source *f, const char *path,
                        struct api_causes *causes) {
    const char *names = path_of(causes, "%s.targetWWNs", path);
    if (!f->target_wwns.n == !f->wwids.n)
        cause_printf(causes, f->wwids.n ? "FieldValueInvalid" : "FieldValueRequired", names,
                     "%s: must specify either targetWWNs or wwids, but not both",
                     f->wwids.n ? "Invalid value: null" : "Required value");
    if (f->target_wwns.n && !f->lun)
        cause_required(causes, path_of(causes, "%s.lun", path),
                       "lun is required if targetWWNs is specified");
}

static void volume_validate(const struct core_v1_volume *v, const char *path,
                            struct api_causes *causes) {
    size_t n = source_count(&core_v1_volume_type, v);
    if (n == 0) cause_required(causes, path, "must specify a volume type");
    if (n > 1) cause_forbidden(causes, path, "may not specify more than 1 volume type");
    if (v->empty_dir)
        empty_dir_validate(v->empty_dir, path_of(causes, "%s.emptyDir", path), causes);
    if (v->host_path)
        host_path_validate(v->host_path, path_of(causes, "%s.hostPath", path), causes);
    if (v->secret) {
        const char *at = path_of(causes, "%s.secret", path);
        if (str_empty(v->secret->secret_name))
            cause_required(causes, path_of(causes, "%s.secretName", at), NULL);
        items_validate(&v->secret->items, at, causes);
    }
    if (v->config_map) {
        const char *at = path_of(causes, "%s.configMap", path);
        if (str_empty(v->config_map->name))
            cause_required(causes, path_of(causes, "%s.name", at), NULL);
        items_validate(&v->config_map->items, at, causes);
    }
    if (v->downward_api)
        downward_validate(&v->downward_api->items, path_of(causes, "%s.downwardAPI", path), causes);
    for (size_t i = 0; v->projected && i < v->projected->sources.n; i++)
        projection_validate(&v->projected->sources.v[i],
                            path_of(causes, "%s.projected.sources[%zu]", path, i), causes);
    if (v->csi) {
        const char *at = path_of(causes, "%s.csi", path);
        csi_name_validate(v->csi->driver, path_of(causes, "%s.driver", at), causes);
        if (v->csi->node_publish_secret_ref && str_empty(v->csi->node_publish_secret_ref->name))
            cause_required(causes, path_of(causes, "%s.nodePublishSecretRef.name", at), NULL);
    }
    if (v->fc) fc_validate(v->fc, path_of(causes, "%s.fc", path), causes);
    if (v->nfs && !str_starts(str_or(v->nfs->path, "/"), "/"))
        cause_invalid(causes, path_of(causes, "%s.nfs.path", path), v->nfs->path,
                      "must be an absolute path");
}

void volumes_validate(const struct core_v1_pod_spec *spec, const char *path,
                      struct api_causes *causes) {
    for (size_t i = 0; i < spec->volumes.n; i++)
        volume_validate(&spec->volumes.v[i], path_of(causes, "%s.volumes[%zu]", path, i), causes);
}
