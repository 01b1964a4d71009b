#include "client/cached.h"

#include <assert.h>
#include <stdlib.h>

#include "api/table.h"
#include "api/types.h"

struct shelf {
    const struct api_kind *kind;
    bool metadata_only;
    struct api_pool *pool; /* NULL: objects are not packed */
    struct api_packed packed;
    struct arena *scratch;
    VEC(struct cached *) live;
    uint32_t epoch;
};

/* Entries and shared parts of all shelves. */
static struct slab slab;

struct shelf *shelf_new(const struct api_kind *k) {
    struct shelf *s = calloc(1, sizeof *s);
    if (!s) abort();
    s->kind = k;
    return s;
}

void shelf_free(struct shelf *s) {
    if (!s) return;
    assert(s->live.n == 0);
    vec_done(&s->live);
    api_packed_done(&s->packed);
    api_pool_free(s->pool);
    arena_free(s->scratch);
    free(s);
}

void shelf_metadata_only(struct shelf *s, bool only) { s->metadata_only = only; }

void shelf_pack(struct shelf *s) {
    if (!s->pool) s->pool = api_pool_new(&slab);
}

size_t shelf_live(const struct shelf *s) { return s->live.n; }

static void let_go(struct cached *e) {
    struct shelf *s = e->shelf;
    struct cached *last = s->live.v[s->live.n - 1];
    s->live.v[last->live_at = e->live_at] = last;
    s->live.n--;
    free(e->object);
    e->object = NULL;
}

void shelf_cool(struct shelf *s, bool all) {
    for (size_t i = s->live.n; i-- > 0;)
        if (all || s->live.v[i]->used != s->epoch) let_go(s->live.v[i]);
    if (s->live.n == 0) vec_done(&s->live);
    if (all) {
        arena_free(s->scratch);
        s->scratch = NULL;
        api_packed_done(&s->packed);
        slab_trim(&slab);
    }
    s->epoch++;
}

size_t shelves_bytes(void) { return slab.used_bytes; }

/* ---- entries ---- */

static char *put_name(char *at, const char *s) {
    size_t n = strlen(str_or(s, "")) + 1;
    return (char *)memcpy(at, str_or(s, ""), n) + n;
}

/* With its names, and room for so many parts and bytes behind them. */
static struct cached *entry_new(struct shelf *s, const struct api_object *o, size_t n_parts,
                                struct slice bytes) {
    const struct meta_v1_object_meta *m = &o->metadata;
    size_t ns_n = strlen(str_or(m->namespace, "")) + 1;
    size_t names = ns_n + strlen(str_or(m->name, "")) + strlen(str_or(m->uid, "")) +
                   strlen(str_or(m->resource_version, "")) + 3;
    size_t size = sizeof(struct cached) + n_parts * sizeof(struct api_part *) + names + bytes.n;
    if (size > INT32_MAX) abort();
    struct cached *e = slab_alloc(&slab, size);
    *e = (struct cached){.shelf = s,
                         .name_at = (uint32_t)ns_n,
                         .size_bytes = (uint32_t)size,
                         .n_parts = (uint32_t)n_parts & INT32_MAX};
    char *at = put_name((char *)(e->parts + n_parts), m->namespace);
    at = put_name(put_name(put_name(at, m->name), m->uid), m->resource_version);
    if (bytes.n) memcpy(at, bytes.p, bytes.n);
    return e;
}

const struct api_kind *cached_kind(const struct cached *e) { return e->shelf->kind; }

static const char *behind(const char *s) { return s + strlen(s) + 1; }

const char *cached_uid(const struct cached *e) { return behind(cached_name(e)); }
const char *cached_revision(const struct cached *e) { return behind(cached_uid(e)); }

static const char *or_null(const char *s) { return *s ? s : NULL; }

/* An object shows the names of its entry. */
static void show_names(const struct cached *e, struct api_object *o) {
    o->api_version = e->shelf->kind->api_version;
    o->kind = e->shelf->kind->kind;
    o->metadata.namespace = or_null(cached_ns(e));
    o->metadata.name = or_null(cached_name(e));
    o->metadata.uid = or_null(cached_uid(e));
    o->metadata.resource_version = or_null(cached_revision(e));
}

/* o in scratch memory without what its entry says; what it points to is still shared. */
static struct api_object *without_names(struct shelf *s, const struct api_object *o) {
    if (!s->scratch) s->scratch = arena_new();
    arena_reset(s->scratch);
    size_t size = s->metadata_only ? sizeof *o : s->kind->type->size;
    struct api_object *bare = arena_copy(s->scratch, o, size);
    bare->api_version = bare->kind = NULL;
    bare->metadata.namespace = bare->metadata.name = NULL;
    bare->metadata.uid = bare->metadata.resource_version = NULL;
    return bare;
}

static struct api_object *copy_into(struct arena *a, const struct shelf *s,
                                    const struct api_object *o) {
    if (!s->metadata_only) return api_object_copy(a, s->kind, o);
    struct api_object *head = ARENA_NEW(a, struct api_object);
    const struct meta_v1_object_meta *m = api_copy(a, &meta_v1_object_meta_type, &o->metadata);
    head->metadata = *m;
    return head;
}

static struct cached *copy_new(struct shelf *s, const struct api_object *o) {
    struct cached *e = entry_new(s, o, 0, (struct slice){0});
    const struct api_object *bare = without_names(s, o);
    size_t before = (arena_used(s->scratch) + 15) & ~(size_t)15;
    copy_into(s->scratch, s, bare); /* the first time to learn the size */
    e->arena = arena_new_sized(arena_used(s->scratch) - before);
    e->object = copy_into(e->arena, s, bare);
    show_names(e, e->object);
    return e;
}

static struct cached *packed_new(struct shelf *s, const struct api_object *o) {
    const struct api_object *bare = without_names(s, o);
    struct api_packed *p = &s->packed;
    if (s->metadata_only)
        api_pack(s->pool, &meta_v1_object_meta_type, &bare->metadata, p);
    else
        api_pack(s->pool, s->kind->type, bare, p);
    struct cached *e = entry_new(s, o, p->parts.n, buf_view(&p->bytes));
    if (p->parts.n) memcpy(e->parts, p->parts.v, p->parts.n * sizeof(struct api_part *));
    if (p->room_bytes > UINT32_MAX) abort();
    e->room_bytes = (uint32_t)p->room_bytes;
    return e;
}

struct cached *cached_new(struct shelf *s, const struct api_object *o) {
    return s->pool ? packed_new(s, o) : copy_new(s, o);
}

struct cached *cached_new_head(struct shelf *s, const struct api_object *o) {
    struct cached *e = entry_new(s, o, 0, (struct slice){0});
    e->head = true;
    return e;
}

struct cached *cached_take(struct shelf *s, struct arena *a, struct api_object *o) {
    struct cached *e = entry_new(s, o, 0, (struct slice){0});
    e->arena = a;
    e->object = o;
    return e;
}

void cached_free(struct cached *e) {
    if (!e) return;
    if (e->arena)
        arena_free(e->arena);
    else if (e->object)
        let_go(e);
    for (size_t i = 0; i < e->n_parts; i++) api_part_unref(e->shelf->pool, e->parts[i]);
    slab_free(&slab, e, e->size_bytes);
}

/* ---- looking at them ---- */

static void *room_new(size_t size) {
    void *room = calloc(1, size);
    if (!room) abort();
    return room;
}

static struct api_object *unpack(const struct cached *e) {
    const struct shelf *s = e->shelf;
    const char *bytes = behind(cached_revision(e));
    struct api_object *o;
    if (e->head) {
        o = room_new(sizeof *o);
    } else if (s->metadata_only) {
        size_t head = (sizeof *o + 15) & ~(size_t)15;
        o = room_new(head + e->room_bytes);
        const struct meta_v1_object_meta *m =
            api_unpack(&meta_v1_object_meta_type, bytes, e->parts, (char *)o + head);
        o->metadata = *m;
    } else {
        o = api_unpack(s->kind->type, bytes, e->parts, room_new(e->room_bytes));
    }
    show_names(e, o);
    return o;
}

const struct api_object *cached_object(struct cached *e) {
    struct shelf *s = e->shelf;
    e->used = s->epoch;
    if (!e->object) {
        e->object = unpack(e);
        e->live_at = (uint32_t)s->live.n;
        vec_push(&s->live, e);
    }
    return e->object;
}
