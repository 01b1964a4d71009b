#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "scheduler/core/fixture.h"
#include "scheduler/place/place.h"

TEST(the_fewest_and_least_important_go) {
    struct cluster c;
    cluster_init(&c);
    cluster_node(&c, "n", "");
    cluster_runs(&c, "one", "1", 1, "", "n");
    cluster_runs(&c, "two", "2", 2, "", "n");
    cluster_runs(&c, "three", "1", 3, "", "n");
    cluster_pod(&c, "p", "2", 10, "", "");
    cluster_expect(&c, "evict two for p\nnominate p n\n"); /* the 1 of "one" would not do */
    cluster_pod(&c, "q", "1", 10, "", "");
    cluster_expect(&c, "evict one for q\nnominate q n\n"); /* what p made room for is p's */
    cluster_gone(&c, "two");
    cluster_expect(&c, "bind p n\n");
    cluster_gone(&c, "one");
    cluster_expect(&c, "bind q n\n");
    cluster_done(&c);
}

TEST(nobody_goes_for_a_pod_that_is_no_more_important_or_never_preempts) {
    struct cluster c;
    cluster_init(&c);
    cluster_node(&c, "n", "");
    cluster_runs(&c, "old", "4", 5, "", "n");
    cluster_pod(&c, "p", "1", 5, "", "");
    cluster_pod(&c, "q", "1", 9, "", ",\"preemptionPolicy\":\"Never\"");
    cluster_expect(&c, "");
    assert_non_null(queue_get(&c.core.queue, "p"));
    cluster_gone(&c, "old");
    cluster_pass(&c, 1000);
    cluster_expect(&c, "bind q n\nbind p n\n");
    cluster_done(&c);
}

static const struct {
    const char *what;
    struct {
        const char *name, *cpu, *node;
        int priority;
        int64_t start_s;
    } runs[6];
    const char *chosen;
} choices[] = {
    {"lowest of the most important", {{"a", "4", "n1", 3, 0}, {"b", "4", "n2", 2, 0}}, "n2"},
    {"smallest sum",
     {{"a", "2", "n1", 3, 0},
      {"b", "2", "n1", 2, 0},
      {"c", "2", "n2", 3, 0},
      {"d", "2", "n2", 1, 0}},
     "n2"},
    {"fewest", {{"a", "2", "n1", 3, 0}, {"b", "2", "n1", 3, 0}, {"c", "4", "n2", 3, 0}}, "n2"},
    {"latest start", {{"a", "4", "n1", 3, 100}, {"b", "4", "n2", 3, 200}}, "n2"},
};

TEST(the_node_with_the_cheapest_victims_is_chosen) {
    for (size_t i = 0; i < ARRAY_LEN(choices); i++) {
        struct cluster c;
        cluster_init(&c);
        cluster_node(&c, "n1", "");
        cluster_node(&c, "n2", "");
        for (size_t j = 0; j < 6 && choices[i].runs[j].name; j++) {
            cluster_runs(&c, choices[i].runs[j].name, choices[i].runs[j].cpu,
                         choices[i].runs[j].priority, "", choices[i].runs[j].node);
            struct sched_pod *p = snapshot_pod(&c.core.snapshot, choices[i].runs[j].name);
            p->start_s = choices[i].runs[j].start_s;
        }
        cluster_pod(&c, "p", "4", 10, "", "");
        core_run(&c.core, c.now_ms, 64);
        const struct nominated *m = snapshot_nominated(&c.core.snapshot, "p");
        if (!m || strcmp(m->node->name, choices[i].chosen) != 0)
            fail_msg("%s: %s", choices[i].what, m ? m->node->name : "nowhere");
        cluster_done(&c);
    }
}

TEST(budgets_are_violated_only_where_nothing_else_helps) {
    struct cluster c;
    cluster_init(&c);
    cluster_node(&c, "n1", "");
    cluster_node(&c, "n2", "");
    cluster_runs(&c, "guarded", "4", 1, "\"app\":\"g\"", "n1");
    cluster_runs(&c, "open", "4", 5, "", "n2");
    cluster_budget(&c, "b", "g", 0);
    cluster_pod(&c, "p", "4", 10, "", "");
    cluster_expect(&c, "evict open for p\nnominate p n2\n");
    cluster_pod(&c, "q", "4", 10, "", "");
    cluster_expect(&c, "evict guarded for q\nnominate q n1\n");
    cluster_done(&c);
}

TEST(what_went_counts_against_its_budget_at_once) {
    struct cluster c;
    cluster_init(&c);
    const char *nodes[] = {"n1", "n2", "n3"};
    for (int i = 0; i < 3; i++) cluster_node(&c, nodes[i], "");
    cluster_runs(&c, "g1", "4", 1, "\"app\":\"g\"", "n1");
    cluster_runs(&c, "g2", "4", 1, "\"app\":\"g\"", "n2");
    cluster_runs(&c, "open", "4", 5, "", "n3");
    cluster_budget(&c, "b", "g", 1);
    cluster_pod(&c, "p", "4", 10, "", "");
    cluster_pod(&c, "q", "4", 10, "", "");
    cluster_expect(&c, "evict g1 for p\nnominate p n1\nevict open for q\nnominate q n3\n");
    cluster_done(&c);
}

TEST(victims_that_still_leave_are_waited_for) {
    struct cluster c;
    cluster_init(&c);
    cluster_node(&c, "n1", "");
    cluster_node(&c, "n2", "");
    cluster_runs(&c, "a", "4", 1, "", "n1");
    cluster_runs(&c, "b", "4", 2, "", "n2");
    cluster_pod(&c, "p", "4", 10, "", "");
    cluster_expect(&c, "evict a for p\nnominate p n1\n");
    cluster_pass(&c, 60000); /* tried again: it does not push out b as well */
    cluster_expect(&c, "");
    core_evict_failed(&c.core, "a");
    cluster_pass(&c, 60000);
    cluster_expect(&c, "evict a for p\n");
    cluster_gone(&c, "a");
    cluster_expect(&c, "bind p n1\n");
    cluster_done(&c);
}

TEST(room_that_was_made_is_lost_to_more_important_pods_only) {
    struct cluster c;
    cluster_init(&c);
    cluster_node(&c, "n", "");
    cluster_runs(&c, "a", "4", 1, "", "n");
    cluster_pod(&c, "p", "3", 10, "", "");
    cluster_expect(&c, "evict a for p\nnominate p n\n");
    cluster_pod(&c, "lesser", "2", 9, "", "");
    cluster_expect(&c, "");
    cluster_pod(&c, "boss", "3", 20, "", "");
    cluster_expect(&c, "unnominate p\nnominate boss n\n");
    cluster_gone(&c, "a");
    cluster_pass(&c, 10000);
    cluster_expect(&c, "bind boss n\n");
    cluster_done(&c);
}

TEST(nodes_where_it_would_not_help_are_left_alone) {
    struct cluster c;
    cluster_init(&c);
    cluster_node(
        &c, "bad",
        "\"spec\":{\"taints\":[{\"key\":\"k\",\"value\":\"v\",\"effect\":\"NoSchedule\"}]},");
    cluster_node(&c, "small", "");
    cluster_runs(&c, "a", "4", 1, "", "bad");
    cluster_runs(&c, "b", "4", 1, "", "small");
    cluster_pod(&c, "p", "5", 10, "", "");
    cluster_expect(&c, "");
    cluster_pod(&c, "q", "2", 10, "", "");
    cluster_expect(&c, "evict b for q\nnominate q small\n");
    cluster_done(&c);
}

#define AWAY                                                                                       \
    ",\"affinity\":{\"podAntiAffinity\":{\"requiredDuringSchedulingIgnoredDuringExecution\":[{"    \
    "\"topologyKey\":\"host\",\"labelSelector\":{\"matchLabels\":{\"app\":\"w\"}}}]}}"

TEST(a_pod_that_repels_pushes_out_what_it_repels) {
    struct cluster c;
    cluster_init(&c);
    cluster_node(&c, "n", "");
    cluster_runs(&c, "w", "1", 1, "\"app\":\"w\"", "n");
    cluster_runs(&c, "x", "1", 1, "", "n");
    cluster_pod(&c, "p", "1", 10, "", AWAY);
    cluster_expect(&c, "evict w for p\nnominate p n\n");
    cluster_gone(&c, "w");
    cluster_expect(&c, "bind p n\n");
    cluster_done(&c);
}

TEST(a_pod_that_goes_gives_its_nomination_back) {
    struct cluster c;
    cluster_init(&c);
    cluster_node(&c, "n", "");
    cluster_runs(&c, "a", "4", 1, "", "n");
    cluster_pod(&c, "p", "4", 10, "", "");
    cluster_pod(&c, "lesser", "4", 1, "", "");
    cluster_expect(&c, "evict a for p\nnominate p n\n");
    cluster_gone(&c, "a");
    cluster_gone(&c, "p");
    cluster_pass(&c, 1000);
    cluster_expect(&c, "bind lesser n\n");
    cluster_done(&c);
}

/* ---- what is kept node by node is what a fresh look finds ---- */

static unsigned next_random(unsigned *seed) { return *seed = *seed * 1103515245u + 12345u; }

static void compare(struct cluster *c, unsigned round) {
    OWN(arena_free_p) struct arena *a = arena_new();
    const struct core_v1_pod *pod = map_gets(&c->pods, "probe");
    struct preempt_result kept = preempt_find(a, &c->core.snapshot, &c->core.budgets, pod);
    places_done(&c->core.snapshot);
    struct preempt_result fresh = preempt_find(a, &c->core.snapshot, &c->core.budgets, pod);
    if (kept.node != fresh.node || kept.n != fresh.n) fail_msg("round %u", round);
    for (size_t i = 0; i < kept.n; i++) assert_ptr_equal(kept.victims[i], fresh.victims[i]);
}

static void follow_changes(const char *probe) {
    struct cluster c;
    unsigned seed = 7;
    cluster_init(&c);
    for (int i = 0; i < 9; i++) {
        char name[16];
        snprintf(name, sizeof name, "n%d", i);
        cluster_node(&c, name, "");
    }
    cluster_budget(&c, "b", "g", 1);
    cluster_pod(&c, "probe", "3", 50, "", probe);
    for (unsigned round = 0; round < 400; round++) {
        char name[16], node[16];
        snprintf(name, sizeof name, "p%u", next_random(&seed) / 65536 % 40);
        snprintf(node, sizeof node, "n%u", next_random(&seed) / 65536 % 9);
        unsigned what = next_random(&seed) / 65536 % 4;
        if (what == 0)
            cluster_gone(&c, name);
        else if (what == 1)
            cluster_budget(&c, "b", "g", (int)(round % 3));
        else
            cluster_runs(&c, name, what == 2 ? "1" : "2", (int)(next_random(&seed) / 65536 % 60),
                         round % 2 ? "\"app\":\"g\"" : (round % 3 ? "\"app\":\"w\"" : ""), node);
        compare(&c, round);
    }
    cluster_done(&c);
}

TEST(costs_that_are_kept_follow_every_change) { follow_changes(""); }
TEST(so_they_do_where_pods_elsewhere_matter) { follow_changes(AWAY); }

#define SPREAD                                                                                     \
    ",\"topologySpreadConstraints\":[{\"maxSkew\":1,\"topologyKey\":\"host\","                     \
    "\"whenUnsatisfiable\":\"DoNotSchedule\",\"labelSelector\":{\"matchLabels\":{\"app\":\"s\"}}}" \
    "]"

TEST(a_spread_can_cost_a_victim_more_or_another_node) {
    struct cluster c;
    cluster_init(&c);
    cluster_node(&c, "n1", "");
    cluster_node(&c, "n2", "");
    cluster_runs(&c, "high", "4", 20, "\"app\":\"s\"", "n1");
    cluster_runs(&c, "low1", "1", 1, "\"app\":\"s\"", "n2");
    cluster_runs(&c, "low2", "1", 2, "\"app\":\"s\"", "n2");
    cluster_runs(&c, "low3", "2", 3, "\"app\":\"s\"", "n2");
    cluster_pod(&c, "p", "1", 10, "\"app\":\"s\"", SPREAD);
    cluster_expect(&c, "evict low2 for p\nevict low1 for p\nnominate p n2\n");
    cluster_done(&c);
}
