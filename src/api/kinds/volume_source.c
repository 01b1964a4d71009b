/* The specs of PersistentVolume and PersistentVolumeClaim. */
#include <string.h>

#include "api/kinds/kinds.h"
#include "api/table.h"
#include "api/values/quantity.h"

static const char *const access_modes[] = {"ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce",
                                           "ReadWriteOncePod"};

static void modes_validate(const struct str_list *modes, const char *path, const char *missing,
                           struct api_causes *causes) {
    bool once_pod = false;
    if (modes->n == 0) cause_required(causes, path, missing);
    for (size_t i = 0; i < modes->n; i++) {
        choice_validate(str_or(modes->v[i], ""), access_modes, ARRAY_LEN(access_modes), path,
                        causes);
        once_pod |= str_eq(modes->v[i], "ReadWriteOncePod");
    }
    if (once_pod && modes->n > 1)
        cause_forbidden(causes, path, "may not use ReadWriteOncePod with other access modes");
}

const char *access_modes_text(struct arena *a, const struct str_list *modes) {
    static const struct {
        const char *mode, *text;
    } texts[] = {{"ReadWriteOnce", "RWO"},
                 {"ReadOnlyMany", "ROX"},
                 {"ReadWriteMany", "RWX"},
                 {"ReadWriteOncePod", "RWOP"}};
    OWN(buf_done) struct buf b = {0};
    for (size_t t = 0; t < ARRAY_LEN(texts); t++)
        for (size_t i = 0; i < modes->n; i++)
            if (str_eq(modes->v[i], texts[t].mode)) {
                text_join(&b, ",", texts[t].text);
                break;
            }
    return text_copy(a, &b, "");
}

static void positive_validate(const char *value, const char *path, struct api_causes *causes) {
    if (quantity_cmp(str_or(value, "0"), "0") <= 0)
        cause_invalid(causes, path, str_or(value, "0"), "must be greater than zero");
}

static void no_backsteps(const char *value, const char *path, struct api_causes *causes) {
    struct slice rest = slice_of(value), part;
    while (slice_cut(&rest, '/', &part))
        if (slice_is(part, "..")) {
            cause_invalid(causes, path, value, "must not contain '..'");
            return;
        }
}

/* The sources are the fields between capacity and accessModes: those with an embedded number. */
static const struct api_field *one_source(const struct core_v1_persistent_volume_spec *spec,
                                          const char *path, struct api_causes *causes) {
    const struct api_type *t = &core_v1_persistent_volume_spec_type;
    const struct api_field *found = NULL;
    for (unsigned i = 0; i < t->n_fields; i++) {
        const struct api_field *f = &t->fields[i];
        if (!f->embed || !*(void *const *)api_at_const(spec, f)) continue;
        if (found)
            cause_forbidden(causes, path_of(causes, "%s.%s", path, f->name),
                            "may not specify more than 1 volume type");
        else
            found = f;
    }
    if (!found) cause_required(causes, path, "must specify a volume type");
    return found;
}

static void capacity_validate(const struct core_v1_persistent_volume_spec *spec, const char *path,
                              struct api_causes *causes) {
    static const char *const storage[] = {"storage"};
    const char *at = path_of(causes, "%s.capacity", path);
    if (!spec->capacity.n) cause_required(causes, at, NULL);
    if (spec->capacity.n > 1 || (spec->capacity.n && !str_map_get(&spec->capacity, "storage")))
        cause_not_supported(causes, at, spec->capacity.v[0].key, storage, 1);
    for (size_t i = 0; i < spec->capacity.n; i++)
        positive_validate(spec->capacity.v[i].value,
                          path_of(causes, "%s[%s]", at, spec->capacity.v[i].key), causes);
}

static void inline_validate(const struct core_v1_persistent_volume_spec *spec, const char *path,
                            struct api_causes *causes) {
    const struct {
        const char *field;
        bool set;
    } outside[] = {{"claimRef", spec->claim_ref != NULL},
                   {"capacity", spec->capacity.n > 0},
                   {"nodeAffinity", spec->node_affinity != NULL},
                   {"storageClassName", !str_empty(spec->storage_class_name)}};
    for (size_t i = 0; i < ARRAY_LEN(outside); i++)
        if (outside[i].set)
            cause_forbidden(causes, path_of(causes, "%s.%s", path, outside[i].field),
                            "may not be specified in the context of inline volumes");
    if (!spec->csi)
        cause_required(causes, path_of(causes, "%s.csi", path),
                       "has to be specified in the context of inline volumes");
}

static void csi_validate(const struct core_v1_csi_persistent_volume_source *c, const char *path,
                         struct api_causes *causes) {
    const struct {
        const char *field;
        const struct core_v1_secret_reference *secret;
    } secrets[] = {{"controllerPublishSecretRef", c->controller_publish_secret_ref},
                   {"nodeStageSecretRef", c->node_stage_secret_ref},
                   {"nodePublishSecretRef", c->node_publish_secret_ref},
                   {"controllerExpandSecretRef", c->controller_expand_secret_ref},
                   {"nodeExpandSecretRef", c->node_expand_secret_ref}};
    if (!str_empty(c->driver))
        csi_name_validate(c->driver, path_of(causes, "%s.driver", path), causes);
    for (size_t i = 0; i < ARRAY_LEN(secrets); i++) {
        const struct core_v1_secret_reference *s = secrets[i].secret;
        if (s && str_empty(s->name))
            cause_required(causes, path_of(causes, "%s.%s.name", path, secrets[i].field), NULL);
        if (s && str_empty(s->namespace))
            cause_required(causes, path_of(causes, "%s.%s.namespace", path, secrets[i].field),
                           NULL);
    }
}

void volume_spec_validate(const struct core_v1_persistent_volume_spec *spec, bool inlined,
                          const char *path, struct api_causes *causes) {
    modes_validate(&spec->access_modes, path_of(causes, "%s.accessModes", path), NULL, causes);
    one_source(spec, path, causes);
    if (inlined) {
        inline_validate(spec, path, causes);
        return;
    }
    capacity_validate(spec, path, causes);
    if (spec->node_affinity && !spec->node_affinity->required)
        cause_required(causes, path_of(causes, "%s.nodeAffinity.required", path),
                       "must specify required node constraints");
    if (spec->node_affinity && spec->node_affinity->required)
        node_selector_validate(spec->node_affinity->required,
                               path_of(causes, "%s.nodeAffinity.required", path), causes);
    if (spec->csi) csi_validate(spec->csi, path_of(causes, "%s.csi", path), causes);
    if (spec->local && !str_empty(spec->local->path)) {
        no_backsteps(spec->local->path, path_of(causes, "%s.local.path", path), causes);
        if (!spec->node_affinity)
            cause_required(causes, path_of(causes, "%s.nodeAffinity", path),
                           "Local volume requires node affinity");
    }
    if (spec->host_path && !str_empty(spec->host_path->path)) {
        no_backsteps(spec->host_path->path, path_of(causes, "%s.hostPath.path", path), causes);
        if (str_eq(spec->host_path->path, "/") &&
            str_eq(spec->persistent_volume_reclaim_policy, "Recycle"))
            cause_forbidden(causes, path_of(causes, "%s.persistentVolumeReclaimPolicy", path),
                            "may not be 'recycle' for a hostPath mount of '/'");
    }
    if (spec->nfs && !str_empty(spec->nfs->path) && *spec->nfs->path != '/')
        cause_invalid(causes, path_of(causes, "%s.nfs.path", path), spec->nfs->path,
                      "must be an absolute path");
    if (!str_empty(spec->storage_class_name))
        name_validate(causes, path_of(causes, "%s.storageClassName", path), NAME_DNS_SUBDOMAIN,
                      spec->storage_class_name);
}

static void data_source_validate(const struct core_v1_persistent_volume_claim_spec *spec,
                                 const char *path, struct api_causes *causes) {
    const struct core_v1_typed_local_object_reference *d = spec->data_source;
    const struct core_v1_typed_object_reference *r = spec->data_source_ref;
    const char *claim_only =
        "must be 'PersistentVolumeClaim' when referencing the default apiGroup";
    if (d && str_empty(d->api_group) && !str_empty(d->kind) &&
        !str_eq(d->kind, "PersistentVolumeClaim"))
        cause_invalid(causes, path_of(causes, "%s.dataSource", path), d->kind, claim_only);
    if (r && str_empty(r->api_group) && !str_empty(r->kind) &&
        !str_eq(r->kind, "PersistentVolumeClaim"))
        cause_invalid(causes, path_of(causes, "%s.dataSourceRef", path), r->kind, claim_only);
    if (d && r && str_empty(r->namespace) &&
        (!str_eq(d->kind, r->kind) || !str_eq(d->name, r->name) ||
         !str_eq(str_or(d->api_group, ""), str_or(r->api_group, ""))))
        cause_invalid(causes, path, path_of(causes, "%s.dataSource", path),
                      "must match dataSourceRef");
}

void claim_spec_validate(const struct core_v1_persistent_volume_claim_spec *spec, const char *path,
                         struct api_causes *causes) {
    const char *storage = path_of(causes, "%s.resources[storage]", path);
    const char *wanted = str_map_get(&spec->resources.requests, "storage");
    modes_validate(&spec->access_modes, path_of(causes, "%s.accessModes", path),
                   "at least 1 access mode is required", causes);
    if (spec->selector)
        label_selector_validate(causes, path_of(causes, "%s.selector", path), spec->selector);
    if (!wanted)
        cause_required(causes, storage, NULL);
    else
        positive_validate(wanted, storage, causes);
    if (!str_empty(spec->storage_class_name))
        name_validate(causes, path_of(causes, "%s.storageClassName", path), NAME_DNS_SUBDOMAIN,
                      spec->storage_class_name);
    data_source_validate(spec, path, causes);
}
