#include <stdio.h>
#include <string.h>

#include "api/rules/pods.h"
#include "controllers/fixture.h"

/* ---- garbage collector ---- */

static const struct api_object *add_map(struct world *w, const char *name, const char *owner_uid,
                                        bool blocks) {
    char json[600];
    int n = snprintf(json, sizeof json,
                     "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"%s\","
                     "\"namespace\":\"default\",\"uid\":\"u-%s\"",
                     name, name);
    if (owner_uid)
        n += snprintf(json + n, sizeof json - (size_t)n,
                      ",\"ownerReferences\":[{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\","
                      "\"name\":\"x\",\"uid\":\"%s\",\"blockOwnerDeletion\":%s}]",
                      owner_uid, blocks ? "true" : "false");
    snprintf(json + n, sizeof json - (size_t)n, "}}");
    return world_add_json(w, json);
}

static bool has_map(const struct world *w, const char *name) {
    return world_get(w, "ConfigMap", "default", name);
}

static char *key_of(struct arena *a, const char *name) {
    return arena_printf(a, "ConfigMap\n\ndefault\n%s", name);
}

static void delete_by(struct world *w, const char *name, const char *propagation) {
    struct err err;
    OWN(plan_free_p) struct plan *p = plan_new();
    plan_delete(p, world_get(w, "ConfigMap", "default", name), propagation);
    plan_detach(p);
    assert_int_equal(world_apply(w, p, &err), 1);
}

/* Runs the collector on every ConfigMap until nothing changes. */
static void collect_all(struct world *w) {
    int changed = 1;
    while (changed) {
        changed = 0;
        OWN(arena_free_p) struct arena *a = arena_new();
        const struct api_object *o;
        const char *names[16];
        size_t n = 0, at = 0;
        while ((o = world_next(w, "ConfigMap", "default", &at)))
            names[n++] = arena_str(a, o->metadata.name);
        for (size_t i = 0; i < n; i++) changed += run(w, "garbage", key_of(a, names[i]));
        for (size_t i = 0; !changed && i < n; i++) assert_rests(w, "garbage", key_of(a, names[i]));
    }
}

TEST(dependents_of_nobody_are_deleted_down_to_the_last) {
    struct world *w = world_test_new();
    add_map(w, "owner", NULL, false);
    add_map(w, "child", "u-owner", false);
    add_map(w, "grandchild", "u-child", false);
    add_map(w, "bystander", NULL, false);
    pass_ms(w, 5000);
    collect_all(w);
    assert_int_equal(world_count(w, "ConfigMap"), 4);
    delete_by(w, "owner", "Background");
    assert_false(has_map(w, "owner"));
    collect_all(w);
    assert_false(has_map(w, "child"));
    assert_false(has_map(w, "grandchild"));
    assert_true(has_map(w, "bystander"));
    world_free(w);
}

TEST(a_dependent_of_two_owners_stays_with_the_last) {
    struct world *w = world_test_new();
    add_map(w, "one", NULL, false);
    add_map(w, "two", NULL, false);
    add_map(w, "child", "u-one", false);
    struct arena *a;
    struct api_object *o = edit(world_get(w, "ConfigMap", "default", "child"), &a);
    *ARENA_PUSH(a, &o->metadata.owner_references) = (struct meta_v1_owner_reference){
        .api_version = "v1", .kind = "ConfigMap", .name = "two", .uid = "u-two"};
    edit_done(w, a, o);
    pass_ms(w, 5000);
    delete_by(w, "one", NULL);
    collect_all(w);
    assert_true(has_map(w, "child"));
    delete_by(w, "two", NULL);
    collect_all(w);
    assert_false(has_map(w, "child"));
    world_free(w);
}

TEST(an_owner_that_is_not_seen_yet_gets_its_time) {
    struct world *w = world_test_new();
    OWN(arena_free_p) struct arena *a = arena_new();
    add_map(w, "early", "u-late", false);
    OWN(plan_free_p) struct plan *p = plan_of(w, "garbage", key_of(a, "early"));
    uint64_t ms = 0;
    assert_int_equal(plan_count(p), 0);
    assert_true(plan_requeue_ms(p, &ms) && ms > 0 && ms <= 2000);
    add_map(w, "late", NULL, false);
    pass_ms(w, 5000);
    collect_all(w);
    assert_true(has_map(w, "early"));
    world_free(w);
}

TEST(orphans_lose_their_owner_and_stay) {
    struct world *w = world_test_new();
    add_map(w, "owner", NULL, false);
    add_map(w, "child", "u-owner", true);
    pass_ms(w, 5000);
    delete_by(w, "owner", "Orphan");
    assert_true(has_map(w, "owner"));
    collect_all(w);
    assert_false(has_map(w, "owner"));
    assert_true(has_map(w, "child"));
    assert_int_equal(world_get(w, "ConfigMap", "default", "child")->metadata.owner_references.n, 0);
    world_free(w);
}

TEST(a_dependent_with_another_owner_lives_on_and_blocks_nobody) {
    struct world *w = world_test_new();
    add_map(w, "leaves", NULL, false);
    add_map(w, "stays", NULL, false);
    world_add_json(
        w, "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"child\","
           "\"namespace\":\"default\",\"uid\":\"u-child\",\"ownerReferences\":["
           "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"name\":\"leaves\",\"uid\":\"u-leaves\","
           "\"blockOwnerDeletion\":true},{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"name\":"
           "\"stays\",\"uid\":\"u-stays\"}]}}");
    delete_by(w, "leaves", "Foreground");
    collect_all(w);
    assert_false(has_map(w, "leaves"));
    const struct api_object *child = world_get(w, "ConfigMap", "default", "child");
    assert_non_null(child);
    assert_int_equal(child->metadata.owner_references.n, 1);
    assert_string_equal(child->metadata.owner_references.v[0].uid, "u-stays");
    world_free(w);
}

TEST(a_circle_of_owners_does_not_keep_itself_alive) {
    struct world *w = world_test_new();
    add_map(w, "one", "u-three", true);
    add_map(w, "two", "u-one", true);
    add_map(w, "three", "u-two", true);
    add_map(w, "apart", NULL, false);
    collect_all(w);
    assert_true(has_map(w, "one"));
    delete_by(w, "one", "Foreground");
    collect_all(w);
    assert_false(has_map(w, "one") || has_map(w, "two") || has_map(w, "three"));
    assert_true(has_map(w, "apart"));
    world_free(w);
}

TEST(in_the_foreground_the_owner_goes_last) {
    struct world *w = world_test_new();
    OWN(arena_free_p) struct arena *a = arena_new();
    add_map(w, "owner", NULL, false);
    add_map(w, "blocker", "u-owner", true);
    add_map(w, "other", "u-owner", false);
    pass_ms(w, 5000);
    delete_by(w, "owner", "Foreground");
    run(w, "garbage", key_of(a, "owner"));
    assert_true(has_map(w, "owner")); /* the blocker is still there */
    run(w, "garbage", key_of(a, "blocker"));
    run(w, "garbage", key_of(a, "blocker")); /* its own foreground finalizer */
    assert_false(has_map(w, "blocker"));
    run(w, "garbage", key_of(a, "owner"));
    assert_false(has_map(w, "owner"));
    collect_all(w);
    assert_false(has_map(w, "other"));
    world_free(w);
}

TEST(an_owner_of_an_unknown_kind_or_another_namespace_is_no_reason_alone) {
    struct world *w = world_test_new();
    world_add_json(w, "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"a\","
                      "\"namespace\":\"default\",\"ownerReferences\":[{\"apiVersion\":"
                      "\"example.com/v1\",\"kind\":\"Thing\",\"name\":\"x\",\"uid\":\"u-x\"}]}}");
    world_add_json(w, "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":"
                      "\"far\",\"namespace\":\"other\",\"uid\":\"u-far\"}}");
    add_map(w, "b", "u-far", false);
    pass_ms(w, 5000);
    collect_all(w);
    assert_true(has_map(w, "a"));
    assert_false(has_map(w, "b")); /* owners do not reach across namespaces */
    world_free(w);
}

/* ---- pod garbage; more in node_lifecycle_test.c ---- */

TEST(pods_that_are_deleted_before_they_were_bound_end_at_once) {
    struct world *w = world_test_new();
    world_add_json(w, "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"waits\","
                      "\"namespace\":\"default\"},\"spec\":{\"containers\":[]}}");
    settle(w, "pod-gc", "default/waits");
    assert_non_null(pod_get(w, "waits"));
    struct arena *a;
    struct api_object *o = edit((const struct api_object *)pod_get(w, "waits"), &a);
    o->metadata.deletion_timestamp = "2026-01-01T00:00:00Z";
    edit_done(w, a, o);
    OWN(plan_free_p) struct plan *p = plan_of(w, "pod-gc", "default/waits");
    assert_int_equal(plan_at(p, 0)->grace_period_s, 0);
    settle(w, "pod-gc", "default/waits");
    assert_null(pod_get(w, "waits"));
    world_free(w);
}
