#include "controllers/fixture.h"

/* Found by atoll sim: the taint had gone before the pod did, and the pod stayed marked for ever. */
TEST(pods_that_stay_after_all_lose_their_disruption_target) {
    struct world *w = world_test_new();
    world_add_json(w, "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"p\","
                      "\"namespace\":\"default\"},\"spec\":{\"nodeName\":\"n\",\"containers\":[{"
                      "\"name\":\"c\",\"image\":\"i\"}]},\"status\":{\"phase\":\"Running\","
                      "\"conditions\":[{\"type\":\"DisruptionTarget\",\"status\":\"True\","
                      "\"lastTransitionTime\":\"2026-01-01T00:00:00Z\"}]}}");
    pass_ms(w, 119 * 1000);
    OWN(plan_free_p) struct plan *early = plan_of(w, "stale-disruption", "default/p");
    uint64_t after_ms;
    assert_int_equal(plan_count(early), 0);
    assert_true(plan_requeue_ms(early, &after_ms));
    assert_int_equal(after_ms, 1000);
    pass_ms(w, 1000);
    OWN(plan_free_p) struct plan *late = plan_of(w, "stale-disruption", "default/p");
    assert_int_equal(plan_count_of(late, PLAN_PATCH, "Pod"), 1);
    const struct plan_step *s = plan_at(late, 0);
    assert_string_equal(s->subresource, "status");
    assert_non_null(strstr(s->body.p, "\"status\":\"False\""));
    world_free(w);
}
