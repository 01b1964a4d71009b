#include <stdio.h>
#include <string.h>

#include "api/rules/pods.h"
#include "controllers/fixture.h"

static const char key[] = "default/db";

static void add_set(struct world *w, int replicas, const char *policy, const char *more) {
    char json[1500];
    snprintf(json, sizeof json,
             "{\"apiVersion\":\"apps/v1\",\"kind\":\"StatefulSet\",\"metadata\":{\"name\":\"db\","
             "\"namespace\":\"default\",\"uid\":\"u-db\",\"generation\":1},\"spec\":{\"replicas\":"
             "%d,\"serviceName\":\"svc\",\"podManagementPolicy\":\"%s\",\"selector\":{"
             "\"matchLabels\":{\"app\":\"db\"}},\"template\":{\"metadata\":{\"labels\":{\"app\":"
             "\"db\"}},\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"one\"}]}}%s}}",
             replicas, policy, more);
    world_add_json(w, json);
}

#define ROLLING ",\"updateStrategy\":{\"type\":\"RollingUpdate\",\"rollingUpdate\":{\"partition\":"

static const struct apps_v1_stateful_set *get(const struct world *w) {
    return (const struct apps_v1_stateful_set *)world_get(w, "StatefulSet", "default", "db");
}

static struct apps_v1_stateful_set *change(struct world *w, struct arena **a) {
    struct apps_v1_stateful_set *s =
        (struct apps_v1_stateful_set *)edit((const struct api_object *)get(w), a);
    s->metadata.generation++;
    return s;
}

static void set_replicas(struct world *w, int32_t n) {
    struct arena *a;
    struct apps_v1_stateful_set *s = change(w, &a);
    s->spec.replicas = int_new(a, n);
    edit_done(w, a, (struct api_object *)s);
}

static void set_image(struct world *w, const char *image) {
    struct arena *a;
    struct apps_v1_stateful_set *s = change(w, &a);
    s->spec.template.spec.containers.v[0].image = arena_str(a, image);
    edit_done(w, a, (struct api_object *)s);
}

static void set_partition(struct world *w, int32_t n) {
    struct arena *a;
    struct apps_v1_stateful_set *s = change(w, &a);
    s->spec.update_strategy.rolling_update->partition = int_new(a, n);
    edit_done(w, a, (struct api_object *)s);
}

static const char *revision_of(const struct world *w, const char *pod) {
    return str_or(str_map_get(&pod_get(w, pod)->metadata.labels, "controller-revision-hash"), "");
}

/* Runs the set and every pod that is not ready, until nobody has anything to do. Never more than
 * `most` pods, and never fewer that are ready than `least`. */
static void converge(struct world *w, int32_t most, int32_t least) {
    for (int i = 0; i < 500; i++) {
        bool idle = run(w, "statefulset", key) == 0;
        const struct api_object *o, *waits = NULL;
        int32_t n_ready = 0;
        for (size_t at = 0; (o = world_next(w, "Pod", "default", &at));) {
            n_ready += pod_is_ready((const struct core_v1_pod *)o);
            if (!pod_is_ready((const struct core_v1_pod *)o)) waits = o;
        }
        if ((int32_t)world_count(w, "Pod") > most)
            fail_msg("%zu pods, at most %d", world_count(w, "Pod"), most);
        if (n_ready < least) fail_msg("%d pods are ready, at least %d are due", n_ready, least);
        if (waits) pod_runs(w, waits, true);
        if (idle && !waits) {
            assert_rests(w, "statefulset", key);
            return;
        }
    }
    fail_msg("no rest");
}

TEST(statefulset_makes_one_pod_after_the_other) {
    struct world *w = world_test_new();
    add_set(w, 3, "OrderedReady", ROLLING "0}}");
    settle(w, "statefulset", key);
    assert_int_equal(world_count(w, "Pod"), 1);
    const struct core_v1_pod *pod = pod_get(w, "db-0");
    assert_string_equal(str_map_get(&pod->metadata.labels, "statefulset.kubernetes.io/pod-name"),
                        "db-0");
    assert_string_equal(str_map_get(&pod->metadata.labels, "apps.kubernetes.io/pod-index"), "0");
    assert_string_equal(pod->spec.hostname, "db-0");
    assert_string_equal(pod->spec.subdomain, "svc");
    assert_string_equal(revision_of(w, "db-0"), get(w)->status.update_revision);
    pod_runs(w, (const struct api_object *)pod, false);
    settle(w, "statefulset", key);
    assert_int_equal(world_count(w, "Pod"), 1); /* running is not ready */
    pod_runs(w, (const struct api_object *)pod_get(w, "db-0"), true);
    settle(w, "statefulset", key);
    assert_int_equal(world_count(w, "Pod"), 2);
    converge(w, 3, 1);
    const struct apps_v1_stateful_set_status *s = &get(w)->status;
    assert_int_equal(s->replicas, 3);
    assert_int_equal(s->ready_replicas, 3);
    assert_int_equal(s->available_replicas, 3);
    assert_int_equal(s->current_replicas, 3);
    assert_int_equal(s->updated_replicas, 3);
    assert_int_equal(s->observed_generation, get(w)->metadata.generation);
    assert_string_equal(s->current_revision, s->update_revision);
    assert_int_equal(world_count(w, "ControllerRevision"), 1);
    world_free(w);
}

TEST(statefulset_shrinks_from_the_top_and_halts_at_a_sick_pod) {
    struct world *w = world_test_new();
    add_set(w, 3, "OrderedReady", ROLLING "0}}");
    converge(w, 3, 0);
    pod_runs(w, (const struct api_object *)pod_get(w, "db-0"), false);
    set_replicas(w, 1);
    settle(w, "statefulset", key);
    assert_int_equal(world_count(w, "Pod"), 3);
    pod_runs(w, (const struct api_object *)pod_get(w, "db-0"), true);
    run(w, "statefulset", key);
    assert_null(pod_get(w, "db-2"));
    assert_non_null(pod_get(w, "db-1"));
    converge(w, 2, 1);
    assert_null(pod_get(w, "db-1"));
    assert_int_equal(get(w)->status.replicas, 1);
    world_free(w);
}

TEST(statefulset_in_parallel_waits_for_nobody) {
    struct world *w = world_test_new();
    add_set(w, 4, "Parallel", ROLLING "0}}");
    settle(w, "statefulset", key);
    assert_int_equal(world_count(w, "Pod"), 4);
    set_replicas(w, 1);
    settle(w, "statefulset", key);
    assert_int_equal(world_count(w, "Pod"), 1);
    assert_non_null(pod_get(w, "db-0"));
    set_replicas(w, 2000000000);
    run(w, "statefulset", key);
    assert_int_equal(world_count(w, "Pod"), 501); /* so many of one round */
    world_free(w);
}

/* A world with three pods whose template has just changed from the revision ret_old. */
static struct world *with_update(const char *strategy, char ret_old[100]) {
    struct world *w = world_test_new();
    add_set(w, 3, "OrderedReady", strategy);
    converge(w, 3, 0);
    snprintf(ret_old, 100, "%s", get(w)->status.update_revision);
    set_image(w, "two");
    return w;
}

TEST(statefulset_updates_from_the_top_one_by_one) {
    char old[100];
    struct world *w = with_update(ROLLING "0}}", old);
    run(w, "statefulset", key); /* the revision */
    run(w, "statefulset", key);
    assert_null(pod_get(w, "db-2"));
    assert_string_not_equal(get(w)->status.update_revision, old);
    assert_string_equal(get(w)->status.current_revision, old);
    assert_int_equal(get(w)->status.current_replicas, 3);
    run(w, "statefulset", key);
    settle(w, "statefulset", key);
    assert_string_equal(revision_of(w, "db-2"), get(w)->status.update_revision);
    assert_string_equal(revision_of(w, "db-1"), old); /* db-2 is not ready yet */
    converge(w, 3, 2);
    for (int i = 0; i < 3; i++) {
        char name[8];
        snprintf(name, sizeof name, "db-%d", i);
        assert_string_equal(revision_of(w, name), get(w)->status.update_revision);
    }
    assert_string_equal(get(w)->status.current_revision, get(w)->status.update_revision);
    assert_int_equal(world_count(w, "ControllerRevision"), 2);
    set_image(w, "one"); /* back again: the same revision with a new number */
    converge(w, 3, 2);
    assert_string_equal(get(w)->status.current_revision, old);
    assert_int_equal(world_count(w, "ControllerRevision"), 2);
    const struct apps_v1_controller_revision *r =
        (const struct apps_v1_controller_revision *)world_get(w, "ControllerRevision", "default",
                                                              old);
    assert_int_equal(r->revision, 3);
    /* Clients compare these bytes with their own: sorted names, as Go writes them. */
    const char begin[] = "{\"spec\":{\"template\":{\"$patch\":\"replace\",\"metadata\":{"
                         "\"creationTimestamp\":null,\"labels\":{";
    assert_memory_equal(r->data.p, begin, sizeof begin - 1);
    world_free(w);
}

TEST(statefulset_leaves_pods_below_the_partition_alone_and_makes_them_anew_as_they_were) {
    char old[100];
    struct world *w = with_update(ROLLING "2}}", old);
    converge(w, 3, 2);
    assert_string_equal(revision_of(w, "db-2"), get(w)->status.update_revision);
    assert_string_equal(revision_of(w, "db-1"), old);
    assert_int_equal(get(w)->status.updated_replicas, 1);
    assert_int_equal(get(w)->status.current_replicas, 2);
    assert_string_equal(get(w)->status.current_revision, old);
    world_remove(w, world_kind(w, "Pod"), "default", "db-0");
    OWN(plan_free_p) struct plan *p = plan_of(w, "statefulset", key);
    const struct plan_step *made = plan_find(p, PLAN_CREATE, "Pod", 0);
    assert_string_equal(((const struct core_v1_pod *)made->object)->spec.containers.v[0].image,
                        "one");
    converge(w, 3, 0);
    assert_string_equal(revision_of(w, "db-0"), old);
    set_partition(w, 0);
    converge(w, 3, 2);
    assert_string_equal(revision_of(w, "db-0"), get(w)->status.update_revision);
    assert_string_equal(get(w)->status.current_revision, get(w)->status.update_revision);
    world_free(w);
}

TEST(statefulset_replaces_several_at_once_when_it_may) {
    struct world *w = world_test_new();
    add_set(w, 6, "Parallel", ROLLING "0,\"maxUnavailable\":\"34%\"}}"); /* 2.04: three */
    converge(w, 6, 0);
    set_image(w, "two");
    run(w, "statefulset", key);
    run(w, "statefulset", key);
    assert_int_equal(world_count(w, "Pod"), 3);
    assert_non_null(pod_get(w, "db-2"));
    converge(w, 6, 3);
    assert_int_equal(get(w)->status.updated_replicas, 6);
    world_free(w);
}

TEST(statefulset_on_delete_updates_what_somebody_removes) {
    struct world *w = world_test_new();
    add_set(w, 2, "OrderedReady", ",\"updateStrategy\":{\"type\":\"OnDelete\"}");
    converge(w, 2, 0);
    set_image(w, "two");
    converge(w, 2, 2);
    assert_int_equal(get(w)->status.updated_replicas, 0);
    world_remove(w, world_kind(w, "Pod"), "default", "db-0");
    converge(w, 2, 1);
    assert_string_equal(revision_of(w, "db-0"), get(w)->status.update_revision);
    assert_int_equal(get(w)->status.updated_replicas, 1);
    world_free(w);
}

TEST(statefulset_makes_ended_pods_anew) {
    struct world *w = world_test_new();
    add_set(w, 2, "OrderedReady", ROLLING "0}}");
    converge(w, 2, 0);
    pod_ends(w, (const struct api_object *)pod_get(w, "db-0"), "Failed");
    OWN(plan_free_p) struct plan *p = plan_of(w, "statefulset", key);
    assert_string_equal(plan_find(p, PLAN_EVENT, NULL, 0)->message,
                        "StatefulSet default/db is recreating failed Pod db-0");
    char uid[64];
    snprintf(uid, sizeof uid, "%s", pod_get(w, "db-0")->metadata.uid);
    converge(w, 2, 1);
    assert_string_not_equal(pod_get(w, "db-0")->metadata.uid, uid);
    world_free(w);
}

TEST(statefulset_replaces_a_pod_that_fails_at_once_ever_more_seldom) {
    struct world *w = world_test_new();
    int failed = 0;
    add_set(w, 1, "OrderedReady", ROLLING "0}}");
    for (int s = 0; s < 60; s++) {
        settle(w, "statefulset", key);
        const struct core_v1_pod *pod = pod_get(w, "db-0");
        if (!pod_is_terminal(pod)) {
            pod_ends(w, (const struct api_object *)pod, "Failed");
            failed++;
        }
        pass_ms(w, 1000);
    }
    assert_true(failed >= 6 && failed <= 8);
    world_remove(w, world_kind(w, "StatefulSet"), "default", "db");
    settle(w, "statefulset", key);
    assert_null(world_fact(w, "failures/StatefulSet/default/db"));
    world_free(w);
}

TEST(statefulset_numbers_from_its_start) {
    struct world *w = world_test_new();
    add_set(w, 2, "OrderedReady", ROLLING "0}},\"ordinals\":{\"start\":3}");
    converge(w, 2, 0);
    assert_non_null(pod_get(w, "db-3"));
    assert_non_null(pod_get(w, "db-4"));
    struct arena *a;
    struct apps_v1_stateful_set *s = change(w, &a);
    s->spec.ordinals->start = 4;
    edit_done(w, a, (struct api_object *)s);
    converge(w, 3, 1);
    assert_null(pod_get(w, "db-3"));
    assert_non_null(pod_get(w, "db-5"));
    assert_int_equal(world_count(w, "Pod"), 2);
    world_free(w);
}

TEST(statefulset_waits_for_min_ready_seconds) {
    struct world *w = world_test_new();
    add_set(w, 2, "OrderedReady", ROLLING "0}},\"minReadySeconds\":10");
    settle(w, "statefulset", key);
    pod_runs(w, (const struct api_object *)pod_get(w, "db-0"), true);
    pass_ms(w, 4000);
    settle(w, "statefulset", key);
    assert_int_equal(world_count(w, "Pod"), 1);
    assert_int_equal(get(w)->status.ready_replicas, 1);
    assert_int_equal(get(w)->status.available_replicas, 0);
    OWN(plan_free_p) struct plan *p = plan_of(w, "statefulset", key);
    uint64_t ms = 0;
    assert_true(plan_requeue_ms(p, &ms));
    assert_int_equal(ms, 6000);
    pass_ms(w, 6000);
    settle(w, "statefulset", key);
    assert_int_equal(world_count(w, "Pod"), 2);
    assert_int_equal(get(w)->status.available_replicas, 1);
    world_free(w);
}

#define CLAIMS(deleted, scaled)                                                                    \
    ROLLING "0}},\"volumeClaimTemplates\":[{\"metadata\":{\"name\":\"data\",\"labels\":{\"x\":"    \
            "\"y\"}},\"spec\":{\"accessModes\":[\"ReadWriteOnce\"],\"resources\":{\"requests\":{"  \
            "\"storage\":\"1Gi\"}}}}],\"persistentVolumeClaimRetentionPolicy\":{\"whenDeleted\":"  \
            "\"" deleted "\",\"whenScaled\":\"" scaled "\"}"

static const struct api_object *claim_get(const struct world *w, const char *name) {
    return world_get(w, "PersistentVolumeClaim", "default", name);
}

TEST(statefulset_makes_claims_before_their_pods_and_keeps_them) {
    struct world *w = world_test_new();
    add_set(w, 2, "OrderedReady", CLAIMS("Retain", "Retain"));
    run(w, "statefulset", key);
    run(w, "statefulset", key);
    assert_int_equal(world_count(w, "Pod"), 0);
    const struct api_object *c = claim_get(w, "data-db-0");
    assert_string_equal(str_map_get(&c->metadata.labels, "app"), "db");
    assert_string_equal(str_map_get(&c->metadata.labels, "x"), "y");
    converge(w, 2, 0);
    const struct core_v1_pod *pod = pod_get(w, "db-1");
    assert_int_equal(pod->spec.volumes.n, 1);
    assert_string_equal(pod->spec.volumes.v[0].name, "data");
    assert_string_equal(pod->spec.volumes.v[0].persistent_volume_claim->claim_name, "data-db-1");
    set_replicas(w, 1);
    converge(w, 2, 1);
    assert_null(pod_get(w, "db-1"));
    assert_int_equal(claim_get(w, "data-db-1")->metadata.owner_references.n, 0);
    assert_int_equal(claim_get(w, "data-db-0")->metadata.owner_references.n, 0);
    world_free(w);
}

TEST(statefulset_gives_claims_to_whom_takes_them_along) {
    struct world *w = world_test_new();
    add_set(w, 2, "OrderedReady", CLAIMS("Delete", "Delete"));
    converge(w, 2, 0);
    assert_string_equal(claim_get(w, "data-db-1")->metadata.owner_references.v[0].uid, "u-db");
    char uid[64];
    snprintf(uid, sizeof uid, "%s", pod_get(w, "db-1")->metadata.uid);
    set_replicas(w, 1);
    converge(w, 2, 1);
    const struct api_object *c = claim_get(w, "data-db-1");
    assert_int_equal(c->metadata.owner_references.n, 1);
    assert_string_equal(c->metadata.owner_references.v[0].uid, uid);
    assert_string_equal(claim_get(w, "data-db-0")->metadata.owner_references.v[0].uid, "u-db");
    /* Grown again before the claim has gone: the pod waits for a new claim. */
    set_replicas(w, 2);
    converge(w, 2, 1);
    assert_null(pod_get(w, "db-1"));
    world_remove(w, world_kind(w, "PersistentVolumeClaim"), "default", "data-db-1");
    converge(w, 2, 1);
    assert_non_null(pod_get(w, "db-1"));
    world_free(w);
}

TEST(statefulset_keeps_its_history_up_to_the_limit_and_counts_names_that_are_taken) {
    struct world *w = world_test_new();
    add_set(w, 1, "OrderedReady", ROLLING "0}},\"revisionHistoryLimit\":2");
    OWN(arena_free_p) struct arena *t = arena_new();
    world_add_json(
        w, arena_printf(t,
                        "{\"apiVersion\":\"apps/v1\",\"kind\":\"ControllerRevision\",\"metadata\":{"
                        "\"name\":\"db-%s\",\"namespace\":\"default\"},\"data\":{},\"revision\":1}",
                        template_hash(t, &get(w)->spec.template, NULL)));
    converge(w, 1, 0);
    assert_int_equal(*get(w)->status.collision_count, 1);
    for (int i = 0; i < 5; i++) {
        char image[8];
        snprintf(image, sizeof image, "v%d", i);
        set_image(w, image);
        converge(w, 1, 0);
    }
    assert_int_equal(world_count(w, "ControllerRevision"), 4); /* one is another's */
    world_free(w);
}

TEST(statefulset_adopts_pods_of_its_names_and_releases_what_it_does_not_select) {
    struct world *w = world_test_new();
    static const char *const names[] = {"db-0", "db-x", "db-01", "other-1"};
    add_set(w, 1, "OrderedReady", ROLLING "0}}");
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        char json[300];
        snprintf(
            json, sizeof json,
            "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"%s\","
            "\"namespace\":\"default\",\"labels\":{\"app\":\"db\"}},\"spec\":{\"containers\":[{"
            "\"name\":\"c\",\"image\":\"i\"}]}}",
            names[i]);
        world_add_json(w, json);
    }
    run(w, "statefulset", key);
    run(w, "statefulset", key);
    assert_string_equal(api_controller_of((const struct api_object *)pod_get(w, "db-0"))->uid,
                        "u-db");
    for (size_t i = 1; i < ARRAY_LEN(names); i++)
        assert_null(api_controller_of((const struct api_object *)pod_get(w, names[i])));
    struct arena *a;
    struct api_object *o = edit((const struct api_object *)pod_get(w, "db-0"), &a);
    str_map_set(a, &o->metadata.labels, "app", "debug");
    edit_done(w, a, o);
    OWN(plan_free_p) struct plan *p = plan_of(w, "statefulset", key);
    const struct plan_step *released = plan_find(p, PLAN_PATCH, NULL, 0);
    assert_true(released);
    assert_string_equal(released->name, "db-0");
    assert_non_null(strstr(released->body.p, "\"ownerReferences\":[]"));
    world_free(w);
}

TEST(statefulset_that_is_deleted_right_after_a_change_makes_no_revision) {
    struct world *w = world_test_new();
    struct arena *a;
    add_set(w, 1, "OrderedReady", "");
    converge(w, 1, 0);
    set_image(w, "two"); /* nobody has looked at it yet */
    struct apps_v1_stateful_set *s = change(w, &a);
    *ARENA_PUSH(a, &s->metadata.finalizers) = "foregroundDeletion";
    s->metadata.deletion_timestamp = "2026-01-01T00:00:00Z";
    edit_done(w, a, (struct api_object *)s);
    run(w, "statefulset", key);
    assert_int_equal(world_count(w, "ControllerRevision"), 1);
    assert_string_equal(get(w)->status.update_revision, get(w)->status.current_revision);
    world_free(w);
}

TEST(statefulset_that_is_deleted_makes_nothing) {
    struct world *w = world_test_new();
    struct arena *a;
    add_set(w, 1, "OrderedReady", ROLLING "0}}");
    struct apps_v1_stateful_set *s = change(w, &a);
    s->metadata.deletion_timestamp = "2026-01-01T00:00:00Z";
    edit_done(w, a, (struct api_object *)s);
    settle(w, "statefulset", key);
    assert_int_equal(world_count(w, "Pod") + world_count(w, "ControllerRevision"), 0);
    assert_int_equal(run(w, "statefulset", "default/absent"), 0);
    world_free(w);
}
