/* PersistentVolume and PersistentVolumeClaim: defaults, validation, Table columns. */
#include <string.h>

#include "api/kinds/kinds.h"
#include "api/table.h"
#include "api/values/quantity.h"

#define BETA_CLASS "volume.beta.kubernetes.io/storage-class"

static void volume_prepare(struct arena *a, void *obj, const void *old) {
    struct core_v1_persistent_volume *pv = obj;
    if (!old) pv->status = (struct core_v1_persistent_volume_status){.phase = "Pending"};
}

/* The source of a volume stays, but for a secret that may still be named. */
static bool source_same(const struct core_v1_persistent_volume_spec *spec,
                        const struct core_v1_persistent_volume_spec *old) {
    struct core_v1_persistent_volume_spec rest = *old;
    struct core_v1_csi_persistent_volume_source csi;
    const struct api_type *t = &core_v1_persistent_volume_spec_type;
    for (unsigned i = 0; i < t->n_fields; i++)
        if (t->fields[i].embed)
            memcpy(api_at(&rest, &t->fields[i]), api_at_const(spec, &t->fields[i]), sizeof(void *));
    if (rest.csi && old->csi) {
        csi = *rest.csi;
        rest.csi = &csi;
        if (!old->csi->controller_expand_secret_ref) csi.controller_expand_secret_ref = NULL;
        if (!old->csi->node_expand_secret_ref) csi.node_expand_secret_ref = NULL;
    }
    return api_equal(t, &rest, old);
}

static void volume_validate(const void *obj, const void *old_obj, const char *subresource,
                            struct api_causes *causes) {
    const struct core_v1_persistent_volume *pv = obj, *old = old_obj;
    if (!str_empty(subresource)) return;
    volume_spec_validate(&pv->spec, false, "spec", causes);
    if (!old) return;
    if (!source_same(&pv->spec, &old->spec))
        cause_forbidden(causes, "spec.persistentvolumesource",
                        "spec.persistentvolumesource is immutable after creation");
    if (!old->spec.node_affinity) return;
    static const char *const fields[] = {"nodeAffinity", NULL};
    api_validate_unchanged(&core_v1_persistent_volume_spec_type, &pv->spec, &old->spec, fields,
                           "spec", causes);
}

static const struct api_column volume_columns[] = {
    COLUMN_NAME,
    COLUMN("Capacity", "How much it holds."),
    COLUMN("Access Modes", "Ways in which it can be mounted."),
    COLUMN("Reclaim Policy", "What happens to it when its claim is gone."),
    COLUMN("Status", "Phase of the volume."),
    COLUMN("Claim", "Claim that it is bound to."),
    COLUMN("StorageClass", "StorageClass that it belongs to."),
    COLUMN("VolumeAttributesClass", "VolumeAttributesClass that it has."),
    COLUMN("Reason", "Short word about a failure."),
    COLUMN_AGE,
    COLUMN_WIDE("VolumeMode", "Filesystem or Block."),
};

static const char *class_of(const struct meta_v1_object_meta *m, const char *named) {
    const char *beta = str_map_get(&m->annotations, BETA_CLASS);
    return beta ? beta : str_or(named, "");
}

static const char *phase_of(const struct meta_v1_object_meta *m, const char *phase) {
    return str_empty(m->deletion_timestamp) ? phase : "Terminating";
}

static void volume_row(struct arena *a, const void *obj, int64_t now_ns, struct api_cell *cells) {
    const struct core_v1_persistent_volume *pv = obj;
    const struct core_v1_object_reference *claim = pv->spec.claim_ref;
    cells[0] = cell_text(pv->metadata.name);
    cells[1] = cell_text(str_map_get(&pv->spec.capacity, "storage"));
    cells[2] = cell_text(access_modes_text(a, &pv->spec.access_modes));
    cells[3] = cell_text(pv->spec.persistent_volume_reclaim_policy);
    cells[4] = cell_text(phase_of(&pv->metadata, pv->status.phase));
    cells[5] = cell_text(
        claim ? arena_printf(a, "%s/%s", str_or(claim->namespace, ""), str_or(claim->name, ""))
              : "");
    cells[6] = cell_text(class_of(&pv->metadata, pv->spec.storage_class_name));
    cells[7] = cell_text(str_or(pv->spec.volume_attributes_class_name, "<unset>"));
    cells[8] = cell_text(pv->status.reason);
    cells[9] = cell_age(a, &pv->metadata, now_ns);
    cells[10] = cell_text(str_or(pv->spec.volume_mode, "<unset>"));
}

static const struct api_behavior volume_behavior = {
    .group = "",
    .kind = "PersistentVolume",
    .prepare = volume_prepare,
    .validate = volume_validate,
    .columns = volume_columns,
    .n_columns = ARRAY_LEN(volume_columns),
    .row = volume_row,
};
API_BEHAVIOR(volume_behavior);

/* ---- claims ---- */

/* dataSource and dataSourceRef are one thing, unless the latter names another namespace. */
static void claim_defaults(struct arena *a, void *obj) {
    struct core_v1_persistent_volume_claim *c = obj;
    struct core_v1_persistent_volume_claim_spec *s = &c->spec;
    if (str_empty(c->status.phase)) c->status.phase = "Pending";
    if (s->data_source && !s->data_source_ref) {
        s->data_source_ref = ARENA_NEW(a, struct core_v1_typed_object_reference);
        s->data_source_ref->api_group = s->data_source->api_group;
        s->data_source_ref->kind = s->data_source->kind;
        s->data_source_ref->name = s->data_source->name;
    } else if (s->data_source_ref && !s->data_source && str_empty(s->data_source_ref->namespace) &&
               (str_empty(s->data_source_ref->api_group)
                    ? str_eq(s->data_source_ref->kind, "PersistentVolumeClaim")
                    : str_eq(s->data_source_ref->api_group, "snapshot.storage.k8s.io"))) {
        s->data_source = ARENA_NEW(a, struct core_v1_typed_local_object_reference);
        s->data_source->api_group = s->data_source_ref->api_group;
        s->data_source->kind = s->data_source_ref->kind;
        s->data_source->name = s->data_source_ref->name;
    }
}

static void claim_prepare(struct arena *a, void *obj, const void *old) {
    struct core_v1_persistent_volume_claim *c = obj;
    if (!old) c->status = (struct core_v1_persistent_volume_claim_status){.phase = "Pending"};
}

static void claim_change_validate(const struct core_v1_persistent_volume_claim *c,
                                  const struct core_v1_persistent_volume_claim *old,
                                  struct api_causes *causes) {
    const char *now = str_map_get(&c->spec.resources.requests, "storage");
    const char *was = str_map_get(&old->spec.resources.requests, "storage");
    const char *has = str_map_get(&c->status.capacity, "storage");
    struct core_v1_persistent_volume_claim_spec rest = c->spec;
    bool bound = str_eq(old->status.phase, "Bound");
    if (str_empty(old->spec.volume_name)) rest.volume_name = old->spec.volume_name;
    if (!old->spec.storage_class_name &&
        str_eq(str_map_get(&old->metadata.annotations, BETA_CLASS), rest.storage_class_name))
        rest.storage_class_name = NULL;
    if (!old->spec.storage_class_name && str_empty(old->spec.volume_name))
        rest.storage_class_name = NULL; /* a default class that came later */
    if (bound) {
        rest.resources.requests = old->spec.resources.requests;
        rest.volume_attributes_class_name = old->spec.volume_attributes_class_name;
    }
    if (!api_equal(&core_v1_persistent_volume_claim_spec_type, &rest, &old->spec))
        cause_forbidden(causes, "spec",
                        "spec is immutable after creation except resources.requests and "
                        "volumeAttributesClassName for bound claims");
    if (bound && now && was && quantity_cmp(now, was) < 0 && has && quantity_cmp(now, has) <= 0)
        cause_forbidden(causes, "spec.resources.requests.storage",
                        "field can not be less than status.capacity");
}

static void claim_validate(const void *obj, const void *old, const char *subresource,
                           struct api_causes *causes) {
    const struct core_v1_persistent_volume_claim *c = obj;
    if (!str_empty(subresource)) return;
    claim_spec_validate(&c->spec, "spec", causes);
    if (old) claim_change_validate(c, old, causes);
}

static const struct api_column claim_columns[] = {
    COLUMN_NAME,
    COLUMN("Status", "Phase of the claim."),
    COLUMN("Volume", "Volume that backs it."),
    COLUMN("Capacity", "How much that holds."),
    COLUMN("Access Modes", "Ways in which it can be mounted."),
    COLUMN("StorageClass", "StorageClass that it asks for."),
    COLUMN("VolumeAttributesClass", "VolumeAttributesClass that it asks for."),
    COLUMN_AGE,
    COLUMN_WIDE("VolumeMode", "Filesystem or Block."),
};

static void claim_row(struct arena *a, const void *obj, int64_t now_ns, struct api_cell *cells) {
    const struct core_v1_persistent_volume_claim *c = obj;
    bool bound = !str_empty(c->spec.volume_name);
    cells[0] = cell_text(c->metadata.name);
    cells[1] = cell_text(phase_of(&c->metadata, c->status.phase));
    cells[2] = cell_text(c->spec.volume_name);
    cells[3] = cell_text(bound ? str_map_get(&c->status.capacity, "storage") : "");
    cells[4] = cell_text(bound ? access_modes_text(a, &c->status.access_modes) : "");
    cells[5] = cell_text(class_of(&c->metadata, c->spec.storage_class_name));
    cells[6] = cell_text(str_or(c->spec.volume_attributes_class_name, "<unset>"));
    cells[7] = cell_age(a, &c->metadata, now_ns);
    cells[8] = cell_text(str_or(c->spec.volume_mode, "<unset>"));
}

static const struct api_behavior claim_behavior = {
    .group = "",
    .kind = "PersistentVolumeClaim",
    .defaults = claim_defaults,
    .prepare = claim_prepare,
    .validate = claim_validate,
    .columns = claim_columns,
    .n_columns = ARRAY_LEN(claim_columns),
    .row = claim_row,
};
API_BEHAVIOR(claim_behavior);
