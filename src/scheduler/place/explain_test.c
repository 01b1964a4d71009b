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

static const void *object(struct arena *a, const char *kind, const char *json) {
    struct api_object *o = NULL;
    const struct api_kind *k = api_kind_by_name("scheduling.x-k8s.io", "v1alpha1", kind);
    assert_int_equal(api_object_decode(a, k, slice_of(json), &o, NULL), 0);
    return o;
}

#define MEMBER                                                                                     \
    "{\"metadata\":{\"name\":\"p\",\"namespace\":\"d\",\"labels\":{\"" GANG_LABEL "\":\"g\"}}"

/* It waits with its group, as the scheduler has it, before it is asked about. */
static void held(struct arena *a, struct snapshot *s, const char *pod, const char *says) {
    struct api_object *o = NULL;
    assert_int_equal(
        api_object_decode(a, api_kind_by_name("", "v1", "Pod"), slice_of(pod), &o, NULL), 0);
    struct gang *g = gang_wait(s, "d", &o->metadata.labels, "new");
    struct explanation e = explained(a, s, pod);
    assert_int_equal(e.n_fit, 3);
    assert_non_null(e.chosen);
    if (says)
        assert_string_equal(e.held, says);
    else
        assert_null(e.held);
    if (g) gang_unwait(s, g, "new");
}

TEST(what_holds_a_pod_that_fits_is_said_in_the_words_of_the_scheduler) {
    OWN(arena_free_p) struct arena *a = arena_new();
    struct snapshot s = {0};
    const char *pod = MEMBER ",\"spec\":{}}";
    cluster(&s);
    held(a, &s, pod, "PodGroup d/g not found");
    gangs_put(&s,
              object(a, "PodGroup",
                     "{\"metadata\":{\"name\":\"g\",\"namespace\":\"d\"},\"spec\":{\"minMember\":"
                     "2}}"));
    held(a, &s, pod,
         "cannot find enough sibling pods, current pods number: 1, minMember of group d/g: 2");
    given_pod(&s, "sibling", pod, "a");
    held(a, &s, pod, NULL);
    quotas_put(&s, object(a, "ElasticQuota",
                          "{\"metadata\":{\"name\":\"q\",\"namespace\":\"d\"},\"spec\":{\"max\":{"
                          "\"cpu\":\"4\"}}}"));
    held(a, &s, POD("100m", ""), NULL);
    held(a, &s, POD("1", ""), "the namespace would have more cpu than max of ElasticQuota q.");
    fixture_done(&s);
}
