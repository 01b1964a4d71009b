/* Gangs, quotas, gates and hints, as the core decides them. */
#include "scheduler/core/fixture.h"

#include <stdio.h>

#define OF_GANG(name) "\"scheduling.x-k8s.io/pod-group\":\"" name "\""

TEST(a_gang_is_bound_as_a_whole_once_it_is_complete) {
    struct cluster c;
    cluster_init(&c);
    cluster_node(&c, "n1", "");
    cluster_node(&c, "n2", "");
    cluster_pod(&c, "g0", "2", 0, OF_GANG("g"), "");
    cluster_pod(&c, "g1", "2", 0, OF_GANG("g"), "");
    cluster_expect(&c, ""); /* no group yet */
    cluster_group(&c, "g", 3);
    cluster_expect(&c, "");
    cluster_pod(&c, "g2", "2", 0, OF_GANG("g"), "");
    cluster_expect(&c, "bind g0 n1\nbind g1 n2\nbind g2 n1\n");
    cluster_pod(&c, "g3", "2", 0, OF_GANG("g"), ""); /* more than the least go one by one */
    cluster_expect(&c, "bind g3 n2\n");
    cluster_done(&c);
}

TEST(a_gang_that_does_not_fit_holds_nothing) {
    struct cluster c;
    cluster_init(&c);
    cluster_node(&c, "n", "");
    cluster_group(&c, "g", 3);
    for (int i = 0; i < 3; i++) {
        char name[4] = {'g', (char)('0' + i), 0};
        cluster_pod(&c, name, "2", 5, OF_GANG("g"), "");
    }
    cluster_expect(&c, "");
    assert_int_equal(c.core.snapshot.nodes.v[0]->used_cpu_milli, 0);
    cluster_pod(&c, "single", "3", 0, "", "");
    cluster_expect(&c, "bind single n\n");
    cluster_pass(&c, 70000);
    cluster_expect(&c, "late g\n");
    cluster_gone(&c, "single");
    cluster_node(&c, "n2", "");
    cluster_pass(&c, 10000);
    cluster_expect(&c, "bind g0 n\nbind g1 n2\nbind g2 n\n");
    cluster_done(&c);
}

TEST(of_two_gangs_that_want_the_same_room_one_gets_all_of_it) {
    struct cluster c;
    cluster_init(&c);
    cluster_node(&c, "n1", "");
    cluster_node(&c, "n2", "");
    cluster_group(&c, "x", 2);
    cluster_group(&c, "y", 2);
    cluster_pod(&c, "x0", "3", 0, OF_GANG("x"), "");
    cluster_pod(&c, "y0", "3", 0, OF_GANG("y"), "");
    cluster_pod(&c, "x1", "3", 0, OF_GANG("x"), "");
    cluster_pod(&c, "y1", "3", 0, OF_GANG("y"), "");
    cluster_expect(&c, "bind x0 n1\nbind x1 n2\n");
    cluster_gone(&c, "x0");
    cluster_gone(&c, "x1");
    cluster_pass(&c, 10000);
    cluster_expect(&c, "bind y0 n1\nbind y1 n2\n");
    cluster_done(&c);
}

TEST(a_gang_makes_room_for_all_of_it_or_for_none) {
    struct cluster c;
    cluster_init(&c);
    cluster_node(&c, "n1", "");
    cluster_node(&c, "n2", "");
    cluster_runs(&c, "a", "4", 1, "", "n1");
    cluster_runs(&c, "b", "4", 9, "", "n2");
    cluster_group(&c, "g", 2);
    cluster_pod(&c, "g0", "3", 5, OF_GANG("g"), "");
    cluster_pod(&c, "g1", "3", 5, OF_GANG("g"), "");
    cluster_expect(&c, ""); /* a could go, b not */
    cluster_gone(&c, "b");
    cluster_pass(&c, 10000);
    cluster_expect(&c, "evict a for g1\nnominate g0 n2\nnominate g1 n1\n");
    cluster_pod(&c, "thief", "1", 4, "", "");
    cluster_expect(&c, "bind thief n2\n"); /* beside what the gang wants */
    cluster_pod(&c, "more", "1", 4, "", "");
    cluster_expect(&c, "nominate more n1\n"); /* what a leaves is more than g1 needs */
    cluster_gone(&c, "a");
    cluster_expect(&c, "bind g0 n2\nbind g1 n1\nbind more n1\n");
    cluster_done(&c);
}

TEST(a_gang_that_loses_too_many_goes_as_a_whole) {
    struct cluster c;
    cluster_init(&c);
    cluster_node(&c, "n1", "");
    cluster_node(&c, "n2", "");
    cluster_group(&c, "g", 2);
    cluster_runs(&c, "g0", "4", 1, OF_GANG("g"), "n1");
    cluster_runs(&c, "g1", "4", 1, OF_GANG("g"), "n2");
    cluster_pod(&c, "p", "1", 5, "", "");
    cluster_expect(&c, "evict g0 for p\nevict g1 for p\nnominate p n1\n");
    cluster_done(&c);
}

TEST(what_is_lent_comes_back_to_its_owner) {
    struct cluster c;
    cluster_init(&c);
    cluster_node(&c, "n1", "");
    cluster_node(&c, "n2", "");
    cluster_quota(&c, "a", "4", "6");
    cluster_quota(&c, "b", "4", "8");
    cluster_namespace = "a";
    for (int i = 0; i < 4; i++) {
        char name[4] = {'a', (char)('0' + i), 0};
        cluster_pod(&c, name, "2", 5, "", "");
    }
    cluster_expect(&c, "bind a0 n1\nbind a1 n2\nbind a2 n1\n"); /* max is 6 */
    cluster_namespace = "b";
    cluster_pod(&c, "b0", "2", 0, "", "");
    cluster_expect(&c, "bind b0 n2\n");
    cluster_pod(&c, "b1", "2", 0, "", "");
    core_run(&c.core, c.now_ms, 64);
    const struct nominated *m = snapshot_nominated(&c.core.snapshot, "b1");
    assert_non_null(m);
    size_t leaving = 0;
    for (size_t i = 0; i < m->node->pods.n; i++) {
        leaving += m->node->pods.v[i]->leaving;
        if (m->node->pods.v[i]->leaving)
            assert_string_equal(m->node->pods.v[i]->class->namespace, "a");
    }
    assert_int_equal(leaving, 1);
    c.said[0] = 0;
    cluster_pod(&c, "b2", "2", 0, "", ""); /* b has its min then: nothing is left to lend */
    cluster_expect(&c, "");
    cluster_done(&c);
}

TEST(namespaces_with_quotas_take_turns) {
    struct cluster c;
    cluster_init(&c);
    cluster_node(&c, "n", "");
    cluster_quota(&c, "a", "2", "4");
    cluster_quota(&c, "b", "2", "4");
    for (int i = 0; i < 6; i++) {
        char name[4] = {i < 3 ? 'a' : 'b', (char)('0' + i), 0};
        cluster_namespace = i < 3 ? "a" : "b";
        cluster_pod(&c, name, "1", 0, "", "");
    }
    cluster_expect(&c, "bind a0 n\nbind b3 n\nbind a1 n\nbind b4 n\n");
    cluster_done(&c);
}

TEST(gated_pods_and_those_of_others_never_enter) {
    struct cluster c;
    cluster_init(&c);
    cluster_node(&c, "n", "");
    cluster_pod(&c, "gated", "1", 0, "", ",\"schedulingGates\":[{\"name\":\"g\"}]");
    cluster_pod(&c, "foreign", "1", 0, "", "");
    struct core_v1_pod *foreign = map_gets(&c.pods, "foreign");
    foreign->spec.scheduler_name = "other";
    core_put_pod(&c.core, foreign, true, c.now_ms);
    cluster_expect(&c, "");
    assert_int_equal(c.core.queue.by_uid.n, 0);
    struct core_v1_pod *gated = map_gets(&c.pods, "gated");
    gated->spec.scheduling_gates.n = 0;
    core_put_pod(&c.core, gated, true, c.now_ms);
    cluster_expect(&c, "bind gated n\n");
    cluster_done(&c);
}

TEST(only_room_that_is_enough_wakes_a_pod) {
    struct cluster c;
    cluster_init(&c);
    cluster_node(&c, "n1", "");
    cluster_node(&c, "n2", "\"spec\":{\"unschedulable\":true},");
    cluster_runs(&c, "a", "1", 0, "", "n1");
    cluster_runs(&c, "b", "3", 0, "", "n1");
    cluster_runs(&c, "x", "4", 0, "", "n2");
    cluster_pod(&c, "p", "3", 0, "", "");
    cluster_expect(&c, "");
    const struct queued *p = queue_get(&c.core.queue, "p");
    cluster_gone(&c, "a");
    cluster_gone(&c, "x");
    assert_int_equal(p->place, QUEUE_WAITING);
    cluster_gone(&c, "b");
    assert_int_equal(p->place, QUEUE_BACKOFF);
    cluster_pass(&c, 1000);
    cluster_expect(&c, "bind p n1\n");
    cluster_done(&c);
}

TEST(a_binding_that_fails_gives_the_room_back) {
    struct cluster c;
    cluster_init(&c);
    cluster_node(&c, "n", "");
    cluster_pod(&c, "p", "4", 0, "", "");
    struct core_v1_pod *pod = map_gets(&c.pods, "p");
    cluster_pod(&c, "q", "4", 0, "", "");
    cluster_expect(&c, "bind p n\n");
    core_bind_failed(&c.core, "p", NULL, c.now_ms);
    cluster_pass(&c, 1000);
    cluster_expect(&c, "bind q n\n");
    core_bind_failed(&c.core, "p", pod, c.now_ms); /* still wanted: waits again */
    assert_non_null(queue_get(&c.core.queue, "p"));
    cluster_done(&c);
}
