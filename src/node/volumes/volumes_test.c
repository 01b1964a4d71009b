#include "node/volumes/volumes.h"

#include <errno.h>
#include <string.h>

#include "base/own.h"
#include "node/test_pods.h"

static enum lookup find_map(void *user, const char *name, const struct core_v1_config_map **ret) {
    static struct str_pair data[] = {{"a.conf", "one"}, {"b.conf", "two"}};
    static struct core_v1_config_map m = {.data = {data, 2}};
    *ret = &m;
    return str_eq(name, "cm") ? LOOKUP_FOUND : LOOKUP_MISSING;
}

static enum lookup find_secret(void *user, const char *name, const struct core_v1_secret **ret) {
    return LOOKUP_MISSING;
}

static const char *token_value;

static int find_token(void *user, const char *audience, int64_t expiry_s, const char **ret,
                      struct err *err) {
    *ret = token_value;
    return token_value ? 0 : -EAGAIN;
}

static const char *claimed; /* JSON of the volume behind claim "c" */

static int find_claim(void *user, const char *name, bool own,
                      const struct core_v1_persistent_volume **ret, struct err *err) {
    static struct arena *a;
    void *volume = NULL;
    if (!str_eq(name, own ? "web-v" : "c")) return err_set(err, ERR_NOT_FOUND, "no claim %s", name);
    arena_free(a);
    a = arena_new();
    assert_int_equal(
        api_decode(a, &core_v1_persistent_volume_type, slice_of(claimed), NULL, &volume, err), 0);
    *ret = volume;
    return 0;
}

static const struct object_source source = {find_map, find_secret, find_token, find_claim, NULL};

static int render(struct arena *a, const char *volume, struct volume_result *r, struct err *err) {
    const struct core_v1_pod *p =
        test_object(a, arena_printf(a, "\"spec\":{\"volumes\":[{\"name\":\"v\",%s}]}", volume));
    struct pod_facts facts = {.pod = p, .host_ip = "10.0.0.1", .node_name = "n"};
    struct volume_input in = {&facts, &p->spec.volumes.v[0], &source};
    return volume_render(a, &in, r, err);
}

TEST(volume_drivers_are_registered) {
    static const char *const golden[] = {"configMap", "downwardAPI",           "emptyDir",
                                         "hostPath",  "persistentVolumeClaim", "projected",
                                         "secret"};
    size_t n;
    const struct volume_driver *const *d = volume_drivers(&n);
    assert_int_equal(n, ARRAY_LEN(golden));
    for (size_t i = 0; i < n; i++) assert_string_equal(d[i]->name, golden[i]);
}

TEST(volume_config_map_selects_keys) {
    OWN(arena_free_p) struct arena *a = arena_new();
    struct volume_result r;
    struct err err = {0};
    assert_int_equal(render(a, "\"configMap\":{\"name\":\"cm\"}", &r, &err), 0);
    assert_int_equal(r.files.n, 2);
    assert_int_equal(r.files.v[0].mode, 0644);
    uint64_t hash = volume_hash(&r);
    assert_int_equal(render(a,
                            "\"configMap\":{\"name\":\"cm\",\"items\":[{\"key\":\"b.conf\","
                            "\"path\":\"x/y\",\"mode\":256}]}",
                            &r, &err),
                     0);
    assert_int_equal(r.files.n, 1);
    assert_string_equal(r.files.v[0].path, "x/y");
    assert_int_equal(r.files.v[0].mode, 0400);
    assert_true(volume_hash(&r) != hash);
}

TEST(volume_of_a_missing_source_says_so_unless_optional) {
    OWN(arena_free_p) struct arena *a = arena_new();
    struct volume_result r;
    struct err err = {0};
    assert_int_equal(render(a, "\"secret\":{\"secretName\":\"s\"}", &r, &err), -ENOENT);
    assert_string_equal(err.text, "secret \"s\" not found");
    assert_int_equal(render(a, "\"secret\":{\"secretName\":\"s\",\"optional\":true}", &r, &err), 0);
    assert_int_equal(r.files.n, 0);
    assert_int_equal(
        render(a, "\"configMap\":{\"name\":\"cm\",\"items\":[{\"key\":\"no\",\"path\":\"p\"}]}", &r,
               &err),
        -ENOENT);
    assert_string_equal(err.text, "references non-existent config key: no");
}

TEST(volume_projected_joins_its_sources) {
    OWN(arena_free_p) struct arena *a = arena_new();
    struct volume_result r;
    struct err err = {0};
    const char *v =
        "\"projected\":{\"sources\":[{\"serviceAccountToken\":{\"path\":\"token\"}},"
        "{\"configMap\":{\"name\":\"cm\"}},{\"downwardAPI\":{\"items\":[{\"path\":\"ns\","
        "\"fieldRef\":{\"fieldPath\":\"metadata.namespace\"}},{\"path\":\"labels\","
        "\"fieldRef\":{\"fieldPath\":\"metadata.labels\"}}]}}]}";
    token_value = NULL;
    assert_int_equal(render(a, v, &r, &err), -EAGAIN);
    token_value = "jwt";
    assert_int_equal(render(a, v, &r, &err), 0);
    assert_int_equal(r.files.n, 5);
    assert_true(slice_is(r.files.v[0].data, "jwt"));
    assert_true(slice_is(r.files.v[3].data, "shop"));
    assert_true(slice_is(r.files.v[4].data, "app=\"web\"\ntier=\"a\\\"b\""));
    assert_true(r.memory);
}

TEST(volume_empty_dir_in_memory_has_its_size) {
    OWN(arena_free_p) struct arena *a = arena_new();
    struct volume_result r;
    struct err err = {0};
    assert_int_equal(
        render(a, "\"emptyDir\":{\"medium\":\"Memory\",\"sizeLimit\":\"16Mi\"}", &r, &err), 0);
    assert_true(r.memory);
    assert_int_equal(r.size_bytes, 16 << 20);
    assert_int_equal(r.mode, 0777);
}

TEST(volume_host_path_types_are_known) {
    OWN(arena_free_p) struct arena *a = arena_new();
    struct volume_result r;
    struct err err = {0};
    assert_int_equal(render(a, "\"hostPath\":{\"path\":\"/x\",\"type\":\"Socket\"}", &r, &err), 0);
    assert_int_equal(r.host_type, BROKER_HOST_SOCKET);
    assert_true(render(a, "\"hostPath\":{\"path\":\"/x\",\"type\":\"Bogus\"}", &r, &err) < 0);
}

TEST(volume_kind_without_a_driver_is_refused) {
    OWN(arena_free_p) struct arena *a = arena_new();
    struct volume_result r;
    struct err err = {0};
    assert_int_equal(render(a, "\"nfs\":{\"server\":\"s\",\"path\":\"/\"}", &r, &err), -EINVAL);
}

#define OF_CLAIM "\"persistentVolumeClaim\":{\"claimName\":\"c\"}"

TEST(volume_of_a_claim_is_what_the_claim_is_bound_to) {
    OWN(arena_free_p) struct arena *a = arena_new();
    struct volume_result r;
    struct err err = {0};
    claimed = "{\"spec\":{\"hostPath\":{\"path\":\"/x\",\"type\":\"DirectoryOrCreate\"}}}";
    assert_int_equal(render(a, OF_CLAIM, &r, &err), 0);
    assert_true(r.host && !r.read_only);
    assert_string_equal(r.host_path, "/x");
    assert_int_equal(r.host_type, BROKER_HOST_DIRECTORY_OR_CREATE);
    claimed = "{\"spec\":{\"local\":{\"path\":\"/disk\"}}}";
    assert_int_equal(
        render(a, "\"persistentVolumeClaim\":{\"claimName\":\"c\",\"readOnly\":true}", &r, &err),
        0);
    assert_true(r.host && r.read_only);
    assert_int_equal(r.host_type, BROKER_HOST_DIRECTORY);
    assert_int_equal(render(a, "\"ephemeral\":{}", &r, &err), 0);
    assert_string_equal(r.host_path, "/disk");
    claimed = "{\"spec\":{\"nfs\":{\"server\":\"s\",\"path\":\"/\"}}}";
    assert_int_equal(render(a, OF_CLAIM, &r, &err), -EINVAL);
    assert_string_equal(err.text, "no volume plugin matched");
    claimed = "{\"metadata\":{\"name\":\"pv\"},\"spec\":{\"volumeMode\":\"Block\",\"local\":{"
              "\"path\":\"/disk\"}}}";
    assert_int_equal(render(a, OF_CLAIM, &r, &err), -EINVAL);
}

TEST(volume_that_was_made_here_is_known_by_its_name_alone) {
    OWN(arena_free_p) struct arena *a = arena_new();
    struct volume_result r;
    struct err err = {0};
#define MADE_FOR(node)                                                                             \
    "{\"metadata\":{\"name\":\"pvc-1\",\"labels\":{\"atoll.dev/node\":\"" node "\"},"              \
    "\"annotations\":{\"pv.kubernetes.io/provisioned-by\":\"atoll.dev/local\"}},\"spec\":{"        \
    "\"local\":{\"path\":\"/anything\"}}}"
    claimed = MADE_FOR("n");
    assert_int_equal(render(a, OF_CLAIM, &r, &err), 0);
    assert_true(!r.host);
    assert_string_equal(r.local, "pvc-1");
    claimed = MADE_FOR("other");
    assert_int_equal(render(a, OF_CLAIM, &r, &err), 0);
    assert_true(r.host && !r.local);
}
