/* Amounts from histograms: percentiles with a margin, and bounds that are the wider the less has
 * been seen. */
#include <math.h>

#include "api/values/quantity.h"
#include "base/own.h"
#include "controllers/autoscaling/vpa.h"

static const double margin = 1.15;
static const double target_part = 0.9, lower_part = 0.5, upper_part = 0.95;
static const double pod_least_cores = 0.025, pod_least_bytes = 250.0 * 1024 * 1024;
static const double day_ns = 24.0 * 3600 * 1e9;
static const double samples_a_day = 24.0 * 3600 / VPA_SAMPLE_S;
static const double most = 1e14; /* thousandths of a core, bytes: as good as no bound */

/* In days, of which every quarter of a minute was seen. */
static double confidence_of(const struct vpa_container *c) {
    return fmin((double)(c->last_ns - c->first_ns) / day_ns, (double)c->samples / samples_a_day);
}

struct amounts {
    double target, lower, upper;
};

static struct amounts amounts_of(const struct histogram *h, double confidence, double least) {
    struct amounts m = {margin * histogram_percentile(h, target_part),
                        margin * histogram_percentile(h, lower_part),
                        margin * histogram_percentile(h, upper_part)};
    m.lower *= confidence > 0 ? pow(1 + 0.001 / confidence, -2) : 0;
    m.upper *= confidence > 0 ? 1 + 1 / confidence : INFINITY;
    m.target = fmax(m.target, least);
    m.lower = fmax(m.lower, least);
    m.upper = fmax(m.upper, least); /* INFINITY · 0 is no number: least */
    return m;
}

static const char *cores_text(struct arena *a, double cores) {
    return quantity_from_milli(a, (int64_t)ceil(fmin(cores * 1000, most) - 1e-9));
}

static const char *bytes_text(struct arena *a, double bytes) {
    return quantity_from_bytes(a, (int64_t)ceil(fmin(bytes, most) - 1e-9));
}

static void put(struct arena *a, const vpa_policy *p, const char *resource, const struct amounts *m,
                const char *(*text)(struct arena *a, double amount),
                struct autoscaling_v1_recommended_container_resources *r) {
    if (!vpa_controls(p, resource)) return;
    const char *target = text(a, m->target);
    str_map_set(a, &r->uncapped_target, resource, target);
    str_map_set(a, &r->target, resource, vpa_within(p, resource, target));
    str_map_set(a, &r->lower_bound, resource, vpa_within(p, resource, text(a, m->lower)));
    str_map_set(a, &r->upper_bound, resource, vpa_within(p, resource, text(a, m->upper)));
}

struct autoscaling_v1_recommended_pod_resources *vpa_estimate(struct arena *a, const vpa_object *v,
                                                              const struct vpa_state *s) {
    struct autoscaling_v1_recommended_pod_resources *out =
        ARENA_NEW(a, struct autoscaling_v1_recommended_pod_resources);
    for (size_t i = 0; i < s->containers.n; i++) {
        const struct vpa_container *c = s->containers.v[i];
        const vpa_policy *p = vpa_policy_of(v, c->name);
        if (vpa_policy_is_off(p) || !c->samples) continue;
        double confidence = confidence_of(c), parts = (double)s->containers.n;
        struct amounts cpu = amounts_of(&c->cpu, confidence, pod_least_cores / parts);
        struct amounts memory = amounts_of(&c->memory, confidence, pod_least_bytes / parts);
        struct autoscaling_v1_recommended_container_resources r = {.container_name = c->name};
        put(a, p, "cpu", &cpu, cores_text, &r);
        put(a, p, "memory", &memory, bytes_text, &r);
        *ARENA_PUSH(a, &out->container_recommendations) = r;
    }
    return out->container_recommendations.n ? out : NULL;
}
