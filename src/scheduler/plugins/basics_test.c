/* Plugins that look at one node: names, ports, images, taints, resources. */
#include "scheduler/plugins/fixture.h"

#define POD(containers, spec)                                                                      \
    "{\"metadata\":{\"name\":\"p\",\"namespace\":\"d\"},\"spec\":{\"containers\":[{\"name\":"      \
    "\"c\"" containers "}]" spec "}}"
#define PORT(ip) ",\"ports\":[{\"containerPort\":80,\"hostPort\":8080,\"hostIP\":\"" ip "\"}]"
#define ASKS(r) ",\"resources\":{\"requests\":{" r "}}"

static void two_nodes(struct snapshot *s) {
    given_node(s, "a", "", "");
    given_node(s, "b", "", "");
}

TEST(a_pod_that_names_its_node_goes_nowhere_else) {
    struct snapshot s = {0};
    two_nodes(&s);
    expect_placed(&s, POD("", ",\"nodeName\":\"b\""), "b");
    expect_placed(&s, POD("", ",\"nodeName\":\"x\""),
                  "0/2 nodes are available: 2 node(s) didn't match the requested node name.");
    fixture_done(&s);
}

TEST(a_host_port_is_taken_by_address) {
    struct snapshot s = {0};
    two_nodes(&s);
    given_pod(&s, "1", POD(PORT("10.0.0.1"), ""), "a");
    given_pod(&s, "2", POD(PORT(""), ""), "b");
    expect_placed(&s, POD(PORT("10.0.0.2"), ""), "a");
    expect_placed(&s, POD(PORT(""), ""),
                  "0/2 nodes are available: 2 node(s) didn't have free ports for the requested pod "
                  "ports.");
    expect_placed(&s, POD(PORT(""), ",\"hostNetwork\":true"),
                  "0/2 nodes are available: 2 node(s) didn't have free ports for the requested pod "
                  "ports.");
    fixture_done(&s);
}

TEST(an_image_that_is_there_draws_by_its_size) {
#define WITH_IMAGE(size)                                                                           \
    "{\"apiVersion\":\"v1\",\"kind\":\"Node\",\"metadata\":{\"name\":\"b\"},\"status\":{"          \
    "\"allocatable\":{\"cpu\":\"4\",\"memory\":\"8Gi\",\"pods\":\"9\"},\"images\":[{\"names\":["   \
    "\"registry.example/big:1\"],\"sizeBytes\":" size "}]}}"
    struct snapshot s = {0};
    two_nodes(&s);
    given(&s, WITH_IMAGE("1000000"));
    expect_placed(&s, POD(",\"image\":\"registry.example/big:1\"", ""),
                  "a"); /* too small to count */
    given(&s, WITH_IMAGE("900000000"));
    expect_placed(&s, POD(",\"image\":\"registry.example/big:1\"", ""), "b");
    expect_placed(&s, POD(",\"image\":\"registry.example/big:2\"", ""), "a");
    fixture_done(&s);
}

TEST(a_node_out_of_service_takes_only_who_tolerates_it) {
    struct snapshot s = {0};
    given_node(&s, "a", "", ",\"spec\":{\"unschedulable\":true}");
    given_node(&s, "b", "", ",\"spec\":{\"taints\":[{\"key\":\"k\",\"effect\":\"NoExecute\"}]}");
    expect_placed(&s, POD("", ""),
                  "0/2 nodes are available: 1 node(s) had untolerated taint {k: }, 1 node(s) were "
                  "unschedulable.");
    expect_placed(&s,
                  POD("", ",\"tolerations\":[{\"key\":\"node.kubernetes.io/unschedulable\","
                          "\"operator\":\"Exists\"}]"),
                  "a");
    expect_placed(&s, POD("", ",\"tolerations\":[{\"key\":\"k\",\"operator\":\"Exists\"}]"), "b");
    fixture_done(&s);
}

TEST(resources_that_would_be_used_alike_are_better) {
    struct snapshot s = {0};
    two_nodes(&s);
    given_profiles(&s, "apiVersion: kubescheduler.config.k8s.io/v1\n"
                       "kind: KubeSchedulerConfiguration\n"
                       "profiles:\n- schedulerName: even\n"
                       "  plugins: {score: {disabled: [{name: NodeResourcesFit}]}}\n");
    given_pod(&s, "1", POD(ASKS("\"cpu\":\"2\""), ""), "a");
    given_pod(&s, "2", POD(ASKS("\"memory\":\"4Gi\""), ""), "b");
    expect_placed(&s, POD(ASKS("\"memory\":\"3Gi\""), ",\"schedulerName\":\"even\""), "a");
    expect_placed(&s, POD(ASKS("\"cpu\":\"1500m\""), ",\"schedulerName\":\"even\""), "b");
    fixture_done(&s);
}

TEST(every_resource_that_is_short_is_named_and_pods_are_counted) {
    struct snapshot s = {0};
    given_node(&s, "a", "", "");
    expect_placed(
        &s, POD(ASKS("\"cpu\":\"5\",\"memory\":\"9Gi\",\"ephemeral-storage\":\"1\""), ""),
        "0/1 nodes are available: 1 Insufficient cpu, 1 Insufficient ephemeral-storage, 1 "
        "Insufficient memory.");
    for (int i = 0; i < 9; i++) given_pod(&s, (char[]){(char)('1' + i), 0}, POD("", ""), "a");
    expect_placed(&s, POD("", ""), "0/1 nodes are available: 1 Too many pods.");
    fixture_done(&s);
}
