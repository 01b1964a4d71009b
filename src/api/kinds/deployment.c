/* Deployment: defaults, validation, Table columns. */
#include <string.h>

#include "api/kinds/kinds.h"

static void deployment_defaults(struct arena *a, void *obj) {
    struct apps_v1_deployment *d = obj;
    pod_spec_defaults(a, &d->spec.template.spec);
    if (!str_eq(d->spec.strategy.type, "RollingUpdate")) return;
    if (!d->spec.strategy.rolling_update)
        d->spec.strategy.rolling_update = ARENA_NEW(a, struct apps_v1_rolling_update_deployment);
    struct apps_v1_rolling_update_deployment *r = d->spec.strategy.rolling_update;
    const struct int_or_string quarter = {.kind = IOS_STRING, .s = "25%"};
    if (r->max_unavailable.kind == IOS_NONE) r->max_unavailable = quarter;
    if (r->max_surge.kind == IOS_NONE) r->max_surge = quarter;
}

static void deployment_prepare(struct arena *a, void *obj, const void *old) {
    struct apps_v1_deployment *d = obj;
    if (!old) d->status = (struct apps_v1_deployment_status){0};
}

/* A status write leaves the labels alone. */
static void deployment_prepare_subresource(struct arena *a, void *obj, const void *old,
                                           const char *subresource) {
    struct apps_v1_deployment *d = obj;
    const struct apps_v1_deployment *was = old;
    (void)a;
    if (was && str_eq(subresource, "status")) d->metadata.labels = was->metadata.labels;
}

static void strategy_validate(const struct apps_v1_deployment_strategy *s,
                              struct api_causes *causes) {
    const struct apps_v1_rolling_update_deployment *r = s->rolling_update;
    const char *unavailable = "spec.strategy.rollingUpdate.maxUnavailable";
    if (!r) return;
    if (str_eq(s->type, "Recreate")) {
        cause_forbidden(causes, "spec.strategy.rollingUpdate",
                        "may not be specified when strategy `type` is 'Recreate'");
        return;
    }
    amount_validate(&r->max_unavailable, true, unavailable, causes);
    amount_validate(&r->max_surge, false, "spec.strategy.rollingUpdate.maxSurge", causes);
    if (amount_is_zero(&r->max_unavailable) && amount_is_zero(&r->max_surge))
        cause_invalid_raw(causes, unavailable, amount_json(causes->a, &r->max_unavailable),
                          "may not be 0 when `maxSurge` is 0");
}

static void deployment_validate(const void *obj, const void *old, const char *subresource,
                                struct api_causes *causes) {
    const struct apps_v1_deployment *d = obj;
    if (!str_empty(subresource) && !str_eq(subresource, "scale")) return;
    workload_validate(d->spec.selector, &d->spec.template, "deployment", causes);
    strategy_validate(&d->spec.strategy, causes);
    if (d->spec.progress_deadline_seconds &&
        *d->spec.progress_deadline_seconds <= d->spec.min_ready_seconds)
        cause_invalid_int(causes, "spec.progressDeadlineSeconds",
                          *d->spec.progress_deadline_seconds,
                          "must be greater than minReadySeconds");
}

static const struct api_column columns[] = {
    COLUMN_NAME,
    COLUMN("Ready", "Number of ready pods of the desired number."),
    COLUMN_INT("Up-to-date", "Number of pods that have the current template."),
    COLUMN_INT("Available", "Number of pods that have been ready for minReadySeconds."),
    COLUMN_AGE,
    COLUMN_WIDE("Containers", "Names of each container in the template."),
    COLUMN_WIDE("Images", "Images referenced by each container in the template."),
    COLUMN_WIDE("Selector", "Label selector for the pods."),
};

static void deployment_row(struct arena *a, const void *obj, int64_t now_ns,
                           struct api_cell *cells) {
    const struct apps_v1_deployment *d = obj;
    int32_t desired = d->spec.replicas ? *d->spec.replicas : 1;
    cells[0] = cell_text(d->metadata.name);
    cells[1] = cell_text(arena_printf(a, "%d/%d", d->status.ready_replicas, desired));
    cells[2] = cell_int(d->status.updated_replicas);
    cells[3] = cell_int(d->status.available_replicas);
    cells[4] = cell_age(a, &d->metadata, now_ns);
    cells[5] = cell_text(container_names_text(a, &d->spec.template.spec));
    cells[6] = cell_text(container_images_text(a, &d->spec.template.spec));
    cells[7] = cell_text(label_selector_text(a, d->spec.selector));
}

static const struct api_behavior deployment_behavior = {
    .group = "apps",
    .kind = "Deployment",
    .defaults = deployment_defaults,
    .prepare = deployment_prepare,
    .prepare_subresource = deployment_prepare_subresource,
    .validate = deployment_validate,
    .columns = columns,
    .n_columns = ARRAY_LEN(columns),
    .row = deployment_row,
};
API_BEHAVIOR(deployment_behavior);
