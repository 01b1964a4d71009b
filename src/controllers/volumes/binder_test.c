/* Which volume a claim gets. */
#include "controllers/volumes/fixture.h"

TEST(a_claim_gets_the_smallest_volume_that_suits_it) {
    struct world *w = world_test_new();
    given_volume(w, "huge", "100Gi", "", "");
    given_volume(w, "small", "1Gi", "", "");
    given_volume(w, "fits", "10Gi", "", "");
    given_volume(w, "other-class", "6Gi", "", IN_CLASS("fast"));
    given_volume(w, "raw", "6Gi", "", ",\"volumeMode\":\"Block\"");
    given_volume(w, "goes", "6Gi", ",\"deletionTimestamp\":\"2026-01-01T00:00:00Z\"", "");
    given_volume(w, "taken", "6Gi", "", KEPT_FOR("another"));
    given_claim(w, "c", "5Gi", "", "");
    settle_claim(w, "c");
    assert_tied(w, "c", "fits");
    const volume_t *v = volume_get(w, "fits");
    const claim_t *c = claim_get(w, "default", "c");
    assert_string_equal(str_map_get(&v->metadata.annotations, CLAIM_BOUND_BY_CONTROLLER), "yes");
    assert_string_equal(str_map_get(&c->metadata.annotations, CLAIM_BOUND_BY_CONTROLLER), "yes");
    world_free(w);
}

TEST(a_claim_without_a_volume_says_so) {
    struct world *w = world_test_new();
    given_volume(w, "small", "1Gi", "", "");
    given_claim(w, "c", "5Gi", "", "");
    settle_claim(w, "c");
    assert_pending(w, "c");
    assert_tells(w, "claim-binder", "default/c",
                 "FailedBinding: no persistent volumes available for this claim and no storage "
                 "class is set");
    given_volume(w, "late", "5Gi", "", "");
    settle_claim(w, "c");
    assert_tied(w, "c", "late");
    world_free(w);
}

TEST(a_claim_selects_by_labels_and_access_modes) {
    struct world *w = world_test_new();
    given_volume(w, "a", "5Gi", ",\"labels\":{\"disk\":\"slow\"}", "");
    given_volume(w, "b", "6Gi", ",\"labels\":{\"disk\":\"fast\"}", "");
    given_claim(w, "c", "5Gi", "", ",\"selector\":{\"matchLabels\":{\"disk\":\"fast\"}}");
    settle_claim(w, "c");
    assert_tied(w, "c", "b");
    world_add_json(w, "{\"apiVersion\":\"v1\",\"kind\":\"PersistentVolumeClaim\",\"metadata\":{"
                      "\"name\":\"many\",\"namespace\":\"default\"},\"spec\":{\"accessModes\":["
                      "\"ReadWriteMany\"]},\"status\":{\"phase\":\"Pending\"}}");
    settle_claim(w, "many");
    assert_pending(w, "many");
    world_free(w);
}

TEST(claims_that_look_at_once_do_not_choose_the_same_volume) {
    struct world *w = world_test_new();
    const char *chosen[3];
    for (int i = 0; i < 3; i++) {
        char name[8];
        snprintf(name, sizeof name, "c%d", i);
        given_claim(w, name, "1Gi", "", "");
        name[0] = 'v';
        given_volume(w, name, "1Gi", "", "");
    }
    OWN(arena_free_p) struct arena *a = arena_new();
    for (int i = 0; i < 3; i++) {
        char name[8];
        snprintf(name, sizeof name, "c%d", i);
        chosen[i] = binding_find(w, a, claim_get(w, "default", name), false, NULL)->metadata.name;
        name[0] = 'v';
        assert_string_equal(chosen[i], name);
    }
    world_free(w);
}

TEST(a_volume_that_is_kept_for_a_claim_goes_to_no_other) {
    struct world *w = world_test_new();
    given_volume(w, "kept", "50Gi", "", KEPT_FOR("mine") IN_CLASS("x"));
    given_volume(w, "small", "5Gi", "", "");
    given_claim(w, "mine", "5Gi", "", "");
    given_claim(w, "yours", "6Gi", "", "");
    settle_claim(w, "yours");
    assert_pending(w, "yours");
    settle_claim(w, "mine");
    assert_tied(w, "mine", "kept");
    assert_null(
        str_map_get(&volume_get(w, "kept")->metadata.annotations, CLAIM_BOUND_BY_CONTROLLER));
    world_free(w);
}

TEST(a_claim_may_name_its_volume) {
    struct world *w = world_test_new();
    given_claim(w, "c", "5Gi", "", NAMES_VOLUME("v"));
    settle_claim(w, "c");
    assert_pending(w, "c");
    given_volume(w, "v", "1Gi", "", "");
    settle(w, "claim-binder", "default/c");
    assert_pending(w, "c");
    assert_tells(w, "claim-binder", "default/c",
                 "VolumeMismatch: Cannot bind to requested volume \"v\": requested PV is too "
                 "small");
    given_volume(w, "v", "9Gi", "", KEPT_FOR("other"));
    assert_tells(w, "claim-binder", "default/c",
                 "FailedBinding: volume \"v\" already bound to a different claim.");
    given_volume(w, "v", "9Gi", "", "");
    settle_claim(w, "c");
    assert_tied(w, "c", "v");
    assert_null(str_map_get(&claim_get(w, "default", "c")->metadata.annotations,
                            CLAIM_BOUND_BY_CONTROLLER));
    world_free(w);
}

TEST(misfits_are_named) {
    static const struct {
        const char *size, *metadata, *spec, *text;
    } rows[] = {
        {"9Gi", "", IN_CLASS("x"), "storageClassName does not match"},
        {"9Gi", "", ",\"volumeMode\":\"Block\"", "incompatible volumeMode"},
        {"9Gi", ",\"deletionTimestamp\":\"2026-01-01T00:00:00Z\"", "",
         "the volume is marked for deletion \"v\""},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct world *w = world_test_new();
        char text[200];
        given_claim(w, "c", "5Gi", "", NAMES_VOLUME("v"));
        given_volume(w, "v", rows[i].size, rows[i].metadata, rows[i].spec);
        snprintf(text, sizeof text, "VolumeMismatch: Cannot bind to requested volume \"v\": %s",
                 rows[i].text);
        assert_tells(w, "claim-binder", "default/c", text);
        world_free(w);
    }
}

TEST(a_claim_that_goes_takes_no_volume) {
    struct world *w = world_test_new();
    given_volume(w, "v", "5Gi", "", "");
    given_claim(w, "c", "5Gi", ",\"deletionTimestamp\":\"2026-01-01T00:00:00Z\"", "");
    settle(w, "claim-binder", "default/c");
    assert_pending(w, "c");
    world_free(w);
}

TEST(a_bound_claim_whose_volume_has_gone_is_lost) {
    struct world *w = world_test_new();
    given_volume(w, "v", "5Gi", "", "");
    given_claim(w, "c", "5Gi", "", "");
    settle_claim(w, "c");
    world_remove(w, api_kind_by_name("", "v1", "PersistentVolume"), NULL, "v");
    assert_tells(w, "claim-binder", "default/c",
                 "ClaimLost: Bound claim has lost its PersistentVolume. Data on the volume is "
                 "lost!");
    settle(w, "claim-binder", "default/c");
    assert_string_equal(claim_get(w, "default", "c")->status.phase, "Lost");
    given_volume(w, "v", "5Gi", "", TIED_TO("other", "uid-other"));
    settle(w, "claim-binder", "default/c");
    assert_string_equal(claim_get(w, "default", "c")->status.phase, "Lost");
    given_volume(w, "v", "5Gi", "", "");
    settle_claim(w, "c");
    assert_tied(w, "c", "v");
    world_free(w);
}

TEST(a_class_that_waits_binds_on_the_selected_node) {
    struct world *w = world_test_new();
    world_add_json(w, "{\"apiVersion\":\"v1\",\"kind\":\"Node\",\"metadata\":{\"name\":\"b\","
                      "\"labels\":{\"kubernetes.io/hostname\":\"b\"}}}");
    given_class(w, "late", "kubernetes.io/no-provisioner", WAITS);
    given_volume(w, "on-a", "5Gi", "", IN_CLASS("late") ONLY_ON("a"));
    given_volume(w, "on-b", "9Gi", "", IN_CLASS("late") ONLY_ON("b"));
    given_claim(w, "c", "5Gi", "", IN_CLASS("late"));
    settle_claim(w, "c");
    assert_pending(w, "c");
    assert_tells(w, "claim-binder", "default/c",
                 "WaitForFirstConsumer: waiting for first consumer to be created before binding");
    given_claim(w, "c", "5Gi", SELECTED("b"), IN_CLASS("late"));
    settle_claim(w, "c");
    assert_tied(w, "c", "on-b");
    world_free(w);
}

TEST(a_class_that_waits_takes_what_a_scheduler_has_tied) {
    struct world *w = world_test_new();
    given_class(w, "late", "kubernetes.io/no-provisioner", WAITS);
    given_volume(w, "free", "5Gi", "", IN_CLASS("late"));
    given_volume(w, "tied", "9Gi", "", IN_CLASS("late") TIED_TO("c", "uid-c"));
    given_claim(w, "c", "5Gi", "", IN_CLASS("late"));
    settle_claim(w, "c");
    assert_tied(w, "c", "tied");
    world_free(w);
}
