/* What the descheduler reads of the scheduler's configuration, and how it scores by it. */
#include <stdio.h>

#include "controllers/disruption/descheduler_score.h"
#include "controllers/fixture.h"

#define HEAD                                                                                       \
    "apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\nprofiles:\n"
#define FIT(strategy)                                                                              \
    HEAD "- schedulerName: default-scheduler\n  pluginConfig:\n  - name: NodeResourcesFit\n"       \
         "    args:\n      scoringStrategy:\n        " strategy "\n"

TEST(the_strategy_of_use_is_that_of_the_default_profile) {
    static const struct {
        const char *text;
        enum score_kind kind;
        int64_t at[3]; /* scores of nothing, a half and all in use */
    } rows[] = {
        {"", SCORE_EMPTY, {1000, 500, 0}},
        {"no: [configuration", SCORE_EMPTY, {1000, 500, 0}},
        {HEAD "- schedulerName: default-scheduler\n", SCORE_EMPTY, {1000, 500, 0}},
        {FIT("type: LeastAllocated"), SCORE_EMPTY, {1000, 500, 0}},
        {FIT("type: MostAllocated"), SCORE_FULL, {0, 500, 1000}},
        {FIT("{type: RequestedToCapacityRatio, requestedToCapacityRatio: {shape: [{utilization: 0, "
             "score: 10}, {utilization: 50, score: 2}]}}"),
         SCORE_SHAPE,
         {1000, 200, 200}},
        {HEAD
         "- schedulerName: other\n  pluginConfig:\n  - name: NodeResourcesFit\n    args:\n      "
         "scoringStrategy: {type: MostAllocated}\n",
         SCORE_EMPTY,
         {1000, 500, 0}},
        {HEAD
         "- schedulerName: default-scheduler\n  plugins:\n    score:\n      disabled:\n      - "
         "name: NodeResourcesFit\n",
         SCORE_NONE,
         {0, 0, 0}},
        {HEAD "- schedulerName: default-scheduler\n  plugins:\n    multiPoint:\n      enabled:\n"
              "      - name: EnergyConsolidation\n",
         SCORE_FULL,
         {0, 500, 1000}},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        OWN(arena_free_p) struct arena *a = arena_new();
        struct score_rule r = score_rule_parse(a, slice_of(rows[i].text));
        if (r.kind != rows[i].kind) fail_msg("row %zu: %d", i, (int)r.kind);
        for (int64_t j = 0; j < 3; j++)
            assert_int_equal(score_of_share(&r, j * 500), rows[i].at[j]);
        assert_int_equal(score_weight(&r, "cpu"), 1);
        assert_int_equal(score_weight(&r, "pods"), 0);
    }
}

TEST(resources_have_the_weights_of_the_configuration) {
    OWN(arena_free_p) struct arena *a = arena_new();
    struct score_rule r = score_rule_parse(
        a, SLICE(FIT("{type: LeastAllocated, resources: [{name: memory, weight: 5}, {name: "
                     "example.com/x}]}")));
    assert_int_equal(score_weight(&r, "cpu"), 0);
    assert_int_equal(score_weight(&r, "memory"), 5);
    assert_int_equal(score_weight(&r, "example.com/x"), 1);
}

/* The same as FIT("type: MostAllocated"), within a JSON text. */
#define HEAD_JSON                                                                                  \
    "apiVersion: kubescheduler.config.k8s.io/v1\\nkind: KubeSchedulerConfiguration\\nprofiles: "   \
    "[{schedulerName: default-scheduler, pluginConfig: [{name: NodeResourcesFit, args: "           \
    "{scoringStrategy: {type: MostAllocated}}}]}]"

TEST(nothing_is_decided_before_the_configuration_is_known) {
    struct world *w = world_test_new();
    struct plan *p = plan_new();
    struct score_rule r;
    struct err err = {.reason = ERR_UNAVAILABLE, .text = "later"};
    uint64_t period_ms;
    assert_false(score_rule_read(w, p, &r));
    assert_string_equal(plan_want_at(p, 0, &period_ms), SCHEDULER_CONFIGURATION_PATH);
    world_set_fact(w, SCHEDULER_CONFIGURATION_PATH, world_now_ns(w), (struct slice){0}, &err);
    assert_false(score_rule_read(w, p, &r));
    err.reason = ERR_NOT_FOUND;
    world_set_fact(w, SCHEDULER_CONFIGURATION_PATH, world_now_ns(w), (struct slice){0}, &err);
    assert_true(score_rule_read(w, p, &r));
    assert_int_equal(r.kind, SCORE_EMPTY);
    world_set_fact(w, SCHEDULER_CONFIGURATION_PATH, world_now_ns(w),
                   SLICE("{\"data\":{\"config.yaml\":\"" HEAD_JSON "\"}}"), NULL);
    assert_true(score_rule_read(w, p, &r));
    assert_int_equal(r.kind, SCORE_FULL);
    plan_free(p);
    world_free(w);
}
