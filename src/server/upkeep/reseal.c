#include "server/upkeep/reseal.h"

#include <stdlib.h>

#include "base/log.h"
#include "base/own.h"
#include "server/commit.h"
#include "server/keys_link.h"

enum { TOGETHER = 64 };

struct reseal {
    struct api *api;
    struct call *c; /* NULL: at start */
    struct resource *resource;
    VEC(struct object *) objects;
    size_t next, under_way, rewritten;
    struct err err; /* the first failure */
};

/* One reseal at a time: a second would find nothing to do that the first does not. */
static bool running;

static void go_on(struct reseal *r);

static void finish(struct reseal *r) {
    struct call *c = r->c;
    struct err err = r->err;
    for (size_t i = r->next; i < r->objects.n; i++) object_unref(r->objects.v[i]);
    vec_done(&r->objects);
    running = false;
    const struct keys_seal *keys = &r->api->seal.keys;
    if (!err.reason) r->api->seal.stale = 0;
    uint32_t id = keys->v[keys->n - 1].id;
    size_t n = r->rewritten;
    free(r);
    if (err.reason)
        log_error("secrets_not_resealed", "key=%u why=%s", id, err.text);
    else
        log_info("secrets_resealed", "key=%u objects=%zu", id, n);
    if (!c) return;
    if (err.reason) {
        reply_error(c, &err);
        return;
    }
    OWN(buf_done) struct buf b = {0};
    buf_printf(&b, "{\"keyId\":%u,\"rewritten\":%zu}\n", id, n);
    reply_json(c, 200, buf_view(&b));
}

static void on_compacted(void *user, const struct err *err) {
    struct reseal *r = user;
    if (err) r->err = *err;
    finish(r);
}

static void on_written(void *user, struct slice json, const struct err *err) {
    struct reseal *r = user;
    r->under_way--;
    if (!err)
        r->rewritten++;
    else if (err->reason != ERR_CONFLICT && err->reason != ERR_NOT_FOUND && !r->err.reason)
        r->err = *err; /* the other two: written or deleted meanwhile, so nothing old is left */
    go_on(r);
}

static void rewrite(struct reseal *r, struct object *o) {
    OWN(arena_free_p) struct arena *a = arena_new();
    struct api_object *decoded;
    const struct api_kind *k = api_kind_by_plural("", "v1", "secrets");
    r->under_way++;
    if (api_object_decode(a, k, object_json(o), &decoded, &r->err) < 0) {
        r->under_way--;
        return;
    }
    commit_submit(r->api, &(struct commit){STORE_UPDATE, k, decoded, o->revision}, on_written, r);
}

static void go_on(struct reseal *r) {
    static bool inside; /* commit_submit may answer at once */
    if (inside) return;
    inside = true;
    while (!r->err.reason && r->next < r->objects.n && r->under_way < TOGETHER) {
        struct object *o = r->objects.v[r->next++];
        rewrite(r, o);
        object_unref(o);
    }
    inside = false;
    if (r->under_way) return;
    if (r->err.reason)
        finish(r);
    else
        store_link_compact(r->api->store, on_compacted, r);
}

static void ignore_row(void *user, const struct store_event *row) {}

/* Every write that was sealed with an older key is in the cache now. */
static void on_barrier(void *user, const struct err *err) {
    struct reseal *r = user;
    if (err) {
        r->err = *err;
        finish(r);
        return;
    }
    struct key_cursor at = key_index_seek(&r->resource->index, SLICE(""), false);
    for (struct object *o; (o = key_index_next(&r->resource->index, &at));)
        vec_push(&r->objects, object_ref(o));
    go_on(r);
}

static void start(struct api *api, struct call *c) {
    struct reseal *r = calloc(1, sizeof *r);
    if (!r) abort();
    running = true;
    r->api = api;
    r->c = c;
    r->resource = cache_of_kind(&api->cache, api_kind_by_plural("", "v1", "secrets"));
    struct store_range one = {.prefix = SLICE("/secrets.core/"), .limit = 1};
    store_link_range(api->store, &one, ignore_row, on_barrier, r);
}

void reseal_if_stale(struct api *api) {
    if (api->seal.stale && !running) start(api, NULL);
}

static void on_keys_again(void *user, const struct err *err) {
    struct call *c = user;
    const struct keys_seal *keys = &c->api->seal.keys;
    uint64_t wanted = 0;
    if (err) {
        reply_error(c, err);
        return;
    }
    const char *key = http_query_get(&c->r->query, "key");
    bool number = key && slice_u64(slice_of(key), &wanted) == 0;
    struct failure f = {0};
    if (!number || keys->v[keys->n - 1].id != wanted) {
        f.message = arena_printf(c->a, "key: Invalid value: \"%s\": the newest sealing key is %u",
                                 str_or(key, ""), keys->v[keys->n - 1].id);
        reply_failure(c, number ? ERR_CONFLICT : ERR_BAD_REQUEST, &f);
    } else if (running) {
        f.message = "secrets are being sealed anew already";
        reply_failure(c, ERR_CONFLICT, &f);
    } else {
        start(c->api, c);
    }
}

bool reseal_handle(struct call *c) {
    if (!str_eq(c->r->path, "/atoll/secrets/reseal") || !str_eq(c->r->method, "POST")) return false;
    keys_link_seal(c->api, on_keys_again, c);
    return true;
}
