#include <stdio.h>
#include <string.h>

#include "base/times.h"
#include "controllers/fixture.h"
#include "controllers/jobs/job.h"

static const char key[] = "default/tick";

/* A CronJob; spec is JSON members that follow the template. The test world begins on 2026-01-01. */
static void add(struct world *w, const char *schedule, const char *spec) {
    char json[2000];
    snprintf(json, sizeof json,
             "{\"apiVersion\":\"batch/v1\",\"kind\":\"CronJob\",\"metadata\":{\"name\":\"tick\","
             "\"namespace\":\"default\",\"uid\":\"u-tick\"},\"spec\":{\"schedule\":\"%s\","
             "\"successfulJobsHistoryLimit\":3,\"failedJobsHistoryLimit\":1,\"jobTemplate\":{"
             "\"metadata\":{\"labels\":{\"a\":\"b\"},\"annotations\":{\"c\":\"d\"}},\"spec\":{"
             "\"template\":{\"spec\":{\"restartPolicy\":\"Never\",\"containers\":[{\"name\":\"c\","
             "\"image\":\"i\"}]}}}}%s}}",
             schedule, spec);
    world_add_json(w, json);
}

static const struct batch_v1_cron_job *get(const struct world *w) {
    return (const struct batch_v1_cron_job *)world_get(w, "CronJob", "default", "tick");
}

static int64_t second(const char *text) {
    int64_t ns;
    assert_int_equal(time_parse(text, &ns), 0);
    return ns / 1000000000;
}

static void set_clock(struct world *w, const char *text) {
    world_set_now(w, second(text) * 1000000000);
}

/* The Job of that moment; NULL: none. */
static const struct batch_v1_job *job_at(const struct world *w, const char *text) {
    char name[100];
    snprintf(name, sizeof name, "tick-%lld", (long long)(second(text) / 60));
    return (const struct batch_v1_job *)world_get(w, "Job", "default", name);
}

static void job_begins(struct world *w, const struct batch_v1_job *j) {
    struct arena *a;
    struct batch_v1_job *x = (struct batch_v1_job *)edit((const struct api_object *)j, &a);
    x->status.start_time = now_text(a, w);
    edit_done(w, a, (struct api_object *)x);
}

static void job_ends(struct world *w, const struct batch_v1_job *j, const char *how) {
    struct arena *a;
    struct batch_v1_job *x = (struct batch_v1_job *)edit((const struct api_object *)j, &a);
    *ARENA_PUSH(a, &x->status.conditions) =
        (struct batch_v1_job_condition){.type = how, .status = "True"};
    if (str_eq(how, "Complete")) x->status.completion_time = now_text(a, w);
    edit_done(w, a, (struct api_object *)x);
}

static void rest(struct world *w) { settle(w, "cronjob", key); }

/* An Event of that reason in the next run; its message, or NULL. */
static bool tells(const struct world *w, const char *reason, const char *message) {
    OWN(plan_free_p) struct plan *p = plan_of(w, "cronjob", key);
    for (size_t i = 0; i < plan_count(p); i++) {
        const struct plan_step *s = plan_at(p, i);
        if (s->op == PLAN_EVENT && str_eq(s->reason, reason))
            return !message || str_eq(s->message, message);
    }
    return false;
}

/* Milliseconds after which it looks again; 0: never. */
static uint64_t waits(const struct world *w) {
    uint64_t ms = 0;
    OWN(plan_free_p) struct plan *p = plan_of(w, "cronjob", key);
    return plan_requeue_ms(p, &ms) ? ms : 0;
}

TEST(cronjob_makes_a_job_at_its_moment) {
    struct world *w = world_test_new();
    add(w, "*/5 * * * *", "");
    rest(w);
    assert_int_equal(world_count(w, "Job"), 0);
    assert_int_equal(waits(w), 60000); /* no longer: clocks may be set */
    pass_ms(w, 299500);
    rest(w);
    assert_int_equal(world_count(w, "Job"), 0);
    assert_int_equal(waits(w), 500);
    pass_ms(w, 500);
    rest(w);
    const struct batch_v1_job *j = job_at(w, "2026-01-01T00:05:00Z");
    assert_non_null(j);
    assert_string_equal(str_map_get(&j->metadata.labels, "a"), "b");
    assert_string_equal(str_map_get(&j->metadata.annotations, "c"), "d");
    assert_string_equal(
        str_map_get(&j->metadata.annotations, "batch.kubernetes.io/cronjob-scheduled-timestamp"),
        "2026-01-01T00:05:00Z");
    assert_string_equal(api_controller_of((const struct api_object *)j)->uid, "u-tick");
    assert_string_equal(j->spec.template.spec.containers.v[0].image, "i");
    assert_string_equal(get(w)->status.last_schedule_time, "2026-01-01T00:05:00Z");
    assert_int_equal(get(w)->status.active.n, 1);
    assert_string_equal(get(w)->status.active.v[0].uid, j->metadata.uid);
    job_begins(w, j);
    pass_ms(w, 10000);
    job_ends(w, job_at(w, "2026-01-01T00:05:00Z"), "Complete");
    assert_true(
        tells(w, "SawCompletedJob", "Saw completed job: tick-29453765, condition: Complete"));
    rest(w);
    assert_int_equal(get(w)->status.active.n, 0);
    assert_string_equal(get(w)->status.last_successful_time, "2026-01-01T00:05:10Z");
    pass_ms(w, 290000);
    rest(w);
    assert_int_equal(world_count(w, "Job"), 2);
    world_free(w);
}

TEST(cronjob_concurrency) {
    static const struct {
        const char *policy;
        size_t jobs;
        bool first, second;
    } cases[] = {{"Allow", 2, true, true}, {"Forbid", 1, true, false}, {"Replace", 1, false, true}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct world *w = world_test_new();
        char spec[100];
        snprintf(spec, sizeof spec, ",\"concurrencyPolicy\":\"%s\"", cases[i].policy);
        add(w, "@hourly", spec);
        set_clock(w, "2026-01-01T01:00:00Z");
        rest(w);
        set_clock(w, "2026-01-01T02:00:00Z");
        if (str_eq(cases[i].policy, "Forbid")) assert_true(tells(w, "JobAlreadyActive", NULL));
        rest(w);
        assert_int_equal(world_count(w, "Job"), cases[i].jobs);
        assert_int_equal(get(w)->status.active.n, cases[i].jobs);
        assert_true((job_at(w, "2026-01-01T01:00:00Z") != NULL) == cases[i].first);
        assert_true((job_at(w, "2026-01-01T02:00:00Z") != NULL) == cases[i].second);
        world_free(w);
    }
}

TEST(cronjob_that_was_forbidden_starts_late) {
    struct world *w = world_test_new();
    add(w, "@hourly", ",\"concurrencyPolicy\":\"Forbid\"");
    set_clock(w, "2026-01-01T01:00:00Z");
    rest(w);
    set_clock(w, "2026-01-01T02:10:00Z");
    rest(w);
    assert_false(tells(w, "JobAlreadyActive", NULL)); /* said at two o'clock */
    job_ends(w, job_at(w, "2026-01-01T01:00:00Z"), "Complete");
    rest(w);
    assert_non_null(job_at(w, "2026-01-01T02:00:00Z"));
    assert_string_equal(get(w)->status.last_schedule_time, "2026-01-01T02:00:00Z");
    world_free(w);
}

TEST(cronjob_makes_up_for_the_last_missed_moment_only) {
    struct world *w = world_test_new();
    add(w, "*/10 * * * *", "");
    set_clock(w, "2026-01-01T16:45:00Z"); /* 100 were missed */
    assert_false(tells(w, "TooManyMissedTimes", NULL));
    set_clock(w, "2026-01-01T16:55:00Z");
    assert_true(tells(w, "TooManyMissedTimes",
                      "too many missed start times. Set or decrease .spec.startingDeadlineSeconds "
                      "or check clock skew"));
    rest(w);
    assert_int_equal(world_count(w, "Job"), 1);
    assert_non_null(job_at(w, "2026-01-01T16:50:00Z"));
    assert_false(tells(w, "TooManyMissedTimes", NULL));
    world_free(w);
}

TEST(cronjob_leaves_out_what_is_too_late) {
    struct world *w = world_test_new();
    add(w, "@hourly", ",\"startingDeadlineSeconds\":300");
    set_clock(w, "2026-01-01T01:05:01Z");
    assert_true(
        tells(w, "MissSchedule", "Missed scheduled time to start a job: 2026-01-01T01:00:00Z"));
    rest(w);
    assert_int_equal(world_count(w, "Job"), 0);
    set_clock(w, "2026-01-01T01:30:00Z");
    assert_false(tells(w, "MissSchedule", NULL));
    set_clock(w, "2026-01-01T02:04:59Z");
    rest(w);
    assert_non_null(job_at(w, "2026-01-01T02:00:00Z"));
    /* Within five minutes of a long time nothing was missed often. */
    set_clock(w, "2026-07-01T00:00:00Z");
    assert_false(tells(w, "TooManyMissedTimes", NULL));
    world_free(w);
}

TEST(cronjob_that_is_suspended_makes_nothing) {
    struct world *w = world_test_new();
    add(w, "@hourly", ",\"suspend\":true");
    set_clock(w, "2026-01-01T05:30:00Z");
    rest(w);
    assert_int_equal(world_count(w, "Job"), 0);
    assert_int_equal(waits(w), 0);
    struct arena *a;
    struct batch_v1_cron_job *c =
        (struct batch_v1_cron_job *)edit((const struct api_object *)get(w), &a);
    c->spec.suspend = bool_new(a, false);
    edit_done(w, a, (struct api_object *)c);
    rest(w);
    assert_non_null(job_at(w, "2026-01-01T05:00:00Z"));
    world_free(w);
}

TEST(cronjob_keeps_so_many_ended_jobs) {
    struct world *w = world_test_new();
    add(w, "@hourly", "");
    for (int h = 1; h <= 8; h++) {
        char text[40];
        snprintf(text, sizeof text, "2026-01-01T%02d:00:00Z", h);
        set_clock(w, text);
        rest(w);
        job_begins(w, job_at(w, text));
        job_ends(w, job_at(w, text), h % 4 == 0 ? "Failed" : "Complete");
        rest(w);
    }
    assert_int_equal(world_count(w, "Job"), 4);
    assert_null(job_at(w, "2026-01-01T04:00:00Z"));
    assert_null(job_at(w, "2026-01-01T03:00:00Z"));
    assert_non_null(job_at(w, "2026-01-01T05:00:00Z"));
    assert_non_null(job_at(w, "2026-01-01T08:00:00Z"));
    world_free(w);
}

TEST(cronjob_notes_a_success_before_its_job_goes) {
    struct world *w = world_test_new();
    add(w, "@hourly", ",\"startingDeadlineSeconds\":100");
    struct arena *a;
    struct batch_v1_cron_job *c =
        (struct batch_v1_cron_job *)edit((const struct api_object *)get(w), &a);
    *c->spec.successful_jobs_history_limit = 0;
    edit_done(w, a, (struct api_object *)c);
    set_clock(w, "2026-01-01T01:00:00Z");
    rest(w);
    job_ends(w, job_at(w, "2026-01-01T01:00:00Z"), "Complete");
    OWN(plan_free_p) struct plan *p = plan_of(w, "cronjob", key);
    size_t i = 0;
    while (plan_at(p, i)->op == PLAN_EVENT) i++;
    assert_int_equal(plan_at(p, i)->op, PLAN_UPDATE_STATUS); /* or the write may fail for ever */
    assert_int_equal(plan_count_of(p, PLAN_DELETE, "Job"), 1);
    rest(w);
    assert_string_equal(get(w)->status.last_successful_time, "2026-01-01T01:00:00Z");
    assert_int_equal(world_count(w, "Job"), 0);
    world_free(w);
}

TEST(cronjob_goes_by_the_clocks_of_its_zone) {
    struct world *w = world_test_new();
    const char *stamp = "batch.kubernetes.io/cronjob-scheduled-timestamp";
    add(w, "30 2 * * *", ",\"timeZone\":\"Europe/Berlin\"");
    set_clock(w, "2026-03-28T01:30:00Z");
    rest(w);
    assert_string_equal(
        str_map_get(&job_at(w, "2026-03-28T01:30:00Z")->metadata.annotations, stamp),
        "2026-03-28T02:30:00+01:00");
    set_clock(w, "2026-03-29T12:00:00Z"); /* no 02:30 on that day */
    rest(w);
    assert_string_equal(get(w)->status.last_schedule_time, "2026-03-28T01:30:00Z");
    set_clock(w, "2026-03-30T00:30:00Z");
    rest(w);
    assert_string_equal(
        str_map_get(&job_at(w, "2026-03-30T00:30:00Z")->metadata.annotations, stamp),
        "2026-03-30T02:30:00+02:00");
    world_free(w);
}

TEST(cronjob_lives_with_clocks_that_jump) {
    struct world *w = world_test_new();
    add(w, "@hourly", "");
    set_clock(w, "2026-01-01T05:00:00Z");
    rest(w);
    set_clock(w, "2026-01-01T03:59:00Z"); /* back: what has been is not done again */
    rest(w);
    set_clock(w, "2026-01-01T04:30:00Z");
    rest(w);
    assert_int_equal(world_count(w, "Job"), 1);
    assert_true(waits(w) > 0);
    set_clock(w, "2030-01-01T05:00:00Z"); /* far ahead by mistake: one Job */
    rest(w);
    assert_int_equal(world_count(w, "Job"), 2);
    set_clock(w, "2026-01-01T06:00:00Z"); /* and right again: the schedule goes on */
    rest(w);
    assert_non_null(job_at(w, "2026-01-01T06:00:00Z"));
    assert_string_equal(get(w)->status.last_schedule_time, "2026-01-01T06:00:00Z");
    world_free(w);
}

TEST(cronjob_that_never_fires_says_so_and_sleeps) {
    static const struct {
        const char *schedule, *spec, *reason, *message;
    } cases[] = {
        {"0 0 30 2 *", "", "InvalidSchedule",
         "invalid schedule: 0 0 30 2 * : no time within five years fits it"},
        {"nonsense", "", "UnparseableSchedule",
         "unparseable schedule: \"nonsense\" : expected exactly 5 fields, found 1: [nonsense]"},
        {"@daily", ",\"timeZone\":\"Mars/Olympus\"", "UnknownTimeZone",
         "invalid timeZone: \"Mars/Olympus\": unknown time zone Mars/Olympus"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct world *w = world_test_new();
        add(w, cases[i].schedule, cases[i].spec);
        set_clock(w, "2026-06-01T00:00:00Z");
        assert_true(tells(w, cases[i].reason, cases[i].message));
        assert_int_equal(waits(w), 0);
        rest(w);
        assert_int_equal(world_count(w, "Job"), 0);
        world_free(w);
    }
}

TEST(cronjob_every_so_often) {
    struct world *w = world_test_new();
    add(w, "@every 90m", "");
    set_clock(w, "2026-01-01T01:29:59Z");
    rest(w);
    assert_int_equal(world_count(w, "Job"), 0);
    assert_int_equal(waits(w), 1000);
    set_clock(w, "2026-01-01T03:20:00Z");
    rest(w);
    assert_non_null(job_at(w, "2026-01-01T03:00:00Z"));
    assert_int_equal(world_count(w, "Job"), 1);
    world_free(w);
}

TEST(cronjob_does_not_count_jobs_of_other_making) {
    struct world *w = world_test_new();
    add(w, "@hourly", ",\"concurrencyPolicy\":\"Forbid\"");
    world_add_json(w,
                   "{\"apiVersion\":\"batch/v1\",\"kind\":\"Job\",\"metadata\":{\"name\":\"mine\","
                   "\"namespace\":\"default\",\"ownerReferences\":[{\"apiVersion\":\"batch/v1\","
                   "\"kind\":\"CronJob\",\"name\":\"tick\",\"uid\":\"u-tick\",\"controller\":"
                   "true}]}}");
    assert_true(
        tells(w, "UnexpectedJob", "Saw a job that the controller did not create or forgot: mine"));
    set_clock(w, "2026-01-01T01:00:00Z");
    rest(w);
    assert_non_null(job_at(w, "2026-01-01T01:00:00Z"));
    assert_int_equal(get(w)->status.active.n, 1);
    world_free(w);
}

TEST(cronjob_leaves_jobs_of_others_alone) {
    struct world *w = world_test_new();
    add(w, "@hourly", "");
    world_add_json(w, "{\"apiVersion\":\"batch/v1\",\"kind\":\"Job\",\"metadata\":{\"name\":"
                      "\"tick-29453820\",\"namespace\":\"default\"}}");
    set_clock(w, "2026-01-01T01:00:00Z");
    assert_true(tells(w, "FailedCreate",
                      "Error creating job: jobs.batch \"tick-29453820\" already exists"));
    rest(w);
    assert_int_equal(world_count(w, "Job"), 1);
    assert_null(get(w)->status.last_schedule_time);
    world_free(w);
}

TEST(cronjob_forgets_jobs_that_went_missing) {
    struct world *w = world_test_new();
    add(w, "@hourly", "");
    set_clock(w, "2026-01-01T01:00:00Z");
    rest(w);
    world_remove(w, world_kind(w, "Job"), "default",
                 job_at(w, "2026-01-01T01:00:00Z")->metadata.name);
    assert_true(tells(w, "MissingJob", "Active job went missing: tick-29453820"));
    rest(w);
    assert_int_equal(get(w)->status.active.n, 0);
    assert_int_equal(world_count(w, "Job"), 0); /* not again */
    world_free(w);
}
