#include "server/auth/node_authz.h"

#include "base/own.h"
#include "base/test.h"
#include "wire/store.h"

static const char pod_json[] =
    "{\"metadata\":{\"name\":\"p\",\"namespace\":\"a\"},\"spec\":{\"nodeName\":\"n1\","
    "\"serviceAccountName\":\"sa\",\"imagePullSecrets\":[{\"name\":\"pull\"}],\"volumes\":["
    "{\"name\":\"v\",\"projected\":{\"sources\":[{\"configMap\":{\"name\":\"ca\"}}]}},"
    "{\"name\":\"w\",\"persistentVolumeClaim\":{\"claimName\":\"claim\"}}],\"containers\":["
    "{\"name\":\"c\",\"env\":[{\"name\":\"X\",\"valueFrom\":{\"secretKeyRef\":{\"name\":\"s\","
    "\"key\":\"k\"}}}]}]}}";

static struct api *start(void) {
    struct api *api = calloc(1, sizeof *api);
    cache_init(&api->cache);
    cache_row(&api->cache, SLICE("/pods.core/a/p"), 1, slice_of(pod_json));
    cache_row(&api->cache, SLICE("/persistentvolumes.core//pv"), 2,
              SLICE("{\"metadata\":{\"name\":\"pv\"},\"spec\":{\"csi\":{\"driver\":\"d\","
                    "\"nodePublishSecretRef\":{\"name\":\"deep\",\"namespace\":\"x\"}},"
                    "\"claimRef\":{\"namespace\":\"a\",\"name\":\"claim\"}}}"));
    cache_row(&api->cache, SLICE("/persistentvolumes.core//own"), 3,
              SLICE("{\"metadata\":{\"name\":\"own\",\"labels\":{\"atoll.dev/node\":\"n1\"},"
                    "\"annotations\":{\"pv.kubernetes.io/provisioned-by\":\"atoll.dev/local\"}}}"));
    cache_row(&api->cache, SLICE("/persistentvolumes.core//labelled"), 4,
              SLICE("{\"metadata\":{\"name\":\"labelled\",\"labels\":{\"atoll.dev/node\":"
                    "\"n1\"}}}"));
    cache_snapshot_end(&api->cache, 10, 0);
    return api;
}

static bool may(struct node_authz *n, const char *node, const char *verb, const char *resource,
                const char *sub, const char *ns, const char *name, const char *selector) {
    const char *groups[] = {"system:nodes"};
    struct user u = {.name = node, .groups = {groups, 1}};
    struct attributes at = {.verb = verb,
                            .group = str_eq(resource, "leases") ? "coordination.k8s.io" : "",
                            .resource = resource,
                            .subresource = sub,
                            .ns = ns,
                            .name = name,
                            .field_selector = selector};
    return node_authz_allows(n, &u, &at);
}
#define N1 "system:node:n1"
#define N2 "system:node:n2"

TEST(a_node_reads_what_its_pods_refer_to_and_nothing_else) {
    struct api *api = start();
    struct node_authz *n = node_authz_new(api);
    static const char *const yes[][2] = {
        {"secrets", "s"}, {"secrets", "pull"}, {"configmaps", "ca"}};
    for (size_t i = 0; i < ARRAY_LEN(yes); i++) {
        assert_true(may(n, N1, "get", yes[i][0], "", "a", yes[i][1], NULL));
        assert_false(may(n, N1, "update", yes[i][0], "", "a", yes[i][1], NULL));
        assert_false(may(n, N1, "get", yes[i][0], "", "b", yes[i][1], NULL));
        assert_false(may(n, N2, "get", yes[i][0], "", "a", yes[i][1], NULL));
    }
    assert_false(may(n, N1, "get", "secrets", "", "a", "other", NULL));
    assert_false(may(n, N1, "list", "secrets", "", "a", "", NULL));
    assert_true(may(n, N1, "watch", "secrets", "", "", "", "metadata.namespace=a,metadata.name=s"));
    assert_false(
        may(n, N1, "watch", "secrets", "", "", "", "metadata.namespace=a,metadata.name!=s"));
    assert_true(may(n, N1, "get", "persistentvolumeclaims", "", "a", "claim", NULL));
    assert_true(may(n, N1, "get", "persistentvolumes", "", "", "pv", NULL));
    assert_false(may(n, N2, "get", "persistentvolumes", "", "", "pv", NULL));
    assert_true(may(n, N1, "get", "secrets", "", "x", "deep", NULL));
    assert_false(may(n, N2, "get", "secrets", "", "x", "deep", NULL));
    assert_true(may(n, N1, "create", "serviceaccounts", "token", "a", "sa", NULL));
    assert_false(may(n, N1, "create", "serviceaccounts", "token", "a", "default", NULL));
    assert_false(may(n, N1, "get", "serviceaccounts", "", "a", "sa", NULL));
    node_authz_free(n);
    cache_done(&api->cache);
    free(api);
}

TEST(a_node_keeps_its_own_things) {
    struct api *api = start();
    struct node_authz *n = node_authz_new(api);
    assert_true(may(n, N1, "update", "leases", "", "kube-node-lease", "n1", NULL));
    assert_false(may(n, N1, "update", "leases", "", "kube-node-lease", "n2", NULL));
    assert_false(may(n, N1, "update", "leases", "", "default", "n1", NULL));
    assert_true(may(n, N1, "get", "nodes", "", "", "n1", NULL));
    assert_false(may(n, N1, "get", "nodes", "", "", "n2", NULL));
    assert_true(may(n, N1, "get", "pods", "", "a", "p", NULL));
    assert_false(may(n, N2, "get", "pods", "", "a", "p", NULL));
    assert_true(may(n, N1, "list", "pods", "", "", "", "spec.nodeName=n1"));
    assert_false(may(n, N1, "list", "pods", "", "", "", "spec.nodeName=n2"));
    assert_false(may(n, N1, "list", "pods", "", "", "", NULL));
    struct user no_group = {.name = N1};
    assert_null(node_identity(&no_group));
    node_authz_free(n);
    cache_done(&api->cache);
    free(api);
}

static bool may_list_volumes(struct node_authz *n, const char *node, const char *labels) {
    const char *groups[] = {"system:nodes"};
    struct user u = {.name = node, .groups = {groups, 1}};
    struct attributes at = {.verb = "watch",
                            .group = "",
                            .resource = "persistentvolumes",
                            .subresource = "",
                            .ns = "",
                            .name = "",
                            .label_selector = labels};
    return node_authz_allows(n, &u, &at);
}

TEST(a_node_keeps_the_volumes_that_are_made_of_its_disk) {
    struct api *api = start();
    struct node_authz *n = node_authz_new(api);
    assert_true(may_list_volumes(n, N1, "atoll.dev/node=n1"));
    assert_false(may_list_volumes(n, N1, "atoll.dev/node=n2"));
    assert_false(may_list_volumes(n, N1, "atoll.dev/node!=n1"));
    assert_false(may_list_volumes(n, N1, NULL));
    assert_true(may(n, N1, "get", "persistentvolumes", "", "", "own", NULL));
    assert_true(may(n, N1, "delete", "persistentvolumes", "", "", "own", NULL));
    assert_false(may(n, N1, "update", "persistentvolumes", "", "", "own", NULL));
    assert_false(may(n, N1, "delete", "persistentvolumes", "status", "", "own", NULL));
    assert_false(may(n, N2, "delete", "persistentvolumes", "", "", "own", NULL));
    assert_false(may(n, N1, "delete", "persistentvolumes", "", "", "labelled", NULL));
    assert_false(may(n, N1, "delete", "persistentvolumes", "", "", "pv", NULL));
    node_authz_free(n);
    cache_done(&api->cache);
    free(api);
}

TEST(a_pod_that_goes_takes_its_references_along) {
    struct api *api = start();
    struct node_authz *n = node_authz_new(api);
    assert_true(may(n, N1, "get", "secrets", "", "a", "s", NULL));
    cache_event(&api->cache, STORE_DELETE, SLICE("/pods.core/a/p"), 11, slice_of(pod_json), 0);
    assert_false(may(n, N1, "get", "secrets", "", "a", "s", NULL));
    cache_event(&api->cache, STORE_CREATE, SLICE("/pods.core/a/p"), 12, slice_of(pod_json), 0);
    assert_true(may(n, N1, "get", "secrets", "", "a", "s", NULL));
    node_authz_free(n);
    cache_done(&api->cache);
    free(api);
}
