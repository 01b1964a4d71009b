/*
 * Gives every claim a volume: one that is there, or one that its class makes. A claim of a class
 * that waits (WaitForFirstConsumer) gets one when the scheduler has selected the node of its pod,
 * or has tied a volume to it itself.
 */
#include "base/own.h"
#include "controllers/volumes/binding.h"

static bool same_modes(const struct str_list *x, const struct str_list *y) {
    if (x->n != y->n) return false;
    for (size_t i = 0; i < x->n; i++)
        if (!str_eq(x->v[i], y->v[i])) return false;
    return true;
}

/* v NULL: it has none. The capacity is only told at first: later it changes as the volume grows. */
static void claim_show(struct plan *p, const claim_t *c, const char *phase, const volume_t *v) {
    const char *has = v ? str_map_get(&v->spec.capacity, "storage") : NULL;
    bool same = str_eq(c->status.phase, phase);
    if (same && (!v || (same_modes(&c->status.access_modes, &v->spec.access_modes) &&
                        (!has || str_map_get(&c->status.capacity, "storage")))))
        return;
    claim_t *now = (claim_t *)api_object_copy(plan_arena(p),
                                              api_kind_by_name("", "v1", "PersistentVolumeClaim"),
                                              (const struct api_object *)c);
    now->status.phase = phase;
    now->status.access_modes = v ? v->spec.access_modes : (struct str_list){0};
    if (!v) now->status.capacity = (struct str_map){0};
    if (has && (!same || !str_map_get(&now->status.capacity, "storage")))
        str_map_set(plan_arena(p), &now->status.capacity, "storage", has);
    plan_update_status(p, (const struct api_object *)now);
}

static void tell(struct plan *p, const claim_t *c, const char *type, const char *reason,
                 const char *text) {
    plan_event(p, (const struct api_object *)c, type, reason, "%s", text);
}

/* ---- a claim that has been tied ---- */

static void lose(struct plan *p, const claim_t *c, const char *reason, const char *text) {
    if (!str_eq(c->status.phase, "Lost")) tell(p, c, "Warning", reason, text);
    claim_show(p, c, "Lost", NULL);
}

static void keep(const struct world *w, struct plan *p, const claim_t *c) {
    const volume_t *v = str_empty(c->spec.volume_name) ? NULL : volume_get(w, c->spec.volume_name);
    if (str_empty(c->spec.volume_name))
        lose(p, c, "ClaimLost",
             "Bound claim has lost reference to PersistentVolume. Data on the volume is lost!");
    else if (!v)
        lose(p, c, "ClaimLost",
             "Bound claim has lost its PersistentVolume. Data on the volume is lost!");
    else if (!v->spec.claim_ref || volume_is_for(v, c))
        binding_make(p, v, c), claim_show(p, c, "Bound", v);
    else
        lose(p, c, "ClaimMisbound",
             "Two claims are bound to the same volume, this one is bound incorrectly");
}

/* ---- a claim that names its volume ---- */

static void take_named(const struct world *w, struct plan *p, const claim_t *c) {
    const volume_t *v = volume_get(w, c->spec.volume_name);
    const char *misfit = v && !v->spec.claim_ref ? volume_misfit(plan_arena(p), v, c) : NULL;
    if (v && !misfit && (!v->spec.claim_ref || volume_is_for(v, c))) {
        binding_make(p, v, c);
        return;
    }
    if (misfit)
        plan_event(p, (const struct api_object *)c, "Warning", "VolumeMismatch",
                   "Cannot bind to requested volume \"%s\": %s", v->metadata.name, misfit);
    else if (v)
        plan_event(p, (const struct api_object *)c, "Warning", "FailedBinding",
                   "volume \"%s\" already bound to a different claim.", v->metadata.name);
    claim_show(p, c, "Pending", NULL);
}

/* ---- a claim that looks for one ---- */

static const struct storage_v1_storage_class *class_of(const struct world *w, const claim_t *c) {
    return (const struct storage_v1_storage_class *)world_get(w, "StorageClass", NULL,
                                                              claim_class(c));
}

/* A claim that names no class takes the default one, also when that comes later. */
static bool gets_class(const struct world *w, struct plan *p, const claim_t *c) {
    const char *name = c->spec.storage_class_name || *claim_class(c) ? NULL : default_class(w);
    if (!name) return false;
    claim_t *now = (claim_t *)api_object_copy(plan_arena(p),
                                              api_kind_by_name("", "v1", "PersistentVolumeClaim"),
                                              (const struct api_object *)c);
    now->spec.storage_class_name = name;
    plan_update(p, (const struct api_object *)now);
    return true;
}

static void look(const struct world *w, struct plan *p, const claim_t *c) {
    const struct storage_v1_storage_class *class = class_of(w, c);
    const char *node = str_or(str_map_get(&c->metadata.annotations, CLAIM_SELECTED_NODE), "");
    bool late = class && str_eq(class->volume_binding_mode, "WaitForFirstConsumer");
    const struct core_v1_node *at =
        late && *node ? (const struct core_v1_node *)world_get(w, "Node", NULL, node) : NULL;
    const volume_t *v = binding_find(w, plan_arena(p), c, late && !at, at);
    if (v) {
        binding_make(p, v, c);
        return;
    }
    if (late && !*node)
        tell(p, c, "Normal", "WaitForFirstConsumer",
             "waiting for first consumer to be created before binding");
    else if (*claim_class(c))
        provision(w, p, c, late ? node : "");
    else if (gets_class(w, p, c))
        return;
    else
        tell(p, c, "Normal", "FailedBinding",
             "no persistent volumes available for this claim and no storage class is set");
    claim_show(p, c, "Pending", NULL);
}

static int claim_reconcile(const struct world *w, const char *key, struct plan *p,
                           struct err *err) {
    (void)err;
    const char *ns, *name;
    key_split(plan_arena(p), key, &ns, &name);
    const claim_t *c = claim_get(w, ns, name);
    if (!c) return 0;
    if (str_map_get(&c->metadata.annotations, CLAIM_BIND_COMPLETED))
        keep(w, p, c);
    else if (!str_empty(c->metadata.deletion_timestamp))
        return 0; /* a claim that goes takes no volume along */
    else if (!str_empty(c->spec.volume_name))
        take_named(w, p, c);
    else
        look(w, p, c);
    return 0;
}

/* ---- what wakes it ---- */

static void add_ref(struct keys *out, const volume_t *v) {
    const struct core_v1_object_reference *ref = v->spec.claim_ref;
    if (ref) keys_add_name(out, str_or(ref->namespace, ""), str_or(ref->name, ""));
}

/* Claims that a volume which is free could be for, or that name one which was made or went. */
static void volume_map(const struct world *w, const volume_t *now, const volume_t *old,
                       struct keys *out) {
    const volume_t *v = now ? now : old;
    OWN(arena_free_p) struct arena *a = arena_new();
    if (now) add_ref(out, now);
    if (old) add_ref(out, old);
    if (v->spec.claim_ref && old && old->spec.claim_ref) return;
    size_t at = 0;
    for (const struct api_object *o; (o = world_next(w, "PersistentVolumeClaim", NULL, &at));) {
        const claim_t *c = (const claim_t *)o;
        bool named = str_eq(c->spec.volume_name, v->metadata.name);
        bool free = now && !now->spec.claim_ref && str_eq(now->status.phase, "Available");
        if (named || (free && claim_looks_for_volume(c) && !volume_misfit(a, now, c)))
            keys_add_object(out, o);
    }
}

static void class_map(const struct world *w, const char *class, struct keys *out) {
    size_t at = 0;
    for (const struct api_object *o; (o = world_next(w, "PersistentVolumeClaim", NULL, &at));) {
        const claim_t *c = (const claim_t *)o;
        if (claim_looks_for_volume(c) && (!*claim_class(c) || str_eq(claim_class(c), class)))
            keys_add_object(out, o);
    }
}

static void claim_map(const struct reconciler *r, const struct world *w, const struct api_kind *k,
                      const struct api_object *now, const struct api_object *old,
                      struct keys *out) {
    (void)r;
    if (str_eq(k->kind, "PersistentVolume"))
        volume_map(w, (const volume_t *)now, (const volume_t *)old, out);
    else if (str_eq(k->kind, "StorageClass"))
        class_map(w, (now ? now : old)->metadata.name, out);
    else if (str_eq(k->kind, "PersistentVolumeClaim"))
        keys_add_object(out, now ? now : old);
}

static const char *const watches[] = {"PersistentVolumeClaim", "PersistentVolume", "StorageClass",
                                      "Node", NULL};
static const struct reconciler claim_binder = {.name = "claim-binder",
                                               .kind = "PersistentVolumeClaim",
                                               .watches = watches,
                                               .map = claim_map,
                                               .reconcile = claim_reconcile};
RECONCILER(claim_binder);
