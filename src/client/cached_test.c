/* Objects at rest in caches and worlds: packed, looked at, let go again. */
#include "client/cached.h"

#include <stdio.h>

#include "api/types.h"
#include "base/own.h"
#include "base/test.h"
#include "client/uid_index.h"
#include "client/world_private.h"

static const struct api_kind *pods(void) { return api_kind_by_name("", "v1", "Pod"); }

static struct api_object *pod(struct arena *a, unsigned i) {
    const char *json = arena_printf(
        a,
        "{\"metadata\":{\"name\":\"p%04u\",\"namespace\":\"d\",\"uid\":\"uid-%u\","
        "\"resourceVersion\":\"%u\",\"labels\":{\"app\":\"something that is long\"},"
        "\"ownerReferences\":[{\"apiVersion\":\"apps/v1\",\"kind\":\"ReplicaSet\",\"name\":\"web\","
        "\"uid\":\"u-web\",\"controller\":true}]},\"spec\":{\"nodeName\":\"n%u\","
        "\"containers\":[{\"name\":\"c\",\"image\":\"i\"}]},\"status\":{\"phase\":\"Running\"}}",
        i, i, i + 1, i);
    struct api_object *o;
    assert_int_equal(api_object_decode(a, pods(), slice_of(json), &o, NULL), 0);
    o->api_version = "v1";
    o->kind = "Pod";
    return o;
}

TEST(a_packed_object_comes_back_whole_as_often_as_one_looks) {
    OWN(arena_free_p) struct arena *a = arena_new();
    struct shelf *s = shelf_new(pods());
    shelf_pack(s);
    const struct api_object *p = pod(a, 7);
    struct cached *e = cached_new(s, p);
    assert_int_equal(shelf_live(s), 0);
    for (int i = 0; i < 3; i++) {
        assert_true(api_equal(pods()->type, cached_object(e), p));
        assert_ptr_equal(cached_object(e), cached_object(e));
        assert_int_equal(shelf_live(s), 1);
        shelf_cool(s, true);
        assert_int_equal(shelf_live(s), 0);
    }
    assert_string_equal(cached_ns(e), "d");
    assert_string_equal(cached_name(e), "p0007");
    assert_string_equal(cached_uid(e), "uid-7");
    assert_string_equal(cached_revision(e), "8");
    cached_free(e);
    shelf_free(s);
}

TEST(what_is_looked_at_stays_and_the_rest_is_let_go) {
    OWN(arena_free_p) struct arena *a = arena_new();
    struct shelf *s = shelf_new(pods());
    struct cached *e[10];
    shelf_pack(s);
    for (unsigned i = 0; i < 10; i++) e[i] = cached_new(s, pod(a, i));
    for (unsigned i = 0; i < 10; i++) cached_object(e[i]);
    shelf_cool(s, false); /* all were looked at since the one before */
    assert_int_equal(shelf_live(s), 10);
    const struct api_object *third = cached_object(e[3]);
    cached_object(e[9]);
    shelf_cool(s, false);
    assert_int_equal(shelf_live(s), 2);
    assert_ptr_equal(cached_object(e[3]), third);
    cached_free(e[3]); /* while it is decoded */
    assert_int_equal(shelf_live(s), 1);
    for (unsigned i = 0; i < 10; i++)
        if (i != 3) cached_free(e[i]);
    assert_int_equal(shelf_live(s), 0);
    shelf_free(s);
}

TEST(an_object_without_names_shows_none) {
    OWN(arena_free_p) struct arena *a = arena_new();
    struct shelf *s = shelf_new(pods());
    shelf_pack(s);
    struct api_object *o = api_object_new(a, pods());
    o->metadata.name = "x";
    struct cached *e = cached_new(s, o);
    assert_string_equal(cached_object(e)->metadata.name, "x");
    assert_null(cached_object(e)->metadata.namespace);
    assert_null(cached_object(e)->metadata.uid);
    assert_null(cached_object(e)->metadata.resource_version);
    assert_string_equal(cached_object(e)->kind, "Pod");
    cached_free(e);
    shelf_free(s);
}

TEST(packed_metadata_is_that_alone) {
    OWN(arena_free_p) struct arena *a = arena_new();
    for (int packs = 0; packs < 2; packs++) {
        struct cache *c = cache_new(pods(), true);
        if (packs) cache_pack(c);
        struct cache_old old = cache_put_copy(c, pod(a, 1));
        assert_null(old.entry);
        const struct api_object *o = cache_get(c, "d", "p0001");
        assert_string_equal(o->metadata.labels.v[0].value, "something that is long");
        assert_string_equal(o->metadata.owner_references.v[0].uid, "u-web");
        assert_string_equal(o->metadata.resource_version, "2");
        cache_cool(c, true);
        assert_string_equal(cache_get(c, "d", "p0001")->metadata.uid, "uid-1");
        cache_free(c);
    }
}

static void put(struct world *w, unsigned i) {
    OWN(arena_free_p) struct arena *a = arena_new();
    const struct api_object *p = pod(a, i);
    struct cache_old old = cache_put_copy(world_cache(w, pods(), false), p);
    world_changed(w, pods(), p, cache_old_object(&old));
    cache_old_free(&old);
}

static unsigned owned(const struct world *w) {
    unsigned n = 0;
    const struct api_object *o;
    for (size_t at = 0; (o = world_owned(w, "u-web", "Pod", &at)); n++)
        assert_string_equal(o->kind, "Pod");
    return n;
}

TEST(a_world_of_packed_objects_is_like_any_other) {
    struct world *w = world_new();
    enum { PODS = 600 };
    char name[16], uid[16];
    cache_pack(world_cache(w, pods(), false));
    for (unsigned i = 0; i < PODS; i++) put(w, i * 7 % PODS);
    for (unsigned i = 0; i < PODS; i += 5) put(w, i); /* the same again replaces it */
    assert_int_equal(owned(w), PODS);
    for (unsigned i = 0; i < PODS; i++) {
        snprintf(name, sizeof name, "p%04u", i);
        snprintf(uid, sizeof uid, "uid-%u", i);
        if (i % 50 == 0) world_cool(w, i % 100 == 0);
        const struct core_v1_pod *p = (const void *)world_get(w, "Pod", "d", name);
        assert_ptr_equal(world_by_uid(w, "Pod", uid), p);
        snprintf(uid, sizeof uid, "n%u", i);
        assert_string_equal(p->spec.node_name, uid);
        if (i % 2) world_remove(w, pods(), "d", name);
    }
    assert_int_equal(owned(w), PODS / 2);
    assert_null(world_by_uid(w, "Pod", "uid-1"));
    world_cool(w, true);
    for (unsigned i = 0; i < PODS; i += 2) {
        snprintf(name, sizeof name, "p%04u", i);
        world_remove(w, pods(), "d", name);
    }
    assert_int_equal(owned(w), 0);
    assert_null(world_by_uid(w, "Pod", "uid-2"));
    world_free(w);
}

TEST(of_two_objects_with_one_uid_the_last_is_found) {
    OWN(arena_free_p) struct arena *a = arena_new();
    const struct api_kind *maps = api_kind_by_name("", "v1", "ConfigMap");
    struct shelf *s = shelf_new(pods()), *t = shelf_new(maps);
    struct uid_index x = {0};
    struct api_object *o = pod(a, 1), *p = api_object_new(a, maps);
    p->metadata.uid = o->metadata.uid;
    p->metadata.name = "m";
    struct cached *first = cached_new(s, o), *last = cached_new(t, p);
    uid_index_put(&x, first);
    uid_index_put(&x, last);
    assert_ptr_equal(uid_index_get(&x, "uid-1"), last);
    uid_index_remove(&x, pods(), o); /* is not there any more */
    assert_ptr_equal(uid_index_get(&x, "uid-1"), last);
    uid_index_remove(&x, maps, p);
    assert_null(uid_index_get(&x, "uid-1"));
    uid_index_done(&x);
    cached_free(first);
    cached_free(last);
    shelf_free(s);
    shelf_free(t);
}
