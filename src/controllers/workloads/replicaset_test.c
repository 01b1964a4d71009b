#include <stdio.h>
#include <string.h>

#include "api/rules/pods.h"
#include "controllers/fixture.h"

static const char set_json[] =
    "{\"apiVersion\":\"apps/v1\",\"kind\":\"ReplicaSet\",\"metadata\":{\"name\":\"web\","
    "\"namespace\":\"default\",\"uid\":\"u-web\",\"generation\":1},\"spec\":{\"replicas\":3,"
    "\"selector\":{\"matchLabels\":{\"app\":\"web\"}},\"template\":{\"metadata\":{\"labels\":{"
    "\"app\":\"web\"}},\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"i\"}]}}}}";

static const struct api_object *add_pod(struct world *w, const char *name, const char *label,
                                        const char *owner_uid) {
    char json[700];
    snprintf(json, sizeof json,
             "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"%s\",\"namespace\":"
             "\"default\",\"labels\":{\"app\":\"%s\"}%s%s%s},\"spec\":{\"containers\":[{\"name\":"
             "\"c\",\"image\":\"i\"}]}}",
             name, label,
             owner_uid ? ",\"ownerReferences\":[{\"apiVersion\":\"apps/v1\",\"kind\":"
                         "\"ReplicaSet\",\"name\":\"x\",\"controller\":true,\"uid\":\""
                       : "",
             owner_uid ? owner_uid : "", owner_uid ? "\"}]" : "");
    return world_add_json(w, json);
}

static void set_replicas(struct world *w, int32_t n) {
    struct arena *a;
    struct apps_v1_replica_set *rs =
        (struct apps_v1_replica_set *)edit((const struct api_object *)set_get(w, "web"), &a);
    *rs->spec.replicas = n;
    edit_done(w, a, (struct api_object *)rs);
}

TEST(replicaset_makes_the_pods_that_are_missing) {
    struct world *w = world_test_new();
    world_add_json(w, set_json);
    settle(w, "replicaset", "default/web");
    assert_int_equal(world_count(w, "Pod"), 3);
    assert_int_equal(set_get(w, "web")->status.replicas, 3);
    assert_int_equal(set_get(w, "web")->status.ready_replicas, 0);
    size_t at = 0;
    const struct api_object *o = world_owned(w, "u-web", "Pod", &at);
    assert_memory_equal(o->metadata.name, "web-", 4);
    assert_string_equal(api_controller_of(o)->kind, "ReplicaSet");
    assert_string_equal(str_map_get(&o->metadata.labels, "app"), "web");
    world_free(w);
}

TEST(replicaset_counts_ready_pods_and_waits_for_min_ready_seconds) {
    struct world *w = world_test_new();
    world_add_json(w, set_json);
    struct arena *a;
    struct apps_v1_replica_set *rs =
        (struct apps_v1_replica_set *)edit((const struct api_object *)set_get(w, "web"), &a);
    rs->spec.min_ready_seconds = 10;
    edit_done(w, a, (struct api_object *)rs);
    settle(w, "replicaset", "default/web");
    const struct api_object *o;
    for (size_t at = 0; (o = world_next(w, "Pod", "default", &at));) pod_runs(w, o, true);
    settle(w, "replicaset", "default/web");
    assert_int_equal(set_get(w, "web")->status.ready_replicas, 3);
    assert_int_equal(set_get(w, "web")->status.available_replicas, 0);
    pass_ms(w, 4000);
    OWN(plan_free_p) struct plan *p = plan_of(w, "replicaset", "default/web");
    uint64_t ms = 0;
    assert_true(plan_requeue_ms(p, &ms));
    assert_int_equal(ms, 6000);
    pass_ms(w, 6000);
    settle(w, "replicaset", "default/web");
    assert_int_equal(set_get(w, "web")->status.available_replicas, 3);
    world_free(w);
}

TEST(replicaset_deletes_pods_that_nobody_uses_first) {
    struct world *w = world_test_new();
    world_add_json(w, set_json);
    add_pod(w, "ready-old", "web", "u-web");
    pass_ms(w, 5000);
    add_pod(w, "ready-new", "web", "u-web");
    add_pod(w, "unready", "web", "u-web");
    add_pod(w, "pending", "web", "u-web");
    pod_runs(w, world_get(w, "Pod", "default", "ready-old"), true);
    pod_runs(w, world_get(w, "Pod", "default", "ready-new"), true);
    pod_runs(w, world_get(w, "Pod", "default", "unready"), false);
    settle(w, "replicaset", "default/web");
    assert_null(pod_get(w, "pending"));
    set_replicas(w, 2);
    settle(w, "replicaset", "default/web");
    assert_null(pod_get(w, "unready"));
    set_replicas(w, 1);
    settle(w, "replicaset", "default/web");
    assert_null(pod_get(w, "ready-new"));
    assert_non_null(pod_get(w, "ready-old"));
    set_replicas(w, 0);
    settle(w, "replicaset", "default/web");
    assert_int_equal(world_count(w, "Pod"), 0);
    assert_int_equal(set_get(w, "web")->status.replicas, 0);
    world_free(w);
}

TEST(replicaset_obeys_the_deletion_cost) {
    struct world *w = world_test_new();
    world_add_json(w, set_json);
    set_replicas(w, 1);
    for (int i = 0; i < 2; i++) {
        pod_runs(w, add_pod(w, i ? "z-cheap" : "a-dear", "web", "u-web"), true);
        struct arena *a;
        struct api_object *o = edit(world_get(w, "Pod", "default", i ? "z-cheap" : "a-dear"), &a);
        str_map_set(a, &o->metadata.annotations, "controller.kubernetes.io/pod-deletion-cost",
                    i ? "-10" : "5");
        edit_done(w, a, o);
    }
    settle(w, "replicaset", "default/web");
    assert_null(pod_get(w, "z-cheap"));
    assert_non_null(pod_get(w, "a-dear"));
    world_free(w);
}

TEST(numbers_in_annotations_are_read_in_full) {
    static const struct {
        const char *text;
        int64_t value;
    } cases[] = {{"12", 12},
                 {"-7", -7},
                 {"", 0},
                 {"-", 0},
                 {"5x", 0},
                 {" 5", 0},
                 {"9223372036854775807", INT64_MAX},
                 {"9223372036854775808", 0},
                 {"99999999999999999999", 0}};
    OWN(arena_free_p) struct arena *a = arena_new();
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct api_object o = {0};
        str_map_set(a, &o.metadata.annotations, "k", cases[i].text);
        assert_int_equal(annotation_int(&o, "k"), cases[i].value);
        assert_int_equal(annotation_int(&o, "absent"), 0);
    }
}

TEST(replicaset_replaces_pods_that_ended_and_does_not_count_leaving_ones) {
    struct world *w = world_test_new();
    world_add_json(w, set_json);
    settle(w, "replicaset", "default/web");
    size_t at = 0;
    pod_ends(w, world_next(w, "Pod", "default", &at), "Failed");
    struct arena *a;
    struct api_object *o = edit(world_next(w, "Pod", "default", &at), &a);
    o->metadata.deletion_timestamp = "2026-01-01T00:00:00Z";
    edit_done(w, a, o);
    settle(w, "replicaset", "default/web");
    assert_int_equal(world_count(w, "Pod"), 5);
    assert_int_equal(set_get(w, "web")->status.replicas, 3);
    world_free(w);
}

TEST(replicaset_adopts_what_it_selects_and_releases_what_it_does_not) {
    struct world *w = world_test_new();
    world_add_json(w, set_json);
    add_pod(w, "orphan", "web", NULL);
    add_pod(w, "relabeled", "debug", "u-web");
    add_pod(w, "foreign", "web", "u-other");
    settle(w, "replicaset", "default/web");
    assert_string_equal(api_controller_of((struct api_object *)pod_get(w, "orphan"))->uid, "u-web");
    assert_null(api_controller_of((struct api_object *)pod_get(w, "relabeled")));
    assert_string_equal(api_controller_of((struct api_object *)pod_get(w, "foreign"))->uid,
                        "u-other");
    assert_int_equal(world_count(w, "Pod"), 5); /* the three, and two new ones beside the orphan */
    assert_int_equal(set_get(w, "web")->status.replicas, 3);
    world_free(w);
}

TEST(replicaset_that_is_deleted_makes_nothing) {
    struct world *w = world_test_new();
    world_add_json(w, set_json);
    add_pod(w, "orphan", "web", NULL);
    struct arena *a;
    struct api_object *o = edit((const struct api_object *)set_get(w, "web"), &a);
    o->metadata.deletion_timestamp = "2026-01-01T00:00:00Z";
    edit_done(w, a, o);
    settle(w, "replicaset", "default/web");
    assert_int_equal(world_count(w, "Pod"), 1);
    assert_null(api_controller_of((struct api_object *)pod_get(w, "orphan")));
    assert_int_equal(run(w, "replicaset", "default/absent"), 0);
    world_free(w);
}

/* The nth pod that is active; NULL: there are less. */
static const struct api_object *active(const struct world *w, int nth) {
    const struct api_object *o;
    size_t at = 0;
    while ((o = world_owned(w, "u-web", "Pod", &at)))
        if (pod_is_active((const struct core_v1_pod *)o) && nth-- == 0) return o;
    return NULL;
}

TEST(replicaset_replaces_pods_that_no_node_lets_in_ever_more_seldom) {
    struct world *w = world_test_new();
    world_add_json(w, set_json);
    settle(w, "replicaset", "default/web");
    for (int s = 0; s < 60; s++) {
        while (active(w, 0)) pod_ends(w, active(w, 0), "Failed");
        settle(w, "replicaset", "default/web");
        pass_ms(w, 1000);
    }
    assert_true(world_count(w, "Pod") >= 3 * 6 && world_count(w, "Pod") <= 3 * 8);
    OWN(plan_free_p) struct plan *p = plan_of(w, "replicaset", "default/web");
    uint64_t ms = 0;
    assert_true(plan_requeue_ms(p, &ms) && ms > 1000);
    pass_ms(w, 60000);
    settle(w, "replicaset", "default/web"); /* it goes on */
    assert_non_null(active(w, 2));
    set_replicas(w, 5); /* more because somebody wants so: at once */
    settle(w, "replicaset", "default/web");
    assert_non_null(active(w, 4));
    world_free(w);
}
