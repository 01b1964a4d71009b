/* VerticalPodAutoscaler: validation, Table columns. */
#include "api/rules/vpa.h"
#include "api/kinds/kinds.h"
#include "api/values/quantity.h"

static void vpa_prepare(struct arena *a, void *obj, const void *old) {
    vpa_object *v = obj;
    (void)a;
    if (!old) v->status = (struct autoscaling_v1_vertical_pod_autoscaler_status){0};
}

static void bounds_validate(const vpa_policy *p, const char *path, struct api_causes *causes) {
    for (size_t i = 0; i < p->min_allowed.n; i++) {
        const char *name = p->min_allowed.v[i].key, *min = p->min_allowed.v[i].value;
        const char *max = str_map_get(&p->max_allowed, name);
        if (max && quantity_cmp(max, min) < 0)
            cause_invalid(causes, path_of(causes, "%s.maxAllowed", path), max,
                          path_of(causes, "max resource for %s is lower than min", name));
    }
}

static void policy_validate(const vpa_policy *p, const char *path, struct api_causes *causes) {
    static const char *const resources[] = {"cpu", "memory"};
    if (str_empty(p->container_name))
        cause_required(causes, path_of(causes, "%s.containerName", path), NULL);
    bounds_validate(p, path, causes);
    for (size_t i = 0; i < p->controlled_resources.n; i++)
        choice_validate(p->controlled_resources.v[i], resources, 2,
                        path_of(causes, "%s.controlledResources[%zu]", path, i), causes);
    if (str_eq(p->mode, "Off") && str_eq(p->controlled_values, "RequestsAndLimits"))
        cause_invalid(causes, path_of(causes, "%s.controlledValues", path), p->controlled_values,
                      "controlledValues shouldn't be specified if container scaling mode is off");
}

static void vpa_validate(const void *obj, const void *old, const char *subresource,
                         struct api_causes *causes) {
    const vpa_object *v = obj;
    (void)old;
    if (!str_empty(subresource)) return;
    if (!v->spec.target_ref) cause_required(causes, "spec.targetRef", NULL);
    if (v->spec.recommenders.n > 1)
        cause_invalid_int(causes, "spec.recommenders", (int64_t)v->spec.recommenders.n,
                          "The current version of VPA object shouldn't specify more than one "
                          "recommenders.");
    for (size_t i = 0; v->spec.resource_policy && i < v->spec.resource_policy->container_policies.n;
         i++)
        policy_validate(&v->spec.resource_policy->container_policies.v[i],
                        path_of(causes, "spec.resourcePolicy.containerPolicies[%zu]", i), causes);
}

static const struct api_column columns[] = {
    COLUMN_NAME,
    COLUMN("Mode", "How recommendations reach pods."),
    COLUMN("CPU", "CPU recommended for the first container."),
    COLUMN("Mem", "Memory recommended for the first container."),
    COLUMN("Provided", "Whether there is a recommendation."),
    COLUMN_AGE,
};

static const char *provided_text(const vpa_object *v) {
    for (size_t i = 0; i < v->status.conditions.n; i++)
        if (str_eq(v->status.conditions.v[i].type, "RecommendationProvided"))
            return v->status.conditions.v[i].status;
    return "";
}

static void vpa_row(struct arena *a, const void *obj, int64_t now_ns, struct api_cell *cells) {
    const vpa_object *v = obj;
    const struct autoscaling_v1_recommended_pod_resources *r = v->status.recommendation;
    const struct str_map none = {0};
    const struct str_map *target =
        r && r->container_recommendations.n ? &r->container_recommendations.v[0].target : &none;
    cells[0] = cell_text(v->metadata.name);
    cells[1] = cell_text(v->spec.update_policy ? v->spec.update_policy->update_mode : "");
    cells[2] = cell_text(str_map_get(target, "cpu"));
    cells[3] = cell_text(str_map_get(target, "memory"));
    cells[4] = cell_text(provided_text(v));
    cells[5] = cell_age(a, &v->metadata, now_ns);
}

static const struct api_behavior vpa_behavior = {
    .group = "autoscaling.k8s.io",
    .kind = "VerticalPodAutoscaler",
    .prepare = vpa_prepare,
    .validate = vpa_validate,
    .columns = columns,
    .n_columns = ARRAY_LEN(columns),
    .row = vpa_row,
};
API_BEHAVIOR(vpa_behavior);
