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

static const struct object_source source = {find_map, find_secret, find_token, NULL};

static int render(struct arena *a, const char *volume, struct volume_result *r, struct err *err) {
    const struct core_v1_pod *p =
        test_object(a, arena_printf(a, "\"spec\":{\"volumes\":[{\"name\":\"v\",%s}]}", volume));
    struct pod_facts facts = {.pod = p, .host_ip = "10.0.0.1"};
    struct volume_input in = {&facts, &p->spec.volumes.v[0], &source};
    return volume_render(a, &in, r, err);
}

TEST(volume_drivers_are_registered) {
    static const char *const golden[] = {"configMap", "downwardAPI", "emptyDir",
                                         "hostPath",  "projected",   "secret"};
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
