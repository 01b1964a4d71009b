#include "client/world.h"

#include <stdlib.h>

#include "base/map.h"
#include "base/own.h"
#include "base/vec.h"
#include "client/uid_index.h"
#include "client/world_private.h"

/* Everything with an owner reference to one uid, ordered by kind, namespace, name. */
struct owned {
    VEC(struct cached *) refs;
};

struct world {
    VEC(struct cache *) caches; /* ordered by kind, then group */
    struct uid_index by_uid;
    struct map by_owner; /* owner uid → struct owned */
    struct map *facts;   /* name → struct fact */
    int64_t now_ns;
    bool incomplete;
    world_changed_fn *changed;
    void *changed_user;
};

struct world *world_new(void) {
    struct world *w = calloc(1, sizeof *w);
    if (!w || !(w->facts = calloc(1, sizeof *w->facts))) abort();
    return w;
}

void world_free(struct world *w) {
    if (!w) return;
    struct map_entry *e;
    for (size_t i = 0; i < w->caches.n; i++) cache_free(w->caches.v[i]);
    vec_done(&w->caches);
    for (size_t i = 0; (e = map_next(&w->by_owner, &i));) {
        vec_done(&((struct owned *)e->value)->refs);
        free(e->value);
    }
    uid_index_done(&w->by_uid);
    map_done(&w->by_owner);
    world_facts_done(w->facts);
    free(w->facts);
    free(w);
}

void world_set_now(struct world *w, int64_t now_ns) { w->now_ns = now_ns; }
int64_t world_now_ns(const struct world *w) { return w->now_ns; }
void world_set_complete(struct world *w, bool complete) { w->incomplete = !complete; }
struct map *world_facts(const struct world *w) {
    return w->facts;
}
bool world_complete(const struct world *w) { return !w->incomplete; }

void world_on_change(struct world *w, world_changed_fn *fn, void *user) {
    w->changed = fn;
    w->changed_user = user;
}

/* ---- kinds ---- */

static int kind_order(const struct api_kind *a, const struct api_kind *b) {
    int d = strcmp(a->kind, b->kind);
    return d ? d : strcmp(a->group, b->group);
}

static struct cache *cache_of(const struct world *w, const struct api_kind *k) {
    for (size_t i = 0; i < w->caches.n; i++)
        if (cache_kind(w->caches.v[i]) == k) return w->caches.v[i];
    return NULL;
}

struct cache *world_cache(struct world *w, const struct api_kind *k, bool metadata_only) {
    struct cache *c = cache_of(w, k);
    if (c) {
        if (!metadata_only) cache_want_all(c);
        return c;
    }
    c = cache_new(k, metadata_only);
    vec_push(&w->caches, c);
    size_t i = w->caches.n - 1;
    for (; i > 0 && kind_order(k, cache_kind(w->caches.v[i - 1])) < 0; i--)
        w->caches.v[i] = w->caches.v[i - 1];
    w->caches.v[i] = c;
    return c;
}

void world_cool(struct world *w, bool all) {
    for (size_t i = 0; i < w->caches.n; i++) cache_cool(w->caches.v[i], all);
}

void world_add_kind(struct world *w, const struct api_kind *k) { world_cache(w, k, false); }

/* "Kind" or "Kind.group": the first of that name; the core group stands first. */
static struct cache *find(const struct world *w, const char *kind) {
    const char *dot = strchr(kind, '.');
    size_t n = dot ? (size_t)(dot - kind) : strlen(kind), low = 0, high = w->caches.n;
    while (low < high) { /* they are in the order of their kinds */
        size_t mid = low + (high - low) / 2;
        if (strncmp(cache_kind(w->caches.v[mid])->kind, kind, n) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    for (; low < w->caches.n; low++) {
        const struct api_kind *k = cache_kind(w->caches.v[low]);
        if (strncmp(k->kind, kind, n) != 0 || k->kind[n]) return NULL;
        if (!dot || !strcmp(k->group, dot + 1)) return w->caches.v[low];
    }
    return NULL;
}

const struct api_kind *world_kind(const struct world *w, const char *kind) {
    const struct cache *c = find(w, kind);
    return c ? cache_kind(c) : NULL;
}

const struct api_kind *world_kind_next(const struct world *w, size_t *at) {
    return *at < w->caches.n ? cache_kind(w->caches.v[(*at)++]) : NULL;
}

/* ---- reading ---- */

const struct api_object *world_get(const struct world *w, const char *kind, const char *ns,
                                   const char *name) {
    const struct cache *c = find(w, kind);
    return c ? cache_get(c, ns, name) : NULL;
}

const struct api_object *world_by_key(const struct world *w, const char *kind, const char *key) {
    enum { NAMESPACE_MAX = 253 };
    char ns[NAMESPACE_MAX + 1];
    const char *slash = strchr(key, '/');
    if (!slash) return world_get(w, kind, NULL, key);
    size_t n = (size_t)(slash - key);
    if (n > NAMESPACE_MAX) return NULL;
    memcpy(ns, key, n);
    ns[n] = 0;
    return world_get(w, kind, ns, slash + 1);
}

int64_t world_unchanged_since_ns(const struct world *w, const char *kind, const char *ns,
                                 const char *name) {
    const struct cache *c = find(w, kind);
    const struct cached *e = c ? cache_entry(c, ns, name) : NULL;
    return e ? e->came_ns : 0;
}

const struct api_object *world_by_uid(const struct world *w, const char *kind, const char *uid) {
    const struct cache *c = find(w, kind);
    struct cached *e = c && !str_empty(uid) ? uid_index_get(&w->by_uid, uid) : NULL;
    return e && cached_kind(e) == cache_kind(c) ? cached_object(e) : NULL;
}

const struct api_object *world_next(const struct world *w, const char *kind, const char *ns,
                                    size_t *at) {
    const struct cache *c = find(w, kind);
    return c ? cache_next(c, ns, at) : NULL;
}

size_t world_count(const struct world *w, const char *kind) {
    const struct cache *c = find(w, kind);
    return c ? cache_count(c) : 0;
}

const struct api_object *world_owned(const struct world *w, const char *owner_uid, const char *kind,
                                     size_t *at) {
    const struct cache *c = find(w, kind);
    const struct owned *owned =
        c && !str_empty(owner_uid) ? map_gets(&w->by_owner, owner_uid) : NULL;
    for (; owned && *at < owned->refs.n; ++*at) {
        if (cached_kind(owned->refs.v[*at]) != cache_kind(c)) continue;
        const struct api_object *o = cached_object(owned->refs.v[*at]);
        const struct meta_v1_owner_reference *owner = api_controller_of(o);
        if (!owner || !str_eq(owner->uid, owner_uid)) continue;
        ++*at;
        return o;
    }
    return NULL;
}

/* Objects that nobody controls stand in the index of owners under the name of their kind and
 * namespace, which is no uid. */
static const char *orphans_key(struct buf *b, const char *kind, const char *ns) {
    buf_clear(b);
    buf_printf(b, "no one/%s/%s", kind, str_or(ns, ""));
    return b->p;
}

const struct api_object *world_claimable(const struct world *w, const char *owner_uid,
                                         const char *kind, const char *ns, size_t *at) {
    OWN(buf_done) struct buf key = {0};
    const struct owned *owned = str_empty(owner_uid) ? NULL : map_gets(&w->by_owner, owner_uid);
    size_t n = owned ? owned->refs.n : 0;
    for (; *at < n; ++*at) {
        struct cached *e = owned->refs.v[*at];
        if (strcmp(cached_kind(e)->kind, kind) != 0 || strcmp(cached_ns(e), str_or(ns, "")) != 0)
            continue;
        const struct api_object *o = cached_object(e);
        const struct meta_v1_owner_reference *owner = api_controller_of(o);
        if (!owner || !str_eq(owner->uid, owner_uid)) continue;
        ++*at;
        return o;
    }
    const struct owned *free_ones = map_gets(&w->by_owner, orphans_key(&key, kind, ns));
    if (!free_ones || *at - n >= free_ones->refs.n) return NULL;
    return cached_object(free_ones->refs.v[(*at)++ - n]);
}

const struct api_object *world_dependents(const struct world *w, const char *owner_uid,
                                          const struct api_kind **ret_kind, size_t *at) {
    const struct owned *owned = str_empty(owner_uid) ? NULL : map_gets(&w->by_owner, owner_uid);
    if (!owned || *at >= owned->refs.n) return NULL;
    struct cached *e = owned->refs.v[(*at)++];
    if (ret_kind) *ret_kind = cached_kind(e);
    return cached_object(e);
}

/* ---- indexes ---- */

/* One object, as the indexes tell it from others. */
struct ref {
    const struct api_kind *kind;
    const struct api_object *o;
};

static int ref_order(const struct cached *e, const struct ref *r) {
    int d = kind_order(cached_kind(e), r->kind);
    if (!d) d = strcmp(cached_ns(e), str_or(r->o->metadata.namespace, ""));
    if (!d) d = strcmp(cached_name(e), str_or(r->o->metadata.name, ""));
    return d;
}

static size_t ref_place(const struct owned *owned, const struct ref *r, bool *ret_there) {
    size_t low = 0, high = owned->refs.n;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (ref_order(owned->refs.v[mid], r) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    *ret_there = low < owned->refs.n && ref_order(owned->refs.v[low], r) == 0;
    return low;
}

static void owner_add(struct world *w, const char *uid, const struct ref *r, struct cached *e) {
    struct owned *owned = map_gets(&w->by_owner, uid);
    if (!owned) {
        owned = calloc(1, sizeof *owned);
        if (!owned) abort();
        map_put(&w->by_owner, slice_of(uid), owned);
    }
    bool there;
    size_t i = ref_place(owned, r, &there);
    if (there) { /* named twice */
        owned->refs.v[i] = e;
        return;
    }
    vec_push(&owned->refs, e);
    memmove(owned->refs.v + i + 1, owned->refs.v + i, (owned->refs.n - 1 - i) * sizeof e);
    owned->refs.v[i] = e;
}

static void owner_remove(struct world *w, const char *uid, const struct ref *r) {
    struct owned *owned = map_gets(&w->by_owner, uid);
    if (!owned) return;
    bool there;
    size_t i = ref_place(owned, r, &there);
    if (there) vec_remove(&owned->refs, i);
    if (owned->refs.n) return;
    vec_done(&owned->refs);
    free(map_del(&w->by_owner, slice_of(uid)));
}

static bool is_orphan(const struct ref *r) {
    static const char *const claimed[] = {"Pod", "ReplicaSet", "ControllerRevision"};
    if (str_empty(r->o->metadata.namespace) || api_controller_of(r->o)) return false;
    for (size_t i = 0; i < ARRAY_LEN(claimed); i++)
        if (strcmp(claimed[i], r->kind->kind) == 0) return true;
    return false;
}

/* The entries of what is removed may be anything now but freed. */
static void index_remove(struct world *w, struct ref r) {
    const struct meta_v1_object_meta *m = &r.o->metadata;
    if (!str_empty(m->uid)) uid_index_remove(&w->by_uid, r.kind, r.o);
    for (size_t i = 0; i < m->owner_references.n; i++)
        if (!str_empty(m->owner_references.v[i].uid))
            owner_remove(w, m->owner_references.v[i].uid, &r);
    OWN(buf_done) struct buf key = {0};
    if (is_orphan(&r)) owner_remove(w, orphans_key(&key, r.kind->kind, m->namespace), &r);
}

static void index_add(struct world *w, struct ref r) {
    const struct meta_v1_object_meta *m = &r.o->metadata;
    struct cached *e = cache_entry(cache_of(w, r.kind), m->namespace, m->name);
    if (!e) return; /* somebody has been told before, and has removed it */
    e->came_ns = w->now_ns;
    if (!str_empty(m->uid)) uid_index_put(&w->by_uid, e);
    for (size_t i = 0; i < m->owner_references.n; i++)
        if (!str_empty(m->owner_references.v[i].uid))
            owner_add(w, m->owner_references.v[i].uid, &r, e);
    OWN(buf_done) struct buf key = {0};
    if (is_orphan(&r)) owner_add(w, orphans_key(&key, r.kind->kind, m->namespace), &r, e);
}

void world_changed(struct world *w, const struct api_kind *k, const struct api_object *now,
                   const struct api_object *old) {
    if (old) index_remove(w, (struct ref){k, old});
    if (now) index_add(w, (struct ref){k, now});
    if (w->changed) w->changed(w->changed_user, k, now, old);
}

void world_put(struct world *w, const struct api_kind *k, struct arena *a, struct api_object *o) {
    struct cache_old old = cache_put(world_cache(w, k, false), a, o);
    world_changed(w, k, o, cache_old_object(&old));
    cache_old_free(&old);
}

void world_remove(struct world *w, const struct api_kind *k, const char *ns, const char *name) {
    struct cache *c = cache_of(w, k);
    struct cache_old old = c ? cache_remove(c, ns, name) : (struct cache_old){0};
    if (old.entry) world_changed(w, k, NULL, cache_old_object(&old));
    cache_old_free(&old);
}

void world_drop_kind(struct world *w, const struct api_kind *k) {
    struct cache *c = cache_of(w, k);
    const struct api_object *o;
    if (!c) return;
    for (size_t at = 0; (o = cache_next(c, NULL, &at)); at = 0) {
        struct cache_old old = cache_remove(c, o->metadata.namespace, o->metadata.name);
        world_changed(w, k, NULL, cache_old_object(&old));
        cache_old_free(&old);
    }
    for (size_t i = w->caches.n; i-- > 0;)
        if (w->caches.v[i] == c) vec_remove(&w->caches, i);
    cache_free(c);
}
