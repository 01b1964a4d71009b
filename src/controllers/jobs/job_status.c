/* Job: exact counting, conditions, the end. */
#include <string.h>

#include "api/rules/pods.h"
#include "base/own.h"
#include "base/times.h"
#include "controllers/jobs/job.h"

enum { UNCOUNTED_MAX = 500 };

struct batch_v1_job_condition *job_condition(struct batch_v1_job_status *s, const char *type) {
    for (size_t i = 0; i < s->conditions.n; i++)
        if (str_eq(s->conditions.v[i].type, type)) return &s->conditions.v[i];
    return NULL;
}

bool job_condition_true(const struct batch_v1_job_status *s, const char *type) {
    for (size_t i = 0; i < s->conditions.n; i++)
        if (str_eq(s->conditions.v[i].type, type)) return str_eq(s->conditions.v[i].status, "True");
    return false;
}

const struct batch_v1_job_condition *job_finished(const struct batch_v1_job *job) {
    for (size_t i = 0; i < job->status.conditions.n; i++) {
        const struct batch_v1_job_condition *c = &job->status.conditions.v[i];
        if (str_eq(c->status, "True") && (str_eq(c->type, "Complete") || str_eq(c->type, "Failed")))
            return c;
    }
    return NULL;
}

void job_condition_set(struct job_view *v, const char *type, const char *status, const char *reason,
                       const char *message) {
    struct batch_v1_job_condition *c = job_condition(v->s, type);
    if (c && str_eq(c->status, status)) return;
    if (!c) c = ARENA_PUSH(v->a, &v->s->conditions);
    const char *now = now_text(v->a, v->w);
    *c = (struct batch_v1_job_condition){.type = type,
                                         .status = status,
                                         .last_probe_time = now,
                                         .last_transition_time = now,
                                         .reason = reason,
                                         .message = message};
}

/* ---- counting ---- */

static struct job_pod *tracked_find(struct job_view *v, const char *uid) {
    for (size_t i = 0; i < v->pods.n; i++)
        if (v->pods.v[i].tracked && str_eq(v->pods.v[i].pod->metadata.uid, uid))
            return &v->pods.v[i];
    return NULL;
}

/* Counts those that have lost their finalizer; keeps the others. */
static int32_t settle(struct job_view *v, const struct str_list *old, struct str_list *left) {
    int32_t counted = 0;
    for (size_t i = 0; i < old->n; i++) {
        struct job_pod *x = tracked_find(v, old->v[i]);
        if (!x) {
            counted++;
            continue;
        }
        x->listed = true;
        *ARENA_PUSH(v->a, left) = old->v[i];
    }
    return counted;
}

/* The pod that says how often its index has failed stays until another pod says it. */
static bool held(const struct job_view *v, const struct job_pod *x) {
    return v->per_index && x->index >= 0 && x->index < v->limit &&
           !index_set_has(v->failed, x->index) && !index_set_has(v->completed, x->index) &&
           !job_condition_true(v->s, "FailureTarget") &&
           !job_condition_true(v->s, "SuccessCriteriaMet") && !v->fail_message &&
           !job_replaced(v, x);
}

/* Whether the pod may lose its finalizer: it is in the list, or there was room in it. */
static bool list_add(struct job_view *v, struct job_pod *x, struct str_list *list) {
    struct batch_v1_uncounted_terminated_pods *u = v->s->uncounted_terminated_pods;
    if (x->listed) return true;
    if (u->succeeded.n + u->failed.n >= UNCOUNTED_MAX) return false;
    *ARENA_PUSH(v->a, list) = x->pod->metadata.uid;
    return x->listed = true;
}

static void indexes_sort(struct job_view *v) {
    struct index_list done = {0}, failed = {0};
    bool ended =
        job_condition_true(v->s, "FailureTarget") || job_condition_true(v->s, "SuccessCriteriaMet");
    int32_t limit = v->per_index ? *v->job->spec.backoff_limit_per_index : 0;
    for (size_t i = 0; i < v->pods.n; i++) {
        const struct job_pod *x = &v->pods.v[i];
        if (x->index < 0 || x->index >= v->limit) continue;
        if (x->succeeded && x->tracked) *ARENA_PUSH(v->a, &done) = x->index;
        /* A pod that goes because the Job ends is no failure of its index. */
        if (v->per_index && !ended && x->failed &&
            (x->action == JOB_FAIL_INDEX || x->failures > limit))
            *ARENA_PUSH(v->a, &failed) = x->index;
    }
    v->completed = index_set_with(v->a, v->completed, done);
    struct index_list lost = {0};
    for (size_t i = 0; i < failed.n; i++)
        if (!index_set_has(v->completed, failed.v[i])) *ARENA_PUSH(v->a, &lost) = failed.v[i];
    v->failed = index_set_with(v->a, v->failed, lost);
}

void job_count(struct job_view *v) {
    struct batch_v1_uncounted_terminated_pods *u =
        ARENA_NEW(v->a, struct batch_v1_uncounted_terminated_pods);
    const struct batch_v1_uncounted_terminated_pods *old = v->job->status.uncounted_terminated_pods;
    int64_t waiting = 0;
    if (old) {
        v->s->succeeded += settle(v, &old->succeeded, &u->succeeded);
        v->s->failed += settle(v, &old->failed, &u->failed);
    }
    v->s->uncounted_terminated_pods = u;
    if (v->indexed) indexes_sort(v);
    for (size_t i = 0; i < v->pods.n; i++) {
        struct job_pod *x = &v->pods.v[i];
        bool go = false;
        if (!x->tracked || (!x->succeeded && !x->failed)) continue;
        if (x->succeeded)
            go = v->indexed || list_add(v, x, &u->succeeded);
        else if (held(v, x))
            waiting += x->action != JOB_IGNORE;
        else
            go = x->action == JOB_IGNORE || list_add(v, x, &u->failed);
        if (go) *ARENA_PUSH(v->a, &v->strip) = x->pod;
    }
    if (v->indexed) v->s->succeeded = (int32_t)index_set_count(v->completed);
    v->s->completed_indexes = index_set_text(v->a, v->completed);
    if (v->per_index) {
        v->s->failed_indexes = index_set_text(v->a, v->failed);
        if (!v->s->failed_indexes) v->s->failed_indexes = "";
    }
    v->succeeded_n = v->s->succeeded + (int64_t)u->succeeded.n;
    v->failed_n = v->s->failed + (int64_t)u->failed.n + waiting;
}

/* ---- the end ---- */

/* Pods that restart their containers themselves: their restarts are the failures. */
static bool restarted_too_often(const struct job_view *v) {
    int64_t n = 0, limit = int_or(v->job->spec.backoff_limit, 6);
    if (!str_eq(v->job->spec.template.spec.restart_policy, "OnFailure")) return false;
    for (size_t i = 0; i < v->pods.n; i++) {
        const struct core_v1_pod_status *s = &v->pods.v[i].pod->status;
        if (!v->pods.v[i].active) continue;
        for (size_t k = 0; k < s->container_statuses.n; k++)
            n += s->container_statuses.v[k].restart_count;
        for (size_t k = 0; k < s->init_container_statuses.n; k++)
            n += s->init_container_statuses.v[k].restart_count;
    }
    return limit == 0 ? n > 0 : n >= limit;
}

static bool past_deadline(struct job_view *v) {
    int64_t start_ns;
    if (!v->job->spec.active_deadline_seconds || bool_or(v->job->spec.suspend, false) ||
        time_parse(str_or(v->s->start_time, ""), &start_ns) < 0)
        return false;
    int64_t limit_ms;
    if (__builtin_mul_overflow(*v->job->spec.active_deadline_seconds, 1000, &limit_ms))
        return false;
    int64_t left_ms = limit_ms - (world_now_ns(v->w) - start_ns) / 1000000;
    if (left_ms > 0) plan_requeue(v->p, (uint64_t)left_ms);
    return left_ms <= 0;
}

static bool judge_failure(struct job_view *v) {
    int64_t lost = index_set_count(v->failed);
    const char *reason = NULL, *message = NULL;
    if (v->fail_message) {
        reason = "PodFailurePolicy";
        message = v->fail_message;
    } else if (v->failed_n > int_or(v->job->spec.backoff_limit, 6) || restarted_too_often(v)) {
        reason = "BackoffLimitExceeded";
        message = "Job has reached the specified backoff limit";
    } else if (past_deadline(v)) {
        reason = "DeadlineExceeded";
        message = "Job was active longer than specified deadline";
    } else if (v->job->spec.max_failed_indexes && lost > *v->job->spec.max_failed_indexes) {
        reason = "MaxFailedIndexesExceeded";
        message = "Job has exceeded the specified maximal number of failed indexes";
    } else if (lost > 0 && lost + v->succeeded_n >= v->completions) {
        reason = "FailedIndexes";
        message = "Job has failed indexes";
    }
    if (reason) job_condition_set(v, "FailureTarget", "True", reason, message);
    return reason != NULL;
}

void job_judge(struct job_view *v) {
    if (job_condition_true(v->s, "FailureTarget") || job_condition_true(v->s, "SuccessCriteriaMet"))
        return;
    if (judge_failure(v)) return;
    int32_t rule = v->indexed ? job_success_rule(v) : -1;
    if (rule >= 0)
        job_condition_set(v, "SuccessCriteriaMet", "True", "SuccessPolicy",
                          arena_printf(v->a, "Matched rules at index %d", rule));
    else if (v->completions < 0 ? v->succeeded_n > 0 && v->active_n == 0
                                : v->succeeded_n >= v->completions)
        job_condition_set(v, "SuccessCriteriaMet", "True", "CompletionsReached",
                          "Reached expected number of succeeded pods");
}

void job_end(struct job_view *v) {
    const struct batch_v1_uncounted_terminated_pods *u = v->s->uncounted_terminated_pods;
    if (v->active_n || v->terminating_n || u->succeeded.n || u->failed.n) return;
    for (size_t i = 0; i < v->pods.n; i++)
        if (v->pods.v[i].tracked && !v->indexed) return;
    bool failed = job_condition_true(v->s, "FailureTarget");
    const struct batch_v1_job_condition why =
        *job_condition(v->s, failed ? "FailureTarget" : "SuccessCriteriaMet");
    job_condition_set(v, failed ? "Failed" : "Complete", "True", why.reason, why.message);
    if (!failed) v->s->completion_time = now_text(v->a, v->w);
}
