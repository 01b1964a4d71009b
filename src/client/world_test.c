#include "client/world.h"

#include <stdio.h>

#include "base/own.h"
#include "base/test.h"
#include "client/cache.h"
#include "client/plan.h"
#include "client/skim.h"

static const char *const owner_json =
    "{\"apiVersion\":\"apps/v1\",\"kind\":\"ReplicaSet\",\"metadata\":{\"name\":\"web\","
    "\"namespace\":\"default\",\"uid\":\"u-web\"},\"spec\":{\"selector\":{}}}";

static const struct api_object *add_pod(struct world *w, const char *ns, const char *name,
                                        const char *owner_uid, bool controller) {
    char json[600];
    snprintf(json, sizeof json,
             "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"%s\",\"namespace\":"
             "\"%s\",\"ownerReferences\":[{\"apiVersion\":\"apps/v1\",\"kind\":\"ReplicaSet\","
             "\"name\":\"web\",\"uid\":\"%s\",\"controller\":%s}]}}",
             name, ns, owner_uid, controller ? "true" : "false");
    return world_add_json(w, json);
}

TEST(objects_are_found_by_name_and_uid) {
    struct world *w = world_test_new();
    const struct api_object *rs = world_add_json(w, owner_json);
    assert_ptr_equal(world_get(w, "ReplicaSet", "default", "web"), rs);
    assert_ptr_equal(world_get(w, "ReplicaSet.apps", "default", "web"), rs);
    assert_null(world_get(w, "ReplicaSet", "other", "web"));
    assert_ptr_equal(world_by_key(w, "ReplicaSet", "default/web"), rs);
    assert_null(world_by_key(w, "ReplicaSet", "other/web"));
    assert_null(world_by_key(w, "ReplicaSet", "web"));
    assert_null(world_get(w, "Pod", "default", "web"));
    assert_null(world_get(w, "NoSuchKind", "default", "web"));
    assert_ptr_equal(world_by_uid(w, "ReplicaSet", "u-web"), rs);
    assert_null(world_by_uid(w, "Pod", "u-web"));
    world_remove(w, world_kind(w, "ReplicaSet"), "default", "web");
    assert_null(world_by_uid(w, "ReplicaSet", "u-web"));
    assert_null(world_get(w, "ReplicaSet", "default", "web"));
    world_free(w);
}

TEST(kinds_that_begin_alike_are_told_apart) {
    struct world *w = world_new();
    world_add_kind(w, api_kind_by_name("policy", "v1", "PodDisruptionBudget"));
    world_add_kind(w, api_kind_by_name("", "v1", "PodTemplate"));
    assert_null(world_kind(w, "Pod"));
    world_add_kind(w, api_kind_by_name("", "v1", "Pod"));
    assert_string_equal(world_kind(w, "Pod")->plural, "pods");
    assert_string_equal(world_kind(w, "PodTemplate")->plural, "podtemplates");
    assert_string_equal(world_kind(w, "PodDisruptionBudget.policy")->group, "policy");
    assert_null(world_kind(w, "PodTemplate.apps"));
    assert_null(world_kind(w, "Zone"));
    world_free(w);
}

TEST(objects_are_walked_in_order_and_by_namespace) {
    struct world *w = world_test_new();
    static const char *const names[][2] = {{"b", "x"}, {"a", "z"}, {"c", "a"}, {"b", "a"}};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) add_pod(w, names[i][0], names[i][1], "u", true);
    OWN(buf_done) struct buf b = {0};
    const struct api_object *o;
    for (size_t at = 0; (o = world_next(w, "Pod", NULL, &at));)
        buf_printf(&b, "%s/%s ", o->metadata.namespace, o->metadata.name);
    for (size_t at = 0; (o = world_next(w, "Pod", "b", &at));)
        buf_printf(&b, "%s ", o->metadata.name);
    for (size_t at = 0; (o = world_next(w, "Pod", "zz", &at));) buf_str(&b, "none");
    assert_string_equal(b.p, "a/z b/a b/x c/a a x ");
    assert_int_equal(world_count(w, "Pod"), 4);
    world_free(w);
}

static size_t owned_count(const struct world *w, const char *uid) {
    size_t n = 0;
    for (size_t at = 0; world_owned(w, uid, "Pod", &at);) n++;
    return n;
}

TEST(the_owner_index_follows_every_change) {
    struct world *w = world_test_new();
    add_pod(w, "default", "b", "u-web", true);
    add_pod(w, "default", "a", "u-web", true);
    add_pod(w, "default", "c", "u-web", false);
    add_pod(w, "default", "d", "other", true);
    assert_int_equal(owned_count(w, "u-web"), 2);
    size_t at = 0;
    assert_string_equal(world_owned(w, "u-web", "Pod", &at)->metadata.name, "a");
    size_t n = 0;
    const struct api_kind *k;
    for (at = 0; world_dependents(w, "u-web", &k, &at); n++) assert_string_equal(k->kind, "Pod");
    assert_int_equal(n, 3);
    add_pod(w, "default", "a", "other", true); /* moves to another owner */
    assert_int_equal(owned_count(w, "u-web"), 1);
    assert_int_equal(owned_count(w, "other"), 2);
    world_remove(w, world_kind(w, "Pod"), "default", "b");
    assert_int_equal(owned_count(w, "u-web"), 0);
    assert_int_equal(owned_count(w, ""), 0);
    world_free(w);
}

static size_t claimable_count(const struct world *w, const char *uid, const char *kind) {
    size_t n = 0;
    for (size_t at = 0; world_claimable(w, uid, kind, "default", &at);) n++;
    return n;
}

TEST(what_may_be_claimed_is_owned_or_nobodys) {
    struct world *w = world_test_new();
    add_pod(w, "default", "z", "u-web", true);
    add_pod(w, "default", "b", "", false);
    add_pod(w, "default", "c", "u-web", false); /* an owner, but no controller */
    add_pod(w, "default", "d", "other", true);
    add_pod(w, "elsewhere", "e", "", false);
    size_t at = 0;
    assert_string_equal(world_claimable(w, "u-web", "Pod", "default", &at)->metadata.name, "z");
    assert_string_equal(world_claimable(w, "u-web", "Pod", "default", &at)->metadata.name, "b");
    assert_string_equal(world_claimable(w, "u-web", "Pod", "default", &at)->metadata.name, "c");
    assert_null(world_claimable(w, "u-web", "Pod", "default", &at));
    assert_int_equal(claimable_count(w, "u-web", "ReplicaSet"), 0);
    add_pod(w, "default", "b", "other", true);
    assert_int_equal(claimable_count(w, "u-web", "Pod"), 2);
    assert_int_equal(claimable_count(w, "other", "Pod"), 3);
    world_remove(w, world_kind(w, "Pod"), "default", "c");
    world_remove(w, world_kind(w, "Pod"), "default", "z");
    assert_int_equal(claimable_count(w, "u-web", "Pod"), 0);
    world_free(w);
}

TEST(a_plan_is_done_as_the_server_would) {
    struct world *w = world_test_new();
    OWN(plan_free_p) struct plan *p = plan_new();
    struct err err;
    const struct api_object *rs = world_add_json(w, owner_json);
    const struct api_kind *pod = world_kind(w, "Pod");
    struct api_object *o = api_object_new(plan_arena(p), pod);
    o->metadata.namespace = "default";
    o->metadata.generate_name = "web-";
    plan_create(p, o);
    plan_create(p, o);
    plan_event(p, rs, "Normal", "SuccessfulCreate", "Created pod: %s", "x");
    plan_requeue(p, 500);
    plan_requeue(p, 200);
    uint64_t ms = 0;
    assert_true(plan_requeue_ms(p, &ms));
    assert_int_equal(ms, 200);
    assert_int_equal(plan_count_of(p, PLAN_CREATE, "Pod"), 2);
    assert_int_equal(plan_count_of(p, PLAN_CREATE, "Node"), 0);
    assert_int_equal(world_apply(w, p, &err), 2);
    assert_int_equal(world_count(w, "Pod"), 2);

    OWN(plan_free_p) struct plan *q = plan_new();
    struct api_object *stale = api_object_copy(plan_arena(q), world_kind(w, "ReplicaSet"), rs);
    stale->metadata.resource_version = "1";
    plan_update(q, stale);
    assert_true(world_apply(w, q, &err) < 0);
    assert_int_equal(err.reason, ERR_CONFLICT);

    OWN(plan_free_p) struct plan *d = plan_new();
    plan_delete(d, rs, "Foreground");
    assert_int_equal(world_apply(w, d, &err), 1);
    rs = world_get(w, "ReplicaSet", "default", "web");
    assert_non_null(rs->metadata.deletion_timestamp);
    assert_string_equal(rs->metadata.finalizers.v[0], "foregroundDeletion");
    world_free(w);
}

TEST(a_merge_patch_changes_the_object) {
    struct world *w = world_test_new();
    OWN(plan_free_p) struct plan *p = plan_new();
    struct err err;
    const struct api_object *rs = world_add_json(w, owner_json);
    plan_patch(p, rs, "", "application/merge-patch+json",
               SLICE("{\"metadata\":{\"labels\":{\"a\":\"b\"}},\"spec\":{\"replicas\":7}}"));
    plan_detach(p);
    assert_int_equal(world_apply(w, p, &err), 1);
    const struct apps_v1_replica_set *now =
        (const struct apps_v1_replica_set *)world_get(w, "ReplicaSet", "default", "web");
    assert_int_equal(*now->spec.replicas, 7);
    assert_string_equal(str_map_get(&now->metadata.labels, "a"), "b");
    world_free(w);
}

TEST(a_cache_can_keep_metadata_only) {
    OWN(arena_free_p) struct arena *a = arena_new();
    const struct api_kind *k = api_kind_by_api_version("v1", "ConfigMap");
    struct api_object *o;
    assert_int_equal(api_object_decode(a, k,
                                       SLICE("{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\","
                                             "\"metadata\":{\"name\":\"x\",\"labels\":{\"a\":"
                                             "\"b\"}},\"data\":{\"k\":\"v\"}}"),
                                       &o, NULL),
                     0);
    struct cache *c = cache_new(k, true);
    cache_put_copy(c, o);
    const struct api_object *kept = cache_get(c, NULL, "x");
    assert_string_equal(kept->metadata.labels.v[0].value, "b");
    assert_string_equal(kept->kind, "ConfigMap");
    cache_free(c);
}

TEST(skim_finds_members_and_elements) {
    struct slice doc = SLICE(" { \"a\" : \"x\\\"}\" , \"b\":[1, {\"c\":[]},\"]\" ],\"d\":null}");
    assert_true(slice_is(skim_get(doc, "a"), "\"x\\\"}\""));
    assert_true(slice_is(skim_get(doc, "d"), "null"));
    assert_null(skim_get(doc, "c").p);
    struct skim k = skim_init(skim_get(doc, "b"));
    struct slice v;
    size_t n = 0;
    while (skim_element(&k, &v)) n++;
    assert_int_equal(n, 3);
    assert_false(k.bad);
    static const char *const bad[] = {"", "x", "{\"a\"", "{\"a\":", "{\"a\":[", "{a:1}", "[\"a]"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        k = skim_init(slice_of(bad[i]));
        while (*bad[i] == '[' ? skim_element(&k, &v) : skim_member(&k, &(struct slice){0}, &v)) n++;
        assert_true(k.bad);
    }
}
