#include "controllers/volumes/fixture.h"

static void given_pod(struct world *w, const char *metadata) {
    char json[1024];
    snprintf(json, sizeof json,
             "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"p\",\"namespace\":"
             "\"default\",\"uid\":\"uid-p\"%s},\"spec\":{\"volumes\":[{\"name\":\"plain\","
             "\"emptyDir\":{}},{\"name\":\"v\",\"ephemeral\":{\"volumeClaimTemplate\":{"
             "\"metadata\":{\"labels\":{\"a\":\"b\"}},\"spec\":{\"accessModes\":["
             "\"ReadWriteOnce\"],\"storageClassName\":\"x\"}}}}]}}",
             metadata);
    world_add_json(w, json);
}

TEST(an_ephemeral_volume_gets_a_claim_that_goes_with_its_pod) {
    struct world *w = world_test_new();
    given_pod(w, "");
    settle(w, "ephemeral-claims", "default/p");
    assert_int_equal(world_count(w, "PersistentVolumeClaim"), 1);
    const claim_t *c = claim_get(w, "default", "p-v");
    assert_string_equal(c->spec.storage_class_name, "x");
    assert_string_equal(str_map_get(&c->metadata.labels, "a"), "b");
    assert_string_equal(api_controller_of((const struct api_object *)c)->uid, "uid-p");
    drop_claim(w, "p-v");
    settle(w, "ephemeral-claims", "default/p");
    assert_non_null(claim_get(w, "default", "p-v"));
    world_free(w);
}

TEST(a_pod_that_goes_gets_no_claim_and_takes_none_of_others) {
    struct world *w = world_test_new();
    given_pod(w, ",\"deletionTimestamp\":\"2026-01-01T00:00:00Z\"");
    assert_rests(w, "ephemeral-claims", "default/p");
    given_pod(w, "");
    given_claim(w, "p-v", "1Gi", "", "");
    assert_rests(w, "ephemeral-claims", "default/p");
    world_free(w);
}
