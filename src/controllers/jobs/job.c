/* Job: pods until enough of them have succeeded, or too many have failed. */
#include "controllers/jobs/job.h"

#include <string.h>

#include "api/rules/pods.h"
#include "base/own.h"

static int32_t index_of(const struct core_v1_pod *pod) {
    const char *text = str_map_get(&pod->metadata.annotations, JOB_INDEX_KEY);
    uint64_t n;
    return text && slice_u64(slice_of(text), &n) == 0 && n < INT32_MAX ? (int32_t)n : -1;
}

static int32_t failures_said(const struct core_v1_pod *pod, const char *key) {
    int64_t n = annotation_int((const struct api_object *)pod, key);
    return (int32_t)MIN_OF(MAX_OF(n, (int64_t)0), (int64_t)INT32_MAX / 2);
}

static void classify(struct job_view *v, struct job_pod *x) {
    const struct core_v1_pod *pod = x->pod;
    bool dying = pod_is_terminating(pod), ended = pod_is_terminal(pod);
    x->tracked = job_tracks(pod);
    x->index = v->indexed ? index_of(pod) : -1;
    x->succeeded = str_eq(pod->status.phase, "Succeeded");
    x->terminating = dying && !ended;
    /* One without an owner is being adopted just now. */
    x->abandoned =
        !dying && !ended && !x->tracked && api_controller_of((const struct api_object *)pod);
    x->active = !dying && !ended && !x->abandoned;
    /* One that no node has can end in no other way than by going. */
    bool lost = x->terminating && (!v->waits_for_end || str_empty(pod->spec.node_name));
    x->failed = (str_eq(pod->status.phase, "Failed") || lost) && (x->tracked || !dying);
    if (x->failed) x->action = job_failure_action(v, pod);
    if (x->failed || x->succeeded) x->end_ns = job_pod_end_ns(pod, world_now_ns(v->w));
    if (v->per_index) {
        x->failures = failures_said(pod, JOB_FAILURES_KEY);
        x->ignored = failures_said(pod, JOB_IGNORED_KEY);
        if (x->failed) *(x->action == JOB_IGNORE ? &x->ignored : &x->failures) += 1;
    }
    v->active_n += x->active;
    v->ready_n += x->active && pod_is_ready(pod);
    v->terminating_n += x->terminating;
}

static void view_make(struct job_view *v) {
    const struct batch_v1_job_spec *spec = &v->job->spec;
    v->indexed = str_eq(spec->completion_mode, "Indexed");
    v->per_index = v->indexed && spec->backoff_limit_per_index;
    v->waits_for_end = str_eq(spec->pod_replacement_policy, "Failed") || spec->pod_failure_policy;
    v->completions = int_or(spec->completions, -1);
    v->limit = v->indexed ? MAX_OF(v->completions, 0) : 0;
    v->s = api_copy(v->a, &batch_v1_job_status_type, &v->job->status);
    v->completed = index_set_parse(v->a, v->s->completed_indexes, v->limit);
    v->failed = index_set_parse(v->a, v->s->failed_indexes, v->limit);
    job_claim(v);
    for (size_t i = 0; i < v->pods.n; i++) classify(v, &v->pods.v[i]);
    if (v->per_index) job_order(v);
}

/* Started, suspended, resumed. */
static void note_suspension(struct job_view *v, bool suspended) {
    bool was = job_condition_true(v->s, "Suspended");
    if (suspended) {
        job_condition_set(v, "Suspended", "True", "JobSuspended", "Job suspended");
        return;
    }
    if (job_condition(v->s, "Suspended"))
        job_condition_set(v, "Suspended", "False", "JobResumed", "Job resumed");
    if (was || str_empty(v->s->start_time)) v->s->start_time = now_text(v->a, v->w);
}

static void tell(struct job_view *v, const char *type, const char *event, const char *message) {
    const struct api_object *o = (const struct api_object *)v->job;
    bool was = job_condition_true(&v->job->status, type), is = job_condition_true(v->s, type);
    if (is && !was) plan_event(v->p, o, "Normal", event, "%s", message);
}

static void tell_all(struct job_view *v) {
    const struct api_object *o = (const struct api_object *)v->job;
    const struct batch_v1_job_condition *failed = job_condition(v->s, "Failed");
    tell(v, "Complete", "Completed", "Job completed");
    tell(v, "Suspended", "Suspended", "Job suspended");
    if (job_condition_true(&v->job->status, "Suspended") && !job_condition_true(v->s, "Suspended"))
        plan_event(v->p, o, "Normal", "Resumed", "Job resumed");
    if (failed && !job_condition_true(&v->job->status, "Failed"))
        plan_event(v->p, o, "Warning", failed->reason, "%s", failed->message);
}

/* What the run's own deletes and creates make of the number of active pods; 0 when they may fail.
 */
static void write_status(struct job_view *v, int32_t change) {
    v->s->active = v->active_n + change;
    v->s->ready = int_new(v->a, v->ready_n);
    v->s->terminating = int_new(v->a, v->terminating_n);
    if (!api_equal(&batch_v1_job_status_type, v->s, &v->job->status)) {
        struct batch_v1_job *copy = arena_copy(v->a, v->job, sizeof *v->job);
        copy->status = *v->s;
        plan_update_status(v->p, (const struct api_object *)copy);
        tell_all(v);
    }
    for (size_t i = 0; i < v->strip.n; i++) job_strip(v, v->strip.v[i]);
}

static int32_t change_pods(struct job_view *v) {
    if (job_condition_true(v->s, "FailureTarget")) return -job_delete_active(v, false);
    if (job_condition_true(v->s, "SuccessCriteriaMet") || job_condition_true(v->s, "Suspended"))
        return -job_delete_active(v, true);
    return job_scale(v);
}

static void job_sync(struct job_view *v) {
    bool failed_before = plan_last_failure(v->p) != NULL;
    view_make(v);
    job_delete_abandoned(v);
    job_count(v);
    bool ending =
        job_condition_true(v->s, "FailureTarget") || job_condition_true(v->s, "SuccessCriteriaMet");
    if (!ending) note_suspension(v, bool_or(v->job->spec.suspend, false));
    job_judge(v);
    if (job_condition_true(v->s, "FailureTarget") || job_condition_true(v->s, "SuccessCriteriaMet"))
        job_end(v);
    /* After a failure the status goes first, so that it gets out even when the next one fails. */
    if (failed_before) write_status(v, 0);
    int32_t change = change_pods(v);
    if (!failed_before) write_status(v, change);
}

/* Pods of a Job that has ended or goes away need not be counted. */
static void let_go(struct job_view *v, bool all) {
    job_claim(v);
    for (size_t i = 0; i < v->pods.n; i++) {
        const struct core_v1_pod *pod = v->pods.v[i].pod;
        if (job_tracks(pod) && (all || !pod_is_active(pod))) job_strip(v, pod);
    }
}

static int reconcile(const struct world *w, const char *key, struct plan *p, struct err *err) {
    (void)err;
    const char *ns, *name;
    key_split(plan_arena(p), key, &ns, &name);
    const struct batch_v1_job *job = (const struct batch_v1_job *)world_get(w, "Job", ns, name);
    job_orphans(w, ns, name, p);
    if (!job) return 0;
    const char *manager = job->spec.managed_by;
    if (!str_empty(manager) && !str_eq(manager, "kubernetes.io/job-controller")) return 0;
    struct job_view v = {.w = w, .job = job, .p = p, .a = plan_arena(p)};
    if (job_finished(job))
        let_go(&v, true);
    else if (!str_empty(job->metadata.deletion_timestamp))
        let_go(&v, false);
    else
        job_sync(&v);
    return 0;
}

static bool selects(const struct api_object *o, const struct str_map *labels) {
    return labels_match(((const struct batch_v1_job *)o)->spec.selector, labels);
}

static void map(const struct reconciler *r, const struct world *w, const struct api_kind *k,
                const struct api_object *now, const struct api_object *old, struct keys *out) {
    static const char *const claimed[] = {"Pod", NULL};
    adoption_map(r, w, k, now, old, out, claimed, selects);
}

static const char *const watches[] = {"Job", "Pod", NULL};
static const struct reconciler job_reconciler = {
    .name = "job", .kind = "Job", .watches = watches, .map = map, .reconcile = reconcile};
RECONCILER(job_reconciler);
