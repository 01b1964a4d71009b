/*
 * HorizontalPodAutoscaler: as many pods as the figures ask for. Runs whenever a figure has come in
 * (metrics.h), every second or two while there is an autoscaler, and writes only what changed: the
 * number through the target's scale subresource, the reasons into conditions and Events.
 */
#include "controllers/autoscaling/hpa.h"

#include "base/own.h"
#include "base/times.h"
#include "controllers/common.h"

enum {
    RETRY_MS = 2000, /* when there is nothing to wait for an answer from */
    FIGURES_S = 5,   /* figures alone are written into the status no more often */
};

typedef struct autoscaling_v2_horizontal_pod_autoscaler_condition condition;

/* ---- conditions and events ---- */

static condition *condition_find(hpa_object *h, const char *type) {
    for (size_t i = 0; i < h->status.conditions.n; i++)
        if (str_eq(h->status.conditions.v[i].type, type)) return &h->status.conditions.v[i];
    return NULL;
}

static void condition_set(struct hpa_run *r, const char *type, bool status, const char *reason,
                          const char *message) {
    const char *text = status ? "True" : "False";
    condition *c = condition_find(r->next, type);
    if (!c) {
        c = ARENA_PUSH(r->a, &r->next->status.conditions);
        *c = (condition){.type = type};
    }
    if (!str_eq(c->status, text)) c->last_transition_time = now_text(r->a, r->w);
    c->status = text;
    c->reason = reason;
    c->message = message;
}

/* Whether the stored object says this already: then it is no news. */
static bool is_news(struct hpa_run *r, const char *type, const char *reason, const char *message) {
    const condition *c = condition_find((hpa_object *)r->hpa, type);
    return !c || !str_eq(c->reason, reason) || !str_eq(c->message, message);
}

/* A failure: condition, and an Event when it is new. */
static void fail_with(struct hpa_run *r, const char *type, const char *reason, const char *message,
                      const char *event) {
    if (is_news(r, type, reason, message))
        plan_event(r->p, (const struct api_object *)r->hpa, "Warning", reason, "%s", event);
    condition_set(r, type, false, reason, message);
}

/* ---- status ---- */

static bool status_differs(struct hpa_run *r, bool with_figures) {
    hpa_object now = *r->next;
    if (!with_figures) now.status.current_metrics = r->hpa->status.current_metrics;
    return !api_equal(&autoscaling_v2_horizontal_pod_autoscaler_type, r->hpa, &now);
}

/* The memory, then the status. Figures change all the time: alone they wait a little. */
static void finish(struct hpa_run *r, struct hpa_memory *m) {
    int64_t now = world_now_ns(r->w);
    if (r->hpa->metadata.generation) {
        r->next->status.observed_generation = ARENA_NEW(r->a, int64_t);
        *r->next->status.observed_generation = r->hpa->metadata.generation;
    }
    bool due = now - m->status_ns >= FIGURES_S * (int64_t)1000000000;
    bool write = status_differs(r, due);
    if (write) m->status_ns = now;
    hpa_memory_write(r, m);
    if (write) plan_update_status(r->p, (const struct api_object *)r->next);
}

/* ---- all figures together ---- */

/* The selected pods; false: said why. */
static bool select_pods(struct hpa_run *r, const char **ret_error) {
    const hpa_object *h = r->hpa;
    struct selector *s;
    struct err err;
    if (str_empty(r->target.selector_text)) {
        *ret_error = "selector is required";
        if (is_news(r, "ScalingActive", "InvalidSelector",
                    "the HPA target's scale is missing a selector"))
            plan_event(r->p, (const struct api_object *)h, "Warning", "SelectorRequired", "%s",
                       *ret_error);
        condition_set(r, "ScalingActive", false, "InvalidSelector",
                      "the HPA target's scale is missing a selector");
        return false;
    }
    if (selector_parse(r->a, r->target.selector_text, &s, &err) < 0) {
        *ret_error = arena_printf(
            r->a, "couldn't convert selector into a corresponding internal selector object: %s",
            err.text);
        fail_with(r, "ScalingActive", "InvalidSelector", *ret_error, *ret_error);
        return false;
    }
    r->pods = hpa_pods_of(r->w, r->a, h->metadata.namespace, s);
    const char *rivals = hpa_rivals(r);
    if (!rivals) return true;
    *ret_error = arena_printf(r->a, "pods by selector %s are controlled by multiple HPAs: [%s]",
                              r->target.selector_text, rivals);
    fail_with(r, "ScalingActive", "AmbiguousSelector", *ret_error, *ret_error);
    return false;
}

/* The most that any figure asks for; < 0: none can be trusted, *ret_error says why. */
static int32_t by_metrics(struct hpa_run *r, const char **ret_metric, const char **ret_error) {
    const struct autoscaling_v2_metric_spec_list *metrics = &r->hpa->spec.metrics;
    struct hpa_proposal first_bad = {0};
    int32_t replicas = 0;
    size_t bad = 0;
    r->next->status.current_metrics.v =
        ARENA_ARRAY(r->a, struct autoscaling_v2_metric_status, metrics->n);
    r->next->status.current_metrics.n = metrics->n;
    *ret_metric = "";
    for (size_t i = 0; i < metrics->n; i++) {
        struct hpa_proposal p =
            hpa_metric(r, &metrics->v[i], &r->next->status.current_metrics.v[i]);
        if (p.reason) {
            if (!bad++) first_bad = p;
        } else if (!**ret_metric || p.replicas > replicas) {
            replicas = p.replicas;
            *ret_metric = p.metric;
        }
    }
    if (r->waiting) return -1;
    *ret_error =
        !bad ? NULL
             : arena_printf(r->a, "invalid metrics (%zu invalid out of %zu), first error is: %s",
                            bad, metrics->n, first_bad.detail);
    if (bad && (bad == metrics->n || replicas < r->target.spec_replicas)) {
        fail_with(r, "ScalingActive", first_bad.reason,
                  arena_printf(r->a, "the HPA was unable to compute the replica count: %s",
                               first_bad.error),
                  first_bad.error);
        return -1;
    }
    condition_set(r, "ScalingActive", true, "ValidMetricFound",
                  arena_printf(r->a,
                               "the HPA was able to successfully calculate a replica count from %s",
                               *ret_metric));
    return replicas;
}

/* ---- the decision ---- */

struct decision {
    int32_t replicas;
    bool rescale, failed;
    const char *reason;
};

static struct decision decide_by_metrics(struct hpa_run *r, struct hpa_memory *m, int32_t min) {
    int32_t now = r->target.spec_replicas;
    struct decision d = {.replicas = now, .failed = true};
    const char *metric = "", *error = NULL;
    int32_t wanted = select_pods(r, &error) ? by_metrics(r, &metric, &error) : -1;
    if (r->waiting) return d;
    if (wanted < 0) {
        const condition *c = condition_find(r->next, "ScalingActive");
        if (is_news(r, "ScalingActive", c->reason, c->message))
            plan_event(r->p, (const struct api_object *)r->hpa, "Warning",
                       "FailedComputeMetricsReplicas", "%s", error);
        return d;
    }
    struct hpa_verdict v = hpa_limit(r, m, wanted, min);
    condition_set(r, "AbleToScale", true, v.able_reason, v.able_message);
    condition_set(r, "ScalingLimited", v.limited, v.limited_reason, v.limited_message);
    d.failed = false;
    d.replicas = v.replicas;
    d.rescale = v.replicas != now;
    d.reason =
        wanted > now ? arena_printf(r->a, "%s above target", metric) : "All metrics below target";
    return d;
}

static struct decision decide(struct hpa_run *r, struct hpa_memory *m) {
    int32_t now = r->target.spec_replicas, max = r->hpa->spec.max_replicas;
    int32_t min = int_or(r->hpa->spec.min_replicas, 1);
    if (now == 0 && min != 0) {
        condition_set(r, "ScalingActive", false, "ScalingDisabled",
                      "scaling is disabled since the replica count of the target is zero");
        return (struct decision){.replicas = 0};
    }
    if (now > max)
        return (struct decision){max, true, false,
                                 "Current number of replicas above Spec.MaxReplicas"};
    if (now < min)
        return (struct decision){min, true, false,
                                 "Current number of replicas below Spec.MinReplicas"};
    return decide_by_metrics(r, m, min);
}

static void scale(struct hpa_run *r, struct hpa_memory *m, const struct decision *d) {
    const char *text = arena_printf(r->a, "New size: %d; reason: %s", d->replicas, d->reason);
    const char *patch = arena_printf(r->a, "{\"spec\":{\"replicas\":%d}}", d->replicas);
    plan_patch(r->p, r->target.object, "scale", "application/merge-patch+json", slice_of(patch));
    plan_report_as(r->p, (const struct api_object *)r->hpa, "SuccessfulRescale", text,
                   "FailedRescale", arena_printf(r->a, "%s;", text));
    hpa_memory_changed(r, m, d->replicas - r->target.spec_replicas);
}

/* The number, then what is remembered of it, then the status: each holds only if the one before
 * was done. When the last attempt failed, that is said first: this one may fail, too. */
static void rescale(struct hpa_run *r, struct hpa_memory *m, const struct decision *d) {
    const char *failure = plan_last_failure(r->p);
    if (failure) {
        condition_set(r, "AbleToScale", false, "FailedUpdateScale",
                      arena_printf(r->a,
                                   "the HPA controller was unable to update the target scale: %s",
                                   failure));
        finish(r, m);
        scale(r, m, d);
        hpa_memory_write(r, m);
        return;
    }
    scale(r, m, d);
    condition_set(r, "AbleToScale", true, "SucceededRescale",
                  arena_printf(r->a, "the HPA controller was able to update the target scale to %d",
                               d->replicas));
    r->next->status.last_scale_time = now_text(r->a, r->w);
    finish(r, m);
}

/* The time in the status counts whole seconds. */
static int64_t changed_before_ns(const hpa_object *h) {
    int64_t ns = 0;
    if (str_empty(h->status.last_scale_time) || time_parse(h->status.last_scale_time, &ns) < 0)
        return 0;
    return ns + 1000000000;
}

static void run(struct hpa_run *r) {
    const hpa_object *h = r->hpa;
    struct hpa_memory m = hpa_memory_read(r);
    const char *error = NULL;
    int found = hpa_target_find(r->w, r->p, h->metadata.namespace, &h->spec.scale_target_ref,
                                changed_before_ns(h), &r->target, &error);
    if (found > 0) return; /* its answer wakes us */
    if (found < 0) {
        fail_with(r, "AbleToScale", "FailedGetScale",
                  arena_printf(r->a,
                               "the HPA controller was unable to get the target's current scale: "
                               "%s",
                               error),
                  error);
        finish(r, &m);
        plan_requeue(r->p, RETRY_MS);
        return;
    }
    condition_set(r, "AbleToScale", true, "SucceededGetScale",
                  "the HPA controller was able to get the target's current scale");
    struct decision d = decide(r, &m);
    uint64_t period;
    if (!plan_want_at(r->p, 0, &period)) plan_requeue(r->p, RETRY_MS);
    if (r->waiting) return;
    r->next->status.current_replicas = r->target.spec_replicas;
    if (!d.failed) r->next->status.desired_replicas = d.replicas;
    if (d.rescale)
        rescale(r, &m, &d);
    else
        finish(r, &m);
}

static int reconcile(const struct world *w, const char *key, struct plan *p, struct err *err) {
    (void)err;
    struct hpa_run r = {.w = w, .p = p, .a = plan_arena(p), .key = key};
    r.hpa = (const hpa_object *)world_by_key(w, "HorizontalPodAutoscaler", key);
    if (!r.hpa || r.hpa->metadata.deletion_timestamp) return 0;
    r.next = (hpa_object *)api_object_copy(
        r.a, api_kind_by_name("autoscaling", "v2", "HorizontalPodAutoscaler"),
        (const struct api_object *)r.hpa);
    run(&r);
    return 0;
}

/* What else it sees is looked at whenever figures come in. */
static const char *const watches[] = {
    "HorizontalPodAutoscaler", "Deployment", "ReplicaSet", "StatefulSet",
    "ReplicationController",   "Pod",        NULL};
static const struct reconciler hpa_reconciler = {.name = "horizontalpodautoscaler",
                                                 .kind = "HorizontalPodAutoscaler",
                                                 .watches = watches,
                                                 .map = map_own_kind,
                                                 .reconcile = reconcile};
RECONCILER(hpa_reconciler);
