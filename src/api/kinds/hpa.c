/* HorizontalPodAutoscaler: defaults, validation of metrics and behavior. */
#include <string.h>

#include "api/kinds/hpa.h"
#include "api/values/quantity.h"

enum { PERIOD_SECONDS_MAX = 1800, WINDOW_SECONDS_MAX = 3600 };

static int32_t *number(struct arena *a, int32_t v) { return arena_copy(a, &v, sizeof v); }

static void add_policy(struct arena *a, struct autoscaling_v2_hpa_scaling_rules *r,
                       const char *type, int32_t value) {
    *ARENA_PUSH(a, &r->policies) = (struct autoscaling_v2_hpa_scaling_policy){type, value, 15};
}

/* policies: [] is not absent, but says that there shall be none, which is refused. */
static bool lacks_policies(const struct autoscaling_v2_hpa_scaling_rules *r) {
    return !r->policies.n && !r->policies.v;
}

static void behavior_defaults(struct arena *a,
                              struct autoscaling_v2_horizontal_pod_autoscaler_behavior *b) {
    if (!b->scale_up) b->scale_up = ARENA_NEW(a, struct autoscaling_v2_hpa_scaling_rules);
    if (!b->scale_up->stabilization_window_seconds)
        b->scale_up->stabilization_window_seconds = number(a, 0);
    if (!b->scale_up->select_policy) b->scale_up->select_policy = "Max";
    if (lacks_policies(b->scale_up)) {
        add_policy(a, b->scale_up, "Pods", 4);
        add_policy(a, b->scale_up, "Percent", 100);
    }
    if (!b->scale_down) b->scale_down = ARENA_NEW(a, struct autoscaling_v2_hpa_scaling_rules);
    if (!b->scale_down->select_policy) b->scale_down->select_policy = "Max";
    if (lacks_policies(b->scale_down)) add_policy(a, b->scale_down, "Percent", 100);
}

static void hpa_defaults(struct arena *a, void *obj) {
    struct autoscaling_v2_horizontal_pod_autoscaler *h = obj;
    if (!h->spec.metrics.n) {
        struct autoscaling_v2_resource_metric_source *cpu =
            ARENA_NEW(a, struct autoscaling_v2_resource_metric_source);
        cpu->name = "cpu";
        cpu->target.type = "Utilization";
        cpu->target.average_utilization = number(a, 80);
        *ARENA_PUSH(a, &h->spec.metrics) =
            (struct autoscaling_v2_metric_spec){.type = "Resource", .resource = cpu};
    }
    if (h->spec.behavior) behavior_defaults(a, h->spec.behavior);
}

static void hpa_prepare(struct arena *a, void *obj, const void *old) {
    struct autoscaling_v2_horizontal_pod_autoscaler *h = obj;
    if (!old) h->status = (struct autoscaling_v2_horizontal_pod_autoscaler_status){0};
}

static void reference_validate(const struct autoscaling_v2_cross_version_object_reference *r,
                               const char *path, struct api_causes *causes) {
    if (!str_empty(r->kind))
        name_validate(causes, path_of(causes, "%s.kind", path), NAME_PATH_SEGMENT, r->kind);
    if (!str_empty(r->name))
        name_validate(causes, path_of(causes, "%s.name", path), NAME_PATH_SEGMENT, r->name);
}

static void identifier_validate(const struct autoscaling_v2_metric_identifier *m, const char *path,
                                struct api_causes *causes) {
    const char *name = path_of(causes, "%s.name", path);
    if (str_empty(m->name))
        cause_required(causes, name, "must specify a metric name");
    else
        name_validate(causes, name, NAME_PATH_SEGMENT, m->name);
}

static void target_validate(const struct autoscaling_v2_metric_target *t, const char *path,
                            struct api_causes *causes) {
    static const char *const types[] = {"Utilization", "Value", "AverageValue"};
    const struct {
        const char *field, *value;
    } amounts[] = {{"value", t->value}, {"averageValue", t->average_value}};
    const char *type = path_of(causes, "%s.type", path);
    if (str_empty(t->type))
        cause_required(causes, type, "must specify a metric target type");
    else
        for (size_t i = 0; i <= ARRAY_LEN(types); i++) {
            if (i == ARRAY_LEN(types))
                cause_invalid(causes, type, t->type,
                              "must be either Utilization, Value, or AverageValue");
            else if (str_eq(t->type, types[i]))
                break;
        }
    for (size_t i = 0; i < ARRAY_LEN(amounts); i++)
        if (amounts[i].value && quantity_cmp(amounts[i].value, "0") <= 0)
            cause_invalid(causes, path_of(causes, "%s.%s", path, amounts[i].field),
                          amounts[i].value, "must be positive");
    if (t->average_utilization && *t->average_utilization < 1)
        cause_invalid_int(causes, path_of(causes, "%s.averageUtilization", path),
                          *t->average_utilization, "must be greater than 0");
}

static void resource_target_validate(const struct autoscaling_v2_metric_target *t, const char *name,
                                     const char *path, struct api_causes *causes) {
    const char *target = path_of(causes, "%s.target", path);
    if (str_empty(name))
        cause_required(causes, path_of(causes, "%s.name", path), "must specify a resource name");
    target_validate(t, target, causes);
    if (!t->average_utilization && !t->average_value)
        cause_required(causes, path_of(causes, "%s.averageUtilization", target),
                       "must set either a target raw value or a target utilization");
    if (t->average_utilization && t->average_value)
        cause_forbidden(causes, path_of(causes, "%s.averageValue", target),
                        "may not set both a target raw value and a target utilization");
}

static void object_validate(const struct autoscaling_v2_object_metric_source *o, const char *path,
                            struct api_causes *causes) {
    const char *target = path_of(causes, "%s.target", path);
    reference_validate(&o->described_object, path_of(causes, "%s.describedObject", path), causes);
    identifier_validate(&o->metric, path_of(causes, "%s.metric", path), causes);
    target_validate(&o->target, target, causes);
    if (!o->target.value && !o->target.average_value)
        cause_required(causes, path_of(causes, "%s.averageValue", target),
                       "must set either a target value or averageValue");
}

static void external_validate(const struct autoscaling_v2_external_metric_source *e,
                              const char *path, struct api_causes *causes) {
    const char *target = path_of(causes, "%s.target", path);
    identifier_validate(&e->metric, path_of(causes, "%s.metric", path), causes);
    target_validate(&e->target, target, causes);
    if (!e->target.value && !e->target.average_value)
        cause_required(causes, path_of(causes, "%s.averageValue", target),
                       "must set either a target value for metric or a per-pod target");
    if (e->target.value && e->target.average_value)
        cause_forbidden(causes, path_of(causes, "%s.value", target),
                        "may not set both a target value for metric and a per-pod target");
}

static void pods_validate(const struct autoscaling_v2_pods_metric_source *p, const char *path,
                          struct api_causes *causes) {
    const char *target = path_of(causes, "%s.target", path);
    identifier_validate(&p->metric, path_of(causes, "%s.metric", path), causes);
    target_validate(&p->target, target, causes);
    if (!p->target.average_value)
        cause_required(causes, path_of(causes, "%s.averageValue", target),
                       "must specify a positive target averageValue");
}

static void container_validate(const struct autoscaling_v2_container_resource_metric_source *c,
                               const char *path, struct api_causes *causes) {
    const char *container = path_of(causes, "%s.container", path);
    if (str_empty(c->container))
        cause_required(causes, container, "must specify a container");
    else
        name_validate(causes, container, NAME_DNS_LABEL, c->container);
    resource_target_validate(&c->target, c->name, path, causes);
}

static void metric_validate(const struct autoscaling_v2_metric_spec *m, const char *path,
                            struct api_causes *causes) {
    static const char *const types[] = {"ContainerResource", "External", "Object", "Pods",
                                        "Resource"};
    const struct {
        const char *type, *field;
        const void *source;
    } all[] = {{"Object", "object", m->object},
               {"External", "external", m->external},
               {"Pods", "pods", m->pods},
               {"Resource", "resource", m->resource},
               {"ContainerResource", "containerResource", m->container_resource}};
    if (!str_empty(m->type))
        choice_validate(m->type, types, ARRAY_LEN(types), path_of(causes, "%s.type", path), causes);
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        const char *at = path_of(causes, "%s.%s", path, all[i].field);
        bool wanted = str_eq(m->type, all[i].type);
        if (wanted && !all[i].source)
            cause_required(causes, at, "must populate information for the given metric source");
        if (!wanted && all[i].source)
            cause_forbidden(causes, at, "must populate the given metric source only");
    }
    if (m->object) object_validate(m->object, path_of(causes, "%s.object", path), causes);
    if (m->external) external_validate(m->external, path_of(causes, "%s.external", path), causes);
    if (m->pods) pods_validate(m->pods, path_of(causes, "%s.pods", path), causes);
    if (m->resource)
        resource_target_validate(&m->resource->target, m->resource->name,
                                 path_of(causes, "%s.resource", path), causes);
    if (m->container_resource)
        container_validate(m->container_resource, path_of(causes, "%s.containerResource", path),
                           causes);
}

static void rules_validate(const struct autoscaling_v2_hpa_scaling_rules *r, const char *path,
                           struct api_causes *causes) {
    static const char *const select[] = {"Disabled", "Max", "Min"};
    static const char *const types[] = {"Percent", "Pods"};
    const char *window = path_of(causes, "%s.stabilizationWindowSeconds", path);
    const char *policies = path_of(causes, "%s.policies", path);
    if (!r) return;
    if (r->stabilization_window_seconds && *r->stabilization_window_seconds < 0)
        cause_invalid_int(causes, window, *r->stabilization_window_seconds,
                          "must be greater than or equal to zero");
    if (r->stabilization_window_seconds && *r->stabilization_window_seconds > WINDOW_SECONDS_MAX)
        cause_invalid_int(causes, window, *r->stabilization_window_seconds,
                          "must be less than or equal to 3600");
    choice_validate(r->select_policy, select, 3, path_of(causes, "%s.selectPolicy", path), causes);
    if (!r->policies.n) cause_required(causes, policies, "must specify at least one Policy");
    for (size_t i = 0; i < r->policies.n; i++) {
        const struct autoscaling_v2_hpa_scaling_policy *p = &r->policies.v[i];
        const char *at = path_of(causes, "%s[%zu]", policies, i);
        const char *period = path_of(causes, "%s.periodSeconds", at);
        choice_validate(str_or(p->type, ""), types, 2, path_of(causes, "%s.type", at), causes);
        if (p->value <= 0)
            cause_invalid_int(causes, path_of(causes, "%s.value", at), p->value,
                              "must be greater than zero");
        if (p->period_seconds <= 0)
            cause_invalid_int(causes, period, p->period_seconds, "must be greater than zero");
        if (p->period_seconds > PERIOD_SECONDS_MAX)
            cause_invalid_int(causes, period, p->period_seconds,
                              "must be less than or equal to 1800");
    }
}

/* Only what is not measured at the pods can tell that pods are needed when there are none. */
static bool has_outside_metric(const struct autoscaling_v2_horizontal_pod_autoscaler_spec *s) {
    for (size_t i = 0; i < s->metrics.n; i++)
        if (str_eq(s->metrics.v[i].type, "Object") || str_eq(s->metrics.v[i].type, "External"))
            return true;
    return false;
}

static void hpa_validate(const void *obj, const void *old_obj, const char *subresource,
                         struct api_causes *causes) {
    const struct autoscaling_v2_horizontal_pod_autoscaler *h = obj;
    const struct autoscaling_v2_horizontal_pod_autoscaler_spec *s = &h->spec;
    if (!str_empty(subresource)) return;
    if (s->min_replicas && *s->min_replicas < 0)
        cause_invalid_int(causes, "spec.minReplicas", *s->min_replicas,
                          "must be greater than or equal to 0");
    if (s->min_replicas && *s->min_replicas == 0 && !has_outside_metric(s))
        cause_forbidden(causes, "spec.metrics",
                        "must specify at least one Object or External metric to support scaling to "
                        "zero replicas");
    if (s->max_replicas < 1)
        cause_invalid_int(causes, "spec.maxReplicas", s->max_replicas, "must be greater than 0");
    if (s->min_replicas && s->max_replicas < *s->min_replicas)
        cause_invalid_int(causes, "spec.maxReplicas", s->max_replicas,
                          "must be greater than or equal to `minReplicas`");
    reference_validate(&s->scale_target_ref, "spec.scaleTargetRef", causes);
    for (size_t i = 0; i < s->metrics.n; i++)
        metric_validate(&s->metrics.v[i], path_of(causes, "spec.metrics[%zu]", i), causes);
    if (!s->behavior) return;
    rules_validate(s->behavior->scale_up, "spec.behavior.scaleUp", causes);
    rules_validate(s->behavior->scale_down, "spec.behavior.scaleDown", causes);
}

static const struct api_column columns[] = {
    COLUMN_NAME,
    COLUMN("Reference", "The controller that is scaled."),
    COLUMN("Targets", "Present and wanted values."),
    COLUMN("MinPods", "The least number of pods."),
    COLUMN("MaxPods", "The greatest number of pods."),
    COLUMN("Replicas", "How many pods there are."),
    COLUMN_AGE,
};

static void hpa_row(struct arena *a, const void *obj, int64_t now_ns, struct api_cell *cells) {
    const struct autoscaling_v2_horizontal_pod_autoscaler *h = obj;
    const struct autoscaling_v2_cross_version_object_reference *r = &h->spec.scale_target_ref;
    cells[0] = cell_text(h->metadata.name);
    cells[1] = cell_text(arena_printf(a, "%s/%s", str_or(r->kind, ""), str_or(r->name, "")));
    cells[2] = cell_text(hpa_targets_text(a, h));
    cells[3] =
        cell_text(h->spec.min_replicas ? arena_printf(a, "%d", *h->spec.min_replicas) : "<unset>");
    cells[4] = cell_int(h->spec.max_replicas);
    cells[5] = cell_int(h->status.current_replicas);
    cells[6] = cell_age(a, &h->metadata, now_ns);
}

static const struct api_behavior hpa_behavior = {
    .group = "autoscaling",
    .kind = "HorizontalPodAutoscaler",
    .defaults = hpa_defaults,
    .prepare = hpa_prepare,
    .validate = hpa_validate,
    .columns = columns,
    .n_columns = ARRAY_LEN(columns),
    .row = hpa_row,
};
API_BEHAVIOR(hpa_behavior);
