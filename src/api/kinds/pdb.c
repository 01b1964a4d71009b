/* PodDisruptionBudget: validation, Table columns. */
#include "api/kinds/kinds.h"

static void budget_prepare(struct arena *a, void *obj, const void *old) {
    struct policy_v1_pod_disruption_budget *b = obj;
    if (!old) b->status = (struct policy_v1_pod_disruption_budget_status){0};
}

static void status_validate(const struct policy_v1_pod_disruption_budget_status *s,
                            struct api_causes *causes) {
    const struct {
        const char *field;
        int32_t value;
    } counts[] = {{"status.disruptionsAllowed", s->disruptions_allowed},
                  {"status.currentHealthy", s->current_healthy},
                  {"status.desiredHealthy", s->desired_healthy},
                  {"status.expectedPods", s->expected_pods}};
    for (size_t i = 0; i < ARRAY_LEN(counts); i++)
        if (counts[i].value < 0)
            cause_invalid_int(causes, counts[i].field, counts[i].value,
                              "must be greater than or equal to 0");
}

static void budget_validate(const void *obj, const void *old, const char *subresource,
                            struct api_causes *causes) {
    static const char *const policies[] = {"AlwaysAllow", "IfHealthyBudget"};
    const struct policy_v1_pod_disruption_budget *b = obj;
    const struct policy_v1_pod_disruption_budget_spec *s = &b->spec;
    if (str_eq(subresource, "status")) {
        status_validate(&b->status, causes);
        return;
    }
    if (s->min_available.kind != IOS_NONE && s->max_unavailable.kind != IOS_NONE)
        cause_invalid_raw(causes, "spec",
                          type_json(causes->a, &policy_v1_pod_disruption_budget_spec_type, s),
                          "minAvailable and maxUnavailable cannot be both set");
    amount_validate(&s->min_available, true, "spec.minAvailable", causes);
    amount_validate(&s->max_unavailable, true, "spec.maxUnavailable", causes);
    choice_validate(s->unhealthy_pod_eviction_policy, policies, 2,
                    "spec.unhealthyPodEvictionPolicy", causes);
    if (s->selector) label_selector_validate(causes, "spec.selector", s->selector);
}

static const struct api_column columns[] = {
    COLUMN_NAME,
    COLUMN("Min Available", "How many pods must stay."),
    COLUMN("Max Unavailable", "How many pods may be missing."),
    COLUMN_INT("Allowed Disruptions", "How many pods may be evicted now."),
    COLUMN_AGE,
};

static void budget_row(struct arena *a, const void *obj, int64_t now_ns, struct api_cell *cells) {
    const struct policy_v1_pod_disruption_budget *b = obj;
    cells[0] = cell_text(b->metadata.name);
    cells[1] = cell_text(amount_text(a, &b->spec.min_available, "N/A"));
    cells[2] = cell_text(amount_text(a, &b->spec.max_unavailable, "N/A"));
    cells[3] = cell_int(b->status.disruptions_allowed);
    cells[4] = cell_age(a, &b->metadata, now_ns);
}

static const struct api_behavior budget_behavior = {
    .group = "policy",
    .kind = "PodDisruptionBudget",
    .prepare = budget_prepare,
    .validate = budget_validate,
    .columns = columns,
    .n_columns = ARRAY_LEN(columns),
    .row = budget_row,
};
API_BEHAVIOR(budget_behavior);
