/* Versions that only the history holds: packed, and shown again. */
#include "server/storage/cold.h"

#include <stdio.h>

#include "base/test.h"
#include "server/storage/cache.h"
#include "wire/store.h"

static struct object *numbered(unsigned i) {
    char key[32], json[200];
    snprintf(key, sizeof key, "a/n%u", i);
    snprintf(json, sizeof json, "{\"data\":\"%0*u\"}", (int)(i % 100) + 1, i);
    return object_new(slice_of(key), i, slice_of(json));
}

static bool is_numbered(const struct object *o, unsigned i) {
    struct object *like = numbered(i);
    bool same = slice_eq(object_json(o), object_json(like)) && o->revision == i &&
                strcmp(o->key, like->key) == 0;
    object_unref(like);
    return same;
}

TEST(a_cold_page_comes_back_as_it_was) {
    struct object *v[COLD_PAGE_OBJECTS];
    for (unsigned i = 0; i < COLD_PAGE_OBJECTS; i++) v[i] = numbered(i);
    for (int round = 0; round < 3; round++) {
        objects_cool(v, COLD_PAGE_OBJECTS);
        for (unsigned i = 0; i < COLD_PAGE_OBJECTS; i++) {
            assert_true(v[i]->cold);
            assert_int_equal(object_bytes(v[i]), strlen("{\"data\":\"\"}") + i % 100 + 1);
        }
        object_warm(v[7]);
        for (unsigned i = 0; i < COLD_PAGE_OBJECTS; i++) assert_true(is_numbered(v[i], i));
    }
    for (unsigned i = 0; i < COLD_PAGE_OBJECTS; i++) object_unref(v[i]);
}

TEST(members_of_a_cold_page_may_go) {
    struct object *v[10];
    for (unsigned i = 0; i < 10; i++) v[i] = numbered(i);
    objects_cool(v, 10);
    for (unsigned i = 0; i < 10; i += 2) object_unref(v[i]);
    object_warm(v[3]);
    for (unsigned i = 1; i < 10; i += 2) assert_true(is_numbered(v[i], i));
    for (unsigned i = 1; i < 10; i += 2) object_unref(v[i]);
    v[0] = numbered(5);
    objects_cool(v, 1);
    object_unref(v[0]); /* the last one takes its page along */
}

enum { OBJECTS = 1000 };

static const char *text(char *s, size_t n, uint64_t revision, unsigned i) {
    snprintf(s, n, "{\"metadata\":{\"resourceVersion\":\"%llu\"},\"data\":\"%300u\"}",
             (unsigned long long)revision, i);
    return s;
}

static void event(struct cache *c, int op, uint64_t revision, unsigned i) {
    char key[64], value[500];
    snprintf(key, sizeof key, "/configmaps.core/a/x%04u", i);
    cache_event(c, op, slice_of(key), revision, slice_of(text(value, sizeof value, revision, i)),
                0);
}

/* Created at 2 …, and deleted in the same order. */
static struct resource *created_and_deleted(struct cache *c) {
    cache_init(c);
    cache_snapshot_end(c, 1, 0);
    for (unsigned i = 0; i < OBJECTS; i++) event(c, STORE_CREATE, i + 2, i);
    for (unsigned i = 0; i < OBJECTS; i++) event(c, STORE_DELETE, OBJECTS + i + 2, i);
    return cache_resource(c, "/configmaps.core/");
}

static size_t cold_events(const struct resource *r) {
    size_t n = 0;
    for (size_t i = 0; i < r->n; i++) n += r->events[(r->head + i) % r->cap].now->cold;
    return n;
}

static unsigned cool(struct cache *c) {
    unsigned steps = 1;
    while (history_cool(c)) steps++;
    return steps;
}

TEST(a_cold_history_tells_the_same) {
    struct cache c;
    struct resource *r = created_and_deleted(&c);
    size_t bytes = r->history_bytes;
    assert_true(cool(&c) > OBJECTS / COLD_PAGE_OBJECTS);
    assert_true(cold_events(r) > 2 * OBJECTS - 200);
    assert_int_equal(r->history_bytes, bytes);
    assert_int_equal(resource_event_after(r, 500), 499); /* without a look at the objects */
    assert_true(cold_events(r) > 2 * OBJECTS - 200);
    char value[500];
    for (size_t i = 0; i < r->n; i++) {
        const struct event *e = resource_event(r, i);
        unsigned x = (unsigned)i % OBJECTS;
        struct object *o = event_object(e, e->type);
        assert_int_equal(e->type, i < OBJECTS ? EVENT_ADDED : EVENT_DELETED);
        assert_true(slice_is(object_json(o), text(value, sizeof value, i + 2, x)));
        if (e->old) assert_true(slice_is(object_json(e->old), text(value, sizeof value, x + 2, x)));
        object_unref(o);
    }
    assert_int_equal(cold_events(r), 0);
    cool(&c);
    event(&c, STORE_CREATE, 5000, 1);
    event(&c, STORE_UPDATE, 5001, 1);
    cache_trim(&c, 1000 * 1000); /* forgets cold ones */
    cache_done(&c);
}

TEST(what_is_there_or_held_by_others_stays_warm) {
    struct cache c;
    cache_init(&c);
    cache_snapshot_end(&c, 1, 0);
    struct resource *r = cache_resource(&c, "/configmaps.core/");
    for (unsigned i = 0; i < OBJECTS; i++) event(&c, STORE_CREATE, i + 2, i);
    cool(&c);
    assert_int_equal(cold_events(r), 0); /* all of them are live */
    struct object *held = object_ref(resource_get(r, "a", "x0003"));
    for (unsigned i = 0; i < OBJECTS; i++) event(&c, STORE_UPDATE, OBJECTS + i + 2, i);
    cool(&c);
    assert_false(held->cold);
    assert_true(r->events[r->head].now->cold);
    char value[500];
    assert_true(slice_is(object_json(held), text(value, sizeof value, 5, 3)));
    assert_true(slice_is(object_json(resource_get(r, "a", "x0009")),
                         text(value, sizeof value, OBJECTS + 9 + 2, 9)));
    cache_done(&c);
    object_unref(held);
}
