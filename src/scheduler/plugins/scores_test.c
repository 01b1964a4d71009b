/* Scores that are measured by the other nodes, and spread that pods have by what they belong to. */
#include "scheduler/plugins/fixture.h"

#define POD(labels, meta, spec)                                                                    \
    "{\"metadata\":{\"name\":\"p\",\"namespace\":\"d\",\"labels\":{" labels "}" meta "},\"spec\":" \
    "{\"containers\":[{\"name\":\"c\"}]" spec "}}"
#define PREFERS(key, value, weight)                                                                \
    "{\"weight\":" weight ",\"preference\":{\"matchExpressions\":[{\"key\":\"" key                 \
    "\",\"operator\":\"In\",\"values\":[\"" value "\"]}]}}"

TEST(a_preference_counts_by_the_best_node_that_fits) {
    static const char pod[] =
        POD("", "",
            ",\"affinity\":{\"nodeAffinity\":{\"preferredDuringSchedulingIgnoredDuringExecution\":"
            "[" PREFERS("x", "1", "1") "," PREFERS("gone", "1", "100") "]}}");
    struct snapshot s = {0};
    given_node(&s, "a", "", "");
    given_node(&s, "b", "\"x\":\"1\",", "");
    /* 1 of 101 would be next to nothing; but no other node has more, so it is everything. */
    for (int i = 0; i < 4; i++) given_pod(&s, (char[]){(char)('1' + i), 0}, POD("", "", ""), "b");
    expect_placed(&s, pod, "b");
    fixture_done(&s);
}

TEST(a_taint_that_is_rather_avoided_counts_by_the_worst_node_that_fits) {
#define AVOID(n) "{\"key\":\"k" n "\",\"effect\":\"PreferNoSchedule\"}"
    struct snapshot s = {0};
    given_node(&s, "a", "", ",\"spec\":{\"taints\":[" AVOID("1") "," AVOID("2") "]}");
    given_node(&s, "b", "", ",\"spec\":{\"taints\":[" AVOID("1") "]}");
    for (int i = 0; i < 4; i++) given_pod(&s, (char[]){(char)('1' + i), 0}, POD("", "", ""), "b");
    expect_placed(&s, POD("", "", ""), "b");
    expect_placed(&s, POD("", "", ",\"tolerations\":[{\"operator\":\"Exists\"}]"), "a");
    fixture_done(&s);
}

#define OF(kind)                                                                                   \
    ",\"ownerReferences\":[{\"apiVersion\":\"apps/v1\",\"kind\":\"" kind                           \
    "\",\"name\":\"w\",\"uid\":\"u\",\"controller\":true}]"

static void crowded(struct snapshot *s) {
    given_node(s, "a", "", "");
    given_node(s, "b", "", "");
    given_pod(s, "1", POD("\"app\":\"w\"", "", ""), "a");
    for (int i = 0; i < 3; i++)
        given_pod(s, (char[]){(char)('2' + i), 0}, POD("\"app\":\"other\"", "", ""), "b");
}

TEST(pods_of_a_service_stand_apart) {
    struct snapshot s = {0};
    crowded(&s);
    expect_placed(&s, POD("\"app\":\"w\"", "", ""), "a");
    given(&s, "{\"apiVersion\":\"v1\",\"kind\":\"Service\",\"metadata\":{\"name\":\"w\","
              "\"namespace\":\"d\"},\"spec\":{\"selector\":{\"app\":\"w\"}}}");
    expect_placed(&s, POD("\"app\":\"w\"", "", ""), "b");
    owners_remove_service(&s.owners, "d", "w");
    expect_placed(&s, POD("\"app\":\"w\"", "", ""), "a");
    fixture_done(&s);
}

TEST(pods_that_choose_their_nodes_stand_apart_there_even_without_zones) {
    struct snapshot s = {0};
    given_node(&s, "a", "\"x\":\"1\",", "");
    given_node(&s, "b", "\"x\":\"1\",", "");
    given(&s, "{\"apiVersion\":\"v1\",\"kind\":\"Service\",\"metadata\":{\"name\":\"w\","
              "\"namespace\":\"d\"},\"spec\":{\"selector\":{\"app\":\"w\"}}}");
    given_pod(&s, "1", POD("\"app\":\"w\"", "", ""), "a");
    for (int i = 0; i < 3; i++)
        given_pod(&s, (char[]){(char)('2' + i), 0}, POD("\"app\":\"other\"", "", ""), "b");
    expect_placed(&s, POD("\"app\":\"w\"", "", ",\"nodeSelector\":{\"x\":\"1\"}"), "b");
    fixture_done(&s);
}

TEST(pods_of_a_set_stand_apart) {
    static const char *const kinds[] = {"ReplicaSet", "StatefulSet"};
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        OWN(arena_free_p) struct arena *a = arena_new();
        struct snapshot s = {0};
        crowded(&s);
        const char *pod = i ? POD("\"app\":\"w\"", OF("StatefulSet"), "")
                            : POD("\"app\":\"w\"", OF("ReplicaSet"), "");
        expect_placed(&s, pod, "a");
        given(&s, arena_printf(a,
                               "{\"apiVersion\":\"apps/v1\",\"kind\":\"%s\",\"metadata\":{\"name\":"
                               "\"w\",\"namespace\":\"d\"},\"spec\":{\"selector\":{"
                               "\"matchExpressions\":[{\"key\":\"app\",\"operator\":\"In\","
                               "\"values\":[\"w\"]}]}}}",
                               kinds[i]));
        expect_placed(&s, pod, "b");
        fixture_done(&s);
    }
}

TEST(default_constraints_can_be_given_and_be_hard) {
    struct snapshot s = {0};
    given_node(&s, "a", "\"rack\":\"1\",", "");
    given_node(&s, "b", "\"rack\":\"1\",", "");
    given_pod(&s, "1", POD("\"app\":\"w\"", "", ""), "a");
    given(&s, "{\"apiVersion\":\"v1\",\"kind\":\"Service\",\"metadata\":{\"name\":\"w\","
              "\"namespace\":\"d\"},\"spec\":{\"selector\":{\"app\":\"w\"}}}");
    given_profiles(&s, "apiVersion: kubescheduler.config.k8s.io/v1\n"
                       "kind: KubeSchedulerConfiguration\n"
                       "profiles:\n- schedulerName: mine\n  pluginConfig:\n"
                       "  - name: PodTopologySpread\n    args:\n      defaultingType: List\n"
                       "      defaultConstraints: [{maxSkew: 1, minDomains: 2, topologyKey: rack, "
                       "whenUnsatisfiable: DoNotSchedule}]\n");
    expect_placed(&s, POD("\"app\":\"w\"", "", ",\"schedulerName\":\"mine\""),
                  "0/2 nodes are available: 2 node(s) didn't match pod topology spread "
                  "constraints.");
    expect_placed(&s, POD("\"app\":\"x\"", "", ",\"schedulerName\":\"mine\""), "b");
    fixture_done(&s);
}

TEST(required_affinity_of_others_draws_by_its_weight) {
#define DRAWN                                                                                      \
    ",\"affinity\":{\"podAffinity\":{\"requiredDuringSchedulingIgnoredDuringExecution\":[{"        \
    "\"topologyKey\":\"kubernetes.io/hostname\",\"labelSelector\":{\"matchLabels\":{\"app\":"      \
    "\"w\"}}}]}}"
#define WEIGHT(n)                                                                                  \
    "apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\n"               \
    "profiles:\n- schedulerName: mine\n  pluginConfig:\n"                                          \
    "  - {name: InterPodAffinity, args: {hardPodAffinityWeight: " n "}}\n"
    struct snapshot s = {0};
    given_node(&s, "a", "", "");
    given_node(&s, "b", "", "");
    given_pod(&s, "1", POD("\"x\":\"y\"", "", DRAWN), "b");
    expect_placed(&s, POD("\"app\":\"w\"", "", ""), "b");
    given_profiles(&s, WEIGHT("0"));
    expect_placed(&s, POD("\"app\":\"w\"", "", ",\"schedulerName\":\"mine\""), "a");
    fixture_done(&s);
}
