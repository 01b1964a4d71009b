#include "server/auth/authz.h"

#include "base/own.h"
#include "base/test.h"
#include "wire/store.h"

#define RBAC "rbac.authorization.k8s.io"

static struct api *start(void) {
    struct api *api = calloc(1, sizeof *api);
    cache_init(&api->cache);
    static const char *const rows[][2] = {
        {"/clusterroles." RBAC "//reader",
         "{\"metadata\":{\"name\":\"reader\"},\"rules\":[{\"verbs\":[\"get\",\"list\"],"
         "\"apiGroups\":[\"\"],\"resources\":[\"pods\",\"*/scale\"]},{\"verbs\":[\"get\"],"
         "\"nonResourceURLs\":[\"/healthz\",\"/apis/*\"]}]}"},
        {"/roles." RBAC "/a/one",
         "{\"metadata\":{\"name\":\"one\",\"namespace\":\"a\"},\"rules\":[{\"verbs\":[\"*\"],"
         "\"apiGroups\":[\"*\"],\"resources\":[\"secrets\"],\"resourceNames\":[\"s\"]}]}"},
        {"/clusterrolebindings." RBAC "//b",
         "{\"metadata\":{\"name\":\"b\"},\"roleRef\":{\"kind\":\"ClusterRole\",\"name\":\"reader\"}"
         ",\"subjects\":[{\"kind\":\"Group\",\"name\":\"g\"}]}"},
        {"/rolebindings." RBAC "/a/b",
         "{\"metadata\":{\"name\":\"b\",\"namespace\":\"a\"},\"roleRef\":{\"kind\":\"Role\","
         "\"name\":\"one\"},\"subjects\":[{\"kind\":\"ServiceAccount\",\"name\":\"sa\","
         "\"namespace\":\"x\"}]}"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        cache_row(&api->cache, slice_of(rows[i][0]), i + 1, slice_of(rows[i][1]));
    cache_snapshot_end(&api->cache, 10, 0);
    api->authz = authz_new(api);
    return api;
}

static void stop(struct api *api) {
    authz_free(api->authz);
    cache_done(&api->cache);
    free(api);
}

static bool may(struct api *api, const char *user, const char *group, const char *verb,
                const char *resource, const char *sub, const char *ns, const char *name) {
    struct user u = {.name = user, .groups = {&group, 1}};
    struct attributes at = {.verb = verb,
                            .group = "",
                            .resource = resource,
                            .subresource = sub,
                            .name = name,
                            .ns = ns};
    if (*resource == '/') at.path = resource;
    return authz_allows(api->authz, &u, &at);
}

TEST(rules_allow_exactly_what_they_say) {
    struct api *api = start();
    assert_true(may(api, "u", "g", "list", "pods", "", "any", ""));
    assert_false(may(api, "u", "h", "list", "pods", "", "any", ""));
    assert_false(may(api, "u", "g", "delete", "pods", "", "any", "p"));
    assert_false(may(api, "u", "g", "get", "pods", "log", "any", "p"));
    assert_true(may(api, "u", "g", "get", "things", "scale", "any", "p"));
    assert_true(may(api, "u", "g", "get", "/apis/apps/v1", "", "", ""));
    assert_true(may(api, "u", "g", "get", "/healthz", "", "", ""));
    assert_false(may(api, "u", "g", "get", "/healthz/ping", "", "", ""));
    assert_true(may(api, "u", "system:masters", "delete", "nodes", "", "", "n"));
    stop(api);
}

TEST(a_binding_counts_in_its_namespace_for_its_names) {
    struct api *api = start();
    const char *sa = "system:serviceaccount:x:sa";
    assert_true(may(api, sa, "-", "get", "secrets", "", "a", "s"));
    assert_false(may(api, sa, "-", "get", "secrets", "", "a", "t"));
    assert_false(may(api, sa, "-", "list", "secrets", "", "a", ""));
    assert_false(may(api, sa, "-", "get", "secrets", "", "b", "s"));
    assert_false(may(api, sa, "-", "get", "secrets", "", "", "s"));
    stop(api);
}

TEST(a_deleted_binding_counts_no_more) {
    struct api *api = start();
    assert_true(may(api, "u", "g", "list", "pods", "", "a", ""));
    cache_event(&api->cache, STORE_DELETE, SLICE("/clusterrolebindings." RBAC "//b"), 11,
                SLICE("{\"metadata\":{\"name\":\"b\"}}"), 0);
    assert_false(may(api, "u", "g", "list", "pods", "", "a", ""));
    stop(api);
}

TEST(the_sentence_of_a_refusal) {
    struct arena *a = arena_new();
    struct user u = {.name = "jane"};
    struct attributes at = {.verb = "get",
                            .group = "apps",
                            .resource = "deployments",
                            .subresource = "scale",
                            .name = "d",
                            .ns = "n"};
    assert_string_equal(authz_refusal(a, &u, &at),
                        "deployments.apps \"d\" is forbidden: User \"jane\" cannot get resource "
                        "\"deployments/scale\" in API group \"apps\" in the namespace \"n\"");
    at.path = "/x";
    assert_string_equal(authz_refusal(a, &u, &at),
                        "forbidden: User \"jane\" cannot get path \"/x\"");
    arena_free(a);
}

TEST(roles_that_change_and_go_are_seen) {
    struct api *api = start();
    assert_true(may(api, "u", "g", "list", "pods", "", "a", ""));
    cache_event(&api->cache, STORE_UPDATE, SLICE("/clusterroles." RBAC "//reader"), 11,
                SLICE("{\"metadata\":{\"name\":\"reader\"},\"rules\":[{\"verbs\":[\"get\"],"
                      "\"apiGroups\":[\"\"],\"resources\":[\"nodes\"]}]}"),
                0);
    assert_false(may(api, "u", "g", "list", "pods", "", "a", ""));
    assert_true(may(api, "u", "g", "get", "nodes", "", "", "n"));
    cache_event(&api->cache, STORE_DELETE, SLICE("/clusterroles." RBAC "//reader"), 12,
                SLICE("{\"metadata\":{\"name\":\"reader\"}}"), 0);
    assert_false(may(api, "u", "g", "get", "nodes", "", "", "n"));
    stop(api);
}

TEST(the_reason_of_a_permission_names_its_binding) {
    struct api *api = start();
    struct arena *a = arena_new();
    struct user u = {.name = "system:serviceaccount:x:sa"};
    assert_true(may(api, u.name, "-", "get", "secrets", "", "a", "s"));
    assert_string_equal(authz_reason(api->authz, a, &u),
                        "RBAC: allowed by RoleBinding \"b/a\" of Role \"one\" to User "
                        "\"system:serviceaccount:x:sa\"");
    assert_string_equal(authz_selected_name(a, "a!=b,metadata.name=x"), "x");
    assert_string_equal(authz_selected_name(a, "metadata.name!=x"), "");
    arena_free(a);
    stop(api);
}

struct told {
    size_t all, some;
};

static void count_rule(void *user, const struct rbac_v1_policy_rule *r) {
    struct told *t = user;
    if (str_eq(r->verbs.v[0], "*") && r->resources.n && str_eq(r->resources.v[0], "*"))
        t->all++;
    else if (!r->non_resource_urls.n)
        t->some++;
}

TEST(who_may_do_everything_is_told_so_once) {
    struct api *api = start();
    static const char *const rows[][2] = {
        {"/clusterroles." RBAC "//all",
         "{\"metadata\":{\"name\":\"all\"},\"rules\":[{\"verbs\":[\"*\"],\"apiGroups\":[\"*\"],"
         "\"resources\":[\"*\"]},{\"verbs\":[\"get\"],\"apiGroups\":[\"\"],\"resources\":[\"pods\"]"
         "}]}"},
        {"/clusterrolebindings." RBAC "//all",
         "{\"metadata\":{\"name\":\"all\"},\"roleRef\":{\"kind\":\"ClusterRole\",\"name\":\"all\"},"
         "\"subjects\":[{\"kind\":\"Group\",\"name\":\"system:masters\"},{\"kind\":\"User\","
         "\"name\":\"u\"}]}"}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        cache_row(&api->cache, slice_of(rows[i][0]), 20 + i, slice_of(rows[i][1]));
    const char *groups[] = {"system:masters"};
    struct told t = {0};
    authz_rules(api->authz, &(struct user){.name = "root", .groups = {groups, 1}}, "a", count_rule,
                &t);
    assert_int_equal(t.all, 1);
    assert_int_equal(t.some, 1);
    t = (struct told){0};
    authz_rules(api->authz, &(struct user){.name = "u"}, "a", count_rule, &t);
    assert_int_equal(t.all, 1);
    stop(api);
}
