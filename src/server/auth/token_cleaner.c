/* Bootstrap tokens whose time is over are removed. */
#include "base/own.h"
#include "base/times.h"
#include "server/auth/auth.h"
#include "server/storage/raw.h"
#include "server/verbs/remove.h"

enum { CLEAN_MS = 60 * 1000 };
#define PREFIX "kube-system/bootstrap-token-"

static void on_removed(void *user, struct slice json, bool gone, const struct err *err) {}

static const struct api_kind *kind(void) { return api_kind_by_plural("", "v1", "secrets"); }

static bool is_over(struct arena *a, struct slice json, int64_t now_ns) {
    OWN(buf_done) struct buf text = {0};
    int64_t end_ns;
    const char *coded = raw_path_string(a, json, "data.expiration");
    return str_eq(raw_path_string(a, json, "type"), "bootstrap.kubernetes.io/token") && coded &&
           buf_unbase64(&text, slice_of(coded)) == 0 && text.n &&
           time_parse(text.p, &end_ns) == 0 && now_ns >= end_ns;
}

static void clean(void *user) {
    struct api *api = user;
    const struct resource *res = cache_of_kind(&api->cache, kind());
    OWN(arena_free_p) struct arena *a = arena_new();
    struct str_list over = {0};
    struct key_cursor at = key_index_seek(&res->index, SLICE(PREFIX), false);
    for (struct object *o; (o = key_index_next(&res->index, &at)) && str_starts(o->key, PREFIX);)
        if (is_over(a, object_json(o), loop_wall_ns(api->loop)))
            *ARENA_PUSH(a, &over) = arena_str(a, object_name(o));
    struct remove_options options = {.grace_s = -1};
    for (size_t i = 0; i < over.n; i++)
        remove_object(api, kind(), "kube-system", over.v[i], &options, on_removed, NULL);
}

void token_cleaner_start(struct api *api) {
    timer_start(timer_new(api->loop, clean, api), CLEAN_MS, CLEAN_MS);
}
