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

static void status_validate(const struct apps_v1_replica_set_status *s, struct api_causes *causes) {
    const struct {
        const char *field;
        int32_t value;
    } counts[] = {{"status.fullyLabeledReplicas", s->fully_labeled_replicas},
                  {"status.readyReplicas", s->ready_replicas},
                  {"status.availableReplicas", s->available_replicas}};
    for (size_t i = 0; i < ARRAY_LEN(counts); i++)
        if (counts[i].value > s->replicas)
            cause_invalid_int(causes, counts[i].field, counts[i].value,
                              "cannot be greater than status.replicas");
    if (s->available_replicas > s->ready_replicas)
        cause_invalid_int(causes, "status.availableReplicas", s->available_replicas,
                          "cannot be greater than readyReplicas");
}

static void replicaset_validate(const void *obj, const void *old, const char *subresource,
                                struct api_causes *causes) {
    const struct apps_v1_replica_set *rs = obj;
    if (str_eq(subresource, "status"))
        status_validate(&rs->status, causes);
    else
        workload_validate(rs->spec.selector, &rs->spec.template, "deployment", causes);
}

static const struct api_column columns[] = {
    COLUMN_NAME,
    COLUMN_INT("Desired", "Number of desired pods."),
    COLUMN_INT("Current", "Number of pods that exist."),
    COLUMN_INT("Ready", "Number of pods that are ready."),
    COLUMN_AGE,
    COLUMN_WIDE("Containers", "Names of each container in the template."),
    COLUMN_WIDE("Images", "Images referenced by each container in the template."),
    COLUMN_WIDE("Selector", "Label selector for the pods."),
};

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

static const char *const fields[] = {"status.replicas", NULL};

static const char *replicaset_field(struct arena *a, const void *obj, const char *path) {
    const struct apps_v1_replica_set *rs = obj;
    if (!str_eq(path, "status.replicas")) return NULL;
    return arena_printf(a, "%d", rs->status.replicas);
}

static const struct api_behavior replicaset_behavior = {
    .group = "apps",
    .kind = "ReplicaSet",
    .defaults = replicaset_defaults,
    .prepare = replicaset_prepare,
    .validate = replicaset_validate,
    .columns = columns,
    .n_columns = ARRAY_LEN(columns),
    .row = replicaset_row,
    .field = replicaset_field,
    .fields = fields,
};
API_BEHAVIOR(replicaset_behavior);
