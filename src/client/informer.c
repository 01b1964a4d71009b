/*
 * List, then watch for ever, on one connection. A lost watch goes on from the last revision seen;
 * when that has been compacted (410) the list is read again and compared with the copy, so that
 * every difference becomes an event: nothing is missed and nothing is told twice.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/limits.h"
#include "base/own.h"
#include "client/client_private.h"
#include "client/connection.h"
#include "client/path.h"
#include "client/projection.h"
#include "client/skim.h"
#include "client/status.h"

enum {
    PAGE_OBJECTS = 500,
    BACKOFF_MIN_MS = 50,
    BACKOFF_MAX_MS = 5000,
    REST_MS = 1000,
    LINE_BYTES_MAX = 2 * LIMIT_OBJECT_BYTES, /* an object may grow a little when it is sent */
    PAGE_BYTES_MAX = 512 * 1024 * 1024,
};

enum state { LISTING, WATCHING, WAITING };

struct informer {
    struct api_client *client;
    struct loop *loop;
    struct cache *cache;
    bool own_cache, synced;
    char *field_selector, *label_selector;
    informer_fn *fn;
    void *user;

    enum state state;
    struct connection *connection;
    struct timer *retry, *rest;
    uint64_t backoff_ms;
    int status;
    struct buf in;   /* the page, or the unfinished watch line */
    char *continue_; /* of the list that runs; NULL: first page */
    uint64_t list_revision;
    uint64_t revision; /* up to which the copy is current */
    struct arena *scratch;
    unsigned refs;
    bool freed;
};

static void request_next(struct informer *i);

static void informer_unref(struct informer *i) {
    if (--i->refs) return;
    if (i->own_cache) cache_free(i->cache);
    buf_done(&i->in);
    free(i->continue_);
    free(i->field_selector);
    free(i->label_selector);
    arena_free(i->scratch);
    free(i);
}

static uint64_t u64_of(const char *s) {
    uint64_t v = 0;
    slice_u64(slice_of(str_or(s, "0")), &v);
    return v;
}

static uint64_t u64_of_json(struct slice value) {
    uint64_t v = 0;
    slice_u64(skim_string(value), &v);
    return v;
}

static void tell(struct informer *i, enum informer_event e, const struct api_object *now,
                 const struct api_object *old) {
    if (i->fn && !i->freed) i->fn(i->user, e, now, old);
}

/* ---- the copy ---- */

static int decode(struct informer *i, struct slice json, struct api_object **ret) {
    const struct api_kind *k = cache_kind(i->cache);
    if (!i->scratch) i->scratch = arena_new();
    arena_reset(i->scratch);
    return projection_decode(i->scratch, k, cache_kept(i->cache), json, ret);
}

static void take_object(struct informer *i, const struct api_object *o) {
    const struct meta_v1_object_meta *m = &o->metadata;
    const struct cached *known = cache_entry(i->cache, m->namespace, m->name);
    if (known && str_eq(cached_revision(known), str_or(m->resource_version, ""))) {
        cache_touch(i->cache, m->namespace, m->name);
        return;
    }
    /* Another object of the same name: its predecessor's removal was missed. */
    if (known && !str_eq(cached_uid(known), str_or(m->uid, ""))) {
        struct cache_old gone = cache_remove(i->cache, m->namespace, m->name);
        tell(i, INFORMER_DELETED, cache_old_object(&gone), cache_old_whole(&gone));
        cache_old_free(&gone);
        if (i->freed) return;
    }
    struct cache_old old = cache_put_copy(i->cache, o);
    const struct cached *now = cache_entry(i->cache, m->namespace, m->name);
    tell(i, old.entry ? INFORMER_MODIFIED : INFORMER_ADDED, now->arena ? now->object : o,
         cache_old_whole(&old));
    cache_old_free(&old);
}

static void drop_object(struct informer *i, const struct api_object *last) {
    struct cache_old old = cache_remove(i->cache, last->metadata.namespace, last->metadata.name);
    if (old.entry) tell(i, INFORMER_DELETED, last, cache_old_whole(&old));
    cache_old_free(&old);
}

/* ---- failures ---- */

static void on_retry(void *user) { request_next(user); }

/* A burst of events leaves free memory between what is kept. */
static void on_rest(void *user) {
    struct informer *i = user;
    if (i->own_cache) cache_cool(i->cache, true);
    loop_trim(i->loop);
}

static void back_off(struct informer *i) {
    connection_close(i->connection);
    i->connection = NULL;
    buf_done(&i->in);
    uint64_t ms = i->backoff_ms;
    ms = ms / 2 + loop_random(i->loop) % (ms / 2 + 1);
    i->backoff_ms = MIN_OF(i->backoff_ms * 2, (uint64_t)BACKOFF_MAX_MS);
    timer_start(i->retry, ms, 0);
}

static void list_again(struct informer *i) {
    i->state = LISTING;
    free(i->continue_);
    i->continue_ = NULL;
}

static bool is_expired(const struct err *err) {
    return err->reason == ERR_EXPIRED || err->reason == ERR_GONE;
}

/* ---- lists ---- */

static int page_take(struct informer *i, struct slice page) {
    struct slice metadata = skim_get(page, "metadata"), items = skim_get(page, "items"), item;
    struct skim walk = skim_init(items);
    if (!i->continue_) cache_mark_begin(i->cache);
    while (!i->freed && skim_element(&walk, &item)) {
        struct api_object *o;
        if (decode(i, item, &o) < 0) return -EBADMSG;
        take_object(i, o);
    }
    if (i->freed) return 0;
    i->list_revision = u64_of_json(skim_get(metadata, "resourceVersion"));
    struct slice token = skim_string(skim_get(metadata, "continue"));
    free(i->continue_);
    i->continue_ = token.n ? strndup(token.p, token.n) : NULL;
    return walk.bad || !metadata.p || !i->list_revision ? -EBADMSG : 0;
}

static void list_complete(struct informer *i) {
    struct cache_old gone;
    for (size_t at = 0; !i->freed && (gone = cache_sweep(i->cache, &at)).entry;) {
        tell(i, INFORMER_DELETED, cache_old_object(&gone), cache_old_whole(&gone));
        cache_old_free(&gone);
    }
    if (i->freed) return;
    i->revision = i->list_revision;
    i->state = WATCHING;
    arena_free(i->scratch);
    i->scratch = NULL;
    loop_trim(i->loop); /* pages are much larger than what is kept of them */
    if (i->synced) return;
    i->synced = true;
    tell(i, INFORMER_SYNCED, NULL, NULL);
}

static void list_end(struct informer *i, bool reusable) {
    struct buf page = i->in;
    i->in = (struct buf){0};
    struct err err;
    int r = 0;
    if (i->status == 200) {
        r = page_take(i, buf_view(&page));
        if (r == 0 && !i->freed && !i->continue_) list_complete(i);
    } else {
        api_status_err(i->status, buf_view(&page), &err);
        if (is_expired(&err)) list_again(i); /* the continue token has gone stale */
        r = -EIO;
    }
    buf_done(&page);
    if (i->freed) return;
    if (r < 0) {
        list_again(i);
        back_off(i);
        return;
    }
    i->backoff_ms = BACKOFF_MIN_MS;
    if (!reusable) {
        connection_close(i->connection);
        i->connection = NULL;
    }
    request_next(i);
}

/* ---- watches ---- */

/* One line. Negative: the watch cannot go on. */
static int watch_line(struct informer *i, struct slice line) {
    struct slice type = skim_string(skim_get(line, "type")), json = skim_get(line, "object");
    if (slice_is(type, "ERROR")) {
        struct err err;
        api_status_object_err(json, &err);
        if (is_expired(&err)) list_again(i);
        return -EIO;
    }
    if (slice_is(type, "BOOKMARK")) {
        uint64_t revision = u64_of_json(skim_get(skim_get(json, "metadata"), "resourceVersion"));
        i->revision = MAX_OF(i->revision, revision);
        return 0;
    }
    struct api_object *o;
    if (!json.p || decode(i, json, &o) < 0) return -EBADMSG;
    uint64_t revision = u64_of(o->metadata.resource_version);
    if (revision <= i->revision) return 0; /* known already */
    i->revision = revision;
    if (slice_is(type, "DELETED"))
        drop_object(i, o);
    else if (slice_is(type, "ADDED") || slice_is(type, "MODIFIED"))
        take_object(i, o);
    else
        return -EBADMSG;
    return 0;
}

static void watch_body(struct informer *i, struct slice data) {
    while (data.n && !i->freed) {
        const char *end = memchr(data.p, '\n', data.n);
        size_t n = end ? (size_t)(end - data.p) : data.n;
        if (i->in.n + n > LINE_BYTES_MAX) {
            back_off(i);
            return;
        }
        struct slice line = slice_from(data.p, n);
        if (i->in.n || !end) {
            buf_slice(&i->in, line);
            line = buf_view(&i->in);
        }
        if (!end) return;
        data.p += n + 1;
        data.n -= n + 1;
        int r = slice_trim(line).n ? watch_line(i, line) : 0;
        if (i->freed) return;
        buf_clear(&i->in);
        if (r < 0) {
            back_off(i);
            return;
        }
        i->backoff_ms = BACKOFF_MIN_MS;
    }
    if (i->freed) return;
    if (!i->in.n) buf_done(&i->in);
    timer_start(i->rest, REST_MS, 0);
}

static void watch_end(struct informer *i, bool reusable) {
    if (i->status == 200) { /* the server's time limit: go on at once, unless it does only that */
        if (i->in.n) buf_done(&i->in);
        if (reusable && i->backoff_ms == BACKOFF_MIN_MS) {
            i->backoff_ms *= 2;
            request_next(i);
            return;
        }
    } else {
        struct err err;
        api_status_err(i->status, buf_view(&i->in), &err);
        if (is_expired(&err)) list_again(i);
    }
    back_off(i);
}

/* ---- the connection ---- */

static void on_head(void *user, int status) {
    struct informer *i = user;
    i->status = status;
    buf_clear(&i->in);
}

static void on_body(void *user, struct slice data) {
    struct informer *i = user;
    i->refs++;
    if (i->state == WATCHING && i->status == 200)
        watch_body(i, data);
    else if (i->in.n + data.n > PAGE_BYTES_MAX)
        back_off(i);
    else
        buf_slice(&i->in, data);
    informer_unref(i);
}

static void on_end(void *user, bool reusable) {
    struct informer *i = user;
    i->refs++;
    if (i->state == LISTING)
        list_end(i, reusable);
    else
        watch_end(i, reusable);
    informer_unref(i);
}

static void on_lost(void *user, const struct err *err) {
    struct informer *i = user;
    if (i->state == LISTING) list_again(i);
    back_off(i);
}

static const struct connection_events events = {on_head, on_body, on_end, on_lost};

static void request_next(struct informer *i) {
    if (!i->connection && connection_open(i->loop, api_client_socket(i->client), &events, i,
                                          &i->connection, NULL) < 0) {
        i->connection = NULL;
        back_off(i);
        return;
    }
    OWN(buf_done) struct buf target = {0};
    char number[24];
    api_path(&target, cache_kind(i->cache), NULL, NULL, NULL);
    api_path_query(&target, "fieldSelector", i->field_selector);
    api_path_query(&target, "labelSelector", i->label_selector);
    if (i->state == LISTING) {
        snprintf(number, sizeof number, "%d", PAGE_OBJECTS);
        api_path_query(&target, "limit", number);
        api_path_query(&target, "continue", i->continue_);
    } else {
        snprintf(number, sizeof number, "%llu", (unsigned long long)i->revision);
        api_path_query(&target, "watch", "true");
        api_path_query(&target, "allowWatchBookmarks", "true");
        api_path_query(&target, "resourceVersion", number);
    }
    connection_send(i->connection, "GET", target.p, NULL, (struct slice){0});
}

/* ---- interface ---- */

static char *copy_or_null(const char *s) {
    if (str_empty(s)) return NULL;
    char *p = strdup(s);
    if (!p) abort();
    return p;
}

struct informer *informer_new_into(struct api_client *c, struct cache *into,
                                   const char *field_selector, const char *label_selector,
                                   informer_fn *fn, void *user) {
    struct informer *i = calloc(1, sizeof *i);
    if (!i) abort();
    *i = (struct informer){.client = c,
                           .loop = api_client_loop(c),
                           .cache = into,
                           .field_selector = copy_or_null(field_selector),
                           .label_selector = copy_or_null(label_selector),
                           .fn = fn,
                           .user = user,
                           .backoff_ms = BACKOFF_MIN_MS,
                           .refs = 1};
    i->retry = timer_new(i->loop, on_retry, i);
    i->rest = timer_new(i->loop, on_rest, i);
    timer_start(i->retry, 0, 0);
    return i;
}

struct informer *informer_new(struct api_client *c, const struct api_kind *k,
                              const char *field_selector, const char *label_selector,
                              informer_fn *fn, void *user) {
    struct informer *i =
        informer_new_into(c, cache_new(k, false), field_selector, label_selector, fn, user);
    i->own_cache = true;
    return i;
}

void informer_free(struct informer *i) {
    if (!i || i->freed) return;
    i->freed = true;
    connection_close(i->connection);
    i->connection = NULL;
    timer_free(i->retry);
    timer_free(i->rest);
    informer_unref(i);
}

bool informer_synced(const struct informer *i) { return i->synced; }
size_t informer_count(const struct informer *i) { return cache_count(i->cache); }
uint64_t informer_revision(const struct informer *i) { return i->revision; }

const struct api_object *informer_get(const struct informer *i, const char *ns, const char *name) {
    return cache_get_whole(i->cache, ns, name);
}

const struct api_object *informer_head(const struct informer *i, const char *ns, const char *name) {
    return cache_get(i->cache, ns, name);
}

void informer_keep(struct informer *i, const struct api_keep *keep) { cache_keep(i->cache, keep); }

void informer_forget(struct informer *i, bool (*forget)(const struct api_object *o)) {
    cache_forget(i->cache, forget);
}

const struct api_object *informer_next(const struct informer *i, size_t *at) {
    return cache_next(i->cache, NULL, at);
}
