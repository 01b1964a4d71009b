#include "controllers/jobs/job_fixture.h"

TEST(index_sets_are_read_joined_and_written) {
    OWN(arena_free_p) struct arena *a = arena_new();
    struct index_set s = index_set_parse(a, "7,1,3-5,x,9-20,4", 12);
    assert_string_equal(index_set_text(a, s), "1,3-5,7,9-11");
    assert_int_equal(index_set_count(s), 8);
    int32_t more[] = {6, 2, 0, 6};
    s = index_set_with(a, s, (struct index_list){more, 4});
    assert_string_equal(index_set_text(a, s), "0-7,9-11");
    assert_true(index_set_has(s, 7) && !index_set_has(s, 8) && !index_set_has(s, 12));
    assert_int_equal(index_set_gap(s, 0), 8);
    assert_int_equal(index_set_gap(s, 9), 12);
    assert_int_equal(index_set_common(s, index_set_parse(a, "7-9,11", 12)), 3);
    assert_string_equal(index_set_text(a, index_set_parse(a, "0,1", 9)), "0,1");
    assert_null(index_set_text(a, index_set_parse(a, "-,5-3", 9)));
}

TEST(job_runs_so_many_at_once_until_enough_have_succeeded) {
    struct world *w = world_test_new();
    add_job(w, "Never", ",\"parallelism\":2,\"completions\":3");
    rest(w);
    assert_int_equal(actives(w), 2);
    assert_int_equal(job(w)->status.active, 2);
    assert_int_equal(tracked(w), 2);
    assert_non_null(job(w)->status.start_time);
    exits(w, active(w, 0, NULL), 0);
    rest(w);
    assert_int_equal(actives(w), 2);
    assert_int_equal(job(w)->status.succeeded, 1);
    exits(w, active(w, 0, NULL), 0);
    rest(w);
    assert_int_equal(actives(w), 1);
    exits(w, active(w, 0, NULL), 0);
    rest(w);
    assert_int_equal(job(w)->status.succeeded, 3);
    assert_int_equal(job(w)->status.active, 0);
    assert_int_equal(tracked(w), 0);
    assert_string_equal(why(w, "SuccessCriteriaMet"), "CompletionsReached");
    assert_string_equal(why(w, "Complete"), "CompletionsReached");
    assert_non_null(job(w)->status.completion_time);
    world_free(w);
}

TEST(job_with_a_work_queue_ends_when_all_its_pods_have) {
    struct world *w = world_test_new();
    add_job(w, "Never", ",\"parallelism\":2");
    rest(w);
    exits(w, active(w, 0, NULL), 0);
    rest(w);
    assert_int_equal(actives(w), 1);
    assert_string_equal(why(w, "Complete"), "");
    exits(w, active(w, 0, NULL), 0);
    rest(w);
    assert_string_equal(why(w, "Complete"), "CompletionsReached");
    world_free(w);
}

TEST(job_waits_longer_after_each_failure_and_gives_up_after_the_limit) {
    struct world *w = world_test_new();
    add_job(w, "Never", ",\"parallelism\":1,\"completions\":1,\"backoffLimit\":2");
    for (int wait_ms = 10000; wait_ms <= 20000; wait_ms *= 2) {
        rest(w);
        exits(w, active(w, 0, NULL), 1);
        rest(w);
        assert_int_equal(actives(w), 0);
        OWN(plan_free_p) struct plan *p = plan_of(w, "job", "default/j");
        uint64_t ms = 0;
        assert_true(plan_requeue_ms(p, &ms));
        assert_int_equal(ms, wait_ms);
        pass_ms(w, wait_ms);
    }
    rest(w);
    assert_int_equal(job(w)->status.failed, 2);
    exits(w, active(w, 0, NULL), 1);
    rest(w);
    assert_int_equal(job(w)->status.failed, 3);
    assert_string_equal(why(w, "FailureTarget"), "BackoffLimitExceeded");
    assert_string_equal(why(w, "Failed"), "BackoffLimitExceeded");
    assert_null(job(w)->status.completion_time);
    world_free(w);
}

TEST(job_counts_the_restarts_of_pods_that_restart) {
    struct world *w = world_test_new();
    add_job(w, "OnFailure", ",\"parallelism\":1,\"completions\":1,\"backoffLimit\":3");
    rest(w);
    struct arena *a;
    struct core_v1_pod *p =
        (struct core_v1_pod *)edit((const struct api_object *)active(w, 0, NULL), &a);
    ARENA_PUSH(a, &p->status.container_statuses)->restart_count = 3;
    edit_done(w, a, (struct api_object *)p);
    rest(w);
    assert_string_equal(why(w, "Failed"), "BackoffLimitExceeded");
    assert_int_equal(world_count(w, "Pod"), 0);
    world_free(w);
}

TEST(job_is_suspended_and_resumed) {
    struct world *w = world_test_new();
    add_job(w, "Never",
            ",\"parallelism\":2,\"completions\":2,\"suspend\":true,\"activeDeadlineSeconds\":60");
    rest(w);
    assert_int_equal(world_count(w, "Pod"), 0);
    assert_string_equal(why(w, "Suspended"), "JobSuspended");
    assert_null(job(w)->status.start_time);
    suspend(w, false);
    rest(w);
    assert_int_equal(actives(w), 2);
    assert_string_equal(why(w, "Suspended"), "");
    pass_ms(w, 50000);
    suspend(w, true);
    rest(w);
    assert_int_equal(world_count(w, "Pod"), 0);
    assert_int_equal(job(w)->status.failed, 0);
    pass_ms(w, 50000);
    suspend(w, false);
    rest(w);
    assert_int_equal(actives(w), 2);
    assert_string_equal(why(w, "Failed"), "");
    pass_ms(w, 60000);
    rest(w);
    assert_string_equal(why(w, "Failed"), "DeadlineExceeded");
    assert_int_equal(world_count(w, "Pod"), 0);
    world_free(w);
}

/* What a user's delete makes of a pod of a Job: it stays because of its finalizer. */
static void delete_pod(struct world *w, const struct core_v1_pod *pod) {
    struct err err = {.text = ""};
    OWN(plan_free_p) struct plan *p = plan_new();
    plan_delete(p, (const struct api_object *)pod, NULL);
    plan_detach(p);
    assert_int_equal(world_apply(w, p, &err), 1);
}

static void bind(struct world *w, const struct core_v1_pod *pod) {
    pod_runs(w, (const struct api_object *)pod, true);
}

TEST(job_counts_a_deleted_pod_as_failed) {
    struct world *w = world_test_new();
    add_job(w, "Never", ",\"parallelism\":1,\"completions\":1");
    rest(w);
    bind(w, active(w, 0, NULL));
    rest(w);
    assert_int_equal(*job(w)->status.ready, 1);
    delete_pod(w, active(w, 0, NULL));
    rest(w);
    assert_int_equal(job(w)->status.failed, 1);
    world_free(w);
}

TEST(job_may_wait_for_the_end_before_it_replaces) {
    struct world *w = world_test_new();
    add_job(w, "Never", ",\"parallelism\":1,\"completions\":1,\"podReplacementPolicy\":\"Failed\"");
    rest(w);
    bind(w, active(w, 0, NULL));
    const char *name = active(w, 0, NULL)->metadata.name;
    char kept[64];
    snprintf(kept, sizeof kept, "%s", name);
    delete_pod(w, active(w, 0, NULL));
    rest(w);
    pass_ms(w, 60000);
    rest(w);
    assert_int_equal(actives(w), 0);
    assert_int_equal(*job(w)->status.terminating, 1);
    assert_int_equal(job(w)->status.failed, 0);
    pod_ends(w, (const struct api_object *)pod_get(w, kept), "Failed");
    rest(w);
    assert_null(pod_get(w, kept));
    pass_ms(w, 10000);
    rest(w);
    assert_int_equal(job(w)->status.failed, 1);
    assert_int_equal(actives(w), 1);
    world_free(w);
}

/* The plan is broken off after each of its steps once: the counts are the same in the end. */
TEST(job_counts_exactly_whatever_breaks_off) {
    for (size_t cut = 0; cut < 6; cut++) {
        struct world *w = world_test_new();
        add_job(w, "Never", ",\"parallelism\":3,\"completions\":3");
        rest(w);
        for (int i = 0; i < 2; i++) exits(w, active(w, 0, NULL), 0);
        exits(w, active(w, 0, NULL), 1);
        for (int round = 0; round < 2; round++) {
            struct err err = {.text = ""};
            OWN(plan_free_p) struct plan *p = plan_of(w, "job", "default/j");
            struct plan *part = plan_new();
            for (size_t i = 0; i < plan_count(p) && i < cut; i++) {
                const struct plan_step *s = plan_at(p, i);
                if (s->op == PLAN_UPDATE_STATUS) plan_update_status(part, s->object);
                if (s->op == PLAN_PATCH)
                    plan_patch(part, s->object, s->subresource, s->content_type, s->body);
            }
            plan_detach(part);
            assert_true(world_apply(w, part, &err) >= 0);
            plan_free(part);
        }
        rest(w);
        assert_int_equal(job(w)->status.succeeded, 2);
        assert_int_equal(job(w)->status.failed, 1);
        assert_int_equal(tracked(w), actives(w)); /* the replacement of the failed one */
        world_free(w);
    }
}

/* Found by atoll sim --seed 233: a crash between the two writes left a pod that nobody counted. */
TEST(job_deletes_a_pod_that_lost_its_finalizer_for_that) {
    struct world *w = world_test_new();
    struct arena *a;
    add_job(w, "Never", ",\"parallelism\":2,\"completions\":2");
    rest(w);
    struct api_object *o = edit((const struct api_object *)active(w, 0, NULL), &a);
    const char *name = arena_str(a, o->metadata.name);
    char gone[64];
    snprintf(gone, sizeof gone, "%s", name);
    o->metadata.finalizers.n = 0;
    edit_done(w, a, o);
    rest(w);
    assert_null(world_get(w, "Pod", "default", gone));
    assert_int_equal(actives(w), 2);
    assert_int_equal(tracked(w), 2);
    assert_int_equal(job(w)->status.failed, 0);
    world_free(w);
}

TEST(job_adopts_orphans_and_releases_strangers) {
    struct world *w = world_test_new();
    add_job(w, "Never", ",\"parallelism\":1,\"completions\":1");
    world_add_json(w, "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"o\","
                      "\"namespace\":\"default\",\"labels\":{\"job\":\"j\"}}}");
    rest(w);
    assert_int_equal(world_count(w, "Pod"), 1);
    assert_true(job_tracks(pod_get(w, "o")));
    assert_string_equal(api_controller_of((const struct api_object *)pod_get(w, "o"))->uid, "u-j");
    struct arena *a;
    struct api_object *o = edit((const struct api_object *)pod_get(w, "o"), &a);
    o->metadata.labels = (struct str_map){0};
    edit_done(w, a, o);
    rest(w);
    assert_null(api_controller_of((const struct api_object *)pod_get(w, "o")));
    assert_false(job_tracks(pod_get(w, "o")));
    assert_int_equal(actives(w), 2);
    world_free(w);
}

TEST(job_that_is_gone_holds_no_pods) {
    struct world *w = world_test_new();
    add_job(w, "Never", ",\"parallelism\":2,\"completions\":2");
    rest(w);
    world_remove(w, api_kind_by_name("batch", "v1", "Job"), "default", "j");
    rest(w);
    assert_int_equal(tracked(w), 0);
    world_free(w);
}

TEST(job_is_removed_when_its_time_to_live_is_over) {
    struct world *w = world_test_new();
    add_job(w, "Never", ",\"parallelism\":1,\"completions\":1,\"ttlSecondsAfterFinished\":30");
    settle(w, "ttl-after-finished", "default/j");
    rest(w);
    exits(w, active(w, 0, NULL), 0);
    rest(w);
    pass_ms(w, 29000);
    settle(w, "ttl-after-finished", "default/j");
    assert_null(job(w)->metadata.deletion_timestamp);
    pass_ms(w, 1000);
    run(w, "ttl-after-finished", "default/j");
    assert_non_null(job(w)->metadata.deletion_timestamp);
    assert_rests(w, "ttl-after-finished", "default/j");
    world_free(w);
}

TEST(job_of_another_manager_is_left_alone) {
    struct world *w = world_test_new();
    add_job(w, "Never", ",\"parallelism\":1,\"managedBy\":\"example.com/queue\"");
    rest(w);
    assert_int_equal(world_count(w, "Pod"), 0);
    assert_null(job(w)->status.start_time);
    world_free(w);
}
