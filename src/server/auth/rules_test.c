#include "server/auth/rules.h"

#include "base/test.h"

#define LIST(...)                                                                                  \
    (struct str_list) {                                                                            \
        (const char *[]){__VA_ARGS__}, sizeof((const char *[]){__VA_ARGS__}) / sizeof(char *)      \
    }
#define RULES(...)                                                                                 \
    &(struct rbac_v1_policy_rule_list) {                                                           \
        (struct rbac_v1_policy_rule[]){__VA_ARGS__},                                               \
            sizeof((struct rbac_v1_policy_rule[]){__VA_ARGS__}) /                                  \
                sizeof(struct rbac_v1_policy_rule)                                                 \
    }

static bool covered(const struct rbac_v1_policy_rule_list *owned,
                    const struct rbac_v1_policy_rule_list *wanted) {
    struct arena *a = arena_new();
    struct rbac_v1_policy_rule_list missing;
    bool yes = rules_cover(a, owned, wanted, &missing) == RULES_COVERED;
    arena_free(a);
    return yes;
}

TEST(several_rules_together_cover_one) {
    struct rbac_v1_policy_rule get = {
        .verbs = LIST("get"), .api_groups = LIST(""), .resources = LIST("pods", "secrets")};
    struct rbac_v1_policy_rule list = {
        .verbs = LIST("list"), .api_groups = LIST("*"), .resources = LIST("*")};
    struct rbac_v1_policy_rule both = {
        .verbs = LIST("get", "list"), .api_groups = LIST(""), .resources = LIST("pods")};
    struct rbac_v1_policy_rule more = {
        .verbs = LIST("get", "list"), .api_groups = LIST(""), .resources = LIST("nodes")};
    assert_true(covered(RULES(get, list), RULES(both)));
    assert_false(covered(RULES(get, list), RULES(more)));
    assert_false(covered(RULES(get), RULES(both)));
}

TEST(names_subresources_and_paths_are_compared) {
    struct rbac_v1_policy_rule named = {.verbs = LIST("get"),
                                        .api_groups = LIST(""),
                                        .resources = LIST("pods"),
                                        .resource_names = LIST("a", "b")};
    struct rbac_v1_policy_rule one = named, all = named;
    one.resource_names = LIST("b");
    all.resource_names = (struct str_list){0};
    assert_true(covered(RULES(named), RULES(one)));
    assert_true(covered(RULES(all), RULES(one)));
    assert_false(covered(RULES(one), RULES(named)));
    assert_false(covered(RULES(named), RULES(all)));
    struct rbac_v1_policy_rule scale = {
        .verbs = LIST("get"), .api_groups = LIST("*"), .resources = LIST("*/scale")};
    struct rbac_v1_policy_rule rs = {
        .verbs = LIST("get"), .api_groups = LIST("apps"), .resources = LIST("replicasets/scale")};
    struct rbac_v1_policy_rule star = {
        .verbs = LIST("get"), .api_groups = LIST("apps"), .resources = LIST("*")};
    assert_true(covered(RULES(scale), RULES(rs)));
    assert_false(covered(RULES(scale), RULES(star)));
    struct rbac_v1_policy_rule apis = {.verbs = LIST("*"), .non_resource_urls = LIST("/apis/*")};
    struct rbac_v1_policy_rule path = {.verbs = LIST("get"),
                                       .non_resource_urls = LIST("/apis/apps")};
    struct rbac_v1_policy_rule root = {.verbs = LIST("get"), .non_resource_urls = LIST("*")};
    assert_true(covered(RULES(apis), RULES(path)));
    assert_false(covered(RULES(apis), RULES(root)));
    assert_false(covered(RULES(star), RULES(path)));
}

TEST(what_is_missing_is_told_by_resource) {
    struct arena *a = arena_new();
    struct rbac_v1_policy_rule own = {
        .verbs = LIST("get"), .api_groups = LIST(""), .resources = LIST("pods")};
    struct rbac_v1_policy_rule want = {.verbs = LIST("get", "create", "delete"),
                                       .api_groups = LIST(""),
                                       .resources = LIST("pods")};
    struct rbac_v1_policy_rule_list missing;
    assert_int_equal(rules_cover(a, RULES(own), RULES(want), &missing), RULES_MISSING);
    assert_int_equal(missing.n, 1);
    assert_string_equal(rule_text(a, &missing.v[0]),
                        "{APIGroups:[\"\"], Resources:[\"pods\"], Verbs:[\"create\" \"delete\"]}");
    arena_free(a);
}

/* One rule of each side, and in them lists that have to be compared each word with each. */
TEST(long_lists_of_names_are_refused_soon) {
    struct arena *a = arena_new();
    struct rbac_v1_policy_rule own = {.verbs = LIST("get"),
                                      .api_groups = LIST(""),
                                      .resources = LIST("secrets")},
                               want = own;
    for (int i = 0; i < 100000; i++) {
        *ARENA_PUSH(a, &own.resource_names) = arena_printf(a, "n%d", i);
        *ARENA_PUSH(a, &want.resource_names) = arena_printf(a, "n%d", 99999 - i);
    }
    struct rbac_v1_policy_rule_list missing;
    assert_int_equal(rules_cover(a, RULES(own), RULES(want), &missing), RULES_TOO_MANY);
    arena_free(a);
}

TEST(a_role_of_very_many_permissions_is_refused_soon) {
    struct arena *a = arena_new();
    struct rbac_v1_policy_rule want = {0};
    for (int i = 0; i < 2000; i++) {
        *ARENA_PUSH(a, &want.verbs) = arena_printf(a, "v%d", i);
        *ARENA_PUSH(a, &want.resources) = arena_printf(a, "r%d", i);
        *ARENA_PUSH(a, &want.api_groups) = arena_printf(a, "g%d", i);
    }
    struct rbac_v1_policy_rule_list missing;
    assert_int_equal(rules_cover(a, RULES({.verbs = LIST("x")}), RULES(want), &missing),
                     RULES_TOO_MANY);
    arena_free(a);
}
