/*
 * CronJob: a Job at each moment of a schedule, named after the moment, so that none is made twice.
 * Of moments that were missed only the last one is made up for.
 */
#include <stdlib.h>
#include <string.h>

#include "api/values/cron.h"
#include "base/own.h"
#include "base/times.h"
#include "controllers/jobs/job.h"

enum {
    MISSED_MAX = 100, /* more are worth a warning */
    /* Clocks may be set while we wait for the next moment. */
    WAIT_MAX_MS = 60 * 1000,
    DAY_S = 86400
};

typedef struct batch_v1_cron_job cron_job;
typedef struct batch_v1_job job;

struct jobs {
    const job **v;
    size_t n;
};

struct view {
    const struct world *w;
    const cron_job *c;
    struct plan *p;
    struct arena *a;
    struct batch_v1_cron_job_status s; /* what will be written */
    struct jobs mine, running;         /* running: those of status.active */
    struct cron cron;
    struct time_zone zone;
    int64_t now_s;
};

static const struct api_object *about(const struct view *v) {
    return (const struct api_object *)v->c;
}

/* ---- its Jobs ---- */

static const struct core_v1_object_reference *listed(const cron_job *c, const char *uid) {
    for (size_t i = 0; i < c->status.active.n; i++)
        if (str_eq(c->status.active.v[i].uid, uid)) return &c->status.active.v[i];
    return NULL;
}

static bool named_by_schedule(const cron_job *c, const char *name) {
    size_t n = strlen(c->metadata.name);
    uint64_t minutes;
    return strncmp(name, c->metadata.name, n) == 0 && name[n] == '-' &&
           slice_u64(slice_of(name + n + 1), &minutes) == 0;
}

static void note_success(struct view *v, const job *j) {
    int64_t end_ns, last_ns;
    if (time_parse(str_or(j->status.completion_time, ""), &end_ns) < 0) return;
    if (time_parse(str_or(v->s.last_successful_time, ""), &last_ns) < 0 || end_ns > last_ns)
        v->s.last_successful_time = j->status.completion_time;
}

static void activate(struct view *v, const job *j, const struct core_v1_object_reference *old) {
    *ARENA_PUSH(v->a, &v->running) = j;
    *ARENA_PUSH(v->a, &v->s.active) =
        old ? *old
            : (struct core_v1_object_reference){.kind = j->kind,
                                                .namespace = j->metadata.namespace,
                                                .name = j->metadata.name,
                                                .uid = j->metadata.uid,
                                                .api_version = j->api_version,
                                                .resource_version = j->metadata.resource_version};
}

static void look_at(struct view *v, const job *j) {
    const struct core_v1_object_reference *old = listed(v->c, j->metadata.uid);
    const struct batch_v1_job_condition *end = job_finished(j);
    *ARENA_PUSH(v->a, &v->mine) = j;
    if (end && str_eq(end->type, "Complete")) note_success(v, j);
    if (end && old)
        plan_event(v->p, about(v), "Normal", "SawCompletedJob",
                   "Saw completed job: %s, condition: %s", j->metadata.name, end->type);
    if (end) return;
    if (old || named_by_schedule(v->c, j->metadata.name))
        activate(v, j, old);
    else if (str_empty(j->status.start_time)) /* said once, while it is new */
        plan_event(v->p, about(v), "Warning", "UnexpectedJob",
                   "Saw a job that the controller did not create or forgot: %s", j->metadata.name);
}

static void look(struct view *v) {
    const struct api_object *o;
    size_t at = 0;
    v->s = v->c->status;
    v->s.active = (struct core_v1_object_reference_list){0};
    while ((o = world_owned(v->w, v->c->metadata.uid, "Job", &at))) look_at(v, (const job *)o);
    for (size_t i = 0; i < v->c->status.active.n; i++) {
        const struct core_v1_object_reference *r = &v->c->status.active.v[i];
        if (!world_by_uid(v->w, "Job", str_or(r->uid, "")))
            plan_event(v->p, about(v), "Normal", "MissingJob", "Active job went missing: %s",
                       r->name);
    }
}

static void delete_job(struct view *v, const job *j) {
    plan_delete(v->p, (const struct api_object *)j, "Background");
    plan_report_as(v->p, about(v), "SuccessfulDelete",
                   arena_printf(v->a, "Deleted job %s", j->metadata.name), "FailedDelete",
                   arena_printf(v->a, "Deleted job %s:", j->metadata.name));
}

static int by_start(const void *x, const void *y) {
    const job *a = *(const job *const *)x, *b = *(const job *const *)y;
    int d = strcmp(str_or(a->status.start_time, "~"), str_or(b->status.start_time, "~"));
    return d ? d : strcmp(a->metadata.name, b->metadata.name);
}

/* The oldest that ended so go, until `limit` of them are left; NULL: all stay. */
static void trim(struct view *v, const char *how, const int32_t *limit) {
    struct jobs ended = {0};
    if (!limit) return;
    for (size_t i = 0; i < v->mine.n; i++) {
        const struct batch_v1_job_condition *end = job_finished(v->mine.v[i]);
        if (end && str_eq(end->type, how) && !v->mine.v[i]->metadata.deletion_timestamp)
            *ARENA_PUSH(v->a, &ended) = v->mine.v[i];
    }
    if (!ended.n) return;
    qsort(ended.v, ended.n, sizeof *ended.v, by_start);
    for (size_t i = 0; i + (size_t)MAX_OF(*limit, 0) < ended.n; i++) delete_job(v, ended.v[i]);
}

/* ---- its schedule ---- */

static bool time_s(const char *text, int64_t *ret_s) {
    int64_t ns;
    if (time_parse(str_or(text, ""), &ns) < 0) return false;
    *ret_s = ns / 1000000000;
    return true;
}

/* Moments up to this one are settled. One that is far ahead was written by a clock that was wrong:
 * it would stop the schedule until then. */
static int64_t settled_s(const struct view *v) {
    int64_t s;
    if ((time_s(v->c->status.last_schedule_time, &s) && s <= v->now_s + DAY_S) ||
        time_s(v->c->metadata.creation_timestamp, &s))
        return s;
    return v->now_s;
}

static bool understand(struct view *v) {
    struct err err = {0};
    const char *zone = str_empty(v->c->spec.time_zone) ? "UTC" : v->c->spec.time_zone;
    if (!time_zone_find(zone, &v->zone)) {
        plan_event(v->p, about(v), "Warning", "UnknownTimeZone",
                   "invalid timeZone: \"%s\": unknown time zone %s", zone, zone);
        return false;
    }
    if (cron_parse(v->c->spec.schedule, &v->cron, &err) < 0) {
        plan_event(v->p, about(v), "Warning", "UnparseableSchedule",
                   "unparseable schedule: \"%s\" : %s", str_or(v->c->spec.schedule, ""), err.text);
        return false;
    }
    return true;
}

/* Things that are so for a long time are told once: in the first run of several. */
static bool just_now(const struct view *v, int64_t since_s) {
    return v->now_s - since_s < WAIT_MAX_MS / 1000;
}

/* The last moment that is due and not settled; 0: none. */
static int64_t due_s(struct view *v, int64_t settled) {
    int64_t due, deadline_s = v->now_s;
    if (v->c->spec.starting_deadline_seconds)
        deadline_s = MIN_OF(*v->c->spec.starting_deadline_seconds, deadline_s);
    if (!cron_last(&v->cron, &v->zone, settled, v->now_s, &due)) return 0;
    if (world_now_ns(v->w) / 1000000 < (due + deadline_s) * 1000) return due;
    char text[TIME_TEXT_MAX];
    time_format(text, due * 1000000000);
    if (just_now(v, due + deadline_s))
        plan_event(v->p, about(v), "Warning", "MissSchedule",
                   "Missed scheduled time to start a job: %s", text);
    return 0;
}

static void warn_of_many(struct view *v, int64_t settled) {
    int64_t from = settled;
    const int64_t *deadline_s = v->c->spec.starting_deadline_seconds;
    if (deadline_s && *deadline_s < v->now_s) from = MAX_OF(from, v->now_s - *deadline_s);
    if (cron_count(&v->cron, &v->zone, from, v->now_s, MISSED_MAX + 1) > MISSED_MAX)
        plan_event(v->p, about(v), "Warning", "TooManyMissedTimes",
                   "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or "
                   "check clock skew");
}

static void wait_for_next(struct view *v, int64_t settled) {
    int64_t from = v->now_s, next;
    /* @every counts from the last time. */
    if (v->cron.every_s && settled < v->now_s)
        from -= (v->now_s - settled) % v->cron.every_s;
    else if (settled > v->now_s)
        from = settled;
    if (!cron_next(&v->cron, &v->zone, from, &next)) {
        plan_event(v->p, about(v), "Warning", "InvalidSchedule",
                   "invalid schedule: %s : no time within five years fits it", v->c->spec.schedule);
        return;
    }
    int64_t left_ms = next * 1000 - world_now_ns(v->w) / 1000000;
    plan_requeue(v->p, (uint64_t)MIN_OF(MAX_OF(left_ms, (int64_t)1), (int64_t)WAIT_MAX_MS));
}

/* ---- a new Job ---- */

/* As a clock of the zone shows it. */
static const char *clock_text(struct view *v, int64_t at_s) {
    char text[TIME_TEXT_MAX];
    int32_t offset_s = time_zone_offset_s(&v->zone, at_s);
    int32_t min = (offset_s < 0 ? -offset_s : offset_s) / 60;
    time_format(text, (at_s + offset_s) * 1000000000);
    if (!offset_s) return arena_str(v->a, text);
    return arena_printf(v->a, "%.19s%c%02d:%02d", text, offset_s < 0 ? '-' : '+', min / 60,
                        min % 60);
}

static void create_job(struct view *v, const char *name, int64_t at_s) {
    const struct batch_v1_job_template_spec *t = &v->c->spec.job_template;
    job *j = (job *)api_object_new(v->a, api_kind_by_name("batch", "v1", "Job"));
    j->metadata.name = name;
    j->metadata.namespace = v->c->metadata.namespace;
    str_map_merge(v->a, &j->metadata.labels, &t->metadata.labels);
    str_map_merge(v->a, &j->metadata.annotations, &t->metadata.annotations);
    str_map_set(v->a, &j->metadata.annotations, "batch.kubernetes.io/cronjob-scheduled-timestamp",
                clock_text(v, at_s));
    *ARENA_PUSH(v->a, &j->metadata.owner_references) = controller_reference(v->a, about(v));
    j->spec = t->spec;
    plan_create(v->p, (struct api_object *)j);
    plan_report_as(v->p, about(v), "SuccessfulCreate", arena_printf(v->a, "Created job %s", name),
                   "FailedCreate", arena_printf(v->a, "Error creating job %s:", name));
}

/* True: the moment is settled, by a Job that this plan makes or that is there. */
static bool start(struct view *v, int64_t due) {
    const char *name = arena_printf(v->a, "%s-%lld", v->c->metadata.name, (long long)(due / 60));
    const struct api_object *there = world_get(v->w, "Job", v->c->metadata.namespace, name);
    if (there) {
        bool mine = owner_reference_to(there, v->c->metadata.uid);
        if (!mine && just_now(v, due))
            plan_event(v->p, about(v), "Warning", "FailedCreate",
                       "Error creating job: jobs.batch \"%s\" already exists", name);
        return mine;
    }
    if (v->running.n && str_eq(v->c->spec.concurrency_policy, "Forbid")) {
        if (just_now(v, due))
            plan_event(v->p, about(v), "Normal", "JobAlreadyActive",
                       "Not starting job because prior execution is running and concurrency policy "
                       "is Forbid");
        return false;
    }
    if (str_eq(v->c->spec.concurrency_policy, "Replace")) {
        for (size_t i = 0; i < v->running.n; i++)
            if (!v->running.v[i]->metadata.deletion_timestamp) delete_job(v, v->running.v[i]);
    }
    create_job(v, name, due);
    return true;
}

/* False: it is so already. */
static bool write_status(struct view *v) {
    if (api_equal(&batch_v1_cron_job_status_type, &v->s, &v->c->status)) return false;
    cron_job *copy = arena_copy(v->a, v->c, sizeof *copy);
    copy->status = v->s;
    plan_update_status(v->p, (const struct api_object *)copy);
    return true;
}

/* The moment counts as settled when its Job has been made: only then is it written. */
static void schedule(struct view *v) {
    int64_t settled = settled_s(v), due = due_s(v, settled);
    if (due && start(v, due)) {
        char text[TIME_TEXT_MAX];
        time_format(text, due * 1000000000);
        v->s.last_schedule_time = arena_str(v->a, text);
        warn_of_many(v, settled);
        settled = due;
    }
    wait_for_next(v, settled);
}

static int reconcile(const struct world *w, const char *key, struct plan *p, struct err *err) {
    (void)err;
    const cron_job *c = (const cron_job *)world_by_key(w, "CronJob", key);
    if (!c) return 0;
    struct view v = {.w = w, .c = c, .p = p, .a = plan_arena(p)};
    v.now_s = world_now_ns(w) / 1000000000;
    look(&v);
    /* What is known of Jobs is written before any of them goes; the rest waits for that. */
    bool written = write_status(&v);
    if (c->metadata.deletion_timestamp) return 0;
    trim(&v, "Complete", c->spec.successful_jobs_history_limit);
    trim(&v, "Failed", c->spec.failed_jobs_history_limit);
    if (written || bool_or(c->spec.suspend, false) || !understand(&v)) return 0;
    schedule(&v);
    write_status(&v);
    return 0;
}

static const char *const watches[] = {"CronJob", "Job", NULL};
static const struct reconciler cronjob = {
    .name = "cronjob", .kind = "CronJob", .watches = watches, .reconcile = reconcile};
RECONCILER(cronjob);
