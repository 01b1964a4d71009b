#include "server/storage/cache.h"

#include <stdio.h>

#include "base/limits.h"
#include "base/test.h"
#include "wire/store.h"

static void event(struct cache *c, int op, const char *key, uint64_t revision, const char *value,
                  uint64_t now_ms) {
    cache_event(c, op, slice_of(key), revision, slice_of(value), now_ms);
}

static unsigned heard;
static enum event_type last_type;
static void listen(void *user, const struct event *e) {
    heard++;
    last_type = e->type;
    assert_int_equal(e->now->json->p[0], '{');
}

TEST(a_snapshot_then_events) {
    struct cache c;
    cache_init(&c);
    cache_row(&c, SLICE("/configmaps.core/a/x"), 5, SLICE("{\"v\":1}"));
    cache_row(&c, SLICE("/unknown.things/a/x"), 6, SLICE("{}"));
    cache_snapshot_end(&c, 9, 2);
    struct resource *r = cache_resource(&c, "/configmaps.core/");
    assert_int_equal(r->floor, 9);
    assert_int_equal(resource_get(r, "a", "x")->revision, 5);
    heard = 0;
    resource_listen(r, listen, &heard);
    event(&c, STORE_CREATE, "/configmaps.core/a/y", 10, "{\"v\":2}", 0);
    assert_int_equal(last_type, EVENT_ADDED);
    event(&c, STORE_UPDATE, "/configmaps.core/a/y", 11, "{\"v\":3}", 0);
    assert_int_equal(last_type, EVENT_MODIFIED);
    event(&c, STORE_DELETE, "/configmaps.core/a/y", 12, "{\"v\":3}", 0);
    assert_int_equal(last_type, EVENT_DELETED);
    event(&c, STORE_CREATE, "/unknown.things/a/z", 13, "{}", 0);
    assert_int_equal(heard, 3);
    assert_int_equal(c.revision, 13);
    assert_null(resource_get(r, "a", "y"));
    assert_int_equal(resource_event_after(r, 9), 0);
    assert_int_equal(resource_event_after(r, 10), 1);
    assert_int_equal(resource_event_after(r, 12), 3);
    resource_unlisten(r, &heard);
    event(&c, STORE_CREATE, "/configmaps.core/a/y", 14, "{}", 0);
    assert_int_equal(heard, 3);
    cache_done(&c);
}

TEST(history_forgets_what_is_old_and_raises_its_floor) {
    struct cache c;
    cache_init(&c);
    cache_snapshot_end(&c, 1, 0);
    struct resource *r = cache_resource(&c, "/configmaps.core/");
    char *big = malloc(100001);
    memset(big, ' ', 100000);
    big[0] = '{';
    big[99999] = '}';
    big[100000] = 0;
    event(&c, STORE_CREATE, "/configmaps.core/a/x", 2, big, 0);
    for (uint64_t i = 0; i < 20; i++) /* all young: kept */
        event(&c, STORE_UPDATE, "/configmaps.core/a/x", 3 + i, big, 1000);
    assert_int_equal(r->floor, 1);
    event(&c, STORE_UPDATE, "/configmaps.core/a/x", 100, big, 1000 * 1000);
    assert_true(r->floor > 10);
    assert_true(r->history_bytes <= 600 * 1024);
    assert_int_equal(resource_event(r, r->n - 1)->revision, 100);
    for (uint64_t i = 0; i < LIMIT_WATCH_HISTORY_EVENTS + 10; i++)
        event(&c, STORE_UPDATE, "/configmaps.core/a/x", 101 + i, "{}", 1000 * 1000);
    assert_int_equal(r->n, LIMIT_WATCH_HISTORY_EVENTS);
    free(big);
    cache_done(&c);
}

TEST(deletions_share_what_they_ended_and_still_show_their_own_revision) {
    struct cache c;
    cache_init(&c);
    cache_snapshot_end(&c, 1, 0);
    struct resource *r = cache_resource(&c, "/configmaps.core/");
    char key[64], value[128];
    uint64_t revision = 1;
    for (int i = 0; i < 300; i++) {
        snprintf(key, sizeof key, "/configmaps.core/a/x%d", i);
        snprintf(value, sizeof value, "{\"metadata\":{\"resourceVersion\":\"%d\"},\"data\":%d}",
                 (int)++revision, i);
        event(&c, STORE_CREATE, key, revision, value, 0);
    }
    size_t before = r->history_bytes;
    for (int i = 0; i < 300; i++) { /* every tenth says more than the revision */
        snprintf(key, sizeof key, "/configmaps.core/a/x%d", i);
        snprintf(value, sizeof value, "{\"metadata\":{\"resourceVersion\":\"%d\"},\"data\":%d}",
                 (int)++revision, i % 10 ? i : 7777);
        event(&c, STORE_DELETE, key, revision, value, 0);
    }
    size_t shared = 0, live = (size_t)300 * strlen(value);
    for (size_t i = 300; i < r->n; i++) {
        const struct event *e = resource_event(r, i);
        struct object *o = event_object(e, e->type);
        snprintf(value, sizeof value, "{\"metadata\":{\"resourceVersion\":\"%d\"},\"data\":%d}",
                 (int)i + 2, (i - 300) % 10 ? (int)i - 300 : 7777);
        assert_true(slice_is(object_json(o), value));
        assert_int_equal(o->revision, i + 2);
        assert_int_equal(e->old->revision, i - 300 + 2);
        shared += e->now == e->old;
        object_unref(o);
    }
    assert_true(shared > 200 && shared < 250);
    assert_true(r->history_bytes - before < live * 3 / 2);
    cache_done(&c);
}

TEST(who_comes_and_goes_without_an_event_leaves_nothing_behind) {
    struct cache c;
    cache_init(&c);
    struct resource *r = cache_resource_make(&c, "/things.test/");
    int users[100];
    for (int i = 0; i < 100; i++) resource_listen(r, NULL, &users[i]);
    for (int i = 0; i < 100; i++) resource_unlisten(r, &users[i]);
    assert_int_equal(r->listeners.n, 0);
    cache_done(&c);
}
