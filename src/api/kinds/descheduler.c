/* DeschedulerPolicy: validation, Table columns. */
#include "api/kinds/kinds.h"
#include "api/values/quantity.h"

typedef struct descheduling_v1alpha1_descheduler_policy policy;

static void policy_prepare(struct arena *a, void *obj, const void *old) {
    policy *p = obj;
    (void)a;
    if (!old) p->status = (struct descheduling_v1alpha1_descheduler_policy_status){0};
}

static void percents_validate(const struct str_map *m, const char *path,
                              struct api_causes *causes) {
    if (!m->n) cause_required(causes, path, "names at least one resource");
    for (size_t i = 0; i < m->n; i++) {
        const char *v = str_or(m->v[i].value, "");
        if (quantity_cmp(v, "0") < 0 || quantity_cmp(v, "100") > 0)
            cause_invalid(causes, path_of(causes, "%s[%s]", path, m->v[i].key), v,
                          "must be between 0 and 100, inclusive");
    }
}

static void utilization_validate(const struct descheduling_v1alpha1_descheduler_utilization *u,
                                 struct api_causes *causes) {
    static const char low[] = "spec.strategies.lowNodeUtilization.thresholds";
    static const char full[] = "spec.strategies.lowNodeUtilization.targetThresholds";
    percents_validate(&u->thresholds, low, causes);
    percents_validate(&u->target_thresholds, full, causes);
    for (size_t i = 0; i < u->thresholds.n; i++) {
        const struct str_pair *t = &u->thresholds.v[i];
        const char *most = str_map_get(&u->target_thresholds, t->key);
        if (!most)
            cause_required(causes, path_of(causes, "%s[%s]", full, t->key),
                           "must name the resources of thresholds");
        else if (quantity_cmp(str_or(t->value, "0"), most) > 0)
            cause_invalid(causes, path_of(causes, "%s[%s]", low, t->key), t->value,
                          "must not be greater than in targetThresholds");
    }
    for (size_t i = 0; i < u->target_thresholds.n; i++)
        if (!str_map_get(&u->thresholds, u->target_thresholds.v[i].key))
            cause_required(causes, path_of(causes, "%s[%s]", low, u->target_thresholds.v[i].key),
                           "must name the resources of targetThresholds");
}

static void policy_validate(const void *obj, const void *old, const char *subresource,
                            struct api_causes *causes) {
    const policy *p = obj;
    (void)old;
    if (str_eq(subresource, "status")) return;
    const struct {
        const char *path;
        const struct meta_v1_label_selector *selector;
    } selectors[] = {{"spec.nodeSelector", p->spec.node_selector},
                     {"spec.namespaceSelector", p->spec.namespace_selector},
                     {"spec.podSelector", p->spec.pod_selector}};
    for (size_t i = 0; i < ARRAY_LEN(selectors); i++)
        if (selectors[i].selector)
            label_selector_validate(causes, selectors[i].path, selectors[i].selector);
    if (p->spec.strategies.low_node_utilization)
        utilization_validate(p->spec.strategies.low_node_utilization, causes);
}

static const struct api_column columns[] = {
    COLUMN_NAME,
    COLUMN("Suspend", "Whether it does nothing."),
    COLUMN("Dry Run", "Whether it only tells."),
    COLUMN("Last Pass", "Time since it last looked."),
    COLUMN_INT("Candidates", "Pods that the last pass wanted to move."),
    COLUMN_INT("Evictions", "Pods that the last pass asked to evict."),
    COLUMN_INT("Total", "Evictions that all passes asked for."),
    COLUMN_AGE,
};

static void policy_row(struct arena *a, const void *obj, int64_t now_ns, struct api_cell *cells) {
    const policy *p = obj;
    cells[0] = cell_text(p->metadata.name);
    cells[1] = cell_text(p->spec.suspend ? "True" : "False");
    cells[2] = cell_text(p->spec.dry_run ? "True" : "False");
    cells[3] = cell_text(p->status.last_pass_time ? time_since(a, p->status.last_pass_time, now_ns)
                                                  : NONE_TEXT);
    cells[4] = cell_int(p->status.candidates);
    cells[5] = cell_int(p->status.evictions);
    cells[6] = cell_int(p->status.total_evictions);
    cells[7] = cell_age(a, &p->metadata, now_ns);
}

static const struct api_behavior descheduler_behavior = {
    .group = "descheduling.atoll.dev",
    .kind = "DeschedulerPolicy",
    .prepare = policy_prepare,
    .validate = policy_validate,
    .columns = columns,
    .n_columns = ARRAY_LEN(columns),
    .row = policy_row,
};
API_BEHAVIOR(descheduler_behavior);
