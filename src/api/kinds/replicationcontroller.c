/* ReplicationController and PodTemplate: defaults, validation, Table columns. */
#include "api/kinds/kinds.h"
#include "api/values/selector.h"

static void controller_defaults(struct arena *a, void *obj) {
    struct core_v1_replication_controller *rc = obj;
    if (!rc->spec.template) return;
    const struct str_map *labels = &rc->spec.template->metadata.labels;
    pod_spec_defaults(a, &rc->spec.template->spec);
    if (labels->n && !rc->spec.selector.n) rc->spec.selector = *labels;
    if (labels->n && !rc->metadata.labels.n) rc->metadata.labels = *labels;
}

static void controller_prepare(struct arena *a, void *obj, const void *old) {
    struct core_v1_replication_controller *rc = obj;
    if (!old) rc->status = (struct core_v1_replication_controller_status){0};
}

static void controller_validate(const void *obj, const void *old, const char *subresource,
                                struct api_causes *causes) {
    const struct core_v1_replication_controller *rc = obj;
    if (str_eq(subresource, "status")) {
        const struct core_v1_replication_controller_status *s = &rc->status;
        replica_status_validate(s->replicas, s->fully_labeled_replicas, s->ready_replicas,
                                s->available_replicas, causes);
        return;
    }
    if (!rc->spec.selector.n) cause_required(causes, "spec.selector", NULL);
    if (!rc->spec.template) {
        cause_required(causes, "spec.template", NULL);
        return;
    }
    const struct str_map *labels = &rc->spec.template->metadata.labels;
    if (rc->spec.selector.n &&
        !selector_matches(selector_from_map(causes->a, &rc->spec.selector), labels))
        cause_invalid_raw(causes, "spec.template.metadata.labels", labels_json(causes->a, labels),
                          "`selector` does not match template `labels`");
    pod_template_validate(rc->spec.template, "spec.template", "ReplicationController", causes);
}

static void controller_row(struct arena *a, const void *obj, int64_t now_ns,
                           struct api_cell *cells) {
    static const struct core_v1_pod_spec none;
    const struct core_v1_replication_controller *rc = obj;
    const struct core_v1_pod_spec *spec = rc->spec.template ? &rc->spec.template->spec : &none;
    cells[0] = cell_text(rc->metadata.name);
    cells[1] = cell_int(rc->spec.replicas ? *rc->spec.replicas : 1);
    cells[2] = cell_int(rc->status.replicas);
    cells[3] = cell_int(rc->status.ready_replicas);
    cells[4] = cell_age(a, &rc->metadata, now_ns);
    cells[5] = cell_text(container_names_text(a, spec));
    cells[6] = cell_text(container_images_text(a, spec));
    cells[7] = cell_text(labels_text(a, &rc->spec.selector));
}

static const char *controller_field(struct arena *a, const void *obj, const char *path) {
    const struct core_v1_replication_controller *rc = obj;
    return replica_field(a, path, rc->status.replicas);
}

static const struct api_behavior controller_behavior = {
    .group = "",
    .kind = "ReplicationController",
    .defaults = controller_defaults,
    .prepare = controller_prepare,
    .validate = controller_validate,
    .columns = replica_columns,
    .n_columns = REPLICA_COLUMNS,
    .row = controller_row,
    .field = controller_field,
    .fields = replica_fields,
};
API_BEHAVIOR(controller_behavior);

static void template_defaults(struct arena *a, void *obj) {
    struct core_v1_pod_template *t = obj;
    pod_spec_defaults(a, &t->template.spec);
}

static void template_validate(const void *obj, const void *old, const char *subresource,
                              struct api_causes *causes) {
    const struct core_v1_pod_template *t = obj;
    pod_template_validate(&t->template, "template", NULL, causes);
}

static const struct api_column template_columns[] = {
    COLUMN_NAME,
    COLUMN("Containers", "Names of each container in the template."),
    COLUMN("Images", "Images referenced by each container in the template."),
    COLUMN("Pod Labels", "Labels of pods made from it."),
};

static void template_row(struct arena *a, const void *obj, int64_t now_ns, struct api_cell *cells) {
    const struct core_v1_pod_template *t = obj;
    cells[0] = cell_text(t->metadata.name);
    cells[1] = cell_text(container_names_text(a, &t->template.spec));
    cells[2] = cell_text(container_images_text(a, &t->template.spec));
    cells[3] = cell_text(labels_text(a, &t->template.metadata.labels));
}

static const struct api_behavior template_behavior = {
    .group = "",
    .kind = "PodTemplate",
    .defaults = template_defaults,
    .validate = template_validate,
    .columns = template_columns,
    .n_columns = ARRAY_LEN(template_columns),
    .row = template_row,
};
API_BEHAVIOR(template_behavior);
