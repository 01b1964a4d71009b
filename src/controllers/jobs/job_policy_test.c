/* Jobs whose pods have indexes, and policies for how pods end. */
#include "controllers/jobs/job_fixture.h"

TEST(job_indexed_makes_one_pod_of_each_index) {
    struct world *w = world_test_new();
    add_job(w, "Never", ",\"parallelism\":2,\"completions\":4,\"completionMode\":\"Indexed\"");
    OWN(plan_free_p) struct plan *p = plan_of(w, "job", "default/j");
    const struct core_v1_pod *made =
        (const struct core_v1_pod *)plan_find(p, PLAN_CREATE, "Pod", 1)->object;
    assert_string_equal(made->metadata.generate_name, "j-1-");
    assert_string_equal(made->spec.hostname, "j-1");
    assert_string_equal(str_map_get(&made->metadata.annotations, JOB_INDEX_KEY), "1");
    assert_string_equal(str_map_get(&made->metadata.labels, JOB_INDEX_KEY), "1");
    assert_string_equal(made->spec.containers.v[0].env.v[0].name, "JOB_COMPLETION_INDEX");
    rest(w);
    exits(w, active(w, 0, "1"), 0);
    rest(w);
    assert_string_equal(job(w)->status.completed_indexes, "1");
    assert_non_null(active(w, 0, "2"));
    exits(w, active(w, 0, "0"), 0);
    exits(w, active(w, 0, "2"), 0);
    rest(w);
    assert_string_equal(job(w)->status.completed_indexes, "0-2");
    exits(w, active(w, 0, "3"), 0);
    rest(w);
    assert_int_equal(job(w)->status.succeeded, 4);
    assert_string_equal(why(w, "Complete"), "CompletionsReached");
    assert_int_equal(tracked(w), 0);
    world_free(w);
}

/* A world with a Job of n indexes that run at once; each may fail so often. */
static struct world *with_indexes(int n, int failures, const char *more) {
    struct world *w = world_test_new();
    char spec[500];
    snprintf(spec, sizeof spec,
             ",\"parallelism\":%d,\"completions\":%d,\"completionMode\":\"Indexed\","
             "\"backoffLimit\":2147483647,\"backoffLimitPerIndex\":%d%s",
             n, n, failures, more);
    add_job(w, "Never", spec);
    rest(w);
    return w;
}

TEST(job_indexes_fail_one_by_one) {
    struct world *w = with_indexes(2, 1, "");
    exits(w, active(w, 0, "0"), 0);
    exits(w, active(w, 0, "1"), 1);
    rest(w);
    assert_null(active(w, 0, "1"));
    assert_string_equal(job(w)->status.failed_indexes, "");
    pass_ms(w, 10000);
    rest(w);
    assert_string_equal(str_map_get(&active(w, 0, "1")->metadata.annotations, JOB_FAILURES_KEY),
                        "1");
    assert_int_equal(job(w)->status.failed, 1);
    exits(w, active(w, 0, "1"), 1);
    rest(w);
    assert_string_equal(job(w)->status.failed_indexes, "1");
    assert_string_equal(job(w)->status.completed_indexes, "0");
    assert_string_equal(why(w, "Failed"), "FailedIndexes");
    assert_int_equal(job(w)->status.failed, 2);
    assert_int_equal(tracked(w), 0);
    world_free(w);
}

TEST(job_ends_when_too_many_indexes_have_failed) {
    struct world *w = with_indexes(3, 0, ",\"maxFailedIndexes\":1");
    exits(w, active(w, 0, "0"), 1);
    rest(w);
    assert_string_equal(why(w, "Failed"), "");
    exits(w, active(w, 0, "2"), 1);
    rest(w);
    assert_string_equal(job(w)->status.failed_indexes, "0,2");
    assert_string_equal(why(w, "Failed"), "MaxFailedIndexesExceeded");
    world_free(w);
}

static const char policy[] =
    ",\"parallelism\":2,\"completions\":2,\"completionMode\":\"Indexed\",\"backoffLimit\":1,"
    "\"backoffLimitPerIndex\":5,\"podFailurePolicy\":{\"rules\":[{\"action\":\"FailJob\","
    "\"onExitCodes\":{\"containerName\":\"c\",\"operator\":\"In\",\"values\":[42]}},{\"action\":"
    "\"FailIndex\",\"onExitCodes\":{\"operator\":\"In\",\"values\":[43]}},{\"action\":\"Ignore\","
    "\"onPodConditions\":[{\"type\":\"DisruptionTarget\",\"status\":\"True\"}]},{\"action\":"
    "\"Count\",\"onExitCodes\":{\"operator\":\"NotIn\",\"values\":[99]}}]}";

TEST(job_failure_policy_fails_the_job_at_once) {
    struct world *w = world_test_new();
    add_job(w, "Never", policy);
    rest(w);
    exits(w, active(w, 0, "0"), 42);
    rest(w);
    assert_string_equal(why(w, "Failed"), "PodFailurePolicy");
    assert_int_equal(actives(w), 0);
    world_free(w);
}

TEST(job_failure_policy_fails_an_index_at_once) {
    struct world *w = world_test_new();
    add_job(w, "Never", policy);
    rest(w);
    exits(w, active(w, 0, "1"), 43);
    rest(w);
    assert_string_equal(job(w)->status.failed_indexes, "1");
    assert_string_equal(why(w, "Failed"), "");
    exits(w, active(w, 0, "0"), 0);
    rest(w);
    assert_string_equal(why(w, "Failed"), "FailedIndexes");
    world_free(w);
}

TEST(job_failure_policy_ignores_disruptions) {
    struct world *w = world_test_new();
    add_job(w, "Never", policy);
    rest(w);
    for (int i = 0; i < 3; i++) {
        struct arena *a;
        struct core_v1_pod *p =
            (struct core_v1_pod *)edit((const struct api_object *)active(w, 0, "0"), &a);
        pod_condition_set(a, p, "DisruptionTarget", "True", NULL, NULL, now_text(a, w));
        edit_done(w, a, (struct api_object *)p);
        exits(w, active(w, 0, "0"), 137);
        rest(w);
        pass_ms(w, 400000);
        rest(w);
    }
    assert_int_equal(job(w)->status.failed, 0);
    assert_non_null(active(w, 0, "0"));
    assert_string_equal(why(w, "FailureTarget"), "");
    world_free(w);
}

TEST(job_success_policy_ends_it_early) {
    struct world *w = world_test_new();
    add_job(w, "Never",
            ",\"parallelism\":3,\"completions\":3,\"completionMode\":\"Indexed\","
            "\"successPolicy\":{\"rules\":[{\"succeededIndexes\":\"2\"},{\"succeededIndexes\":"
            "\"0-1\",\"succeededCount\":1}]}");
    rest(w);
    exits(w, active(w, 0, "1"), 0);
    rest(w);
    assert_string_equal(why(w, "Complete"), "SuccessPolicy");
    assert_int_equal(job(w)->status.succeeded, 1);
    assert_int_equal(job(w)->status.failed, 0);
    assert_int_equal(world_count(w, "Pod"), 1);
    world_free(w);
}
