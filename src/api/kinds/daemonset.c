/* DaemonSet: defaults, validation, Table columns. */
#include "api/kinds/kinds.h"

static void daemonset_defaults(struct arena *a, void *obj) {
    struct apps_v1_daemon_set *d = obj;
    struct apps_v1_daemon_set_update_strategy *s = &d->spec.update_strategy;
    pod_spec_defaults(a, &d->spec.template.spec);
    if (!str_eq(s->type, "RollingUpdate")) return;
    if (!s->rolling_update)
        s->rolling_update = ARENA_NEW(a, struct apps_v1_rolling_update_daemon_set);
    if (s->rolling_update->max_unavailable.kind == IOS_NONE)
        s->rolling_update->max_unavailable = (struct int_or_string){.kind = IOS_INT, .i = 1};
    if (s->rolling_update->max_surge.kind == IOS_NONE)
        s->rolling_update->max_surge = (struct int_or_string){.kind = IOS_INT, .i = 0};
}

static void daemonset_prepare(struct arena *a, void *obj, const void *old) {
    struct apps_v1_daemon_set *d = obj;
    if (!old) d->status = (struct apps_v1_daemon_set_status){0};
}

static void daemonset_validate(const void *obj, const void *old, const char *subresource,
                               struct api_causes *causes) {
    const struct apps_v1_daemon_set *d = obj;
    const struct apps_v1_rolling_update_daemon_set *r = d->spec.update_strategy.rolling_update;
    const char *unavailable = "spec.updateStrategy.rollingUpdate.maxUnavailable";
    const char *surge = "spec.updateStrategy.rollingUpdate.maxSurge";
    if (!str_empty(subresource)) return;
    workload_validate(d->spec.selector, &d->spec.template, "daemonset", causes);
    if (!r || !str_eq(d->spec.update_strategy.type, "RollingUpdate")) return;
    amount_validate(&r->max_unavailable, true, unavailable, causes);
    amount_validate(&r->max_surge, true, surge, causes);
    bool no_gap = amount_is_zero(&r->max_unavailable), no_surge = amount_is_zero(&r->max_surge);
    if (no_gap && no_surge)
        cause_invalid_raw(causes, unavailable, amount_json(causes->a, &r->max_unavailable),
                          "cannot be 0 when maxSurge is 0");
    else if (!no_gap && !no_surge)
        cause_invalid_raw(causes, surge, amount_json(causes->a, &r->max_surge),
                          "may not be set when maxUnavailable is non-zero");
}

static const struct api_column columns[] = {
    COLUMN_NAME,
    COLUMN_INT("Desired", "Number of nodes that should have the pod."),
    COLUMN_INT("Current", "Number of nodes that have it."),
    COLUMN_INT("Ready", "Number of nodes where it is ready."),
    COLUMN_INT("Up-to-date", "Number of nodes that have the current template."),
    COLUMN_INT("Available", "Number of nodes where it has been ready for minReadySeconds."),
    COLUMN("Node Selector", "Labels of the nodes."),
    COLUMN_AGE,
    COLUMN_WIDE("Containers", "Names of each container in the template."),
    COLUMN_WIDE("Images", "Images referenced by each container in the template."),
    COLUMN_WIDE("Selector", "Label selector for the pods."),
};

static void daemonset_row(struct arena *a, const void *obj, int64_t now_ns,
                          struct api_cell *cells) {
    const struct apps_v1_daemon_set *d = obj;
    cells[0] = cell_text(d->metadata.name);
    cells[1] = cell_int(d->status.desired_number_scheduled);
    cells[2] = cell_int(d->status.current_number_scheduled);
    cells[3] = cell_int(d->status.number_ready);
    cells[4] = cell_int(d->status.updated_number_scheduled);
    cells[5] = cell_int(d->status.number_available);
    cells[6] = cell_text(labels_text(a, &d->spec.template.spec.node_selector));
    cells[7] = cell_age(a, &d->metadata, now_ns);
    cells[8] = cell_text(container_names_text(a, &d->spec.template.spec));
    cells[9] = cell_text(container_images_text(a, &d->spec.template.spec));
    cells[10] = cell_text(label_selector_text(a, d->spec.selector));
}

static const struct api_behavior daemonset_behavior = {
    .group = "apps",
    .kind = "DaemonSet",
    .defaults = daemonset_defaults,
    .prepare = daemonset_prepare,
    .validate = daemonset_validate,
    .columns = columns,
    .n_columns = ARRAY_LEN(columns),
    .row = daemonset_row,
};
API_BEHAVIOR(daemonset_behavior);
