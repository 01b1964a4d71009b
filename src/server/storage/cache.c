#include "server/storage/cache.h"

#include <assert.h>

#include "base/limits.h"
#include "base/own.h"
#include "base/unset.h"
#include "server/storage/cold.h"
#include "wire/store.h"

enum {
    HISTORY_MIN_BYTES = 512 * 1024,       /* old versions kept however old they are */
    HISTORY_MAX_BYTES = 64 * 1024 * 1024, /* and however young */
    HISTORY_YOUNG_MS = 60 * 1000,
    WHOLE_EVENTS = 64, /* the youngest: nearly all watchers want nothing else */
};

static const char revision_member[] = "\"resourceVersion\":\"";

static struct resource *resource_new(struct cache *c, struct slice prefix) {
    struct resource *r = calloc(1, sizeof *r);
    char *copy = strndup(prefix.p, prefix.n);
    if (!r || !copy) abort();
    r->prefix = copy;
    r->floor = r->changed = c->revision; /* what was before is unknown */
    map_put(&c->resources, prefix, r);
    return r;
}

void cache_init(struct cache *c) {
    *c = (struct cache){0};
    size_t n;
    const struct api_kind *const *kinds = api_kinds(&n);
    for (size_t i = 0; i < n; i++)
        if (!(kinds[i]->flags & API_VIRTUAL))
            cache_resource_make(c, kinds[i]->store_prefix)->slim = !kinds[i]->custom;
}

struct resource *cache_resource_make(struct cache *c, const char *prefix) {
    struct resource *r = cache_resource(c, prefix);
    return r ? r : resource_new(c, slice_of(prefix));
}

static struct event *event_at(const struct resource *r, size_t i) {
    return &r->events[(r->head + i) % r->cap];
}

static void let_go(struct object *o) {
    if (!o) return;
    o->held--;
    object_unref(o);
}

static void event_done(struct event *e) {
    let_go(e->now);
    let_go(e->old);
}

void cache_done(struct cache *c) {
    size_t i = 0;
    object_unref(c->latest);
    for (struct map_entry *m; (m = map_next(&c->resources, &i));) {
        struct resource *r = m->value;
        for (size_t j = 0; j < r->n; j++) event_done(event_at(r, j));
        free(r->events);
        key_index_done(&r->index);
        vec_done(&r->listeners);
        free(r->prefix);
        free(r);
    }
    map_done(&c->resources);
}

struct resource *cache_resource(const struct cache *c, const char *prefix) {
    return map_gets(&c->resources, prefix);
}

/* Every write asks for several kinds: each time the same text at the same place. */
struct resource *cache_of_kind(struct cache *c, const struct api_kind *k) {
    struct resource **last = &c->found[(uintptr_t)k->store_prefix / 8 % ARRAY_LEN(c->found)];
    if (!*last || !str_eq((*last)->prefix, k->store_prefix))
        *last = cache_resource(c, k->store_prefix);
    return *last;
}

void resource_listen(struct resource *r, void (*fn)(void *, const struct event *), void *user) {
    vec_push(&r->listeners, (struct cache_listener){fn, user, NULL});
}

void resource_on_end(struct resource *r, void (*ends)(void *user), void *user) {
    for (size_t i = 0; i < r->listeners.n; i++)
        if (r->listeners.v[i].user == user) r->listeners.v[i].ends = ends;
}

void resource_end_watches(struct resource *r) {
    bool before = r->announcing;
    r->announcing = true; /* who ends may leave */
    for (size_t i = 0; i < r->listeners.n; i++)
        if (r->listeners.v[i].fn && r->listeners.v[i].ends)
            r->listeners.v[i].ends(r->listeners.v[i].user);
    r->announcing = before;
}

/* Only marks while events are being handed out. */
void resource_unlisten(struct resource *r, void *user) {
    for (size_t i = r->listeners.n; i-- > 0;) {
        if (r->listeners.v[i].user != user) continue;
        r->listeners.v[i].fn = NULL;
        if (!r->announcing) vec_remove(&r->listeners, i);
        return;
    }
}

struct object *resource_get(const struct resource *r, const char *ns, const char *name) {
    UNSET char key[2 * LIMIT_NAME_BYTES + 2];
    size_t ns_n = strlen(ns), name_n = strlen(name);
    if (ns_n > LIMIT_NAME_BYTES || name_n > LIMIT_NAME_BYTES) return NULL;
    memcpy(key, ns, ns_n);
    key[ns_n] = '/';
    memcpy(key + ns_n + 1, name, name_n);
    return key_index_get(&r->index, slice_from(key, ns_n + 1 + name_n));
}

/* "/pods.core/ns/name" → its resource, and "ns/name". */
static struct resource *find(struct cache *c, struct slice key, struct slice *ret_rest) {
    const char *slash = key.n > 1 ? memchr(key.p + 1, '/', key.n - 1) : NULL;
    if (!slash) return NULL;
    size_t n = (size_t)(slash + 1 - key.p);
    *ret_rest = slice_from(key.p + n, key.n - n);
    if (!memchr(ret_rest->p, '/', ret_rest->n)) return NULL;
    struct resource *r = map_get(&c->resources, slice_from(key.p, n));
    return r ? r : resource_new(c, slice_from(key.p, n));
}

void cache_row(struct cache *c, struct slice key, uint64_t revision, struct slice value) {
    struct slice rest;
    struct resource *r = find(c, key, &rest);
    if (!r) return;
    struct object *old = key_index_put(&r->index, object_new(rest, revision, value));
    if (old) r->live_bytes -= old->json->n; /* the same row twice */
    object_unref(old);
    r->live_bytes += value.n;
    if (revision > r->changed) r->changed = revision;
}

void cache_snapshot_end(struct cache *c, uint64_t revision, uint64_t compacted) {
    assert(!c->synced && revision >= c->revision);
    c->revision = revision;
    c->compacted = compacted;
    c->synced = true;
    size_t i = 0;
    for (struct map_entry *m; (m = map_next(&c->resources, &i));) {
        struct resource *r = m->value;
        r->floor = r->changed = revision; /* deletions before the snapshot are unknown */
    }
}

/* What only the history holds: old versions, and deleted objects. */
static size_t event_bytes(const struct event *e) {
    bool both = e->type == EVENT_DELETED && e->now != e->old;
    return (e->old ? object_bytes(e->old) : 0) + (both ? object_bytes(e->now) : 0);
}

/* o as it would be at another revision. */
static struct object *at_revision(const struct object *o, uint64_t revision) {
    OWN(buf_done) struct buf json = {0};
    const char *p = o->json->p, *end = p + o->json->n;
    const char *digits = memmem(p, o->json->n, revision_member, sizeof revision_member - 1);
    if (digits) digits += sizeof revision_member - 1;
    const char *rest = digits ? memchr(digits, '"', (size_t)(end - digits)) : NULL;
    buf_reserve(&json, o->json->n + 24);
    buf_append(&json, p, rest ? (size_t)(digits - p) : o->json->n);
    if (rest) buf_u64(&json, revision);
    if (rest) buf_append(&json, rest, (size_t)(end - rest));
    return object_new(slice_from(o->key, o->key_n), revision, buf_view(&json));
}

struct object *event_object(const struct event *e, enum event_type seen_as) {
    bool left = seen_as == EVENT_DELETED && e->type != EVENT_DELETED;
    if (left) object_warm(e->old);
    return left || e->now == e->old ? at_revision(e->old, e->revision) : object_ref(e->now);
}

/* What a deletion leaves is mostly what was there, at another revision. */
static void history_slim(struct resource *r, struct event *e) {
    if (!r->slim || e->type != EVENT_DELETED || !e->old || e->now == e->old) return;
    object_warm(e->now);
    object_warm(e->old);
    struct object *same = at_revision(e->old, e->revision);
    if (slice_eq(object_json(same), object_json(e->now))) {
        r->history_bytes -= e->now->json->n;
        let_go(e->now);
        e->now = object_ref(e->old);
        e->now->held++;
    }
    object_unref(same);
}

static void history_drop(struct resource *r) {
    struct event *e = &r->events[r->head];
    r->floor = e->revision;
    r->history_bytes -= event_bytes(e);
    event_done(e);
    r->head = (r->head + 1) % r->cap;
    r->n--;
}

static void history_trim(struct resource *r, uint64_t now_ms) {
    size_t room = MAX_OF(r->live_bytes, (size_t)HISTORY_MIN_BYTES);
    while (r->n > 1) {
        bool young = now_ms - r->events[r->head].at_ms < HISTORY_YOUNG_MS;
        bool over = r->n > LIMIT_WATCH_HISTORY_EVENTS || r->history_bytes > HISTORY_MAX_BYTES ||
                    (r->history_bytes > room && !young);
        if (!over) return;
        history_drop(r);
    }
}

void cache_trim(struct cache *c, uint64_t now_ms) {
    size_t i = 0;
    for (struct map_entry *m; (m = map_next(&c->resources, &i));) history_trim(m->value, now_ms);
}

/* Takes o unless somebody beside the history holds it; false: the page is full. */
static bool page_add(struct object **page, size_t *n, size_t *bytes, struct object *o) {
    if (!o || o->cold || o->refs != (unsigned)o->held) return true;
    if (*n == COLD_PAGE_OBJECTS || *bytes >= COLD_PAGE_BYTES) return false;
    for (size_t i = *n; i-- > 0;)
        if (page[i] == o) return true;
    page[(*n)++] = o;
    *bytes += o->json->n;
    return true;
}

/* From the event on; false: a page is full, *event is where to go on. */
static bool resource_cool(const struct resource *r, size_t *event) {
    struct object *page[COLD_PAGE_OBJECTS];
    size_t n = 0, bytes = 0, old = r->n > WHOLE_EVENTS ? r->n - WHOLE_EVENTS : 0;
    bool all = true;
    for (; all && *event < old; *event += all) {
        const struct event *e = event_at(r, *event);
        all = page_add(page, &n, &bytes, e->now) && page_add(page, &n, &bytes, e->old);
    }
    if (n) objects_cool(page, n);
    return all;
}

bool history_cool(struct cache *c) {
    size_t i = c->cooling.resource;
    for (struct map_entry *m; (m = map_next(&c->resources, &i)); c->cooling.resource = i) {
        const struct resource *r = m->value;
        if (!resource_cool(r, &c->cooling.event)) return true;
        c->cooling.event = 0;
    }
    c->cooling.resource = 0;
    return false;
}

static void history_push(struct resource *r, struct event e) {
    if (r->n == r->cap) {
        size_t cap = r->cap ? r->cap * 2 : 16;
        struct event *v = calloc(cap, sizeof *v);
        if (!v) abort();
        for (size_t i = 0; i < r->n; i++) v[i] = *event_at(r, i);
        free(r->events);
        r->events = v;
        r->head = 0;
        r->cap = cap;
    }
    r->events[(r->head + r->n) % r->cap] = e;
    r->n++;
    e.now->held++;
    if (e.old) e.old->held++;
    r->history_bytes += event_bytes(&e);
    if (r->n > WHOLE_EVENTS) history_slim(r, event_at(r, r->n - 1 - WHOLE_EVENTS));
}

static void announce(struct resource *r, const struct event *e) {
    size_t n = r->listeners.n; /* those that come meanwhile have seen the new state already */
    r->announcing = true;
    for (size_t i = 0; i < n; i++)
        if (r->listeners.v[i].fn) r->listeners.v[i].fn(r->listeners.v[i].user, e);
    r->announcing = false;
    for (size_t i = r->listeners.n; i-- > 0;)
        if (!r->listeners.v[i].fn) vec_remove(&r->listeners, i);
}

void cache_event(struct cache *c, int store_op, struct slice key, uint64_t revision,
                 struct slice value, uint64_t now_ms) {
    assert(revision > c->revision);
    c->revision = revision;
    struct slice rest;
    struct resource *r = find(c, key, &rest);
    if (!r) return;
    struct event e = {.revision = revision, .at_ms = now_ms};
    e.now = object_new(rest, revision, value);
    if (store_op == STORE_DELETE) {
        e.type = EVENT_DELETED;
        e.old = key_index_remove(&r->index, rest);
    } else {
        e.old = key_index_put(&r->index, object_ref(e.now));
        e.type = e.old ? EVENT_MODIFIED : EVENT_ADDED;
        r->live_bytes += value.n;
    }
    if (e.old) r->live_bytes -= e.old->json->n;
    r->changed = revision;
    history_push(r, e);
    history_trim(r, now_ms);
    object_unref(c->latest);
    c->latest = object_ref(e.now);
    struct event copy = e; /* the ring may move under a listener */
    announce(r, &copy);
}

size_t resource_event_after(const struct resource *r, uint64_t revision) {
    size_t lo = 0, hi = r->n;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (event_at(r, mid)->revision > revision)
            hi = mid;
        else
            lo = mid + 1;
    }
    return lo;
}

const struct event *resource_event(const struct resource *r, size_t i) {
    assert(i < r->n);
    const struct event *e = event_at(r, i);
    object_warm(e->now);
    if (e->old) object_warm(e->old);
    return e;
}
