#include "node/status/status.h"

#include <string.h>

#include "base/own.h"
#include "node/status/registration.h"
#include "node/test_pods.h"

static void unref_p(struct pod **p) {
    if (*p) pod_unref(*p);
}

static const char one[] = "\"spec\":{\"containers\":[{\"name\":\"a\",\"image\":\"busybox\"}]}";
static const struct status_host host = {"10.0.0.1", "crun"};

static const char *patch(struct buf *b, struct pod *p) {
    OWN(arena_free_p) struct arena *a = arena_new();
    struct core_v1_pod_status s;
    status_compute(a, p, &host, 1000000000, &s);
    buf_clear(b);
    status_patch(b, p, &s);
    return b->p;
}

TEST(containers_of_a_pod_with_init_containers_wait_for_initialization) {
    OWN(unref_p)
    struct pod *p =
        test_pod("\"spec\":{\"initContainers\":[{\"name\":\"i\",\"image\":\"x\"}],\"containers\":["
                 "{\"name\":\"a\",\"image\":\"x\"}]}");
    OWN(buf_done) struct buf b = {0};
    p->state = POD_SANDBOX;
    const char *s = patch(&b, p);
    assert_null(strstr(s, "ContainerCreating")); /* neither does the first init container */
    assert_non_null(strstr(s, "\"waiting\":{\"reason\":\"PodInitializing\"}"));
}

TEST(status_of_a_new_pod_is_pending_and_creating) {
    OWN(unref_p) struct pod *p = test_pod(one);
    OWN(buf_done) struct buf b = {0};
    p->state = POD_SANDBOX;
    const char *s = patch(&b, p);
    assert_non_null(strstr(s, "\"phase\":\"Pending\""));
    assert_non_null(strstr(s, "\"waiting\":{\"reason\":\"ContainerCreating\"}"));
    assert_non_null(strstr(s, "\"qosClass\":\"BestEffort\""));
    assert_non_null(strstr(s, "\"message\":\"containers with unready status: [a]\""));
    assert_non_null(strstr(s, "\"reason\":null"));
}

TEST(status_of_a_running_pod_is_ready) {
    OWN(unref_p) struct pod *p = test_pod(one);
    OWN(buf_done) struct buf b = {0};
    struct container *c = p->containers[0];
    p->state = POD_RUN;
    p->initialized = p->sandbox_ready = true;
    p->ip = strdup("10.244.0.5");
    c->state = CONTAINER_RUNNING, c->started = c->ready = true;
    c->started_ns = 2000000000;
    memcpy(c->id, "abc", 4);
    const char *s = patch(&b, p);
    assert_non_null(strstr(s, "\"phase\":\"Running\""));
    assert_non_null(strstr(s, "\"running\":{\"startedAt\":\"1970-01-01T00:00:02Z\"}"));
    assert_non_null(strstr(s, "\"containerID\":\"crun://abc\""));
    assert_non_null(strstr(s, "\"podIPs\":[{\"ip\":\"10.244.0.5\"}]"));
    assert_non_null(strstr(s, "{\"type\":\"Ready\",\"status\":\"True\""));
}

TEST(status_of_a_crash_loop_shows_the_last_end) {
    OWN(unref_p) struct pod *p = test_pod(one);
    OWN(buf_done) struct buf b = {0};
    struct container *c = p->containers[0];
    p->state = POD_RUN;
    p->initialized = true;
    c->state = CONTAINER_TERMINATED;
    c->attempt = 3;
    termination_set(&c->now, "dead", 7, "Error", "boom", 1000000000, 2000000000);
    container_wait(c, "CrashLoopBackOff", "back-off 10s");
    const char *s = patch(&b, p);
    assert_non_null(strstr(s, "\"phase\":\"Running\""));
    assert_non_null(strstr(s, "\"state\":{\"waiting\":{\"reason\":\"CrashLoopBackOff\""));
    assert_non_null(strstr(s, "\"lastState\":{\"terminated\":{\"exitCode\":7"));
    assert_non_null(strstr(s, "\"restartCount\":3"));
}

TEST(phase_follows_the_restart_policy) {
    static const struct {
        const char *policy;
        uint32_t code;
        const char *phase;
    } cases[] = {{"Always", 0, "Running"},      {"Always", 1, "Running"},
                 {"OnFailure", 0, "Succeeded"}, {"OnFailure", 1, "Running"},
                 {"Never", 0, "Succeeded"},     {"Never", 1, "Failed"}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        OWN(buf_done) struct buf b = {0};
        buf_printf(&b,
                   "\"spec\":{\"restartPolicy\":\"%s\",\"containers\":[{\"name\":\"a\","
                   "\"image\":\"b\"}]}",
                   cases[i].policy);
        OWN(unref_p) struct pod *p = test_pod(b.p);
        p->state = POD_RUN;
        p->initialized = true;
        p->containers[0]->state = CONTAINER_TERMINATED;
        termination_set(&p->containers[0]->now, "", cases[i].code, "x", NULL, 1, 2);
        assert_string_equal(status_phase(p), cases[i].phase);
    }
}

TEST(phase_never_leaves_an_end) {
    OWN(unref_p)
    struct pod *p = test_pod("\"spec\":{\"containers\":[{\"name\":\"a\",\"image\":\"b\"}]},"
                             "\"status\":{\"phase\":\"Failed\"}");
    p->state = POD_RUN;
    assert_string_equal(status_phase(p), "Failed");
}

TEST(condition_times_change_only_with_the_status) {
    OWN(unref_p) struct pod *p = test_pod(one);
    OWN(arena_free_p) struct arena *a = arena_new();
    struct core_v1_pod_status s;
    p->state = POD_RUN;
    status_compute(a, p, &host, 1000000000, &s);
    status_compute(a, p, &host, 9000000000, &s);
    assert_string_equal(s.conditions.v[2].last_transition_time, "1970-01-01T00:00:01Z");
    p->initialized = true;
    p->containers[0]->state = CONTAINER_RUNNING;
    p->containers[0]->started = p->containers[0]->ready = true;
    status_compute(a, p, &host, 9000000000, &s);
    assert_string_equal(s.conditions.v[2].last_transition_time, "1970-01-01T00:00:09Z");
}

TEST(status_keeps_conditions_of_others_and_honours_readiness_gates) {
    OWN(unref_p)
    struct pod *p = test_pod(
        "\"spec\":{\"readinessGates\":[{\"conditionType\":\"x.io/ok\"}],\"containers\":[{\"name\":"
        "\"a\",\"image\":\"b\"}]},\"status\":{\"conditions\":[{\"type\":\"PodScheduled\","
        "\"status\":"
        "\"True\"}]}");
    OWN(buf_done) struct buf b = {0};
    p->state = POD_RUN;
    p->initialized = true;
    p->containers[0]->state = CONTAINER_RUNNING;
    p->containers[0]->started = p->containers[0]->ready = true;
    const char *s = patch(&b, p);
    assert_non_null(strstr(s, "\"type\":\"PodScheduled\""));
    assert_non_null(strstr(s, "ReadinessGatesNotReady"));
    assert_non_null(strstr(s, "{\"type\":\"ContainersReady\",\"status\":\"True\""));
}

TEST(adoption_takes_restart_counts_and_ends_from_the_api) {
    OWN(unref_p)
    struct pod *p = test_pod(
        "\"spec\":{\"containers\":[{\"name\":\"a\",\"image\":\"b\"}]},\"status\":{\"startTime\":"
        "\"2024-01-01T00:00:00Z\",\"containerStatuses\":[{\"name\":\"a\",\"restartCount\":4,"
        "\"state\":{\"terminated\":{\"exitCode\":2,\"reason\":\"Error\",\"containerID\":"
        "\"crun://beef\"}}}]}");
    status_adopt(p, &p->object->status);
    assert_int_equal(p->containers[0]->attempt, 4);
    assert_int_equal(p->containers[0]->state, CONTAINER_TERMINATED);
    assert_int_equal(p->containers[0]->now.exit_code, 2);
    assert_string_equal(p->containers[0]->id, "beef");
    assert_true(p->start_ns > 0);
}

TEST(node_status_keeps_the_time_of_an_unchanged_condition) {
    OWN(arena_free_p) struct arena *a = arena_new();
    struct host_info h = {.cpu_milli = 2000,
                          .memory_bytes = 4LL << 30,
                          .storage_bytes = 1LL << 30,
                          .ip = (char *)"10.0.0.1",
                          .runtime = (char *)"crun",
                          .runtime_version = (char *)"1.8"};
    struct node_view v = {.host = &h, .node_name = "n", .ready = true, .now_ns = 1000000000};
    struct core_v1_node_status first = {0}, second = {0};
    registration_status(a, &v, NULL, &first);
    assert_string_equal(str_map_get(&first.capacity, "cpu"), "2");
    assert_string_equal(str_map_get(&first.capacity, "memory"), "4194304Ki");
    assert_string_equal(str_map_get(&first.allocatable, "pods"), "110");
    v.now_ns = 5000000000;
    v.disk_pressure = true;
    registration_status(a, &v, &first.conditions, &second);
    assert_string_equal(second.conditions.v[3].type, "Ready");
    assert_string_equal(second.conditions.v[3].last_transition_time, "1970-01-01T00:00:01Z");
    assert_string_equal(second.conditions.v[3].last_heartbeat_time, "1970-01-01T00:00:05Z");
    assert_string_equal(second.conditions.v[1].last_transition_time, "1970-01-01T00:00:05Z");
    assert_string_equal(second.node_info.container_runtime_version, "crun://1.8");
}

TEST(what_others_announce_as_capacity_becomes_allocatable_until_they_take_it_back) {
    OWN(arena_free_p) struct arena *a = arena_new();
    OWN(buf_done) struct buf none = {0}, patch = {0};
    struct core_v1_node n = {.metadata = {.name = "n"}};
    str_map_set(a, &n.status.capacity, "cpu", "4");
    str_map_set(a, &n.status.allocatable, "cpu", "3");
    assert_false(registration_extended(&none, &n));
    str_map_set(a, &n.status.capacity, "example.com/foo", "5");
    str_map_set(a, &n.status.allocatable, "example.com/old", "1");
    assert_true(registration_extended(&patch, &n));
    assert_string_equal(arena_strn(a, buf_view(&patch)),
                        "{\"status\":{\"allocatable\":{\"example.com/foo\":\"5\","
                        "\"example.com/old\":null}}}");
}
