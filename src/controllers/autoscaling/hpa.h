/*
 * HorizontalPodAutoscaler: what its files share. hpa.c decides and writes, hpa_target.c finds what
 * is scaled, hpa_metrics.c asks each figure how many pods it wants, hpa_replicas.c computes that,
 * hpa_limits.c keeps changes within the behaviour and remembers what led to them.
 */
#pragma once

#include "api/values/selector.h"
#include "controllers/autoscaling/metrics.h"

typedef struct autoscaling_v2_horizontal_pod_autoscaler hpa_object;

enum { HPA_TOLERANCE_PERCENT = 10, HPA_SAMPLE_MS = 1000 };

/* What is scaled. */
struct hpa_target {
    const struct api_object *object; /* apiVersion, kind, namespace and name: to write to */
    int32_t spec_replicas, status_replicas;
    const char *selector_text;
};
struct hpa_pods {
    const struct core_v1_pod **v;
    size_t n;
};
struct hpa_run {
    const struct world *w;
    struct plan *p;
    struct arena *a;
    const char *key;
    const hpa_object *hpa;
    hpa_object *next; /* a copy with the new status */
    struct hpa_target target;
    struct hpa_pods pods; /* that the selector selects */
    bool waiting;         /* for a first answer: no decision yet */
};

/* ---- hpa_target.c ---- */
/* 0; or < 0 with *ret_error; or 1: the answer is still to come. changed_ns: when the number was
 * last changed by whom this is for; an older answer does not count. */
int hpa_target_find(const struct world *w, struct plan *p, const char *ns,
                    const struct autoscaling_v2_cross_version_object_reference *ref,
                    int64_t changed_ns, struct hpa_target *ret, const char **ret_error);
struct hpa_pods hpa_pods_of(const struct world *w, struct arena *a, const char *ns,
                            const struct selector *s);
/* Names of all autoscalers whose pods are also this one's, itself among them, as "{name ns} …";
 * NULL: only this one. */
const char *hpa_rivals(struct hpa_run *r);

/* ---- hpa_metrics.c ---- */
/* What one figure says. */
struct hpa_proposal {
    int32_t replicas;
    const char *metric; /* its name for people */
    const char *reason; /* of a failure: for the condition and the event; NULL: replicas holds */
    const char *error;  /* the message of both */
    const char *detail; /* the same for the summary over all figures */
};
/* Asks it, and fills its entry of the status. */
struct hpa_proposal hpa_metric(struct hpa_run *r, const struct autoscaling_v2_metric_spec *m,
                               struct autoscaling_v2_metric_status *status);

/* ---- hpa_replicas.c: pure arithmetic ---- */
/* One pod's. */
struct hpa_figure {
    bool known; /* there is a value */
    int64_t milli, at_ns, window_ns;
    int64_t request_milli; /* holds without a value, too */
};
struct hpa_question {
    const struct hpa_pods *pods;
    const struct hpa_figure *figures; /* one for each of these */
    bool cpu;                         /* figures of pods that are starting do not count */
    bool utilization;                 /* in percent of request_milli; else a plain mean */
    int64_t target;                   /* percent, or thousandths */
    int32_t replicas;                 /* now */
    int64_t now_ns;
};
struct hpa_answer {
    int32_t replicas;
    int32_t percent; /* present utilization */
    int64_t milli;   /* present mean */
};
/* 0, or < 0 with *ret_error. */
int hpa_replicas_by_pods(struct arena *a, const struct hpa_question *q, struct hpa_answer *ret,
                         const char **ret_error);
/* Of a figure about something else: value/target times the ready pods. */
int hpa_replicas_by_ratio(const struct hpa_pods *pods, int64_t value, int64_t target,
                          int32_t replicas, int32_t *ret, const char **ret_error);
/* Of a value that is spread over the pods. */
void hpa_replicas_by_share(int64_t value, int64_t target, int32_t status_replicas, int32_t *ret,
                           int64_t *ret_share);

/* ---- hpa_limits.c ---- */
/* What is remembered of a key: what was recommended, what was changed. */
struct hpa_memory {
    struct hpa_advice {
        int64_t from_ns, until_ns;
        int32_t low, high;
    } * v; /* oldest first */
    size_t n;
    struct hpa_change {
        int64_t at_ns;
        int32_t added; /* negative: taken away */
    } * changes;
    size_t n_changes;
    int64_t status_ns; /* when the status was last written */
};
struct hpa_memory hpa_memory_read(struct hpa_run *r);
/* Into the plan, when it differs from what is there. */
void hpa_memory_write(struct hpa_run *r, const struct hpa_memory *m);
void hpa_memory_changed(struct hpa_run *r, struct hpa_memory *m, int32_t added);
struct hpa_verdict {
    int32_t replicas;
    const char *able_reason, *able_message; /* AbleToScale */
    bool limited;
    const char *limited_reason, *limited_message; /* ScalingLimited */
};
/* Keeps desired within windows, rates and bounds, and remembers it. */
struct hpa_verdict hpa_limit(struct hpa_run *r, struct hpa_memory *m, int32_t desired, int32_t min);
