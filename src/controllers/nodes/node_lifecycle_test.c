#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/rules/pods.h"
#include "base/times.h"
#include "controllers/fixture.h"
#include "controllers/nodes/node_lifecycle.h"

static const node *get(const struct world *w, const char *name) {
    return (const node *)world_get(w, "Node", NULL, name);
}

static void add_node(struct world *w, const char *name, const char *zone, const char *ready) {
    char json[800];
    snprintf(json, sizeof json,
             "{\"apiVersion\":\"v1\",\"kind\":\"Node\",\"metadata\":{\"name\":\"%s\",\"labels\":{"
             "\"topology.kubernetes.io/zone\":\"%s\"}},\"status\":{\"conditions\":[{\"type\":"
             "\"Ready\",\"status\":\"%s\"},{\"type\":\"MemoryPressure\",\"status\":\"False\"}]}}",
             name, zone, ready);
    world_add_json(w, json);
}

static void set_condition(struct world *w, const char *name, const char *type, const char *status) {
    struct arena *a;
    node *n = (node *)edit((const struct api_object *)get(w, name), &a);
    for (size_t i = 0; i < n->status.conditions.n; i++)
        if (str_eq(n->status.conditions.v[i].type, type))
            n->status.conditions.v[i].status = arena_str(a, status);
    edit_done(w, a, (struct api_object *)n);
}

static void renew(struct world *w, const char *name, const char *time, int seconds) {
    char json[400];
    snprintf(json, sizeof json,
             "{\"apiVersion\":\"coordination.k8s.io/v1\",\"kind\":\"Lease\",\"metadata\":{"
             "\"name\":\"%s\",\"namespace\":\"kube-node-lease\"},\"spec\":{\"renewTime\":\"%s\","
             "\"leaseDurationSeconds\":%d}}",
             name, time, seconds);
    world_add_json(w, json);
}

static bool tainted(const struct world *w, const char *name, const char *key, const char *effect) {
    return node_taint(get(w, name), key, effect) != NULL;
}

static void add_taint(struct world *w, const char *name, const char *key, const char *time) {
    struct arena *a;
    node *n = (node *)edit((const struct api_object *)get(w, name), &a);
    *ARENA_PUSH(a, &n->spec.taints) =
        (struct core_v1_taint){.key = key, .effect = "NoExecute", .time_added = time};
    edit_done(w, a, (struct api_object *)n);
}

/* ---- nodes ---- */

TEST(a_node_is_unknown_when_its_lease_stands_still) {
    struct world *w = world_test_new();
    add_node(w, "n1", "a", "True");
    add_node(w, "n2", "a", "True");
    /* The clock of the node is wrong by years: it does not matter. */
    renew(w, "n1", "1999-01-01T00:00:00.000000Z", 40);
    settle(w, "node-lifecycle", "n1");
    pass_ms(w, 39 * 1000);
    settle(w, "node-lifecycle", "n1");
    assert_string_equal(node_readiness(get(w, "n1")), "True");
    renew(w, "n1", "1999-01-01T00:00:10.000000Z", 40);
    settle(w, "node-lifecycle", "n1");
    pass_ms(w, 39 * 1000);
    settle(w, "node-lifecycle", "n1");
    assert_string_equal(node_readiness(get(w, "n1")), "True");
    pass_ms(w, 1000);
    settle(w, "node-lifecycle", "n1");
    assert_string_equal(node_readiness(get(w, "n1")), "Unknown");
    assert_string_equal(node_condition(get(w, "n1"), "MemoryPressure")->status, "Unknown");
    assert_true(tainted(w, "n1", TAINT_UNREACHABLE, "NoSchedule"));
    assert_true(tainted(w, "n1", TAINT_UNREACHABLE, "NoExecute"));
    world_free(w);
}

TEST(a_lease_that_promises_more_is_held_to_it) {
    struct world *w = world_test_new();
    add_node(w, "n1", "a", "True");
    add_node(w, "n2", "a", "True");
    renew(w, "n1", "2026-01-01T00:00:00.000000Z", 5);
    settle(w, "node-lifecycle", "n1");
    OWN(plan_free_p) struct plan *p = plan_of(w, "node-lifecycle", "n1");
    uint64_t after_ms;
    assert_true(plan_requeue_ms(p, &after_ms) && after_ms == 5000);
    pass_ms(w, 5000);
    settle(w, "node-lifecycle", "n1");
    assert_string_equal(node_readiness(get(w, "n1")), "Unknown");
    world_free(w);
}

TEST(a_renewed_lease_counts_from_when_it_came_though_nobody_looked_then) {
    struct world *w = world_test_new();
    add_node(w, "n1", "a", "True");
    add_node(w, "n2", "a", "True");
    renew(w, "n1", "2026-01-01T00:00:00.000000Z", 40);
    settle(w, "node-lifecycle", "n1");
    pass_ms(w, 30 * 1000);
    renew(w, "n1", "2026-01-01T00:00:30.000000Z", 40);
    pass_ms(w, 10 * 1000);
    OWN(plan_free_p) struct plan *p = plan_of(w, "node-lifecycle", "n1");
    uint64_t after_ms;
    assert_true(plan_requeue_ms(p, &after_ms) && after_ms == 30 * 1000);
    pass_ms(w, 30 * 1000 - 1);
    settle(w, "node-lifecycle", "n1");
    assert_string_equal(node_readiness(get(w, "n1")), "True");
    pass_ms(w, 1);
    settle(w, "node-lifecycle", "n1");
    assert_string_equal(node_readiness(get(w, "n1")), "Unknown");
    world_free(w);
}

TEST(heartbeats_of_the_status_are_signs_of_life_too) {
    struct world *w = world_test_new();
    add_node(w, "n1", "a", "True");
    settle(w, "node-lifecycle", "n1");
    for (int i = 0; i < 4; i++) {
        struct arena *a;
        pass_ms(w, 30 * 1000);
        node *n = (node *)edit((const struct api_object *)get(w, "n1"), &a);
        n->status.conditions.v[0].last_heartbeat_time = now_text(a, w);
        edit_done(w, a, (struct api_object *)n);
        settle(w, "node-lifecycle", "n1");
    }
    assert_string_equal(node_readiness(get(w, "n1")), "True");
    world_free(w);
}

TEST(taints_say_what_conditions_say) {
    struct world *w = world_test_new();
    add_node(w, "n1", "a", "True");
    add_node(w, "n2", "a", "True");
    add_taint(w, "n1", "mine", NULL);
    set_condition(w, "n1", "MemoryPressure", "True");
    settle(w, "node-lifecycle", "n1");
    assert_true(tainted(w, "n1", "node.kubernetes.io/memory-pressure", "NoSchedule"));
    assert_non_null(node_taint(get(w, "n1"), "mine", "NoExecute")->time_added);
    set_condition(w, "n1", "MemoryPressure", "False");
    set_condition(w, "n1", "Ready", "False");
    settle(w, "node-lifecycle", "n1");
    assert_true(tainted(w, "n1", TAINT_NOT_READY, "NoExecute"));
    set_condition(w, "n1", "Ready", "Unknown");
    settle(w, "node-lifecycle", "n1");
    assert_false(tainted(w, "n1", TAINT_NOT_READY, "NoExecute"));
    assert_true(tainted(w, "n1", TAINT_UNREACHABLE, "NoExecute"));
    set_condition(w, "n1", "Ready", "True");
    settle(w, "node-lifecycle", "n1");
    assert_int_equal(get(w, "n1")->spec.taints.n, 1);
    world_free(w);
}

TEST(a_cordoned_node_is_tainted) {
    struct world *w = world_test_new();
    struct arena *a;
    add_node(w, "n1", "a", "True");
    node *n = (node *)edit((const struct api_object *)get(w, "n1"), &a);
    n->spec.unschedulable = true;
    edit_done(w, a, (struct api_object *)n);
    settle(w, "node-lifecycle", "n1");
    assert_true(tainted(w, "n1", "node.kubernetes.io/unschedulable", "NoSchedule"));
    world_free(w);
}

/* ---- zones ---- */

/* All nodes named PREFIX0 … look once at the same world, then all plans are done, as the engine
 * does when many keys are due. Returns how many bear the NoExecute taint. */
static size_t all_look(struct world *w, const char *prefix, size_t n) {
    struct plan **plans = calloc(n, sizeof *plans);
    size_t executed = 0;
    char name[32];
    for (size_t i = 0; i < n; i++) {
        snprintf(name, sizeof name, "%s%03zu", prefix, i);
        plans[i] = plan_of(w, "node-lifecycle", name);
    }
    for (size_t i = 0; i < n; i++) {
        struct err err;
        assert_true(world_apply(w, plans[i], &err) >= 0);
        plan_free(plans[i]);
        snprintf(name, sizeof name, "%s%03zu", prefix, i);
        executed += node_outage(get(w, name)) != NULL;
    }
    free(plans);
    return executed;
}

static void add_nodes(struct world *w, const char *prefix, size_t n, const char *ready) {
    char name[32];
    for (size_t i = 0; i < n; i++) {
        snprintf(name, sizeof name, "%s%03zu", prefix, i);
        add_node(w, name, prefix, ready);
    }
}

TEST(a_zone_loses_ten_nodes_in_ten_seconds) {
    struct world *w = world_test_new();
    add_nodes(w, "bad", 25, "False");
    add_nodes(w, "good", 1, "True");
    char name[32];
    for (int i = 0; i < 40; i++) { /* ready nodes of the same zone */
        snprintf(name, sizeof name, "fine%d", i);
        add_node(w, name, "bad", "True");
    }
    assert_int_equal(all_look(w, "bad", 25), 10);
    assert_int_equal(all_look(w, "bad", 25), 10);
    pass_ms(w, 9000);
    assert_int_equal(all_look(w, "bad", 25), 10);
    pass_ms(w, 2000);
    assert_int_equal(all_look(w, "bad", 25), 20);
    world_free(w);
}

TEST(a_small_zone_that_is_mostly_sick_loses_nobody) {
    struct world *w = world_test_new();
    add_nodes(w, "z", 3, "True");
    add_nodes(w, "z", 10, "False");
    for (int i = 0; i < 3; i++) {
        char name[32];
        snprintf(name, sizeof name, "fine%d", i);
        add_node(w, name, "z", "True");
    }
    assert_int_equal(all_look(w, "z", 10), 0);
    assert_true(tainted(w, "z000", TAINT_NOT_READY, "NoSchedule"));
    world_free(w);
}

TEST(a_zone_that_failed_as_a_whole_is_evicted_while_another_lives) {
    struct world *w = world_test_new();
    add_nodes(w, "dead", 4, "Unknown");
    add_nodes(w, "good", 1, "True");
    assert_int_equal(all_look(w, "dead", 4), 4);
    world_free(w);
}

TEST(nobody_is_evicted_when_no_node_is_ready) {
    struct world *w = world_test_new();
    add_nodes(w, "z", 3, "Unknown");
    add_nodes(w, "good", 1, "True");
    assert_int_equal(all_look(w, "z", 3), 3);
    set_condition(w, "good000", "Ready", "Unknown");
    assert_int_equal(all_look(w, "z", 3), 0);
    assert_true(tainted(w, "z000", TAINT_UNREACHABLE, "NoSchedule"));
    world_free(w);
}

/* ---- pods ---- */

static void add_pod(struct world *w, const char *more) {
    char json[900];
    snprintf(json, sizeof json,
             "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"p\",\"namespace\":"
             "\"default\"},\"spec\":{\"nodeName\":\"n1\",\"containers\":[]%s},\"status\":{"
             "\"phase\":\"Running\",\"conditions\":[{\"type\":\"Ready\",\"status\":\"True\"}]}}",
             more);
    world_add_json(w, json);
}

static const char pod_key[] = "default/p";

/* What taint-eviction plans: −1 nothing, 0 to delete now, else after so many milliseconds. */
static int64_t due_ms(const struct world *w) {
    OWN(plan_free_p) struct plan *p = plan_of(w, "taint-eviction", pod_key);
    uint64_t after_ms;
    if (plan_count_of(p, PLAN_DELETE, "Pod")) {
        const struct plan_step *s = plan_find(p, PLAN_PATCH, "Pod", 0);
        assert_non_null(strstr(s->body.p, "DeletionByTaintManager"));
        return 0;
    }
    assert_int_equal(plan_count(p), 0);
    return plan_requeue_ms(p, &after_ms) ? (int64_t)after_ms : -1;
}

#define TOLERATES(seconds)                                                                         \
    ",\"tolerations\":[{\"key\":\"t\",\"operator\":\"Exists\",\"effect\":\"NoExecute\"" seconds "}]"

TEST(a_pod_that_does_not_tolerate_goes_at_once) {
    struct world *w = world_test_new();
    add_node(w, "n1", "a", "True");
    add_pod(w, "");
    assert_int_equal(due_ms(w), -1);
    add_taint(w, "n1", "t", "2026-01-01T00:00:00Z");
    assert_int_equal(due_ms(w), 0);
    world_free(w);
}

TEST(a_pod_that_tolerates_for_ever_stays) {
    struct world *w = world_test_new();
    add_node(w, "n1", "a", "True");
    add_pod(w, TOLERATES(""));
    add_taint(w, "n1", "t", "2026-01-01T00:00:00Z");
    assert_int_equal(due_ms(w), -1);
    add_taint(w, "n1", "other", "2026-01-01T00:00:00Z");
    assert_int_equal(due_ms(w), 0);
    world_free(w);
}

TEST(toleration_seconds_count_from_the_taint) {
    struct world *w = world_test_new();
    add_node(w, "n1", "a", "True");
    add_pod(w, TOLERATES(",\"tolerationSeconds\":30"));
    add_taint(w, "n1", "t", "2026-01-01T00:00:10Z");
    pass_ms(w, 15 * 1000);
    assert_int_equal(due_ms(w), 25001);
    pass_ms(w, 25 * 1000);
    assert_int_equal(due_ms(w), 0);
    world_free(w);
}

TEST(a_pod_that_came_after_the_taint_has_its_whole_time) {
    struct world *w = world_test_new();
    add_node(w, "n1", "a", "True");
    add_taint(w, "n1", "t", "2026-01-01T00:00:00Z");
    pass_ms(w, 100 * 1000);
    add_pod(w, TOLERATES(",\"tolerationSeconds\":30"));
    assert_int_equal(due_ms(w), 30001);
    world_free(w);
}

TEST(a_taint_without_a_time_begins_now) {
    struct world *w = world_test_new();
    add_node(w, "n1", "a", "True");
    add_pod(w, TOLERATES(",\"tolerationSeconds\":30"));
    add_taint(w, "n1", "t", NULL);
    pass_ms(w, 100 * 1000);
    assert_int_equal(due_ms(w), 30001);
    world_free(w);
}

TEST(an_endless_time_does_not_overflow) {
    struct world *w = world_test_new();
    add_node(w, "n1", "a", "True");
    add_pod(w, TOLERATES(",\"tolerationSeconds\":9223372036854775807"));
    add_taint(w, "n1", "t", "2026-01-01T00:00:00Z");
    assert_int_equal(due_ms(w), -1);
    world_free(w);
}

TEST(pods_of_a_silent_node_are_not_ready) {
    struct world *w = world_test_new();
    add_node(w, "n1", "a", "True");
    add_pod(w, "");
    assert_rests(w, "node-lifecycle-pods", pod_key);
    set_condition(w, "n1", "Ready", "Unknown");
    OWN(plan_free_p) struct plan *p = plan_of(w, "node-lifecycle-pods", pod_key);
    const struct plan_step *s = plan_find(p, PLAN_PATCH, "Pod", 0);
    assert_non_null(s);
    assert_string_equal(s->subresource, "status");
    assert_non_null(strstr(s->body.p, "\"status\":\"False\""));
    pod_runs(w, (const struct api_object *)pod_get(w, "p"), false);
    assert_rests(w, "node-lifecycle-pods", pod_key);
    world_free(w);
}

/* ---- pods that nobody ends ---- */

static bool collects(const struct world *w) {
    OWN(plan_free_p) struct plan *p = plan_of(w, "pod-gc", pod_key);
    const struct plan_step *s = plan_find(p, PLAN_DELETE, "Pod", 0);
    if (s) assert_int_equal(s->grace_period_s, 0);
    return s != NULL;
}

TEST(pods_of_a_node_that_is_gone_go_after_a_while) {
    struct world *w = world_test_new();
    add_node(w, "n1", "a", "True");
    add_pod(w, "");
    pass_ms(w, 3600 * 1000);
    run(w, "pod-gc", pod_key);
    world_remove(w, api_kind_by_name("", "v1", "Node"), NULL, "n1");
    run(w, "pod-gc", pod_key);
    assert_false(collects(w));
    pass_ms(w, 39 * 1000);
    assert_false(collects(w));
    add_node(w, "n1", "a", "True"); /* registers again */
    run(w, "pod-gc", pod_key);
    world_remove(w, api_kind_by_name("", "v1", "Node"), NULL, "n1");
    run(w, "pod-gc", pod_key);
    pass_ms(w, 39 * 1000);
    assert_false(collects(w));
    pass_ms(w, 1000);
    assert_true(collects(w));
    world_free(w);
}

TEST(pods_that_go_on_a_node_out_of_service_are_gone) {
    struct world *w = world_test_new();
    struct arena *a;
    add_node(w, "n1", "a", "Unknown");
    add_pod(w, "");
    add_taint(w, "n1", TAINT_OUT_OF_SERVICE, NULL);
    assert_false(collects(w));
    struct api_object *o = edit((const struct api_object *)pod_get(w, "p"), &a);
    o->metadata.deletion_timestamp = now_text(a, w);
    edit_done(w, a, o);
    assert_true(collects(w));
    set_condition(w, "n1", "Ready", "True");
    assert_false(collects(w));
    world_free(w);
}

TEST(the_oldest_of_too_many_ended_pods_go) {
    struct world *w = world_test_new();
    for (int i = 0; i < 12503; i++) {
        char json[400];
        snprintf(json, sizeof json,
                 "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"p%05d\","
                 "\"namespace\":\"default\",\"creationTimestamp\":\"2025-01-01T%02d:%02d:%02dZ\"},"
                 "\"spec\":{\"containers\":[]},\"status\":{\"phase\":\"%s\"}}",
                 i, i / 3600, i / 60 % 60, i % 60, i == 0 ? "Running" : "Succeeded");
        world_add_json(w, json);
    }
    OWN(plan_free_p) struct plan *p = plan_of(w, "pod-gc-ended", "ended");
    assert_int_equal(plan_count_of(p, PLAN_DELETE, "Pod"), 2);
    assert_string_equal(plan_find(p, PLAN_DELETE, "Pod", 0)->name, "p00001");
    settle(w, "pod-gc-ended", "ended");
    assert_int_equal(world_count(w, "Pod"), 12501);
    world_free(w);
}

/* ---- the age of what agents have read ---- */

TEST(agents_may_use_what_they_have_read_longer_in_large_clusters) {
    struct world *w = world_test_new();
    add_nodes(w, "n", 95, "True");
    settle(w, "node-ttl", "n000");
    assert_string_equal(
        str_map_get(&get(w, "n000")->metadata.annotations, "node.alpha.kubernetes.io/ttl"), "0");
    add_nodes(w, "m", 6, "True");
    settle(w, "node-ttl", "n000");
    assert_string_equal(
        str_map_get(&get(w, "n000")->metadata.annotations, "node.alpha.kubernetes.io/ttl"), "15");
    for (int i = 0; i < 6; i++) {
        char name[32];
        snprintf(name, sizeof name, "m%03d", i);
        world_remove(w, api_kind_by_name("", "v1", "Node"), NULL, name);
    }
    assert_rests(w, "node-ttl", "n000");
    world_free(w);
}
