/*
 * HorizontalPodAutoscaler: autoscaling/v1 made from the stored autoscaling/v2 and back. What v1 has
 * no field for is carried in annotations, so that a client that reads and writes v1 loses nothing.
 */
#include "api/codec/convert.h"
#include "api/kinds/kinds.h"

#define METRICS_KEY "autoscaling.alpha.kubernetes.io/metrics"
#define BEHAVIOR_KEY "autoscaling.alpha.kubernetes.io/behavior"
#define CONDITIONS_KEY "autoscaling.alpha.kubernetes.io/conditions"
#define CURRENT_KEY "autoscaling.alpha.kubernetes.io/current-metrics"

/* One JSON text: a spec (metrics, behavior) or a status (currentMetrics, conditions) that holds
 * nothing but the part in question. */
static const char *spec_text(struct arena *a,
                             const struct autoscaling_v2_horizontal_pod_autoscaler_spec *s) {
    OWN(buf_done) struct buf b = {0};
    api_encode(&b, &autoscaling_v2_horizontal_pod_autoscaler_spec_type, s);
    return arena_strn(a, buf_view(&b));
}
static const char *status_text(struct arena *a,
                               const struct autoscaling_v2_horizontal_pod_autoscaler_status *s) {
    OWN(buf_done) struct buf b = {0};
    api_encode(&b, &autoscaling_v2_horizontal_pod_autoscaler_status_type, s);
    return arena_strn(a, buf_view(&b));
}

static void *carried(struct arena *a, const struct api_type *t, const struct str_map *annotations,
                     const char *key) {
    const char *text = str_map_get(annotations, key);
    void *p = NULL;
    if (!text || api_decode(a, t, slice_of(text), NULL, &p, NULL) < 0) return NULL;
    return p;
}

static void annotations_without(struct arena *a, struct str_map *m) {
    struct str_map kept = {0};
    for (size_t i = 0; i < m->n; i++)
        if (!str_eq(m->v[i].key, METRICS_KEY) && !str_eq(m->v[i].key, BEHAVIOR_KEY) &&
            !str_eq(m->v[i].key, CONDITIONS_KEY) && !str_eq(m->v[i].key, CURRENT_KEY))
            *ARENA_PUSH(a, &kept) = m->v[i];
    *m = kept;
}

static const int32_t *cpu_target(const struct autoscaling_v2_metric_spec *m) {
    if (!str_eq(m->type, "Resource") || !m->resource || !str_eq(m->resource->name, "cpu"))
        return NULL;
    return m->resource->target.average_utilization;
}

static const int32_t *cpu_current(const struct autoscaling_v2_metric_status *m) {
    if (!str_eq(m->type, "Resource") || !m->resource || !str_eq(m->resource->name, "cpu"))
        return NULL;
    return m->resource->current.average_utilization;
}

static void spec_to_v1(struct arena *a,
                       const struct autoscaling_v2_horizontal_pod_autoscaler_spec *from,
                       struct autoscaling_v1_horizontal_pod_autoscaler *to) {
    struct autoscaling_v2_horizontal_pod_autoscaler_spec more = {0};
    to->spec.scale_target_ref = (struct autoscaling_v1_cross_version_object_reference){
        from->scale_target_ref.kind, from->scale_target_ref.name,
        from->scale_target_ref.api_version};
    to->spec.min_replicas = from->min_replicas;
    to->spec.max_replicas = from->max_replicas;
    for (size_t i = 0; i < from->metrics.n; i++) {
        const int32_t *target = cpu_target(&from->metrics.v[i]);
        if (target && !to->spec.target_cpu_utilization_percentage)
            to->spec.target_cpu_utilization_percentage = arena_copy(a, target, sizeof *target);
        else
            *ARENA_PUSH(a, &more.metrics) = from->metrics.v[i];
    }
    if (more.metrics.n) str_map_set(a, &to->metadata.annotations, METRICS_KEY, spec_text(a, &more));
    if (!from->behavior) return;
    more = (struct autoscaling_v2_horizontal_pod_autoscaler_spec){.behavior = from->behavior};
    str_map_set(a, &to->metadata.annotations, BEHAVIOR_KEY, spec_text(a, &more));
}

static void status_to_v1(struct arena *a,
                         const struct autoscaling_v2_horizontal_pod_autoscaler_status *from,
                         struct autoscaling_v1_horizontal_pod_autoscaler *to) {
    struct autoscaling_v2_horizontal_pod_autoscaler_status more = {0};
    to->status.observed_generation = from->observed_generation;
    to->status.last_scale_time = from->last_scale_time;
    to->status.current_replicas = from->current_replicas;
    to->status.desired_replicas = from->desired_replicas;
    for (size_t i = 0; i < from->current_metrics.n; i++) {
        const int32_t *now = cpu_current(&from->current_metrics.v[i]);
        if (now && !to->status.current_cpu_utilization_percentage)
            to->status.current_cpu_utilization_percentage = arena_copy(a, now, sizeof *now);
        *ARENA_PUSH(a, &more.current_metrics) = from->current_metrics.v[i];
    }
    if (more.current_metrics.n)
        str_map_set(a, &to->metadata.annotations, CURRENT_KEY, status_text(a, &more));
    if (!from->conditions.n) return;
    more = (struct autoscaling_v2_horizontal_pod_autoscaler_status){.conditions = from->conditions};
    str_map_set(a, &to->metadata.annotations, CONDITIONS_KEY, status_text(a, &more));
}

static void *to_v1(struct arena *a, const void *obj) {
    const struct autoscaling_v2_horizontal_pod_autoscaler *from = obj;
    struct autoscaling_v1_horizontal_pod_autoscaler *to =
        ARENA_NEW(a, struct autoscaling_v1_horizontal_pod_autoscaler);
    to->metadata = from->metadata;
    spec_to_v1(a, &from->spec, to);
    status_to_v1(a, &from->status, to);
    return to;
}

static void cpu_metric(struct arena *a, int32_t percent,
                       struct autoscaling_v2_metric_spec_list *ret) {
    struct autoscaling_v2_resource_metric_source *r =
        ARENA_NEW(a, struct autoscaling_v2_resource_metric_source);
    r->name = "cpu";
    r->target.type = "Utilization";
    r->target.average_utilization = arena_copy(a, &percent, sizeof percent);
    *ARENA_PUSH(a, ret) = (struct autoscaling_v2_metric_spec){.type = "Resource", .resource = r};
}

static void spec_to_v2(struct arena *a, const struct autoscaling_v1_horizontal_pod_autoscaler *from,
                       struct autoscaling_v2_horizontal_pod_autoscaler_spec *to) {
    const struct str_map *annotations = &from->metadata.annotations;
    const struct api_type *t = &autoscaling_v2_horizontal_pod_autoscaler_spec_type;
    const struct autoscaling_v2_horizontal_pod_autoscaler_spec *more =
        carried(a, t, annotations, METRICS_KEY);
    to->scale_target_ref = (struct autoscaling_v2_cross_version_object_reference){
        from->spec.scale_target_ref.kind, from->spec.scale_target_ref.name,
        from->spec.scale_target_ref.api_version};
    to->min_replicas = from->spec.min_replicas;
    to->max_replicas = from->spec.max_replicas;
    if (from->spec.target_cpu_utilization_percentage)
        cpu_metric(a, *from->spec.target_cpu_utilization_percentage, &to->metrics);
    for (size_t i = 0; more && i < more->metrics.n; i++)
        *ARENA_PUSH(a, &to->metrics) = more->metrics.v[i];
    more = carried(a, t, annotations, BEHAVIOR_KEY);
    if (more) to->behavior = more->behavior;
}

static void *to_v2(struct arena *a, const void *obj) {
    const struct autoscaling_v1_horizontal_pod_autoscaler *from = obj;
    struct autoscaling_v2_horizontal_pod_autoscaler *to =
        ARENA_NEW(a, struct autoscaling_v2_horizontal_pod_autoscaler);
    const struct api_type *t = &autoscaling_v2_horizontal_pod_autoscaler_status_type;
    const struct autoscaling_v2_horizontal_pod_autoscaler_status *more;
    to->metadata = from->metadata;
    spec_to_v2(a, from, &to->spec);
    to->status.observed_generation = from->status.observed_generation;
    to->status.last_scale_time = from->status.last_scale_time;
    to->status.current_replicas = from->status.current_replicas;
    to->status.desired_replicas = from->status.desired_replicas;
    more = carried(a, t, &from->metadata.annotations, CURRENT_KEY);
    if (more) to->status.current_metrics = more->current_metrics;
    more = carried(a, t, &from->metadata.annotations, CONDITIONS_KEY);
    if (more) to->status.conditions = more->conditions;
    annotations_without(a, &to->metadata.annotations);
    return to;
}

static const struct api_conversion hpa_out = {&autoscaling_v2_horizontal_pod_autoscaler_type,
                                              &autoscaling_v1_horizontal_pod_autoscaler_type,
                                              to_v1};
API_CONVERSION(hpa_out);
static const struct api_conversion hpa_in = {&autoscaling_v1_horizontal_pod_autoscaler_type,
                                             &autoscaling_v2_horizontal_pod_autoscaler_type, to_v2};
API_CONVERSION(hpa_in);
