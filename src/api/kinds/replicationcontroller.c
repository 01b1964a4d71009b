/* ReplicationController and PodTemplate: defaults, validation, Table columns. */
#include "api/kinds/kinds.h"
#include "api/selector.h"

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

static void status_validate(const struct core_v1_replication_controller_status *s,
                            struct api_causes *causes) {
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
}

static void controller_validate(const void *obj, const void *old, const char *subresource,
                                struct api_causes *causes) {
    const struct core_v1_replication_controller *rc = obj;
    if (str_eq(subresource, "status")) {
        status_validate(&rc->status, causes);
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

static const struct api_column controller_columns[] = {
    COLUMN_NAME,
    COLUMN_INT("Desired", "Number of desired pods."),
    COLUMN_INT("Current", "Number of pods that exist."),
    COLUMN_INT("Ready", "Number of pods that are ready."),
    COLUMN_AGE,
    COLUMN_WIDE("Containers", "Names of each container in the template."),
    COLUMN_WIDE("Images", "Images referenced by each container in the template."),
    COLUMN_WIDE("Selector", "Label selector for the pods."),
};

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

static const char *const controller_fields[] = {"status.replicas", NULL};

static const char *controller_field(struct arena *a, const void *obj, const char *path) {
    const struct core_v1_replication_controller *rc = obj;
    if (!str_eq(path, "status.replicas")) return NULL;
    return arena_printf(a, "%d", rc->status.replicas);
}

static const struct api_behavior controller_behavior = {
    .group = "",
    .kind = "ReplicationController",
    .defaults = controller_defaults,
    .prepare = controller_prepare,
    .validate = controller_validate,
    .columns = controller_columns,
    .n_columns = ARRAY_LEN(controller_columns),
    .row = controller_row,
    .field = controller_field,
    .fields = controller_fields,
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
