/* Jobs that say how long they want to be kept after their end are removed then, with their pods. */
#include "base/times.h"
#include "controllers/jobs/job.h"

static int reconcile(const struct world *w, const char *key, struct plan *p, struct err *err) {
    (void)err;
    int64_t end_ns;
    const struct batch_v1_job *job = (const struct batch_v1_job *)world_by_key(w, "Job", key);
    if (!job || !job->spec.ttl_seconds_after_finished || job->metadata.deletion_timestamp) return 0;
    const struct batch_v1_job_condition *end = job_finished(job);
    if (!end || time_parse(str_or(end->last_transition_time, ""), &end_ns) < 0) return 0;
    int64_t left_ms = (int64_t)*job->spec.ttl_seconds_after_finished * 1000 -
                      (world_now_ns(w) - end_ns) / 1000000;
    if (left_ms > 0)
        plan_requeue(p, (uint64_t)left_ms);
    else
        plan_delete(p, (const struct api_object *)job, "Foreground");
    return 0;
}

static const char *const watches[] = {"Job", NULL};
static const struct reconciler ttl_after_finished = {
    .name = "ttl-after-finished", .kind = "Job", .watches = watches, .reconcile = reconcile};
RECONCILER(ttl_after_finished);
