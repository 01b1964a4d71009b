/* The figures of an autoscaler in one cell. */
#include "api/kinds/hpa.h"

enum { LISTED_MAX = 2 };
#define UNKNOWN "<unknown>"

static const char *percent_text(struct arena *a, const int32_t *percent, const char *absent) {
    return percent ? arena_printf(a, "%d%%", *percent) : absent;
}

/* What is, of the status entry at the same place and of the same type. */
static const struct autoscaling_v2_metric_value_status *
present(const struct autoscaling_v2_metric_status *s, const char *type) {
    if (!s || !str_eq(s->type, type)) return NULL;
    if (s->object) return &s->object->current;
    if (s->pods) return &s->pods->current;
    if (s->resource) return &s->resource->current;
    if (s->container_resource) return &s->container_resource->current;
    return s->external ? &s->external->current : NULL;
}

static const char *resource_text(struct arena *a, const char *name,
                                 const struct autoscaling_v2_metric_target *t,
                                 const struct autoscaling_v2_metric_value_status *now) {
    if (t->average_value)
        return arena_printf(a, "%s: %s/%s", name,
                            now ? str_or(now->average_value, UNKNOWN) : UNKNOWN, t->average_value);
    return arena_printf(a, "%s: %s/%s", name,
                        percent_text(a, now ? now->average_utilization : NULL, UNKNOWN),
                        percent_text(a, t->average_utilization, "<auto>"));
}

static const char *value_text(struct arena *a, const struct autoscaling_v2_metric_target *t,
                              const struct autoscaling_v2_metric_value_status *now, bool mark) {
    if (t->average_value)
        return arena_printf(a, "%s/%s%s", now ? str_or(now->average_value, UNKNOWN) : UNKNOWN,
                            t->average_value, mark ? " (avg)" : "");
    return arena_printf(a, "%s/%s", now ? str_or(now->value, UNKNOWN) : UNKNOWN,
                        str_or(t->value, "<auto>"));
}

const char *hpa_targets_text(struct arena *a,
                             const struct autoscaling_v2_horizontal_pod_autoscaler *h) {
    OWN(buf_done) struct buf b = {0};
    size_t n = h->spec.metrics.n;
    for (size_t i = 0; i < n && i < LISTED_MAX; i++) {
        const struct autoscaling_v2_metric_spec *m = &h->spec.metrics.v[i];
        const struct autoscaling_v2_metric_value_status *now = present(
            i < h->status.current_metrics.n ? &h->status.current_metrics.v[i] : NULL, m->type);
        const char *text = "<unknown type>";
        if (m->resource)
            text = resource_text(a, str_or(m->resource->name, ""), &m->resource->target, now);
        else if (m->container_resource)
            text = resource_text(a, str_or(m->container_resource->name, ""),
                                 &m->container_resource->target, now);
        else if (m->pods)
            text = value_text(a, &m->pods->target, now, false);
        else if (m->object)
            text = value_text(a, &m->object->target, now, true);
        else if (m->external)
            text = value_text(a, &m->external->target, now, true);
        text_join(&b, ", ", text);
    }
    if (n > LISTED_MAX) buf_printf(&b, " + %zu more...", n - LISTED_MAX);
    return text_copy(a, &b, NONE_TEXT);
}
