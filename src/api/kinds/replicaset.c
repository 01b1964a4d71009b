/* ReplicaSet: defaults, validation, Table columns. */
#include "api/kinds/kinds.h"

static void replicaset_defaults(struct arena *a, void *obj) {
    struct apps_v1_replica_set *rs = obj;
    pod_spec_defaults(a, &rs->spec.template.spec);
}

static void replicaset_prepare(struct arena *a, void *obj, const void *old) {
    struct apps_v1_replica_set *rs = obj;
    if (!old) rs->status = (struct apps_v1_replica_set_status){0};
}

static void replicaset_validate(const void *obj, const void *old, const char *subresource,
                                struct api_causes *causes) {
    const struct apps_v1_replica_set *rs = obj;
    const struct apps_v1_replica_set_status *s = &rs->status;
    if (str_eq(subresource, "status"))
        replica_status_validate(s->replicas, s->fully_labeled_replicas, s->ready_replicas,
                                s->available_replicas, causes);
    else
        workload_validate(rs->spec.selector, &rs->spec.template, "deployment", causes);
}

static void replicaset_row(struct arena *a, const void *obj, int64_t now_ns,
                           struct api_cell *cells) {
    const struct apps_v1_replica_set *rs = obj;
    cells[0] = cell_text(rs->metadata.name);
    cells[1] = cell_int(rs->spec.replicas ? *rs->spec.replicas : 1);
    cells[2] = cell_int(rs->status.replicas);
    cells[3] = cell_int(rs->status.ready_replicas);
    cells[4] = cell_age(a, &rs->metadata, now_ns);
    cells[5] = cell_text(container_names_text(a, &rs->spec.template.spec));
    cells[6] = cell_text(container_images_text(a, &rs->spec.template.spec));
    cells[7] = cell_text(label_selector_text(a, rs->spec.selector));
}

static const char *replicaset_field(struct arena *a, const void *obj, const char *path) {
    const struct apps_v1_replica_set *rs = obj;
    return replica_field(a, path, rs->status.replicas);
}

static const struct api_behavior replicaset_behavior = {
    .group = "apps",
    .kind = "ReplicaSet",
    .defaults = replicaset_defaults,
    .prepare = replicaset_prepare,
    .validate = replicaset_validate,
    .columns = replica_columns,
    .n_columns = REPLICA_COLUMNS,
    .row = replicaset_row,
    .field = replicaset_field,
    .fields = replica_fields,
};
API_BEHAVIOR(replicaset_behavior);
