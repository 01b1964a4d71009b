#include "controllers/fixture.h"

static struct world *world_with_claim(void) {
    struct world *w = world_test_new();
    world_add_json(w,
                   "{\"apiVersion\":\"v1\",\"kind\":\"PersistentVolumeClaim\",\"metadata\":{"
                   "\"name\":\"c\",\"namespace\":\"default\",\"deletionTimestamp\":"
                   "\"2026-01-01T00:00:00Z\",\"finalizers\":[\"kubernetes.io/pvc-protection\"]}}");
    return w;
}

static size_t patches(const struct world *w, const char *reconciler, const char *key) {
    OWN(plan_free_p) struct plan *p = plan_of(w, reconciler, key);
    return plan_count_of(p, PLAN_PATCH, NULL);
}

TEST(a_claim_waits_for_the_pods_on_nodes) {
    struct world *w = world_with_claim();
    assert_int_equal(patches(w, "claim-protection", "default/c"), 1);
    world_add_json(w, "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"waiting\","
                      "\"namespace\":\"default\"},\"spec\":{\"volumes\":[{\"name\":\"v\","
                      "\"persistentVolumeClaim\":{\"claimName\":\"c\"}}]}}");
    assert_int_equal(patches(w, "claim-protection", "default/c"), 1);
    world_add_json(w, "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"placed\","
                      "\"namespace\":\"default\"},\"spec\":{\"nodeName\":\"n\",\"volumes\":[{"
                      "\"name\":\"v\",\"persistentVolumeClaim\":{\"claimName\":\"c\"}}]}}");
    assert_int_equal(patches(w, "claim-protection", "default/c"), 0);
    world_free(w);
}

TEST(an_ephemeral_volume_uses_its_claim) {
    struct world *w = world_with_claim();
    world_add_json(w,
                   "{\"apiVersion\":\"v1\",\"kind\":\"PersistentVolumeClaim\",\"metadata\":{"
                   "\"name\":\"p-v\",\"namespace\":\"default\",\"deletionTimestamp\":"
                   "\"2026-01-01T00:00:00Z\",\"finalizers\":[\"kubernetes.io/pvc-protection\"]}}");
    world_add_json(w, "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"p\","
                      "\"namespace\":\"default\"},\"spec\":{\"nodeName\":\"n\",\"volumes\":[{"
                      "\"name\":\"v\",\"ephemeral\":{}}]}}");
    assert_int_equal(patches(w, "claim-protection", "default/p-v"), 0);
    assert_int_equal(patches(w, "claim-protection", "default/c"), 1);
    world_free(w);
}

TEST(a_volume_waits_while_it_is_bound) {
    struct world *w = world_test_new();
    for (int i = 0; i < 2; i++) {
        char json[400];
        snprintf(json, sizeof json,
                 "{\"apiVersion\":\"v1\",\"kind\":\"PersistentVolume\",\"metadata\":{\"name\":"
                 "\"v%d\",\"deletionTimestamp\":\"2026-01-01T00:00:00Z\",\"finalizers\":["
                 "\"kubernetes.io/pv-protection\"]},\"status\":{\"phase\":\"%s\"}}",
                 i, i ? "Bound" : "Released");
        world_add_json(w, json);
    }
    assert_int_equal(patches(w, "volume-protection", "v0"), 1);
    assert_int_equal(patches(w, "volume-protection", "v1"), 0);
    world_free(w);
}
