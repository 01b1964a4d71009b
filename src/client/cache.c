#include "client/cache.h"

#include <stdlib.h>

#include "base/own.h"
#include "base/vec.h"

enum { BLOCK_ENTRIES_MIN = 4, BLOCK_ENTRIES = 128 };

/* A place among the entries; one behind the last is {n_blocks, 0}. */
struct place {
    size_t block, at;
};

/* In order; none is empty. An insertion moves at most one block's entries. */
struct block {
    size_t n, cap;
    struct cached *v[];
};

struct cache {
    const struct api_kind *kind;
    struct shelf *shelf;
    bool metadata_only;
    const struct api_keep *keep;
    struct api_keep head_only[2]; /* what metadata_only decodes */
    bool (*forget)(const struct api_object *o);
    uint32_t mark;
    VEC(struct block *) blocks;
    size_t n;          /* entries */
    struct place last; /* where the last one was found: it is often asked for again */
};

static const char *const head_fields[] = {"metadata", NULL};

struct cache *cache_new(const struct api_kind *k, bool metadata_only) {
    struct cache *c = calloc(1, sizeof *c);
    if (!c) abort();
    c->kind = k;
    c->shelf = shelf_new(k);
    c->metadata_only = metadata_only;
    shelf_metadata_only(c->shelf, metadata_only);
    c->head_only[0] = (struct api_keep){k->type, head_fields, NULL};
    return c;
}

void cache_free(struct cache *c) {
    if (!c) return;
    for (size_t i = 0; i < c->blocks.n; i++) {
        struct block *b = c->blocks.v[i];
        for (size_t j = 0; j < b->n; j++) cached_free(b->v[j]);
        free(b);
    }
    vec_done(&c->blocks);
    shelf_free(c->shelf);
    free(c);
}

const struct api_kind *cache_kind(const struct cache *c) { return c->kind; }
size_t cache_count(const struct cache *c) { return c->n; }

void cache_keep(struct cache *c, const struct api_keep *keep) { c->keep = keep; }
const struct api_keep *cache_kept(const struct cache *c) {
    return c->keep || !c->metadata_only ? c->keep : c->head_only;
}

void cache_forget(struct cache *c, bool (*forget)(const struct api_object *o)) {
    c->forget = forget;
}

void cache_want_all(struct cache *c) {
    if (c->n) return;
    c->metadata_only = false;
    shelf_metadata_only(c->shelf, false);
}

void cache_pack(struct cache *c) {
    if (c->n == 0) shelf_pack(c->shelf);
}

void cache_cool(struct cache *c, bool all) { shelf_cool(c->shelf, all); }

static int order(const struct cached *e, const char *ns, const char *name) {
    int d = strcmp(cached_ns(e), str_or(ns, ""));
    return d ? d : strcmp(cached_name(e), str_or(name, ""));
}

static struct cached *entry_at(const struct cache *c, struct place p) {
    bool there = p.block < c->blocks.n && p.at < c->blocks.v[p.block]->n;
    return there ? c->blocks.v[p.block]->v[p.at] : NULL;
}

/* The last block that begins at or before (ns, name); 0 when there is none. */
static size_t find_block(const struct cache *c, const char *ns, const char *name) {
    size_t low = 0, high = c->blocks.n;
    while (high - low > 1) {
        size_t mid = low + (high - low) / 2;
        if (order(c->blocks.v[mid]->v[0], ns, name) <= 0)
            low = mid;
        else
            high = mid;
    }
    return low;
}

/* Of the first entry in its block that is not before (ns, name), or behind the block's last. */
static struct place lower_bound(const struct cache *c, const char *ns, const char *name) {
    struct place p = {.block = c->blocks.n ? find_block(c, ns, name) : 0};
    size_t high = c->blocks.n ? c->blocks.v[p.block]->n : 0;
    while (p.at < high) {
        size_t mid = p.at + (high - p.at) / 2;
        if (order(c->blocks.v[p.block]->v[mid], ns, name) < 0)
            p.at = mid + 1;
        else
            high = mid;
    }
    return p;
}

/* The place behind p, where an entry is that comes before (ns, name): is it that of (ns, name)? */
static bool just_behind(const struct cache *c, struct place p, const char *ns, const char *name) {
    const struct block *b = c->blocks.v[p.block];
    if (p.at + 1 < b->n) return order(b->v[p.at + 1], ns, name) >= 0;
    return p.block + 1 == c->blocks.n || order(c->blocks.v[p.block + 1]->v[0], ns, name) > 0;
}

static struct cached *find(const struct cache *c, const char *ns, const char *name,
                           struct place *ret) {
    struct cached *e = entry_at(c, c->last);
    int d = e ? order(e, ns, name) : 1;
    *ret = c->last;
    if (d == 0) return e;
    if (d < 0 && just_behind(c, c->last, ns, name)) /* names that are counted come like that */
        ret->at++;
    else
        *ret = lower_bound(c, ns, name);
    e = entry_at(c, *ret);
    return e && order(e, ns, name) == 0 ? e : NULL;
}

struct cached *cache_entry(const struct cache *c, const char *ns, const char *name) {
    struct place p;
    return find(c, ns, name, &p);
}

const struct api_object *cache_get(const struct cache *c, const char *ns, const char *name) {
    struct cached *e = cache_entry(c, ns, name);
    return e ? cached_object(e) : NULL;
}

const struct api_object *cache_get_whole(const struct cache *c, const char *ns, const char *name) {
    struct cached *e = cache_entry(c, ns, name);
    return e && !e->head ? cached_object(e) : NULL;
}

/* Walkers count in places: whole blocks, and the entries of one. */
static struct cached *walk_at(const struct cache *c, size_t *at) {
    struct place p = {*at / BLOCK_ENTRIES, *at % BLOCK_ENTRIES};
    if (p.block < c->blocks.n && p.at >= c->blocks.v[p.block]->n)
        p = (struct place){p.block + 1, 0};
    *at = p.block * BLOCK_ENTRIES + p.at;
    return entry_at(c, p);
}

const struct api_object *cache_next(const struct cache *c, const char *ns, size_t *at) {
    if (ns && *at == 0) {
        struct place p = lower_bound(c, ns, "");
        *at = p.block * BLOCK_ENTRIES + p.at; /* behind a full block is before the next one */
    }
    struct cached *e = walk_at(c, at);
    if (!e || (ns && strcmp(cached_ns(e), ns) != 0)) return NULL;
    ++*at;
    return cached_object(e);
}

const struct api_object *cache_old_object(const struct cache_old *o) {
    return o->entry ? cached_object(o->entry) : NULL;
}

const struct api_object *cache_old_whole(const struct cache_old *o) {
    return o->entry && !o->entry->head ? cached_object(o->entry) : NULL;
}

void cache_old_free(struct cache_old *o) {
    cached_free(o->entry);
    *o = (struct cache_old){0};
}

/* NULL: a new one. */
static struct block *block_resize(struct block *b, size_t cap) {
    size_t n = b ? b->n : 0;
    b = realloc(b, sizeof *b + cap * sizeof *b->v);
    if (!b) abort();
    b->n = n;
    b->cap = cap;
    return b;
}

static void block_insert(struct cache *c, size_t at, struct block *b) {
    vec_push(&c->blocks, b);
    memmove(c->blocks.v + at + 1, c->blocks.v + at, (c->blocks.n - 1 - at) * sizeof b);
    c->blocks.v[at] = b;
}

/* A full block: half of it becomes the next one, or nothing when what comes is behind all. */
static struct place split(struct cache *c, struct place p) {
    struct block *b = c->blocks.v[p.block];
    bool behind = p.block == c->blocks.n - 1 && p.at == b->n;
    size_t keep = behind ? b->n : b->n / 2;
    struct block *next = block_resize(NULL, behind ? BLOCK_ENTRIES_MIN : BLOCK_ENTRIES);
    next->n = b->n - keep;
    memcpy(next->v, b->v + keep, next->n * sizeof *b->v);
    b->n = keep;
    block_insert(c, p.block + 1, next);
    return p.at < keep || (p.at == keep && !behind) ? p : (struct place){p.block + 1, p.at - keep};
}

static void insert(struct cache *c, struct place p, struct cached *e) {
    if (!c->blocks.n) block_insert(c, 0, block_resize(NULL, BLOCK_ENTRIES_MIN));
    if (c->blocks.v[p.block]->n == BLOCK_ENTRIES) p = split(c, p);
    struct block *b = c->blocks.v[p.block];
    if (b->n == b->cap) b = c->blocks.v[p.block] = block_resize(b, b->cap * 2);
    memmove(b->v + p.at + 1, b->v + p.at, (b->n - p.at) * sizeof *b->v);
    b->v[p.at] = e;
    b->n++;
    c->n++;
    c->last = p;
}

static struct cache_old take_out(struct cache *c, struct place p) {
    struct block *b = c->blocks.v[p.block];
    struct cached *e = b->v[p.at];
    memmove(b->v + p.at, b->v + p.at + 1, (b->n - p.at - 1) * sizeof *b->v);
    c->n--;
    if (--b->n == 0) {
        free(b);
        vec_remove(&c->blocks, p.block);
        if (!c->blocks.n) vec_done(&c->blocks);
    }
    return (struct cache_old){e};
}

static struct cache_old put(struct cache *c, struct cached *fresh) {
    struct place p;
    struct cached *known = find(c, cached_ns(fresh), cached_name(fresh), &p);
    fresh->mark = c->mark;
    if (!known) {
        insert(c, p, fresh);
    } else {
        c->blocks.v[p.block]->v[p.at] = fresh;
        c->last = p;
    }
    return (struct cache_old){known};
}

struct cache_old cache_put(struct cache *c, struct arena *a, struct api_object *o) {
    return put(c, cached_take(c->shelf, a, o));
}

struct cache_old cache_put_copy(struct cache *c, const struct api_object *o) {
    bool forgotten = c->forget && c->forget(o);
    return put(c, forgotten ? cached_new_head(c->shelf, o) : cached_new(c->shelf, o));
}

struct cache_old cache_remove(struct cache *c, const char *ns, const char *name) {
    struct place p;
    if (!find(c, ns, name, &p)) return (struct cache_old){0};
    return take_out(c, p);
}

void cache_mark_begin(struct cache *c) { c->mark++; }

void cache_touch(struct cache *c, const char *ns, const char *name) {
    struct cached *e = cache_entry(c, ns, name);
    if (e) e->mark = c->mark;
}

struct cache_old cache_sweep(struct cache *c, size_t *at) {
    for (struct cached *e; (e = walk_at(c, at)); ++*at)
        if (e->mark != c->mark)
            return take_out(c, (struct place){*at / BLOCK_ENTRIES, *at % BLOCK_ENTRIES});
    return (struct cache_old){0};
}
