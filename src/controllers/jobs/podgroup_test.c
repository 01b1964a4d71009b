#include <stdio.h>

#include "controllers/fixture.h"

static const char key[] = "default/g";

static void add_pod(struct world *w, int i, const char *node, const char *phase) {
    char json[600];
    snprintf(
        json, sizeof json,
        "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"p%d\",\"namespace\":"
        "\"default\",\"labels\":{\"scheduling.x-k8s.io/pod-group\":\"g\"}},\"spec\":{"
        "\"nodeName\":\"%s\",\"containers\":[{\"name\":\"c\"}]},\"status\":{\"phase\":\"%s\"}}",
        i, node, phase);
    world_add_json(w, json);
}

static void expect(struct world *w, const char *phase, int32_t scheduled, bool started) {
    settle(w, "podgroup", key);
    const struct scheduling_v1alpha1_pod_group *g =
        (const struct scheduling_v1alpha1_pod_group *)world_get(w, "PodGroup", "default", "g");
    assert_string_equal(g->status.phase, phase);
    assert_int_equal(g->status.scheduled, scheduled);
    assert_int_equal(g->status.schedule_start_time != NULL, started);
}

TEST(a_pod_group_tells_how_far_its_pods_are) {
    struct world *w = world_test_new();
    world_add_json(w, "{\"apiVersion\":\"scheduling.x-k8s.io/v1alpha1\",\"kind\":\"PodGroup\","
                      "\"metadata\":{\"name\":\"g\",\"namespace\":\"default\"},\"spec\":{"
                      "\"minMember\":2}}");
    add_pod(w, 0, "", "Pending");
    expect(w, "Pending", 0, false);
    add_pod(w, 1, "", "Pending");
    expect(w, "Scheduling", 0, true);
    add_pod(w, 0, "n", "Pending");
    add_pod(w, 1, "n", "Running");
    expect(w, "Scheduled", 2, true);
    add_pod(w, 0, "n", "Running");
    expect(w, "Running", 2, true);
    add_pod(w, 0, "n", "Failed");
    expect(w, "Failed", 2, true);
    add_pod(w, 0, "n", "Succeeded");
    add_pod(w, 1, "n", "Succeeded");
    expect(w, "Finished", 2, true);
    world_free(w);
}
