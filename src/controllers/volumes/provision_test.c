/* Volumes that are made. */
#include "controllers/volumes/fixture.h"

TEST(a_class_that_is_not_there_or_cannot_make_volumes_is_named) {
    struct world *w = world_test_new();
    given_claim(w, "c", "5Gi", "", IN_CLASS("x"));
    assert_tells(w, "claim-binder", "default/c",
                 "ProvisioningFailed: storageclass.storage.k8s.io \"x\" not found");
    given_class(w, "x", "kubernetes.io/no-provisioner", "");
    assert_tells(w, "claim-binder", "default/c",
                 "ProvisioningFailed: no volume plugin matched name: "
                 "kubernetes.io/no-provisioner");
    assert_rests(w, "claim-binder", "default/c");
    world_free(w);
}

TEST(an_external_provisioner_is_asked_by_annotations) {
    struct world *w = world_test_new();
    given_class(w, "x", "example.com/disks", "");
    given_claim(w, "c", "5Gi", "", IN_CLASS("x"));
    assert_tells(w, "claim-binder", "default/c",
                 "ExternalProvisioning: Waiting for a volume to be created either by the external "
                 "provisioner 'example.com/disks' or manually by the system administrator.");
    settle(w, "claim-binder", "default/c");
    assert_string_equal(str_map_get(&claim_get(w, "default", "c")->metadata.annotations,
                                    "volume.kubernetes.io/storage-provisioner"),
                        "example.com/disks");
    given_volume(w, "made", "5Gi", "", IN_CLASS("x") TIED_TO("c", "uid-c"));
    settle_claim(w, "c");
    assert_tied(w, "c", "made");
    world_free(w);
}

TEST(claims_without_a_class_take_the_default_one) {
    struct world *w = world_test_new();
    given_claim(w, "c", "5Gi", "", "");
    given_claim(w, "none", "5Gi", "", IN_CLASS(""));
    world_add_json(w, "{\"apiVersion\":\"storage.k8s.io/v1\",\"kind\":\"StorageClass\",\"metadata\""
                      ":{\"name\":\"std\",\"annotations\":{\"storageclass.kubernetes.io/"
                      "is-default-class\":\"true\"}},\"provisioner\":\"example.com/disks\"}");
    settle(w, "claim-binder", "default/c");
    settle(w, "claim-binder", "default/none");
    assert_string_equal(claim_get(w, "default", "c")->spec.storage_class_name, "std");
    assert_string_equal(claim_get(w, "default", "none")->spec.storage_class_name, "");
    world_free(w);
}

static void given_local_class(struct world *w) {
    given_class(w, "local", LOCAL_PROVISIONER, WAITS ",\"reclaimPolicy\":\"Delete\"");
    world_add_json(w, "{\"apiVersion\":\"v1\",\"kind\":\"Node\",\"metadata\":{\"name\":\"n\","
                      "\"labels\":{\"kubernetes.io/hostname\":\"host-n\"}}}");
}

TEST(a_local_volume_is_made_on_the_selected_node) {
    struct world *w = world_test_new();
    given_local_class(w);
    given_claim(w, "c", "5Gi", "", IN_CLASS("local"));
    settle_claim(w, "c");
    assert_int_equal(world_count(w, "PersistentVolume"), 0);
    given_claim(w, "c", "5Gi", SELECTED("n"), IN_CLASS("local"));
    settle_claim(w, "c");
    assert_tied(w, "c", "pvc-uid-c");
    const volume_t *v = volume_get(w, "pvc-uid-c");
    const struct core_v1_node_selector_requirement *r =
        &v->spec.node_affinity->required->node_selector_terms.v[0].match_expressions.v[0];
    assert_string_equal(v->spec.local->path, "/var/lib/atoll/volumes/pvc-uid-c");
    assert_string_equal(r->key, "kubernetes.io/hostname");
    assert_string_equal(r->values.v[0], "host-n");
    assert_string_equal(v->spec.persistent_volume_reclaim_policy, "Delete");
    assert_true(volume_is_local_to(v, "n"));
    world_free(w);
}

TEST(a_local_volume_that_cannot_be_made_says_why) {
    static const struct {
        const char *metadata, *spec, *text;
    } rows[] = {
        {SELECTED("gone"), "", "no node was selected"},
        {SELECTED("n"), ",\"selector\":{\"matchLabels\":{\"a\":\"b\"}}",
         "claim.spec.selector is not supported"},
        {SELECTED("n"), ",\"volumeMode\":\"Block\"", "volumeMode Block is not supported"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct world *w = world_test_new();
        char spec[300], text[300];
        given_local_class(w);
        snprintf(spec, sizeof spec, IN_CLASS("local") "%s", rows[i].spec);
        snprintf(text, sizeof text,
                 "ProvisioningFailed: failed to provision volume with StorageClass \"local\": %s",
                 rows[i].text);
        given_claim(w, "c", "5Gi", rows[i].metadata, spec);
        assert_tells(w, "claim-binder", "default/c", text);
        settle_claim(w, "c");
        assert_int_equal(world_count(w, "PersistentVolume"), 0);
        world_free(w);
    }
}
