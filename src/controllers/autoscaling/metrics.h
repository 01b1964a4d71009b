/*
 * Figures that autoscalers go by, as facts of the world: who wants one says so in the plan, and
 * finds the newest answer in the world. Nothing is asked while no autoscaler wants it. Values are
 * thousandths of the unit (of a core, of a byte, …), rounded up.
 */
#pragma once

#include "client/engine.h"

enum metric_state {
    METRIC_UNKNOWN, /* asked for; no answer yet */
    METRIC_ERROR,   /* *ret_error says why */
    METRIC_KNOWN,
};

/* What one container uses. */
struct container_usage {
    const char *name;
    struct resource_amount {
        const char *resource;
        int64_t milli;
    } * v;
    size_t n;
};
struct pod_usage {
    int64_t at_ns, window_ns; /* measured over the window that ends then */
    struct container_usage *v;
    size_t n;
};
/* metrics.k8s.io, of all pods: asked once for everybody, as often as who wants it most often. */
struct pod_usages;
enum metric_state metrics_of_pods(const struct world *w, struct plan *p, uint64_t period_ms,
                                  const struct pod_usages **ret, const char **ret_error);
const struct pod_usage *pod_usage_get(const struct pod_usages *u, const char *ns,
                                      const char *pod); /* NULL: no figures */
const int64_t *container_usage_get(const struct container_usage *c, const char *resource);

/* custom.metrics.k8s.io and external.metrics.k8s.io. */
struct metric_values {
    struct metric_value {
        const char *object; /* name of what it is about; "" for external ones */
        int64_t at_ns, window_ns, milli;
    } * v;
    size_t n;
    const char *error; /* something in it is no number: none of it counts */
};
/* Each pod that the selector text selects. */
enum metric_state metrics_custom_pods(const struct world *w, struct plan *p, const char *ns,
                                      const char *selector, const char *metric,
                                      const char *metric_selector, const struct metric_values **ret,
                                      const char **ret_error);
/* One object: resource is "PLURAL.GROUP", or "" for the namespace itself. */
enum metric_state metrics_custom_object(const struct world *w, struct plan *p, const char *ns,
                                        const char *resource, const char *name, const char *metric,
                                        const char *metric_selector,
                                        const struct metric_values **ret, const char **ret_error);
enum metric_state metrics_external(const struct world *w, struct plan *p, const char *ns,
                                   const char *metric, const char *metric_selector,
                                   const struct metric_values **ret, const char **ret_error);

/* The text of a selector: "a=b,c in (d,e),!f"; "" selects everything. */
const char *selector_query(struct arena *a, const struct meta_v1_label_selector *s);

/* For the fuzzer: what answers are read with. */
void *metrics_read_pods(struct arena *a, struct slice body);
void *metrics_read_values(struct arena *a, struct slice body);

#define METRICS_PODS_PATH "/apis/metrics.k8s.io/v1beta1/pods"
