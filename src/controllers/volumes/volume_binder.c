/* The other side: which phase a volume is in by what its claim says, and what happens to it when
 * that has gone. */
#include "controllers/volumes/binding.h"

enum { ASK_MS = 1000 };

static void volume_show(const struct world *w, struct plan *p, const volume_t *v, const char *phase,
                        const char *reason, const char *message) {
    if (str_eq(v->status.phase, phase) && str_eq(str_or(v->status.reason, ""), "") &&
        str_eq(str_or(v->status.message, ""), message))
        return;
    volume_t *now =
        (volume_t *)api_object_copy(plan_arena(p), api_kind_by_name("", "v1", "PersistentVolume"),
                                    (const struct api_object *)v);
    if (!str_eq(v->status.phase, phase))
        now->status.last_phase_transition_time = now_text(plan_arena(p), w);
    now->status.phase = phase;
    now->status.reason = NULL;
    now->status.message = *message ? message : NULL;
    plan_update_status(p, (const struct api_object *)now);
    if (*message) plan_event(p, (const struct api_object *)v, "Warning", reason, "%s", message);
}

static void *uid_read(struct arena *a, struct slice body) {
    struct api_object *o = NULL;
    if (api_object_decode(a, api_kind_by_name("", "v1", "PersistentVolumeClaim"), body, &o, NULL))
        return NULL;
    return (void *)(uintptr_t)o->metadata.uid;
}

/* The world may not know a claim yet that somebody else has tied a volume to: the API is asked
 * before a volume is given up. */
static bool claim_has_gone(const struct world *w, struct plan *p, const volume_t *v) {
    const struct core_v1_object_reference *ref = v->spec.claim_ref;
    struct arena *a = plan_arena(p);
    const char *path = arena_printf(a, "/api/v1/namespaces/%s/persistentvolumeclaims/%s",
                                    str_or(ref->namespace, ""), str_or(ref->name, ""));
    const struct fact *f = world_fact(w, path);
    plan_want(p, path, ASK_MS);
    if (!f || f->error) return f && f->reason == ERR_NOT_FOUND;
    const char *uid = fact_read(f, uid_read);
    return uid && !str_eq(uid, ref->uid);
}

static void release(const struct world *w, struct plan *p, const volume_t *v) {
    const char *reason = "", *message = "";
    if (!str_eq(v->status.phase, "Released") && !str_eq(v->status.phase, "Failed")) {
        if (volume_claim(w, v) || claim_has_gone(w, p, v)) volume_show(w, p, v, "Released", "", "");
        return;
    }
    const char *phase = reclaim(w, p, v, &reason, &message);
    if (str_eq(phase, "Failed") && !*message) return; /* has failed before; the policy changed */
    volume_show(w, p, v, phase, reason, message);
}

static bool modes_differ(const volume_t *v, const claim_t *c) {
    return !str_eq(str_or(v->spec.volume_mode, "Filesystem"),
                   str_or(c->spec.volume_mode, "Filesystem"));
}

static void tied(const struct world *w, struct plan *p, const volume_t *v, const claim_t *c) {
    bool made_for_it = str_map_get(&v->metadata.annotations, VOLUME_PROVISIONED_BY) &&
                       str_eq(v->spec.persistent_volume_reclaim_policy, "Delete");
    if (str_eq(c->spec.volume_name, v->metadata.name)) {
        volume_show(w, p, v, "Bound", "", "");
    } else if (str_empty(c->spec.volume_name)) {
        if (!modes_differ(v, c)) return; /* the claim's side is under way */
        plan_event(p, (const struct api_object *)v, "Warning", "VolumeMismatch",
                   "Cannot bind PersistentVolume to requested PersistentVolumeClaim \"%s\" due to "
                   "incompatible volumeMode.",
                   c->metadata.name);
        plan_event(p, (const struct api_object *)c, "Warning", "VolumeMismatch",
                   "Cannot bind PersistentVolume \"%s\" to requested PersistentVolumeClaim due to "
                   "incompatible volumeMode.",
                   v->metadata.name);
    } else if (made_for_it) {
        release(w, p, v); /* the claim has another one, nobody needs this */
    } else {
        binding_undo(p, v);
    }
}

static int volume_reconcile(const struct world *w, const char *key, struct plan *p,
                            struct err *err) {
    (void)err;
    const volume_t *v = volume_get(w, key);
    if (!v) return 0;
    if (!v->spec.claim_ref || str_empty(v->spec.claim_ref->uid)) {
        volume_show(w, p, v, "Available", "", "");
        return 0;
    }
    const claim_t *c = volume_claim(w, v);
    if (c)
        tied(w, p, v, c);
    else
        release(w, p, v);
    return 0;
}

/* ---- what wakes it ---- */

static void claim_changed(const struct world *w, const claim_t *now, const claim_t *old,
                          struct keys *out) {
    if (now && !str_empty(now->spec.volume_name)) keys_add(out, now->spec.volume_name);
    if (old && !str_empty(old->spec.volume_name)) keys_add(out, old->spec.volume_name);
    if (now && old && str_eq(now->spec.volume_name, old->spec.volume_name)) return;
    const claim_t *c = now ? now : old;
    if (now && str_empty(now->spec.volume_name)) return; /* its binding will change the volume */
    size_t at = 0;
    for (const struct api_object *o; (o = world_next(w, "PersistentVolume", NULL, &at));) {
        const struct core_v1_object_reference *ref = ((const volume_t *)o)->spec.claim_ref;
        if (ref && str_eq(ref->name, c->metadata.name) &&
            str_eq(ref->namespace, c->metadata.namespace))
            keys_add_object(out, o);
    }
}

static void volume_map(const struct reconciler *r, const struct world *w, const struct api_kind *k,
                       const struct api_object *now, const struct api_object *old,
                       struct keys *out) {
    (void)r;
    size_t at = 0;
    if (str_eq(k->kind, "PersistentVolume")) {
        keys_add_object(out, now ? now : old);
    } else if (str_eq(k->kind, "PersistentVolumeClaim")) {
        claim_changed(w, (const claim_t *)now, (const claim_t *)old, out);
    } else if (!now) { /* a node has gone, and what was on it */
        for (const struct api_object *o; (o = world_next(w, "PersistentVolume", NULL, &at));)
            if (volume_is_local_to((const volume_t *)o, old->metadata.name))
                keys_add_object(out, o);
    }
}

static const char *const watches[] = {"PersistentVolume", "PersistentVolumeClaim", "Node", NULL};
static const struct reconciler volume_binder = {.name = "volume-binder",
                                                .kind = "PersistentVolume",
                                                .watches = watches,
                                                .map = volume_map,
                                                .reconcile = volume_reconcile};
RECONCILER(volume_binder);
