/* What becomes of a volume: its phases, and its end. */
#include <string.h>

#include "controllers/volumes/fixture.h"

static const char *phase(const struct world *w, const char *name) {
    return volume_get(w, name)->status.phase;
}

/* A volume whose claim was there and has gone. */
static struct world *released(const char *metadata, const char *spec) {
    struct world *w = world_test_new();
    given_volume(w, "v", "5Gi", metadata, spec);
    given_claim(w, "c", "5Gi", "", "");
    settle_claim(w, "c");
    assert_tied(w, "c", "v");
    drop_claim(w, "c");
    return w;
}

TEST(a_new_volume_is_available) {
    struct world *w = world_test_new();
    world_add_json(w, "{\"apiVersion\":\"v1\",\"kind\":\"PersistentVolume\",\"metadata\":{\"name\":"
                      "\"v\"},\"spec\":{\"capacity\":{\"storage\":\"1Gi\"}},\"status\":{\"phase\":"
                      "\"Pending\"}}");
    settle_volume(w, "v");
    assert_string_equal(phase(w, "v"), "Available");
    assert_string_equal(volume_get(w, "v")->status.last_phase_transition_time,
                        "2026-01-01T00:00:00Z");
    world_free(w);
}

TEST(a_volume_is_given_up_only_when_the_api_says_that_its_claim_has_gone) {
    struct world *w = released("", "");
    run(w, "volume-binder", "v");
    assert_string_equal(phase(w, "v"), "Bound");
    OWN(plan_free_p) struct plan *p = plan_of(w, "volume-binder", "v");
    uint64_t period_ms;
    assert_non_null(plan_want_at(p, 0, &period_ms));
    claim_is_gone(w, "c");
    settle_volume(w, "v");
    assert_string_equal(phase(w, "v"), "Released");
    world_free(w);
}

TEST(a_claim_of_that_name_but_another_uid_is_another_claim) {
    struct world *w = released("", ",\"persistentVolumeReclaimPolicy\":\"Retain\"");
    given_claim(w, "c", "5Gi", ",\"generation\":2", "");
    struct arena *a;
    claim_t *c = (claim_t *)edit((const struct api_object *)claim_get(w, "default", "c"), &a);
    c->metadata.uid = "uid-new";
    edit_done(w, a, (struct api_object *)c);
    world_set_fact(w, "/api/v1/namespaces/default/persistentvolumeclaims/c", world_now_ns(w),
                   SLICE("{\"metadata\":{\"name\":\"c\",\"uid\":\"uid-new\"}}"), NULL);
    settle_volume(w, "v");
    assert_string_equal(phase(w, "v"), "Released");
    settle(w, "claim-binder", "default/c");
    assert_pending(w, "c"); /* what is retained waits for a person */
    world_free(w);
}

TEST(what_cannot_be_deleted_is_failed_and_says_why) {
    static const struct {
        const char *spec, *event;
    } rows[] = {
        {",\"persistentVolumeReclaimPolicy\":\"Delete\"",
         "VolumeFailedDelete: host_path deleter only supports /tmp/.+ but received provided "
         "/data/v"},
        {",\"persistentVolumeReclaimPolicy\":\"Delete\",\"local\":{\"path\":"
         "\"/disk\"}",
         "VolumeFailedDelete: error getting deleter volume plugin for volume \"v\": no deletable "
         "volume plugin matched"},
        {",\"persistentVolumeReclaimPolicy\":\"Recycle\"",
         "VolumeFailedRecycle: No recycler plugin found for the volume!"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct world *w = released("", rows[i].spec);
        claim_is_gone(w, "c");
        assert_int_equal(run(w, "volume-binder", "v"), 1);
        assert_tells(w, "volume-binder", "v", rows[i].event);
        settle_volume(w, "v");
        assert_string_equal(phase(w, "v"), "Failed");
        assert_non_null(strstr(rows[i].event, volume_get(w, "v")->status.message));
        OWN(plan_free_p) struct plan *p = plan_of(w, "volume-binder", "v");
        assert_int_equal(plan_count(p), 0); /* told once */
        world_free(w);
    }
}

TEST(a_volume_of_others_is_left_to_them) {
    struct world *w =
        released(",\"annotations\":{\"" VOLUME_PROVISIONED_BY "\":\"example.com/disks\"}",
                 ",\"persistentVolumeReclaimPolicy\":\"Delete\"");
    claim_is_gone(w, "c");
    settle_volume(w, "v");
    assert_string_equal(phase(w, "v"), "Released");
    world_free(w);
}

TEST(a_local_volume_is_deleted_by_its_node_or_when_that_is_gone) {
    struct world *w = released(",\"labels\":{\"" LOCAL_VOLUME_NODE "\":\"n\"},\"annotations\":{"
                               "\"" VOLUME_PROVISIONED_BY "\":\"" LOCAL_PROVISIONER "\"}",
                               ",\"persistentVolumeReclaimPolicy\":\"Delete\"");
    const struct api_object *node = world_add_json(
        w, "{\"apiVersion\":\"v1\",\"kind\":\"Node\",\"metadata\":{\"name\":\"n\"}}");
    assert_non_null(node);
    claim_is_gone(w, "c");
    settle_volume(w, "v");
    assert_string_equal(phase(w, "v"), "Released");
    world_remove(w, api_kind_by_name("", "v1", "Node"), NULL, "n");
    settle_volume(w, "v");
    assert_null(volume_get(w, "v"));
    world_free(w);
}

TEST(a_volume_of_a_claim_that_has_another_one_is_free_again) {
    struct world *w = world_test_new();
    given_volume(w, "v", "5Gi", "", "");
    given_claim(w, "c", "5Gi", "", "");
    settle_claim(w, "c");
    given_volume(w, "both", "5Gi",
                 ",\"annotations\":{\"" CLAIM_BOUND_BY_CONTROLLER "\":\"yes\",\"keep\":\"me\"}",
                 TIED_TO("c", "uid-c"));
    settle_volume(w, "both");
    assert_string_equal(phase(w, "both"), "Available");
    assert_null(volume_get(w, "both")->spec.claim_ref);
    assert_int_equal(volume_get(w, "both")->metadata.annotations.n, 1);
    given_volume(w, "kept", "5Gi", "", TIED_TO("c", "uid-c"));
    settle_volume(w, "kept");
    assert_string_equal(phase(w, "kept"), "Available");
    assert_string_equal(volume_get(w, "kept")->spec.claim_ref->name, "c");
    assert_true(str_empty(volume_get(w, "kept")->spec.claim_ref->uid));
    world_free(w);
}

TEST(modes_that_differ_are_told_on_both_sides) {
    struct world *w = world_test_new();
    given_volume(w, "v", "5Gi", "", TIED_TO("c", "uid-c") ",\"volumeMode\":\"Block\"");
    given_claim(w, "c", "5Gi", "", "");
    assert_tells(w, "volume-binder", "v",
                 "VolumeMismatch: Cannot bind PersistentVolume \"v\" to requested "
                 "PersistentVolumeClaim due to incompatible volumeMode.");
    assert_rests(w, "volume-binder", "v");
    world_free(w);
}
