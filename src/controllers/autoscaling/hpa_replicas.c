/* How many pods a figure asks for. Upstream's rules: pods that are starting, ending or without
 * figures are taken so that they can only slow a change down, never turn it round. */
#include <math.h>

#include "api/rules/pods.h"
#include "base/own.h"
#include "base/times.h"
#include "controllers/autoscaling/hpa.h"

static const int64_t second_ns = 1000000000;
enum { INITIALIZATION_S = 5 * 60, FIRST_READINESS_S = 30, FULL_PERCENT = 100 };

static bool within_tolerance(double ratio) {
    return fabs(1.0 - ratio) <= HPA_TOLERANCE_PERCENT / 100.0 + 1e-9;
}

/* Never beyond what replicas can count. */
static int32_t ceil_count(double n) {
    if (!(n > 0)) return 0;
    double c = ceil(n - 1e-9);
    return c >= INT32_MAX ? INT32_MAX : (int32_t)c;
}

/* ---- kinds of pods ---- */

enum group { POD_READY, POD_UNREADY, POD_MISSING, POD_IGNORED };

static int64_t time_or_zero(const char *text) {
    int64_t ns = 0;
    return !str_empty(text) && time_parse(text, &ns) == 0 ? ns : 0;
}

/* Whether a pod's CPU time is still that of its start. */
static bool is_starting(const struct core_v1_pod *pod, const struct hpa_figure *f, int64_t now_ns) {
    const struct core_v1_pod_condition *c = pod_condition_get(pod, "Ready");
    if (!c || str_empty(pod->status.start_time)) return true;
    int64_t start = time_or_zero(pod->status.start_time);
    int64_t since = time_or_zero(c->last_transition_time);
    bool unready = str_eq(c->status, "False");
    if (start + INITIALIZATION_S * second_ns > now_ns)
        return unready || f->at_ns < since + f->window_ns;
    return unready && start + FIRST_READINESS_S * second_ns > since;
}

static enum group group_of(const struct hpa_question *q, const struct core_v1_pod *pod,
                           const struct hpa_figure *f) {
    if (pod_is_terminating(pod) || str_eq(pod->status.phase, "Failed")) return POD_IGNORED;
    if (str_eq(pod->status.phase, "Pending")) return POD_UNREADY;
    if (!f->known) return POD_MISSING;
    return q->cpu && is_starting(pod, f, q->now_ns) ? POD_UNREADY : POD_READY;
}

/* ---- sums ---- */

struct sum {
    int64_t value, request;
    size_t n;
};

static void sum_add(struct sum *s, int64_t value, int64_t request) {
    if (__builtin_add_overflow(s->value, value, &s->value)) s->value = INT64_MAX;
    if (__builtin_add_overflow(s->request, request, &s->request)) s->request = INT64_MAX;
    s->n++;
}

static int64_t percent_of(const struct sum *s) {
    double p = (double)s->value * 100.0 / (double)s->request;
    return p >= INT32_MAX ? INT32_MAX : (int64_t)p;
}

/* What is, relative to the target. */
static double ratio_of(const struct hpa_question *q, const struct sum *s) {
    if (q->utilization) return (double)percent_of(s) / (double)q->target;
    int64_t mean = s->value / (int64_t)s->n; /* upstream rounds here, too */
    return (double)mean / (double)q->target;
}

struct groups {
    struct sum ready;
    struct {
        int64_t *v; /* requests */
        size_t n;
    } unready, missing;
};

static struct groups groups_of(struct arena *a, const struct hpa_question *q) {
    struct groups g = {0};
    for (size_t i = 0; i < q->pods->n; i++) {
        const struct core_v1_pod *pod = q->pods->v[i];
        const struct hpa_figure *f = &q->figures[i];
        enum group kind = group_of(q, pod, f);
        if (kind == POD_READY) sum_add(&g.ready, f->milli, f->request_milli);
        if (kind == POD_UNREADY) *ARENA_PUSH(a, &g.unready) = f->request_milli;
        if (kind == POD_MISSING) *ARENA_PUSH(a, &g.missing) = f->request_milli;
    }
    return g;
}

/* A missing pod counts against the change: as idle when more are wanted, as busy when fewer. */
static int64_t missing_value(const struct hpa_question *q, double ratio, int64_t request) {
    if (ratio >= 1.0) return 0;
    if (!q->utilization) return q->target;
    return (int64_t)((double)request * (double)MAX_OF(q->target, (int64_t)FULL_PERCENT) / 100.0);
}

int hpa_replicas_by_pods(struct arena *a, const struct hpa_question *q, struct hpa_answer *ret,
                         const char **ret_error) {
    if (!q->pods->n) {
        *ret_error = "no pods returned by selector while calculating replica count";
        return -1;
    }
    struct groups g = groups_of(a, q);
    if (!g.ready.n) {
        *ret_error = "did not receive metrics for any ready pods";
        return -1;
    }
    if (q->utilization && g.ready.request <= 0) {
        *ret_error = "no metrics returned matched known pods";
        return -1;
    }
    double ratio = ratio_of(q, &g.ready);
    *ret = (struct hpa_answer){.replicas = q->replicas,
                               .percent = q->utilization ? (int32_t)percent_of(&g.ready) : 0,
                               .milli = g.ready.value / (int64_t)g.ready.n};
    bool with_unready = g.unready.n && ratio > 1.0;
    if (!with_unready && !g.missing.n) {
        if (!within_tolerance(ratio)) ret->replicas = ceil_count(ratio * (double)g.ready.n);
        return 0;
    }
    struct sum all = g.ready;
    for (size_t i = 0; i < g.missing.n; i++)
        sum_add(&all, missing_value(q, ratio, g.missing.v[i]), g.missing.v[i]);
    for (size_t i = 0; with_unready && i < g.unready.n; i++) sum_add(&all, 0, g.unready.v[i]);
    double again = ratio_of(q, &all);
    if (within_tolerance(again) || (ratio < 1.0 && again > 1.0) || (ratio > 1.0 && again < 1.0))
        return 0;
    int32_t wanted = ceil_count(again * (double)all.n);
    if ((again < 1.0 && wanted > q->replicas) || (again > 1.0 && wanted < q->replicas)) return 0;
    ret->replicas = wanted;
    return 0;
}

/* ---- figures about something else ---- */

int hpa_replicas_by_ratio(const struct hpa_pods *pods, int64_t value, int64_t target,
                          int32_t replicas, int32_t *ret, const char **ret_error) {
    double ratio = (double)value / (double)target;
    size_t ready = 0;
    if (replicas == 0) { /* from none: as many as it takes, or none still */
        *ret = ceil_count(ratio);
        return 0;
    }
    if (within_tolerance(ratio)) {
        *ret = replicas;
        return 0;
    }
    if (!pods->n) {
        *ret_error = "unable to calculate ready pods: no pods returned by selector while "
                     "calculating replica count";
        return -1;
    }
    for (size_t i = 0; i < pods->n; i++)
        ready += str_eq(pods->v[i]->status.phase, "Running") && pod_is_ready(pods->v[i]);
    *ret = ceil_count(ratio * (double)ready);
    return 0;
}

void hpa_replicas_by_share(int64_t value, int64_t target, int32_t status_replicas, int32_t *ret,
                           int64_t *ret_share) {
    *ret = status_replicas;
    *ret_share = value;
    double ratio = status_replicas ? (double)value / ((double)target * status_replicas) : INFINITY;
    if (!within_tolerance(ratio)) *ret = ceil_count((double)value / (double)target);
    if (status_replicas) *ret_share = (int64_t)ceil((double)value / status_replicas);
}
