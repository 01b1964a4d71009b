#include "base/own.h"
#include "base/test.h"
#include "scheduler/core/queue.h"
#include "scheduler/place/plugin.h"

static void add_node(struct snapshot *s, const char *json) {
    OWN(arena_free_p) struct arena *a = arena_new();
    struct api_object *o;
    assert_int_equal(
        api_object_decode(a, api_kind_by_name("", "v1", "Node"), slice_of(json), &o, NULL), 0);
    snapshot_put_node(s, (struct core_v1_node *)o);
}

static const struct core_v1_pod *pod_of(struct arena *a, const char *json) {
    struct api_object *o;
    assert_int_equal(
        api_object_decode(a, api_kind_by_name("", "v1", "Pod"), slice_of(json), &o, NULL), 0);
    return (struct core_v1_pod *)o;
}

static const char node_a[] =
    "{\"metadata\":{\"name\":\"a\",\"labels\":{\"zone\":\"x\",\"n\":\"5\"}},\"status\":{"
    "\"allocatable\":"
    "{\"cpu\":\"2\",\"memory\":\"1Gi\",\"pods\":\"2\",\"gpu.example/x\":\"1\"}}}";
static const char node_b[] =
    "{\"metadata\":{\"name\":\"b\"},\"spec\":{\"taints\":[{\"key\":\"k\",\"value\":\"v\","
    "\"effect\":\"NoSchedule\"}]},"
    "\"status\":{\"allocatable\":{\"cpu\":\"8\",\"memory\":\"8Gi\",\"pods\":\"110\"}}}";

static void expect(const char *pod, const char *node, const char *message) {
    OWN(arena_free_p) struct arena *a = arena_new();
    struct snapshot s = {0};
    add_node(&s, node_a);
    add_node(&s, node_b);
    struct sched_result r = sched_place(a, &s, pod_of(a, pod));
    if (node)
        assert_string_equal(r.node ? r.node : r.message, node);
    else
        assert_string_equal(r.message, message);
    snapshot_done(&s);
}

#define POD(spec)                                                                                  \
    "{\"metadata\":{\"name\":\"p\",\"namespace\":\"d\",\"uid\":\"u\"},\"spec\":{" spec "}}"
#define ASKS(r) "\"containers\":[{\"name\":\"c\",\"resources\":{\"requests\":{" r "}}}]"

TEST(place_says_how_many_nodes_failed_which_filter) {
    expect(POD(ASKS("\"cpu\":\"3\"")), NULL,
           "0/2 nodes are available: 1 Insufficient cpu, 1 node(s) had untolerated taint {k: v}.");
    expect(POD(ASKS("\"gpu.example/x\":\"2\"")), NULL,
           "0/2 nodes are available: 1 Insufficient gpu.example/x, 1 node(s) had untolerated taint "
           "{k: v}.");
}

TEST(place_honours_tolerations_selectors_and_affinity) {
    expect(POD(ASKS("\"cpu\":\"3\"") ",\"tolerations\":[{\"key\":\"k\",\"operator\":\"Exists\"}]"),
           "b", NULL);
    expect(POD(ASKS("\"cpu\":\"1\"") ",\"nodeSelector\":{\"zone\":\"x\"},\"tolerations\":[{"
                                     "\"operator\":\"Exists\"}]"),
           "a", NULL);
    expect(POD(ASKS("") ",\"affinity\":{\"nodeAffinity\":{"
                        "\"requiredDuringSchedulingIgnoredDuringExecution\":{\"nodeSelectorTerms\":"
                        "[{\"matchExpressions\":[{\"key\":\"n\",\"operator\":\"Gt\",\"values\":["
                        "\"5\"]}]}]}}}"),
           NULL,
           "0/2 nodes are available: 1 node(s) didn't match Pod's node affinity/selector, 1 "
           "node(s) had untolerated taint {k: v}.");
}

TEST(place_with_no_nodes_says_so) {
    OWN(arena_free_p) struct arena *a = arena_new();
    struct snapshot s = {0};
    assert_string_equal(sched_place(a, &s, pod_of(a, POD(ASKS("")))).message,
                        "no nodes available to schedule pods");
    snapshot_done(&s);
}

TEST(snapshot_gives_back_what_a_pod_used) {
    OWN(arena_free_p) struct arena *a = arena_new();
    struct snapshot s = {0};
    const struct core_v1_pod *p =
        pod_of(a, "{\"metadata\":{\"name\":\"p\",\"uid\":\"u\"},\"spec\":{\"initContainers\":[{"
                  "\"name\":\"i\",\"resources\":"
                  "{\"requests\":{\"cpu\":\"1500m\"}}}],\"containers\":[{\"name\":\"c\",\"ports\":["
                  "{\"containerPort\":80,\"hostPort\":8080}],"
                  "\"resources\":{\"requests\":{\"cpu\":\"1\",\"memory\":\"64Mi\",\"gpu.example/"
                  "x\":\"1\"}}}]}}");
    snapshot_add_pod(&s, p, "a"); /* before the node is known */
    add_node(&s, node_a);
    const struct sched_node *n = s.nodes.v[0];
    assert_int_equal(n->used_cpu_milli, 1500);
    assert_int_equal(n->used_memory_bytes, 64 << 20);
    assert_int_equal(n->ports.n, 1);
    snapshot_add_pod(&s, p, "a");
    assert_int_equal(n->used_pods, 1);
    assert_true(snapshot_remove_pod(&s, "u"));
    assert_false(snapshot_remove_pod(&s, "u"));
    assert_int_equal(n->used_cpu_milli + n->used_memory_bytes + n->used_pods + (int64_t)n->ports.n,
                     0);
    snapshot_done(&s);
}

TEST(a_pod_may_ask_as_a_whole) {
    OWN(arena_free_p) struct arena *a = arena_new();
    const struct core_v1_pod *p =
        pod_of(a, "{\"metadata\":{\"name\":\"p\",\"uid\":\"u\"},\"spec\":{\"resources\":{"
                  "\"requests\":{\"cpu\":\"3\"}},\"overhead\":{\"cpu\":\"100m\"},\"containers\":["
                  "{\"name\":\"c\",\"resources\":{\"requests\":{\"cpu\":\"1\",\"memory\":\"1Mi\"}}}"
                  "]}}");
    struct resources r = pod_asks(a, p);
    assert_int_equal(r.cpu_milli, 3100);
    assert_int_equal(r.memory_bytes, 1 << 20);
    int64_t cpu_milli, memory_bytes;
    pod_asks_nonzero(p, &cpu_milli, &memory_bytes);
    assert_int_equal(cpu_milli, 3100);
}

TEST(what_a_node_granted_counts_until_it_is_given_back) {
#define GRANTED(asked, granted)                                                                    \
    "{\"metadata\":{\"name\":\"p\",\"uid\":\"u\"},\"spec\":{\"containers\":[{\"name\":\"c\","      \
    "\"resources\":{\"requests\":{\"cpu\":\"" asked "\",\"memory\":\"1Mi\"}}}]},\"status\":{"      \
    "\"containerStatuses\":[{\"name\":\"c\",\"allocatedResources\":{\"cpu\":\"" granted            \
    "\",\"memory\":\"1Mi\"}}]}}"
    static const struct {
        const char *pod;
        int64_t used_cpu_milli;
    } cases[] = {{GRANTED("1", "1"), 1000},
                 {GRANTED("500m", "1"), 1000},
                 {GRANTED("500m", "500m"), 500},
                 {GRANTED("1500m", "500m"), 1500}};
    struct snapshot s = {0};
    add_node(&s, node_a);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        OWN(arena_free_p) struct arena *a = arena_new();
        snapshot_add_pod(&s, pod_of(a, cases[i].pod), "a");
        assert_int_equal(s.nodes.v[0]->used_cpu_milli, cases[i].used_cpu_milli);
        assert_int_equal(s.nodes.v[0]->used_memory_bytes, 1 << 20);
    }
    snapshot_done(&s);
}

TEST(sidecars_count_for_scores_even_when_they_ask_for_nothing) {
    OWN(arena_free_p) struct arena *a = arena_new();
    int64_t cpu_milli, memory_bytes;
    pod_asks_nonzero(pod_of(a, "{\"spec\":{\"initContainers\":[{\"name\":\"s\",\"restartPolicy\":"
                               "\"Always\"},{\"name\":\"i\"}],\"containers\":[{\"name\":\"c\"}]}}"),
                     &cpu_milli, &memory_bytes);
    assert_int_equal(cpu_milli, 200);
}

TEST(queue_orders_by_priority_then_age_and_backs_off) {
    struct queue q = {0};
    uint64_t wait_ms;
    queue_add(&q, "1", "d", "one", 0, 0);
    queue_add(&q, "2", "d", "two", 10, 0);
    queue_add(&q, "3", "d", "three", 0, 0);
    struct queued *p = queue_next(&q, 0, &wait_ms);
    assert_string_equal(p->name, "two");
    queue_failed(&q, p, 0, (struct queue_hint){.key = 0});
    queue_wake(&q, 0, NULL, NULL);
    assert_string_equal(queue_next(&q, 10, &wait_ms)->name, "one");
    queue_remove(&q, "1");
    queue_remove(&q, "3");
    assert_null(queue_next(&q, 10, &wait_ms));
    assert_int_equal(wait_ms, 990);
    p = queue_next(&q, 1000, &wait_ms);
    assert_string_equal(p->name, "two");
    queue_failed(&q, p, 1000, (struct queue_hint){.key = 0});
    queue_wake(&q, 1000, NULL, NULL);
    assert_null(queue_next(&q, 2999, &wait_ms));
    assert_non_null(queue_next(&q, 3000, &wait_ms));
    queue_done(&q);
}

TEST(plugins_are_registered) {
    static const char *const golden[] = {"NodeName",
                                         "NodeUnschedulable",
                                         "TaintToleration",
                                         "NodeAffinity",
                                         "VolumeBinding",
                                         "VolumeZone",
                                         "NodePorts",
                                         "NodeVolumeLimits",
                                         "NodeResourcesFit",
                                         "GPUFragmentation",
                                         "NodeResourcesBalancedAllocation",
                                         "ImageLocality",
                                         "VolumeRestrictions",
                                         "EnergyConsolidation",
                                         "PodTopologySpread",
                                         "InterPodAffinity"};
    const struct sched_plugin *list[SCHED_PLUGINS_MAX];
    assert_int_equal(sched_plugins(list), ARRAY_LEN(golden));
    for (size_t i = 0; i < ARRAY_LEN(golden); i++) assert_string_equal(list[i]->name, golden[i]);
}
