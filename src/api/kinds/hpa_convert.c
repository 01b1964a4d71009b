/*
 * HorizontalPodAutoscaler: autoscaling/v1 made from the stored autoscaling/v2 and back. What v1 has
 * no field for is carried in annotations, so that a client that reads and writes v1 loses nothing.
 */
#include "api/codec/convert.h"
#include "api/kinds/hpa_annotations.h"
#include "api/kinds/kinds.h"
#include "api/patch/patch.h"
#include "base/own.h"
#include "proto/json.h"

/* `part` of an encoded spec or status becomes an annotation, unless there is nothing of it. */
static void carry(struct arena *a, const struct api_type *t, const void *obj, const char *part,
                  const char *key, struct str_map *annotations) {
    OWN(buf_done) struct buf b = {0};
    OWN(json_decref_p) json_t *all = NULL, *value = NULL;
    api_encode(&b, t, obj);
    if (json_parse(buf_view(&b), &all, NULL) < 0) return;
    value = hpa_annotation_from(key, json_object_get(all, part));
    if (!value) return;
    OWN(buf_done) struct buf text = {0};
    json_write(&text, value);
    str_map_set(a, annotations, key, arena_strn(a, buf_view(&text)));
}

/* A spec or status with nothing but this part; NULL: there is no such annotation. */
static void *carried(struct arena *a, const struct api_type *t, const struct str_map *annotations,
                     const char *part, const char *key) {
    const char *text = str_map_get(annotations, key);
    OWN(json_decref_p) json_t *value = NULL, *all = json_object();
    OWN(buf_done) struct buf b = {0};
    void *p = NULL;
    if (!text || json_parse(slice_of(text), &value, NULL) < 0) return NULL;
    json_t *back = hpa_annotation_to(key, value);
    if (!back) return NULL;
    json_object_set_new(all, part, back);
    json_write(&b, all);
    return api_decode(a, t, buf_view(&b), NULL, &p, NULL) < 0 ? NULL : p;
}

static void annotations_without(struct arena *a, struct str_map *m) {
    struct str_map kept = {0};
    for (size_t i = 0; i < m->n; i++)
        if (!str_eq(m->v[i].key, HPA_METRICS) && !str_eq(m->v[i].key, HPA_BEHAVIOR) &&
            !str_eq(m->v[i].key, HPA_CONDITIONS) && !str_eq(m->v[i].key, HPA_CURRENT))
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
    more.behavior = from->behavior;
    const struct api_type *t = &autoscaling_v2_horizontal_pod_autoscaler_spec_type;
    carry(a, t, &more, "metrics", HPA_METRICS, &to->metadata.annotations);
    carry(a, t, &more, "behavior", HPA_BEHAVIOR, &to->metadata.annotations);
}

static void status_to_v1(struct arena *a,
                         const struct autoscaling_v2_horizontal_pod_autoscaler_status *from,
                         struct autoscaling_v1_horizontal_pod_autoscaler *to) {
    const struct api_type *t = &autoscaling_v2_horizontal_pod_autoscaler_status_type;
    to->status.observed_generation = from->observed_generation;
    to->status.last_scale_time = from->last_scale_time;
    to->status.current_replicas = from->current_replicas;
    to->status.desired_replicas = from->desired_replicas;
    for (size_t i = 0; i < from->current_metrics.n; i++) {
        const int32_t *now = cpu_current(&from->current_metrics.v[i]);
        if (now && !to->status.current_cpu_utilization_percentage)
            to->status.current_cpu_utilization_percentage = arena_copy(a, now, sizeof *now);
    }
    carry(a, t, from, "currentMetrics", HPA_CURRENT, &to->metadata.annotations);
    carry(a, t, from, "conditions", HPA_CONDITIONS, &to->metadata.annotations);
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
        carried(a, t, annotations, "metrics", HPA_METRICS);
    to->scale_target_ref = (struct autoscaling_v2_cross_version_object_reference){
        from->spec.scale_target_ref.kind, from->spec.scale_target_ref.name,
        from->spec.scale_target_ref.api_version};
    to->min_replicas = from->spec.min_replicas;
    to->max_replicas = from->spec.max_replicas;
    if (from->spec.target_cpu_utilization_percentage)
        cpu_metric(a, *from->spec.target_cpu_utilization_percentage, &to->metrics);
    for (size_t i = 0; more && i < more->metrics.n; i++)
        *ARENA_PUSH(a, &to->metrics) = more->metrics.v[i];
    more = carried(a, t, annotations, "behavior", HPA_BEHAVIOR);
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
    more = carried(a, t, &from->metadata.annotations, "currentMetrics", HPA_CURRENT);
    if (more) to->status.current_metrics = more->current_metrics;
    more = carried(a, t, &from->metadata.annotations, "conditions", HPA_CONDITIONS);
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
