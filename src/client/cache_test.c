/* The ordered copy of the objects of a kind. */
#include "client/cache.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/own.h"
#include "base/test.h"

enum { OBJECTS = 2000, NAMESPACES = 3 };

static const struct api_kind *kind(void) { return api_kind_by_name("", "v1", "ConfigMap"); }

static const char *ns_of(unsigned i) {
    static const char *const names[NAMESPACES] = {"a", "b", "c"};
    return names[i % NAMESPACES];
}

static void put(struct cache *c, unsigned i) {
    OWN(arena_free_p) struct arena *a = arena_new();
    struct api_object *o = api_object_new(a, kind());
    o->metadata.namespace = ns_of(i);
    o->metadata.name = arena_printf(a, "n%05u", i);
    struct cache_old old = cache_put_copy(c, o);
    cache_old_free(&old);
}

static bool there(const struct cache *c, unsigned i) {
    char name[16];
    snprintf(name, sizeof name, "n%05u", i);
    const struct api_object *o = cache_get(c, ns_of(i), name);
    if (o) assert_string_equal(o->metadata.name, name);
    return o;
}

/* The objects of ns, or of all, in order; returns how many. */
static size_t walk(const struct cache *c, const char *ns) {
    const struct api_object *o, *before = NULL;
    size_t n = 0;
    for (size_t at = 0; (o = cache_next(c, ns, &at)); before = o, n++) {
        if (ns) assert_string_equal(o->metadata.namespace, ns);
        if (!before) continue;
        int d = strcmp(before->metadata.namespace, o->metadata.namespace);
        assert_true(d < 0 || (d == 0 && strcmp(before->metadata.name, o->metadata.name) < 0));
    }
    return n;
}

/* Steps that meet every number below OBJECTS once: upwards, downwards, and mixed. */
static void check_order(unsigned step) {
    struct cache *c = cache_new(kind(), false);
    bool in[OBJECTS] = {0};
    for (unsigned i = 0; i < OBJECTS; i++) {
        unsigned now = i * step % OBJECTS;
        put(c, now);
        in[now] = true;
        put(c, now); /* the same again replaces it */
        if (i % 97 == 0) assert_int_equal(walk(c, NULL), i + 1);
    }
    assert_int_equal(cache_count(c), OBJECTS);
    size_t n = 0;
    for (unsigned i = 0; i < NAMESPACES; i++) n += walk(c, ns_of(i));
    assert_int_equal(n, OBJECTS);
    for (unsigned i = 0; i < OBJECTS; i++) {
        unsigned now = i * 7 % OBJECTS;
        char name[16];
        snprintf(name, sizeof name, "n%05u", now);
        assert_true(there(c, now));
        struct cache_old old = cache_remove(c, ns_of(now), name);
        assert_string_equal(cache_old_object(&old)->metadata.name, name);
        cache_old_free(&old);
        in[now] = false;
        assert_false(there(c, now));
        unsigned other = i * 31 % OBJECTS;
        assert_int_equal(there(c, other), in[other]);
        if (i % 89 == 0) assert_int_equal(walk(c, NULL), OBJECTS - i - 1);
    }
    assert_int_equal(cache_count(c), 0);
    assert_null(cache_get(c, "a", "n00000"));
    put(c, 1);
    assert_int_equal(walk(c, NULL), 1);
    cache_free(c);
}

TEST(cache_keeps_its_order_whatever_comes_first) {
    check_order(1);
    check_order(OBJECTS - 1);
    check_order(777);
}

TEST(cache_sweeps_what_a_new_list_did_not_show) {
    struct cache *c = cache_new(kind(), false);
    for (unsigned i = 0; i < OBJECTS; i++) put(c, i);
    cache_mark_begin(c);
    for (unsigned i = 0; i < OBJECTS; i += 3) {
        char name[16];
        snprintf(name, sizeof name, "n%05u", i);
        cache_touch(c, ns_of(i), name);
    }
    put(c, 1);
    size_t gone = 0;
    struct cache_old old;
    for (size_t at = 0; (old = cache_sweep(c, &at)).entry; gone++) cache_old_free(&old);
    assert_int_equal(gone, OBJECTS - (OBJECTS + 2) / 3 - 1);
    assert_int_equal(walk(c, NULL), (OBJECTS + 2) / 3 + 1);
    assert_true(there(c, 0) && there(c, 1) && !there(c, 2));
    cache_free(c);
}
