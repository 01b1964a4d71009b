/*
 * VerticalPodAutoscaler, the recommender: looks at what the target's pods use four times a minute,
 * keeps histograms of it, and writes what the containers should ask for into the status. What it
 * knows is in the world as a note, and once a minute in checkpoints.
 */
#include "api/values/quantity.h"
#include "base/own.h"
#include "base/times.h"
#include "controllers/autoscaling/vpa.h"
#include "controllers/common.h"

enum { WRITE_S = 60, FIRST_MS = 3000 /* until there is a first recommendation */ };
static const int64_t write_ns = WRITE_S * 1000000000ll;

typedef struct autoscaling_v1_vertical_pod_autoscaler_condition condition;

/* ---- pods ---- */

static int pods_by_labels(const struct world *w, struct plan *p, const char *ns,
                          const struct meta_v1_label_selector *ls, struct hpa_pods *ret,
                          const char **ret_error) {
    struct selector *s;
    struct err err;
    if (selector_from_labels(plan_arena(p), ls, &s, &err) < 0) {
        *ret_error = arena_str(plan_arena(p), err.text);
        return -1;
    }
    *ret = hpa_pods_of(w, plan_arena(p), ns, s);
    return 0;
}

/* Controllers without a number of replicas. true: it is one of them. */
static bool unscaled(const struct world *w, struct arena *a, const char *ns, const char *kind,
                     const char *name, const struct meta_v1_label_selector **ret) {
    const struct api_object *o;
    *ret = NULL;
    if (!str_eq(kind, "DaemonSet") && !str_eq(kind, "Job") && !str_eq(kind, "CronJob"))
        return false;
    if (!(o = world_get(w, kind, ns, name))) return true;
    if (str_eq(kind, "DaemonSet")) {
        *ret = ((const struct apps_v1_daemon_set *)o)->spec.selector;
    } else if (str_eq(kind, "Job")) {
        *ret = ((const struct batch_v1_job *)o)->spec.selector;
    } else {
        struct meta_v1_label_selector *s = ARENA_NEW(a, struct meta_v1_label_selector);
        s->match_labels =
            ((const struct batch_v1_cron_job *)o)->spec.job_template.spec.template.metadata.labels;
        *ret = s->match_labels.n ? s : NULL;
    }
    return true;
}

int vpa_pods_of(const struct world *w, struct plan *p, const vpa_object *v, struct hpa_pods *ret,
                int32_t *ret_replicas, const char **ret_error) {
    const struct autoscaling_v1_cross_version_object_reference *r = v->spec.target_ref;
    const struct meta_v1_label_selector *ls;
    struct arena *a = plan_arena(p);
    struct hpa_target t;
    struct selector *s;
    struct err err;
    *ret_replicas = -1;
    if (!r) {
        *ret_error = "targetRef not defined. If this is a v1beta1 object switch to v1.";
        return -1;
    }
    if (unscaled(w, a, v->metadata.namespace, r->kind, r->name, &ls)) {
        if (ls) return pods_by_labels(w, p, v->metadata.namespace, ls, ret, ret_error);
        *ret_error = arena_printf(a, "Cannot read targetRef. Reason: %s %s/%s does not exist",
                                  r->kind, v->metadata.namespace, str_or(r->name, ""));
        return -1;
    }
    const struct autoscaling_v2_cross_version_object_reference ref = {
        .api_version = r->api_version, .kind = r->kind, .name = r->name};
    int found = hpa_target_find(w, p, v->metadata.namespace, &ref, 0, &t, ret_error);
    if (found < 0) *ret_error = arena_printf(a, "Cannot read targetRef. Reason: %s", *ret_error);
    if (found) return found;
    if (str_empty(t.selector_text) || selector_parse(a, t.selector_text, &s, &err) < 0) {
        *ret_error = "Cannot read targetRef. Reason: its scale has no selector";
        return -1;
    }
    *ret_replicas = t.spec_replicas;
    *ret = hpa_pods_of(w, a, v->metadata.namespace, s);
    return 0;
}

/* ---- samples ---- */

static double request_of(const struct core_v1_pod *pod, const char *container,
                         const char *resource) {
    for (size_t i = 0; i < pod->spec.containers.n; i++)
        if (str_eq(pod->spec.containers.v[i].name, container))
            return (double)quantity_milli(
                       str_map_get(&pod->spec.containers.v[i].resources.requests, resource)) /
                   1000.0;
    return 0;
}

static void sample_kills(struct arena *a, struct vpa_state *s, const struct core_v1_pod *pod) {
    for (size_t i = 0; i < pod->status.container_statuses.n; i++) {
        const struct core_v1_container_status *c = &pod->status.container_statuses.v[i];
        const struct core_v1_container_state *states[] = {&c->state, &c->last_state};
        for (size_t j = 0; j < ARRAY_LEN(states); j++) {
            const struct core_v1_container_state_terminated *t = states[j]->terminated;
            int64_t at_ns;
            if (!t || !str_eq(t->reason, "OOMKilled") || str_empty(t->finished_at) ||
                time_parse(t->finished_at, &at_ns) < 0)
                continue;
            vpa_sample_kill(a, s, pod, c->name, request_of(pod, c->name, "memory"), at_ns);
        }
    }
}

static void sample(const struct world *w, struct arena *a, struct vpa_state *s,
                   const struct hpa_pods *pods, const struct pod_usages *usages) {
    for (size_t i = 0; i < pods->n; i++) {
        const struct core_v1_pod *pod = pods->v[i];
        const struct pod_usage *u =
            pod_usage_get(usages, pod->metadata.namespace, pod->metadata.name);
        for (size_t j = 0; u && j < u->n; j++) {
            const int64_t *cpu = container_usage_get(&u->v[j], "cpu");
            const int64_t *memory = container_usage_get(&u->v[j], "memory");
            if (!cpu || !memory) continue;
            vpa_sample(a, s, pod, u->v[j].name, (double)*cpu / 1000,
                       request_of(pod, u->v[j].name, "cpu"), (double)*memory / 1000,
                       u->at_ns ? u->at_ns : world_now_ns(w));
        }
        sample_kills(a, s, pod);
    }
}

/* ---- status ---- */

static void condition_set(const struct world *w, struct arena *a, vpa_object *v, const char *type,
                          bool status, const char *reason, const char *message) {
    condition *c = NULL;
    for (size_t i = 0; i < v->status.conditions.n; i++)
        if (str_eq(v->status.conditions.v[i].type, type)) c = &v->status.conditions.v[i];
    if (!c) *(c = ARENA_PUSH(a, &v->status.conditions)) = (condition){.type = type};
    const char *text = status ? "True" : "False";
    if (!str_eq(c->status, text)) c->last_transition_time = now_text(a, w);
    c->status = text;
    c->reason = reason;
    c->message = message;
}

static void condition_drop(vpa_object *v, const char *type) {
    for (size_t i = 0; i < v->status.conditions.n; i++)
        if (str_eq(v->status.conditions.v[i].type, type))
            v->status.conditions.v[i--] = v->status.conditions.v[--v->status.conditions.n];
}

static bool conditions_equal(const vpa_object *x, const vpa_object *y) {
    vpa_object copy = *x;
    copy.status.conditions = y->status.conditions;
    return api_equal(&autoscaling_v1_vertical_pod_autoscaler_type, x, &copy);
}

/* Amounts change with every sample: alone they are written once a minute. */
static bool must_write(const vpa_object *now, const vpa_object *before, struct vpa_state *s,
                       int64_t now_ns) {
    bool news = !conditions_equal(now, before) || !before->status.recommendation;
    if (api_equal(&autoscaling_v1_vertical_pod_autoscaler_type, now, before) ||
        (!news && now_ns - s->status_ns < write_ns))
        return false;
    s->status_ns = now_ns;
    return true;
}

static bool is_ours(const vpa_object *v) {
    return !v->spec.recommenders.n || str_eq(v->spec.recommenders.v[0].name, "default");
}

static void conclude(const struct world *w, struct arena *a, vpa_object *next, size_t pods,
                     const char *unsupported, const char *no_figures) {
    bool provided = next->status.recommendation != NULL;
    const char *reason = "", *message = "";
    if (unsupported || pods) condition_drop(next, "NoPodsMatched");
    if (!unsupported) condition_drop(next, "ConfigUnsupported");
    if (unsupported) {
        condition_set(w, a, next, "ConfigUnsupported", true, "", unsupported);
    } else if (!pods) {
        reason = "NoPodsMatched";
        message = "No pods match this VPA object";
        condition_set(w, a, next, "NoPodsMatched", true, reason, message);
    } else if (!provided && no_figures) {
        reason = "FetchingMetrics";
        message = no_figures;
    }
    condition_set(w, a, next, "RecommendationProvided", provided, provided ? "" : reason,
                  provided ? "" : message);
}

static int reconcile(const struct world *w, const char *key, struct plan *p, struct err *err) {
    struct arena *a = plan_arena(p);
    const char *ns, *name, *unsupported = NULL, *error = NULL;
    struct hpa_pods pods = {0};
    const struct pod_usages *usages = NULL;
    int32_t replicas;
    (void)err;
    key_split(a, key, &ns, &name);
    const vpa_object *v = (const void *)world_get(w, "VerticalPodAutoscaler", ns, name);
    if (!v || v->metadata.deletion_timestamp || !is_ours(v)) {
        vpa_state_drop(w, p, ns, name);
        return 0;
    }
    bool due = vpa_state_due(w, a, v);
    enum metric_state metrics = metrics_of_pods(
        w, p, v->status.recommendation ? VPA_SAMPLE_S * 1000 : FIRST_MS, &usages, &error);
    int found = vpa_pods_of(w, p, v, &pods, &replicas, &unsupported);
    if (found > 0 || metrics == METRIC_UNKNOWN || !due) return 0;
    struct vpa_state *s = vpa_state_read(w, a, v);
    int64_t now_ns = world_now_ns(w);
    vpa_object *next = (void *)api_object_copy(
        a, api_kind_by_name("autoscaling.k8s.io", "v1", "VerticalPodAutoscaler"),
        (const struct api_object *)v);
    if (usages) sample(w, a, s, &pods, usages);
    if (s->containers.n) s->sampled_ns = now_ns;
    next->status.recommendation = vpa_estimate(a, v, s);
    conclude(w, a, next, pods.n, found < 0 ? unsupported : NULL, error);
    bool write = must_write(next, v, s, now_ns);
    bool save = now_ns - s->saved_ns >= write_ns && s->containers.n;
    if (save) s->saved_ns = now_ns;
    vpa_state_write(p, v, s);
    if (write) plan_update_status(p, (const struct api_object *)next);
    if (save) vpa_checkpoint(w, p, v, s);
    return 0;
}

static const char *const watches[] = {"VerticalPodAutoscaler", "VerticalPodAutoscalerCheckpoint",
                                      VPA_TARGETS, "Pod", NULL};
static const struct reconciler recommender = {.name = "verticalpodautoscaler",
                                              .kind = "VerticalPodAutoscaler",
                                              .watches = watches,
                                              .map = map_own_kind,
                                              .reconcile = reconcile};
RECONCILER(recommender);
