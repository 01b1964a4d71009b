#include "api/rules/node_match.h"
#include "base/own.h"
#include "base/test.h"

static struct core_v1_node_selector_requirement wants(struct arena *a, const char *key,
                                                      const char *operator, const char * value) {
    struct core_v1_node_selector_requirement r = {.key = key, .operator= operator};
    if (value) *ARENA_PUSH(a, &r.values) = value;
    return r;
}

TEST(node_requirements) {
    static const struct {
        const char *key, *operator, * value;
        bool expected;
    } cases[] = {
        {"zone", "In", "a", true},          {"zone", "In", "b", false},
        {"zone", "NotIn", "b", true},       {"rack", "NotIn", "b", true},
        {"zone", "Exists", NULL, true},     {"rack", "DoesNotExist", NULL, true},
        {"cpus", "Gt", "7", true},          {"cpus", "Gt", "8", false},
        {"cpus", "Lt", "9", true},          {"zone", "Gt", "1", false},
        {"rack", "Lt", "9", false},         {"cpus", "Gt", "99999999999999999999", false},
        {"zone", "unheard of", "a", false},
    };
    OWN(arena_free_p) struct arena *a = arena_new();
    struct core_v1_node n = {.metadata.name = "one"};
    str_map_set(a, &n.metadata.labels, "zone", "a");
    str_map_set(a, &n.metadata.labels, "cpus", "8");
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct core_v1_node_selector_term t = {0};
        assert_false(node_term_matches(&t, &n)); /* without requirements: nothing */
        *ARENA_PUSH(a, &t.match_expressions) =
            wants(a, cases[i].key, cases[i].operator, cases[i].value);
        if (node_term_matches(&t, &n) != cases[i].expected) fail_msg("case %zu", i);
    }
    struct core_v1_node_selector_term by_name = {0};
    *ARENA_PUSH(a, &by_name.match_fields) = wants(a, "metadata.name", "In", "one");
    assert_true(node_term_matches(&by_name, &n));
    n.metadata.name = "two";
    assert_false(node_term_matches(&by_name, &n));
}

TEST(node_taints_are_tolerated_by_key_value_and_effect) {
    OWN(arena_free_p) struct arena *a = arena_new();
    struct core_v1_node n = {0};
    struct core_v1_pod_spec s = {0};
    *ARENA_PUSH(a, &n.spec.taints) =
        (struct core_v1_taint){.key = "soft", .effect = "PreferNoSchedule"};
    *ARENA_PUSH(a, &n.spec.taints) = (struct core_v1_taint){.key = "hard", .effect = "NoSchedule"};
    *ARENA_PUSH(a, &n.spec.taints) =
        (struct core_v1_taint){.key = "out", .value = "now", .effect = "NoExecute"};
    assert_string_equal(pod_untolerated_taint(&s, &n, true)->key, "hard");
    assert_string_equal(pod_untolerated_taint(&s, &n, false)->key, "out");
    struct core_v1_toleration *t = ARENA_PUSH(a, &s.tolerations);
    *t = (struct core_v1_toleration){.key = "hard", .effect = "NoExecute"};
    assert_string_equal(pod_untolerated_taint(&s, &n, true)->key, "hard");
    t->effect = "";
    assert_string_equal(pod_untolerated_taint(&s, &n, true)->key, "out");
    t = ARENA_PUSH(a, &s.tolerations);
    *t = (struct core_v1_toleration){.key = "out", .operator= "Equal", .value = "then"};
    assert_non_null(pod_untolerated_taint(&s, &n, true));
    t->value = "now";
    assert_null(pod_untolerated_taint(&s, &n, true));
    s.tolerations.n = 0;
    *ARENA_PUSH(a, &s.tolerations) = (struct core_v1_toleration){.operator= "Exists" };
    assert_null(pod_untolerated_taint(&s, &n, true));
}

TEST(default_tolerations_leave_what_the_pod_says) {
    OWN(arena_free_p) struct arena *a = arena_new();
    struct core_v1_pod_spec silent = {0}, one = {0}, all = {0};
    pod_default_tolerations(a, &silent);
    assert_int_equal(silent.tolerations.n, 2);
    assert_int_equal(*silent.tolerations.v[0].toleration_seconds, 30);
    *ARENA_PUSH(a, &one.tolerations) = (struct core_v1_toleration){
        .key = "node.kubernetes.io/unreachable", .operator= "Exists", .effect = "NoExecute"};
    pod_default_tolerations(a, &one);
    assert_int_equal(one.tolerations.n, 2);
    assert_string_equal(one.tolerations.v[1].key, "node.kubernetes.io/not-ready");
    *ARENA_PUSH(a, &all.tolerations) = (struct core_v1_toleration){.operator= "Exists" };
    pod_default_tolerations(a, &all);
    assert_int_equal(all.tolerations.n, 1);
}
