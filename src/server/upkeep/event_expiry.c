#include "server/upkeep/event_expiry.h"

#include <stdio.h>

#include "base/times.h"
#include "server/storage/raw.h"
#include "server/verbs/remove.h"

enum { LIFE_S = 3600, LOOK_MS = 60 * 1000, AT_ONCE = 500 };

static int64_t later(struct arena *a, struct slice json, const char *path, int64_t than_ns) {
    const char *text = raw_path_string(a, json, path);
    int64_t ns;
    return text && time_parse(text, &ns) == 0 && ns > than_ns ? ns : than_ns;
}

static int64_t last_seen_ns(struct arena *a, struct slice json) {
    int64_t ns = later(a, json, "metadata.creationTimestamp", 0);
    ns = later(a, json, "lastTimestamp", ns);
    return later(a, json, "series.lastObservedTime", ns);
}

static void on_removed(void *user, struct slice json, bool gone, const struct err *err) {}

static void look(void *user) {
    struct api *api = user;
    const struct api_kind *k = api_kind_by_plural("", "v1", "events");
    const struct resource *res = cache_of_kind(&api->cache, k);
    int64_t oldest_ns = loop_wall_ns(api->loop) - LIFE_S * INT64_C(1000000000);
    VEC(struct object *) old = {0};
    struct arena *a = arena_new();
    struct key_cursor at = key_index_seek(&res->index, SLICE(""), false);
    for (struct object *o; old.n < AT_ONCE && (o = key_index_next(&res->index, &at));) {
        if (last_seen_ns(a, object_json(o)) < oldest_ns) vec_push(&old, object_ref(o));
        arena_reset(a);
    }
    for (size_t i = 0; i < old.n; i++) {
        struct object *o = old.v[i];
        char version[24];
        snprintf(version, sizeof version, "%llu", (unsigned long long)o->revision);
        /* Only this version: one that happened again meanwhile stays. */
        struct remove_options options = {.grace_s = 0, .resource_version = version};
        remove_object(api, k, arena_strn(a, object_ns(o)), object_name(o), &options, on_removed,
                      NULL);
        object_unref(o);
    }
    vec_done(&old);
    arena_free(a);
}

void event_expiry_start(struct api *api) {
    timer_start(timer_new(api->loop, look, api), LOOK_MS, LOOK_MS);
}
