#include "controllers/volumes/binding.h"

#include <stdlib.h>

#include "api/values/quantity.h"

static const char yes[] = "yes";

const claim_t *claim_get(const struct world *w, const char *ns, const char *name) {
    return (const claim_t *)world_get(w, "PersistentVolumeClaim", ns, name);
}

const volume_t *volume_get(const struct world *w, const char *name) {
    return (const volume_t *)world_get(w, "PersistentVolume", NULL, name);
}

const claim_t *volume_claim(const struct world *w, const volume_t *v) {
    const struct core_v1_object_reference *ref = v->spec.claim_ref;
    if (!ref) return NULL;
    const claim_t *c = claim_get(w, str_or(ref->namespace, ""), str_or(ref->name, ""));
    return c && volume_is_for(v, c) ? c : NULL;
}

bool claim_looks_for_volume(const claim_t *c) {
    return str_empty(c->spec.volume_name) && str_empty(c->metadata.deletion_timestamp) &&
           !str_map_get(&c->metadata.annotations, CLAIM_BIND_COMPLETED);
}

/* ---- finding ---- */

struct candidates {
    const volume_t **v;
    size_t n;
};

/* Claims of that class which look for a volume and come before this one. */
static size_t rank_of(const struct world *w, const claim_t *c) {
    size_t rank = 0, at = 0;
    for (const struct api_object *o; (o = world_next(w, "PersistentVolumeClaim", NULL, &at));) {
        const claim_t *other = (const claim_t *)o;
        if (other == c) break;
        rank += claim_looks_for_volume(other) && str_eq(claim_class(other), claim_class(c));
    }
    return rank;
}

static const volume_t *smallest(const struct world *w, struct candidates *all, const claim_t *c) {
    size_t equal = 1;
    if (!all->n) return NULL;
    qsort(all->v, all->n, sizeof all->v[0], volume_cmp_size);
    while (equal < all->n &&
           quantity_cmp(str_map_get(&all->v[0]->spec.capacity, "storage"),
                        str_map_get(&all->v[equal]->spec.capacity, "storage")) == 0)
        equal++;
    return all->v[equal > 1 ? rank_of(w, c) % equal : 0];
}

const volume_t *binding_find(const struct world *w, struct arena *a, const claim_t *c,
                             bool only_kept, const struct core_v1_node *node) {
    const char *asked = str_or(str_map_get(&c->spec.resources.requests, "storage"), "0");
    struct candidates all = {0};
    size_t at = 0;
    for (const struct api_object *o; (o = world_next(w, "PersistentVolume", NULL, &at));) {
        const volume_t *v = (const volume_t *)o;
        if (v->spec.claim_ref) {
            bool kept =
                volume_is_for(v, c) && str_empty(v->metadata.deletion_timestamp) &&
                str_eq(str_or(v->spec.volume_mode, "Filesystem"),
                       str_or(c->spec.volume_mode, "Filesystem")) &&
                quantity_cmp(str_or(str_map_get(&v->spec.capacity, "storage"), "0"), asked) >= 0;
            if (kept) return v;
            continue;
        }
        if (only_kept || !str_eq(v->status.phase, "Available") || volume_misfit(a, v, c) ||
            !claim_selects(a, c, v) || (node && !volume_reaches(v, node)))
            continue;
        *ARENA_PUSH(a, &all) = v;
    }
    return smallest(w, &all, c);
}

/* ---- tying ---- */

static volume_t *volume_copy(struct plan *p, const volume_t *v) {
    return (volume_t *)api_object_copy(plan_arena(p),
                                       api_kind_by_name("", "v1", "PersistentVolume"),
                                       (const struct api_object *)v);
}

static void volume_take(struct plan *p, const volume_t *v, const claim_t *c) {
    const struct core_v1_object_reference *have = v->spec.claim_ref;
    if (have && str_eq(have->uid, c->metadata.uid)) return;
    volume_t *now = volume_copy(p, v);
    struct core_v1_object_reference *ref =
        ARENA_NEW(plan_arena(p), struct core_v1_object_reference);
    ref->api_version = "v1";
    ref->kind = "PersistentVolumeClaim";
    ref->namespace = c->metadata.namespace;
    ref->name = c->metadata.name;
    ref->uid = c->metadata.uid;
    ref->resource_version = c->metadata.resource_version;
    now->spec.claim_ref = ref;
    if (!have)
        str_map_set(plan_arena(p), &now->metadata.annotations, CLAIM_BOUND_BY_CONTROLLER, yes);
    plan_update(p, (const struct api_object *)now);
}

static void claim_take(struct plan *p, const volume_t *v, const claim_t *c) {
    bool named = str_eq(c->spec.volume_name, v->metadata.name);
    if (named && str_map_get(&c->metadata.annotations, CLAIM_BIND_COMPLETED)) return;
    claim_t *now = (claim_t *)api_object_copy(plan_arena(p),
                                              api_kind_by_name("", "v1", "PersistentVolumeClaim"),
                                              (const struct api_object *)c);
    struct str_map *notes = &now->metadata.annotations;
    if (!named) str_map_set(plan_arena(p), notes, CLAIM_BOUND_BY_CONTROLLER, yes);
    str_map_set(plan_arena(p), notes, CLAIM_BIND_COMPLETED, yes);
    now->spec.volume_name = v->metadata.name;
    plan_update(p, (const struct api_object *)now);
}

void binding_make(struct plan *p, const volume_t *v, const claim_t *c) {
    volume_take(p, v, c);
    claim_take(p, v, c);
}

void binding_undo(struct plan *p, const volume_t *v) {
    volume_t *now = volume_copy(p, v);
    struct str_map *notes = &now->metadata.annotations, rest = {0};
    if (str_map_get(notes, CLAIM_BOUND_BY_CONTROLLER)) {
        now->spec.claim_ref = NULL;
        for (size_t i = 0; i < notes->n; i++)
            if (!str_eq(notes->v[i].key, CLAIM_BOUND_BY_CONTROLLER))
                *ARENA_PUSH(plan_arena(p), &rest) = notes->v[i];
        *notes = rest;
    } else {
        now->spec.claim_ref->uid = NULL;
        now->spec.claim_ref->resource_version = NULL;
    }
    plan_update(p, (const struct api_object *)now);
}
