#include "server/admission/authorizer.h"

#include "base/own.h"
#include "base/test.h"
#include "server/auth/authz.h"

#define RBAC "rbac.authorization.k8s.io"

/* One service account, x/sa, may get pods; nobody else may do anything. */
static struct api *start(void) {
    struct api *api = calloc(1, sizeof *api);
    cache_init(&api->cache);
    static const char *const rows[][2] = {
        {"/clusterroles." RBAC "//r",
         "{\"metadata\":{\"name\":\"r\"},\"rules\":[{\"verbs\":[\"get\"],\"apiGroups\":[\"\"],"
         "\"resources\":[\"pods\"]}]}"},
        {"/clusterrolebindings." RBAC "//b",
         "{\"metadata\":{\"name\":\"b\"},\"roleRef\":{\"kind\":\"ClusterRole\",\"name\":\"r\"},"
         "\"subjects\":[{\"kind\":\"ServiceAccount\",\"name\":\"sa\",\"namespace\":\"x\"}]}"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        cache_row(&api->cache, slice_of(rows[i][0]), i + 1, slice_of(rows[i][1]));
    cache_snapshot_end(&api->cache, 10, 0);
    api->authz = authz_new(api);
    return api;
}

static bool asked(struct admission *ad, const char *ns, const char *account) {
    OWN(arena_free_p) struct arena *a = arena_new();
    struct cel_check check = {.group = "",
                              .resource = "pods",
                              .subresource = "",
                              .ns = "n",
                              .name = "p",
                              .verb = "get",
                              .field_selector = "",
                              .label_selector = "",
                              .service_account_ns = ns,
                              .service_account = account};
    bool allowed = true;
    const char *reason;
    admission_authorize(ad, a, &check, &allowed, &reason);
    return allowed;
}

TEST(a_check_is_about_the_service_account_that_it_names) {
    struct api *api = start();
    struct call c = {.api = api, .user = {.name = "alice"}};
    struct admission ad = {.api = api, .c = &c};
    assert_false(asked(&ad, "", ""));
    assert_true(asked(&ad, "x", "sa"));
    assert_false(asked(&ad, "y", "sa"));
    c.user.name = "system:serviceaccount:x:sa";
    assert_true(asked(&ad, "", ""));
    assert_false(asked(&ad, "x", "other"));
    authz_free(api->authz);
    cache_done(&api->cache);
    free(api);
}
