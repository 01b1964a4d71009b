#include <string.h>

#include "controllers/fixture.h"

static const char json[] =
    "{\"apiVersion\":\"v1\",\"kind\":\"ReplicationController\",\"metadata\":{\"name\":\"web\","
    "\"namespace\":\"default\",\"uid\":\"u-web\",\"generation\":3},\"spec\":{\"replicas\":2,"
    "\"template\":{\"metadata\":{\"labels\":{\"app\":\"web\"}},\"spec\":{\"containers\":[{\"name\":"
    "\"c\",\"image\":\"i\"}]}}}}";

static const char orphan[] =
    "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"lone\",\"namespace\":"
    "\"default\",\"labels\":{\"app\":\"web\"}},\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":"
    "\"i\"}]}}";

TEST(replicationcontroller_makes_its_pods_and_owns_them) {
    struct world *w = world_test_new();
    world_add_json(w, json);
    settle(w, "replicationcontroller", "default/web");
    assert_int_equal(world_count(w, "Pod"), 2);
    size_t at = 0;
    const struct api_object *o = world_owned(w, "u-web", "Pod", &at);
    assert_string_equal(api_controller_of(o)->kind, "ReplicationController");
    assert_string_equal(api_controller_of(o)->api_version, "v1");
    const struct core_v1_replication_controller *rc =
        (const void *)world_get(w, "ReplicationController", "default", "web");
    assert_int_equal(rc->status.replicas, 2);
    assert_int_equal(rc->status.fully_labeled_replicas, 2);
    assert_int_equal(rc->status.observed_generation, 3);
    world_free(w);
}

TEST(replicationcontroller_without_a_selector_adopts_by_the_labels_of_its_template) {
    struct world *w = world_test_new();
    world_add_json(w, orphan);
    world_add_json(w, json);
    settle(w, "replicationcontroller", "default/web");
    assert_int_equal(world_count(w, "Pod"), 2);
    const struct api_object *o = world_get(w, "Pod", "default", "lone");
    assert_string_equal(api_controller_of(o)->uid, "u-web");
    world_free(w);
}
