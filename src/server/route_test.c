#include "server/route.h"

#include "base/test.h"

static const struct {
    const char *method, *target;
    bool is_resource;
    const char *verb, *group, *version, *ns, *plural, *name, *sub, *rest;
} cases[] = {
    {"GET", "/api/v1/pods", true, "list", "", "v1", "", "pods", "", "", ""},
    {"GET", "/api/v1/pods?watch=true", true, "watch", "", "v1", "", "pods", "", "", ""},
    {"GET", "/api/v1/watch/namespaces/a/pods", true, "watch", "", "v1", "a", "pods", "", "", ""},
    {"GET", "/api/v1/namespaces/a/pods/p", true, "get", "", "v1", "a", "pods", "p", "", ""},
    {"GET", "/api/v1/namespaces/a/pods/p/log", true, "get", "", "v1", "a", "pods", "p", "log", ""},
    {"GET", "/api/v1/namespaces/a/services/s/proxy/x/y", true, "get", "", "v1", "a", "services",
     "s", "proxy", "/x/y"},
    {"GET", "//api//v1/namespaces/a/services/s/proxy/1/2/3/4//5/6/7/", true, "get", "", "v1", "a",
     "services", "s", "proxy", "/1/2/3/4//5/6/7/"},
    {"GET", "/api/v1/namespaces/a", true, "get", "", "v1", "a", "namespaces", "a", "", ""},
    {"PUT", "/api/v1/namespaces/a/finalize", true, "update", "", "v1", "a", "namespaces", "a",
     "finalize", ""},
    {"POST", "/apis/apps/v1/namespaces/a/deployments", true, "create", "apps", "v1", "a",
     "deployments", "", "", ""},
    {"DELETE", "/apis/apps/v1/namespaces/a/deployments", true, "deletecollection", "apps", "v1",
     "a", "deployments", "", "", ""},
    {"PATCH", "/apis/apps/v1/namespaces/a/deployments/d/scale", true, "patch", "apps", "v1", "a",
     "deployments", "d", "scale", ""},
    {"GET", "/apis/apps/v1", false, "get", "", "", "", "", "", "", ""},
    {"GET", "/api", false, "get", "", "", "", "", "", "", ""},
    {"GET", "/", false, "get", "", "", "", "", "", "", ""},
    {"TRACE", "/api/v1/pods", true, NULL, "", "v1", "", "pods", "", "", ""},
    {"POST", "/api/v1/watch/pods", true, NULL, "", "v1", "", "pods", "", "", ""},
};

TEST(paths_become_routes) {
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct arena *a = arena_new();
        struct request r = {.arena = a, .method = cases[i].method, .target = cases[i].target};
        struct err err;
        assert_int_equal(http_split_target(a, r.target, &r.path, &r.query, &err), 0);
        struct route got;
        route_parse(&r, &got);
        assert_int_equal(got.is_resource, cases[i].is_resource);
        if (cases[i].verb)
            assert_string_equal(got.verb, cases[i].verb);
        else
            assert_null(got.verb);
        assert_string_equal(got.group, cases[i].group);
        assert_string_equal(got.version, cases[i].version);
        assert_string_equal(got.ns, cases[i].ns);
        assert_string_equal(got.plural, cases[i].plural);
        assert_string_equal(got.name, cases[i].name);
        assert_string_equal(got.subresource, cases[i].sub);
        assert_string_equal(got.rest, cases[i].rest);
        arena_free(a);
    }
}
