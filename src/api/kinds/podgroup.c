/* PodGroup and ElasticQuota: validation, Table columns. */
#include "api/kinds/kinds.h"
#include "api/values/quantity.h"

static void group_prepare(struct arena *a, void *obj, const void *old) {
    struct scheduling_v1alpha1_pod_group *g = obj;
    (void)a;
    if (!old) g->status = (struct scheduling_v1alpha1_pod_group_status){0};
}

static void amounts_validate(const struct str_map *amounts, const char *path,
                             struct api_causes *causes) {
    for (size_t i = 0; i < amounts->n; i++) {
        const char *at = path_of(causes, "%s[%s]", path, amounts->v[i].key);
        name_validate(causes, at, NAME_QUALIFIED, amounts->v[i].key);
        if (quantity_cmp(str_or(amounts->v[i].value, "0"), "0") < 0)
            cause_invalid(causes, at, amounts->v[i].value, "must be greater than or equal to 0");
    }
}

static void group_validate(const void *obj, const void *old, const char *subresource,
                           struct api_causes *causes) {
    const struct scheduling_v1alpha1_pod_group *g = obj;
    (void)old;
    if (str_eq(subresource, "status")) return;
    if (!g->spec.min_member)
        cause_invalid_int(causes, "spec.minMember", 0, "must be greater than 0");
    amounts_validate(&g->spec.min_resources, "spec.minResources", causes);
}

static const struct api_column group_columns[] = {
    COLUMN_NAME,
    COLUMN("Phase", "How far the group is."),
    COLUMN_INT("MinMember", "The least number of pods."),
    COLUMN_INT("Scheduled", "Pods that have a node."),
    COLUMN_INT("Running", "Pods that run."),
    COLUMN_INT("Succeeded", "Pods that have succeeded."),
    COLUMN_INT("Failed", "Pods that have failed."),
    COLUMN_AGE,
};

static void group_row(struct arena *a, const void *obj, int64_t now_ns, struct api_cell *cells) {
    const struct scheduling_v1alpha1_pod_group *g = obj;
    cells[0] = cell_text(g->metadata.name);
    cells[1] = cell_text(g->status.phase);
    cells[2] = cell_int(g->spec.min_member);
    cells[3] = cell_int(g->status.scheduled);
    cells[4] = cell_int(g->status.running);
    cells[5] = cell_int(g->status.succeeded);
    cells[6] = cell_int(g->status.failed);
    cells[7] = cell_age(a, &g->metadata, now_ns);
}

static const struct api_behavior group_behavior = {
    .group = "scheduling.x-k8s.io",
    .kind = "PodGroup",
    .prepare = group_prepare,
    .validate = group_validate,
    .columns = group_columns,
    .n_columns = ARRAY_LEN(group_columns),
    .row = group_row,
};
API_BEHAVIOR(group_behavior);

static void quota_prepare(struct arena *a, void *obj, const void *old) {
    struct scheduling_v1alpha1_elastic_quota *q = obj;
    (void)a;
    if (!old) q->status = (struct scheduling_v1alpha1_elastic_quota_status){0};
}

static void quota_validate(const void *obj, const void *old, const char *subresource,
                           struct api_causes *causes) {
    const struct scheduling_v1alpha1_elastic_quota *q = obj;
    (void)old;
    if (str_eq(subresource, "status")) return;
    amounts_validate(&q->spec.min, "spec.min", causes);
    amounts_validate(&q->spec.max, "spec.max", causes);
    for (size_t i = 0; i < q->spec.min.n; i++) {
        const struct str_pair *min = &q->spec.min.v[i];
        const char *max = str_map_get(&q->spec.max, min->key);
        if (max && quantity_cmp(str_or(min->value, "0"), max) > 0)
            cause_invalid(causes, path_of(causes, "spec.min[%s]", min->key), min->value,
                          path_of(causes, "must be less than or equal to spec.max[%s]", min->key));
    }
}

static const char *amounts_text(struct arena *a, const struct str_map *amounts) {
    OWN(buf_done) struct buf text = {0};
    for (size_t i = 0; i < amounts->n; i++)
        text_join(&text, ", ",
                  arena_printf(a, "%s: %s", amounts->v[i].key, str_or(amounts->v[i].value, "0")));
    return text_copy(a, &text, NONE_TEXT);
}

static const struct api_column quota_columns[] = {
    COLUMN_NAME,
    COLUMN("Used", "Requests of the pods that have a node."),
    COLUMN("Min", "What the namespace is sure to get."),
    COLUMN("Max", "What it may have at most."),
    COLUMN_AGE,
};

static void quota_row(struct arena *a, const void *obj, int64_t now_ns, struct api_cell *cells) {
    const struct scheduling_v1alpha1_elastic_quota *q = obj;
    cells[0] = cell_text(q->metadata.name);
    cells[1] = cell_text(amounts_text(a, &q->status.used));
    cells[2] = cell_text(amounts_text(a, &q->spec.min));
    cells[3] = cell_text(amounts_text(a, &q->spec.max));
    cells[4] = cell_age(a, &q->metadata, now_ns);
}

static const struct api_behavior quota_behavior = {
    .group = "scheduling.x-k8s.io",
    .kind = "ElasticQuota",
    .prepare = quota_prepare,
    .validate = quota_validate,
    .columns = quota_columns,
    .n_columns = ARRAY_LEN(quota_columns),
    .row = quota_row,
};
API_BEHAVIOR(quota_behavior);
