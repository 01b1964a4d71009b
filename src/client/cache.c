#include "client/cache.h"

#include <stdlib.h>

#include "base/own.h"
#include "base/vec.h"

struct entry {
    struct arena *a;
    struct api_object *o;
    unsigned mark;
    bool forgotten; /* o is a struct api_object and nothing more */
};

struct cache {
    const struct api_kind *kind;
    bool metadata_only;
    const struct api_keep *keep;
    struct api_keep head_only[2]; /* what metadata_only decodes */
    bool (*forget)(const struct api_object *o);
    unsigned mark;
    VEC(struct entry) entries;
};

static const char *const head_fields[] = {"metadata", NULL};

struct cache *cache_new(const struct api_kind *k, bool metadata_only) {
    struct cache *c = calloc(1, sizeof *c);
    if (!c) abort();
    c->kind = k;
    c->metadata_only = metadata_only;
    c->head_only[0] = (struct api_keep){k->type, head_fields, NULL};
    return c;
}

void cache_free(struct cache *c) {
    if (!c) return;
    for (size_t i = 0; i < c->entries.n; i++) arena_free(c->entries.v[i].a);
    vec_done(&c->entries);
    free(c);
}

const struct api_kind *cache_kind(const struct cache *c) { return c->kind; }
size_t cache_count(const struct cache *c) { return c->entries.n; }

void cache_keep(struct cache *c, const struct api_keep *keep) { c->keep = keep; }
const struct api_keep *cache_kept(const struct cache *c) {
    return c->keep || !c->metadata_only ? c->keep : c->head_only;
}

void cache_forget(struct cache *c, bool (*forget)(const struct api_object *o)) {
    c->forget = forget;
}

void cache_want_all(struct cache *c) {
    if (c->entries.n == 0) c->metadata_only = false;
}

static int order(const struct api_object *o, const char *ns, const char *name) {
    int d = strcmp(str_or(o->metadata.namespace, ""), str_or(ns, ""));
    return d ? d : strcmp(str_or(o->metadata.name, ""), str_or(name, ""));
}

/* Index of the first entry that is not before (ns, name). */
static size_t lower_bound(const struct cache *c, const char *ns, const char *name) {
    size_t low = 0, high = c->entries.n;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (order(c->entries.v[mid].o, ns, name) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

static bool is_at(const struct cache *c, size_t i, const char *ns, const char *name) {
    return i < c->entries.n && order(c->entries.v[i].o, ns, name) == 0;
}

const struct api_object *cache_get(const struct cache *c, const char *ns, const char *name) {
    size_t i = lower_bound(c, ns, name);
    return is_at(c, i, ns, name) ? c->entries.v[i].o : NULL;
}

const struct api_object *cache_get_whole(const struct cache *c, const char *ns, const char *name) {
    size_t i = lower_bound(c, ns, name);
    return is_at(c, i, ns, name) && !c->entries.v[i].forgotten ? c->entries.v[i].o : NULL;
}

const struct api_object *cache_next(const struct cache *c, const char *ns, size_t *at) {
    if (ns && *at == 0) *at = lower_bound(c, ns, "");
    if (*at >= c->entries.n) return NULL;
    const struct api_object *o = c->entries.v[*at].o;
    if (ns && strcmp(str_or(o->metadata.namespace, ""), ns) != 0) return NULL;
    ++*at;
    return o;
}

void cache_old_free(struct cache_old *o) {
    arena_free(o->a);
    *o = (struct cache_old){0};
}

static struct cache_old put(struct cache *c, struct arena *a, struct api_object *o,
                            bool forgotten) {
    const char *ns = o->metadata.namespace, *name = o->metadata.name;
    size_t i = lower_bound(c, ns, name);
    struct entry fresh = {a, o, c->mark, forgotten};
    if (is_at(c, i, ns, name)) {
        struct entry old = c->entries.v[i];
        c->entries.v[i] = fresh;
        return (struct cache_old){old.a, old.o, old.forgotten};
    }
    vec_push(&c->entries, fresh);
    memmove(c->entries.v + i + 1, c->entries.v + i, (c->entries.n - 1 - i) * sizeof fresh);
    c->entries.v[i] = fresh;
    return (struct cache_old){0};
}

static struct api_object *metadata_copy(struct arena *a, const struct api_kind *k,
                                        const struct api_object *o) {
    struct api_object *meta = ARENA_NEW(a, struct api_object);
    const struct meta_v1_object_meta *copy = api_copy(a, &meta_v1_object_meta_type, &o->metadata);
    *meta = (struct api_object){k->api_version, k->kind, *copy};
    return meta;
}

/* All that is told of an object that is forgotten: which one it is, and how old. */
static struct api_object *head_copy(struct arena *a, const struct api_kind *k,
                                    const struct api_object *o) {
    struct api_object *head = ARENA_NEW(a, struct api_object);
    *head = (struct api_object){.api_version = k->api_version, .kind = k->kind};
    head->metadata.name = arena_str(a, o->metadata.name);
    head->metadata.namespace = arena_str(a, o->metadata.namespace);
    head->metadata.uid = arena_str(a, o->metadata.uid);
    head->metadata.resource_version = arena_str(a, o->metadata.resource_version);
    return head;
}

struct cache_old cache_put(struct cache *c, struct arena *a, struct api_object *o) {
    return put(c, a, o, false);
}

struct cache_old cache_put_copy(struct cache *c, const struct api_object *o) {
    bool forgotten = c->forget && c->forget(o);
    struct arena *a = NULL;
    struct api_object *copy = NULL;
    OWN(arena_free_p) struct arena *measure = arena_new();
    for (int i = 0; i < 2; i++) { /* the first time to learn the size */
        struct arena *to = i ? (a = arena_new_sized(arena_used(measure))) : measure;
        copy = forgotten          ? head_copy(to, c->kind, o)
               : c->metadata_only ? metadata_copy(to, c->kind, o)
                                  : api_object_copy(to, c->kind, o);
    }
    return put(c, a, copy, forgotten);
}

struct cache_old cache_remove(struct cache *c, const char *ns, const char *name) {
    size_t i = lower_bound(c, ns, name);
    if (!is_at(c, i, ns, name)) return (struct cache_old){0};
    struct cache_old old = {c->entries.v[i].a, c->entries.v[i].o, c->entries.v[i].forgotten};
    vec_remove(&c->entries, i);
    return old;
}

void cache_mark_begin(struct cache *c) { c->mark++; }

void cache_touch(struct cache *c, const char *ns, const char *name) {
    size_t i = lower_bound(c, ns, name);
    if (is_at(c, i, ns, name)) c->entries.v[i].mark = c->mark;
}

struct cache_old cache_sweep(struct cache *c, size_t *at) {
    for (; *at < c->entries.n; ++*at) {
        struct entry e = c->entries.v[*at];
        if (e.mark == c->mark) continue;
        vec_remove(&c->entries, *at);
        return (struct cache_old){e.a, e.o, e.forgotten};
    }
    return (struct cache_old){0};
}
