/* Placement by what other pods are there: affinity, symmetry, spread; and that caches follow. */
#include "base/own.h"
#include "base/test.h"
#include "scheduler/place/plugin.h"

#define PODS(labels, spec)                                                                         \
    "{\"metadata\":{\"name\":\"p\",\"namespace\":\"d\",\"labels\":{" labels "}},\"spec\":{"        \
    "\"containers\":[{\"name\":\"c\"}]" spec "}}"
#define TERM(key, more)                                                                            \
    "{\"topologyKey\":\"" key "\",\"labelSelector\":{\"matchLabels\":{\"app\":\"w\"}}" more "}"
#define REQUIRED(kind, term)                                                                       \
    ",\"affinity\":{\"" kind "\":{\"requiredDuringSchedulingIgnoredDuringExecution\":[" term "]}}"
#define SPREAD(more)                                                                               \
    ",\"topologySpreadConstraints\":[{\"maxSkew\":1,\"topologyKey\":\"zone\","                     \
    "\"labelSelector\":{\"matchLabels\":{\"app\":\"w\"}}" more "}]"

static const struct core_v1_pod *pod_of(struct arena *a, const char *json, const char *uid) {
    struct api_object *o;
    assert_int_equal(
        api_object_decode(a, api_kind_by_name("", "v1", "Pod"), slice_of(json), &o, NULL), 0);
    o->metadata.uid = uid;
    return (struct core_v1_pod *)o;
}

static void node(struct snapshot *s, const char *name, const char *zone) {
    OWN(arena_free_p) struct arena *a = arena_new();
    struct api_object *o;
    const char *json = arena_printf(
        a,
        "{\"metadata\":{\"name\":\"%s\",\"labels\":{\"zone\":\"%s\",\"kubernetes.io/hostname\":"
        "\"%s\"}},\"status\":{\"allocatable\":{\"cpu\":\"4\",\"memory\":\"8Gi\",\"pods\":\"9\"}}}",
        name, zone, name);
    assert_int_equal(
        api_object_decode(a, api_kind_by_name("", "v1", "Node"), slice_of(json), &o, NULL), 0);
    snapshot_put_node(s, (struct core_v1_node *)o);
}

static void three_nodes(struct snapshot *s) {
    node(s, "a1", "a");
    node(s, "a2", "a");
    node(s, "b1", "b");
}

static void put(struct snapshot *s, const char *uid, const char *json, const char *at) {
    OWN(arena_free_p) struct arena *a = arena_new();
    snapshot_add_pod(s, pod_of(a, json, uid), at);
}

static void expect(struct snapshot *s, const char *json, const char *want) {
    OWN(arena_free_p) struct arena *a = arena_new();
    struct sched_result r = sched_place(a, s, pod_of(a, json, "new"));
    assert_string_equal(r.node ? r.node : r.message, want);
}

TEST(affinity_needs_a_pod_in_the_domain_unless_the_pod_is_the_first_of_its_own) {
    struct snapshot s = {0};
    three_nodes(&s);
    expect(&s, PODS("\"x\":\"y\"", REQUIRED("podAffinity", TERM("zone", ""))),
           "0/3 nodes are available: 3 node(s) didn't match pod affinity rules.");
    expect(&s, PODS("\"app\":\"w\"", REQUIRED("podAffinity", TERM("zone", ""))), "a1");
    put(&s, "1", PODS("\"app\":\"w\"", ""), "b1");
    expect(&s, PODS("\"x\":\"y\"", REQUIRED("podAffinity", TERM("zone", ""))), "b1");
    expect(&s, PODS("\"app\":\"w\"", REQUIRED("podAffinity", TERM("zone", ""))), "b1");
    snapshot_remove_pod(&s, "1");
    put(&s, "2", PODS("\"app\":\"w\"", ""), "a2");
    expect(&s, PODS("\"x\":\"y\"", REQUIRED("podAffinity", TERM("kubernetes.io/hostname", ""))),
           "a2");
    expect(&s, PODS("\"x\":\"y\"", REQUIRED("podAffinity", TERM("zone", ""))), "a1");
    snapshot_done(&s);
}

TEST(anti_affinity_holds_both_ways) {
    struct snapshot s = {0};
    three_nodes(&s);
    put(&s, "1", PODS("\"app\":\"w\"", ""), "a1");
    expect(&s, PODS("\"x\":\"y\"", REQUIRED("podAntiAffinity", TERM("zone", ""))), "b1");
    put(&s, "2", PODS("\"x\":\"y\"", REQUIRED("podAntiAffinity", TERM("zone", ""))), "b1");
    expect(&s, PODS("\"app\":\"w\"", REQUIRED("podAntiAffinity", TERM("zone", ""))),
           "0/3 nodes are available: 1 node(s) didn't satisfy existing pods anti-affinity rules, "
           "2 node(s) didn't match pod anti-affinity rules.");
    expect(&s, PODS("\"app\":\"w\"", ""), "a2");
    snapshot_remove_pod(&s, "2");
    expect(&s, PODS("\"app\":\"w\"", REQUIRED("podAntiAffinity", TERM("zone", ""))), "b1");
    snapshot_done(&s);
}

TEST(affinity_looks_into_namespaces_that_are_selected_as_their_labels_are_now) {
    static const char other[] = "{\"metadata\":{\"name\":\"p\",\"namespace\":\"o\",\"labels\":{"
                                "\"app\":\"w\"}},\"spec\":{\"containers\":[{\"name\":\"c\"}]}}";
    static const char wants[] =
        PODS("\"x\":\"y\"",
             REQUIRED("podAffinity",
                      TERM("zone", ",\"namespaceSelector\":{\"matchLabels\":{\"team\":\"t\"}}")));
    static const char none[] =
        "0/3 nodes are available: 3 node(s) didn't match pod affinity rules.";
    struct snapshot s = {0};
    struct str_pair pair = {"team", "t"};
    three_nodes(&s);
    put(&s, "1", other, "b1");
    expect(&s, wants, none);
    snapshot_put_namespace(&s, "o", &(struct str_map){&pair, 1});
    expect(&s, wants, "b1");
    snapshot_remove_namespace(&s, "o");
    expect(&s, wants, none);
    snapshot_done(&s);
}

TEST(preferred_affinity_draws_and_repels) {
#define PREFERRED(kind)                                                                            \
    ",\"affinity\":{\"" kind "\":{\"preferredDuringSchedulingIgnoredDuringExecution\":[{"          \
    "\"weight\":100,\"podAffinityTerm\":" TERM("zone", "") "}]}}"
    struct snapshot s = {0};
    three_nodes(&s);
    put(&s, "1", PODS("\"app\":\"w\"", ""), "b1");
    expect(&s, PODS("\"x\":\"y\"", PREFERRED("podAffinity")), "b1");
    put(&s, "2", PODS("\"x\":\"y\"", PREFERRED("podAntiAffinity")), "a1");
    expect(&s, PODS("\"app\":\"w\"", ""), "b1"); /* repelled from zone a by pod 2 */
    snapshot_done(&s);
}

TEST(spread_keeps_the_skew_and_counts_only_nodes_that_may_be_used) {
    struct snapshot s = {0};
    three_nodes(&s);
    put(&s, "1", PODS("\"app\":\"w\"", ""), "a1");
    expect(&s, PODS("\"app\":\"w\"", SPREAD(",\"whenUnsatisfiable\":\"DoNotSchedule\"")), "b1");
    expect(&s, PODS("\"app\":\"w\"", SPREAD(",\"whenUnsatisfiable\":\"ScheduleAnyway\"")), "b1");
    /* Zone b is no domain for a pod that must stay in a. */
    expect(&s,
           PODS("\"app\":\"w\"", ",\"nodeSelector\":{\"zone\":\"a\"}" SPREAD(
                                     ",\"whenUnsatisfiable\":\"DoNotSchedule\"")),
           "a2");
    expect(&s,
           PODS("\"app\":\"w\"", ",\"nodeSelector\":{\"zone\":\"a\"}" SPREAD(
                                     ",\"whenUnsatisfiable\":\"DoNotSchedule\","
                                     "\"nodeAffinityPolicy\":\"Ignore\"")),
           "0/3 nodes are available: 1 node(s) didn't match Pod's node affinity/selector, 2 "
           "node(s) didn't match pod topology spread constraints.");
    put(&s, "2", PODS("\"app\":\"w\"", ""), "b1");
    expect(
        &s,
        PODS("\"app\":\"w\"", SPREAD(",\"whenUnsatisfiable\":\"DoNotSchedule\",\"minDomains\":3")),
        "0/3 nodes are available: 3 node(s) didn't match pod topology spread constraints.");
    snapshot_done(&s);
}

static void put_other_node(struct snapshot *s) {
    OWN(arena_free_p) struct arena *a = arena_new();
    struct api_object *o;
    const char *json =
        "{\"metadata\":{\"name\":\"c1\"},\"status\":{\"allocatable\":{\"pods\":\"9\"}}}";
    assert_int_equal(
        api_object_decode(a, api_kind_by_name("", "v1", "Node"), slice_of(json), &o, NULL), 0);
    snapshot_put_node(s, (struct core_v1_node *)o);
}

TEST(a_node_without_the_label_does_not_blur_the_spread_of_the_others) {
    struct snapshot s = {0};
    three_nodes(&s);
    put_other_node(&s);
    put(&s, "1", PODS("\"app\":\"w\"", ""), "a1");
    put(&s, "2", PODS("\"x\":\"y\"", ""), "b1");
    expect(&s, PODS("\"app\":\"w\"", SPREAD(",\"whenUnsatisfiable\":\"ScheduleAnyway\"")), "b1");
    snapshot_done(&s);
}

TEST(a_node_that_changes_its_labels_takes_its_pods_to_the_new_domain) {
    static const char wants[] = PODS("\"x\":\"y\"", REQUIRED("podAffinity", TERM("zone", "")));
    struct snapshot s = {0};
    three_nodes(&s);
    put(&s, "1", PODS("\"app\":\"w\"", ""), "b1");
    expect(&s, wants, "b1");
    node(&s, "b1", "c");
    node(&s, "a2", "c");
    expect(&s, wants, "a2");
    snapshot_remove_node(&s, "a2");
    expect(&s, wants, "b1");
    snapshot_remove_node(&s, "b1");
    expect(&s, wants, "0/1 nodes are available: 1 node(s) didn't match pod affinity rules.");
    node(&s, "b1", "c");
    expect(&s, wants, "b1");
    snapshot_done(&s);
}

TEST(equal_pods_go_to_the_emptiest_node_and_share_a_class) {
    struct snapshot s = {0};
    char uid[3] = "0";
    three_nodes(&s);
    for (int i = 0; i < 9; i++) {
        OWN(arena_free_p) struct arena *a = arena_new();
        uid[0] = (char)('0' + i);
        const struct core_v1_pod *p = pod_of(a, PODS("\"app\":\"w\"", ""), uid);
        snapshot_add_pod(&s, p, sched_place(a, &s, p).node);
    }
    for (size_t i = 0; i < 3; i++) assert_int_equal(s.nodes.v[i]->used_pods, 3);
    assert_int_equal(s.labels.n, 1);
    snapshot_done(&s);
}
