/*
 * The Job reconciler's parts: job.c (the run as a whole), job_pods.c (which pods it has, makes and
 * deletes), job_policy.c (what a failure means, how long to wait), job_status.c (counting and
 * conditions).
 *
 * Counting is exact. Every pod has a finalizer. A pod that has ended gets into
 * status.uncountedTerminatedPods first, loses its finalizer then, and is counted when the world
 * shows that it has lost it: whatever fails between, no pod is counted twice or never. Succeeded
 * indexes are a set and need no such list.
 */
#pragma once

#include "controllers/common.h"
#include "controllers/jobs/index_set.h"

#define JOB_FINALIZER "batch.kubernetes.io/job-tracking"
#define JOB_INDEX_KEY "batch.kubernetes.io/job-completion-index"
#define JOB_FAILURES_KEY "batch.kubernetes.io/job-index-failure-count"
#define JOB_IGNORED_KEY "batch.kubernetes.io/job-index-ignored-failure-count"

enum job_action { JOB_COUNT, JOB_IGNORE, JOB_FAIL_INDEX, JOB_FAIL_JOB };

struct job_pod {
    const struct core_v1_pod *pod;
    int32_t index; /* −1: none */
    bool tracked;  /* has the finalizer */
    bool succeeded, failed, active;
    bool abandoned;            /* untracked by us to be deleted, which has not come about */
    bool terminating;          /* on its way out, neither ended nor active */
    bool listed;               /* among the uncounted of the status */
    enum job_action action;    /* of a failed one */
    int32_t failures, ignored; /* of its index, with this one: only with backoffLimitPerIndex */
    int64_t end_ns;            /* of one that has ended */
};

struct job_view {
    const struct world *w;
    const struct batch_v1_job *job;
    struct plan *p;
    struct arena *a;
    struct batch_v1_job_status *s; /* what will be written */
    struct {
        struct job_pod *v;
        size_t n;
    } pods;
    bool indexed, per_index, waits_for_end; /* podReplacementPolicy Failed */
    int32_t completions;                    /* −1: not given */
    int32_t limit;                          /* of indexes: completions, 0 without */
    struct index_set completed, failed;     /* indexes */
    int64_t succeeded_n, failed_n;          /* with those not counted yet */
    int32_t active_n, ready_n, terminating_n;
    /* Pods that have an index, by index and number of failures: only with backoffLimitPerIndex. */
    struct {
        struct job_pod **v;
        size_t n;
    } by_index;
    /* A FailJob rule has matched: the condition's message. */
    const char *fail_message;
    /* Pods whose finalizer goes once the status is written. */
    struct {
        const struct core_v1_pod **v;
        size_t n;
    } strip;
};

/* ---- job_pods.c ---- */

/* Owned pods that match; releases others, adopts matching orphans. */
void job_claim(struct job_view *v);
/* Takes the finalizer off the pods of that name's Job that is gone. */
void job_orphans(const struct world *w, const char *ns, const char *name, struct plan *p);
void job_strip(struct job_view *v, const struct core_v1_pod *pod);
bool job_tracks(const struct core_v1_pod *pod);
/* Makes and deletes as parallelism and completions ask for. Returns the change of active pods. */
int32_t job_scale(struct job_view *v);
/* Deletes all active pods; uncounted: they lose their finalizer first. Returns how many. */
int32_t job_delete_active(struct job_view *v, bool uncounted);
/* Deletes those that lost their finalizer for that, when something came between. */
void job_delete_abandoned(struct job_view *v);

/* ---- job_policy.c ---- */

/* What podFailurePolicy says about a failed pod; sets v->fail_message when it is FailJob. */
enum job_action job_failure_action(struct job_view *v, const struct core_v1_pod *pod);
/* Number of the rule that is met, −1 when none is. */
int32_t job_success_rule(const struct job_view *v);
/* Milliseconds until a pod may be made after n failures in a row, the last at end_ns; 0: now. */
uint64_t job_backoff_ms(const struct job_view *v, int64_t n, int64_t end_ns);
/* The same for the Job as a whole, by the pods that are still there. */
uint64_t job_wait_ms(const struct job_view *v);
/* Sorts v->by_index. */
void job_order(struct job_view *v);
/* The pod of that index that failed last; NULL when none has. */
const struct job_pod *job_last_failure(const struct job_view *v, int32_t index);
/* Whether another pod of its index has taken over its count of failures. */
bool job_replaced(const struct job_view *v, const struct job_pod *x);
int64_t job_pod_end_ns(const struct core_v1_pod *pod, int64_t now_ns);

/* ---- job_status.c ---- */

struct batch_v1_job_condition *job_condition(struct batch_v1_job_status *s, const char *type);
bool job_condition_true(const struct batch_v1_job_status *s, const char *type);
/* Complete or Failed. */
const struct batch_v1_job_condition *job_finished(const struct batch_v1_job *job);
void job_condition_set(struct job_view *v, const char *type, const char *status, const char *reason,
                       const char *message);
/* Moves the pods that have ended through uncountedTerminatedPods into the counts. */
void job_count(struct job_view *v);
/* Sets FailureTarget or SuccessCriteriaMet when the Job has come to its end. */
void job_judge(struct job_view *v);
/* Sets Failed or Complete when no pod of an ended Job is left or uncounted. */
void job_end(struct job_view *v);
