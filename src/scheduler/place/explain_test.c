/* An explanation is the decision: the same node, the same words. */
#include "scheduler/place/explain.h"
#include "scheduler/plugins/fixture.h"

#define POD(cpu, spec)                                                                             \
    "{\"metadata\":{\"name\":\"p\",\"namespace\":\"d\",\"labels\":{\"app\":\"w\"}},\"spec\":{"     \
    "\"containers\":[{\"name\":\"c\",\"resources\":{\"requests\":{\"cpu\":\"" cpu "\"}}}]" spec    \
    "}}"

static struct explanation explained(struct arena *a, struct snapshot *s, const char *json) {
    struct api_object *o = NULL;
    assert_int_equal(
        api_object_decode(a, api_kind_by_name("", "v1", "Pod"), slice_of(json), &o, NULL), 0);
    o->metadata.uid = "new";
    return sched_explain(a, s, NULL, (struct core_v1_pod *)o);
}

static void cluster(struct snapshot *s) {
    given_node(s, "a", "\"zone\":\"1\",", "");
    given_node(s, "b", "\"zone\":\"1\",\"disk\":\"fast\",", "");
    given_node(s, "c", "\"zone\":\"2\",",
               ",\"spec\":{\"taints\":[{\"key\":\"k\",\"effect\":\"PreferNoSchedule\"}]}");
    given_pod(s, "1", POD("1", ""), "a");
    given_pod(s, "2", POD("2", ",\"priority\":-5"), "b");
    given_pod(s, "3", POD("500m", ",\"priority\":-9"), "c");
}

TEST(the_node_that_is_chosen_has_the_largest_sum_of_weighted_scores) {
    static const char *const pods[] = {
        POD("100m", ""),
        POD("100m", ",\"tolerations\":[{\"operator\":\"Exists\"}]"),
        POD("100m", ",\"affinity\":{\"nodeAffinity\":{"
                    "\"preferredDuringSchedulingIgnoredDuringExecution\":[{\"weight\":3,"
                    "\"preference\":{\"matchExpressions\":[{\"key\":\"disk\",\"operator\":"
                    "\"Exists\"}]}}]}}"),
        POD("100m", ",\"topologySpreadConstraints\":[{\"maxSkew\":1,\"topologyKey\":\"zone\","
                    "\"whenUnsatisfiable\":\"ScheduleAnyway\",\"labelSelector\":{\"matchLabels\":{"
                    "\"app\":\"w\"}}}]"),
    };
    for (size_t i = 0; i < ARRAY_LEN(pods); i++) {
        OWN(arena_free_p) struct arena *a = arena_new();
        struct snapshot s = {0};
        cluster(&s);
        struct explanation e = explained(a, &s, pods[i]);
        const struct explain_node *best = &e.nodes[0];
        assert_int_equal(e.n_fit, 3);
        for (size_t j = 0; j < e.n; j++) {
            int64_t sum = 0;
            for (size_t k = 0; k < e.n_scores; k++)
                sum += e.nodes[j].scores[k].weight * e.nodes[j].scores[k].score;
            assert_int_equal(sum, e.nodes[j].total);
            if (sum > best->total) best = &e.nodes[j];
        }
        assert_string_equal(e.chosen, best->name);
        fixture_done(&s);
    }
}

TEST(nodes_that_do_not_fit_say_whose_filter_and_who_would_have_to_go) {
    OWN(arena_free_p) struct arena *a = arena_new();
    struct snapshot s = {0};
    cluster(&s);
    struct explanation e = explained(a, &s, POD("3500m", ",\"nodeSelector\":{\"zone\":\"1\"}"));
    assert_null(e.chosen);
    assert_string_equal(e.nodes[0].why->plugin, "NodeResourcesFit");
    assert_string_equal(e.nodes[0].why->text[0], "Insufficient cpu");
    assert_int_equal(e.nodes[0].victims, 0); /* of equal priority */
    assert_int_equal(e.nodes[1].victims, 1);
    assert_string_equal(e.nodes[2].why->plugin, "NodeAffinity");
    assert_int_equal(e.nodes[2].victims, 0);
    assert_string_equal(e.preempts_on, "b");
    assert_int_equal(e.n_victims, 1);
    static const int64_t used_cpu_milli[] = {1000, 2000, 500}; /* nothing was left lifted */
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(s.nodes.v[i]->used_cpu_milli, used_cpu_milli[i]);
    fixture_done(&s);
}

TEST(a_pod_that_may_push_out_nobody_says_why) {
    OWN(arena_free_p) struct arena *a = arena_new();
    struct snapshot s = {0};
    cluster(&s);
    struct explanation e = explained(a, &s, POD("3800m", ",\"preemptionPolicy\":\"Never\""));
    assert_string_equal(e.barred, "preemption: not eligible due to preemptionPolicy=Never.");
    assert_string_equal(e.message,
                        "0/3 nodes are available: 3 Insufficient cpu. preemption: not eligible due "
                        "to preemptionPolicy=Never.");
    assert_null(e.preempts_on);
    fixture_done(&s);
}
