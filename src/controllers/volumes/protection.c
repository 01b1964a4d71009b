/*
 * What is in use is not removed: a claim that a pod uses, a volume that is bound. Admission gives
 * them a finalizer; these two reconcilers take it away when the object is deleted and free.
 */
#include <string.h>

#include "controllers/common.h"

static const char claim_finalizer[] = "kubernetes.io/pvc-protection";
static const char volume_finalizer[] = "kubernetes.io/pv-protection";

static bool going(const struct api_object *o, const char *finalizer) {
    if (!o || str_empty(o->metadata.deletion_timestamp)) return false;
    for (size_t i = 0; i < o->metadata.finalizers.n; i++)
        if (str_eq(o->metadata.finalizers.v[i], finalizer)) return true;
    return false;
}

/* ---- claims ---- */

typedef void claim_fn(void *user, const char *ns, const char *claim);

/* The claims of a pod, those made for it by ephemeral volumes too. */
static void each_claim(struct arena *a, const struct core_v1_pod *pod, claim_fn *fn, void *user) {
    for (size_t i = 0; i < pod->spec.volumes.n; i++) {
        const struct core_v1_volume *v = &pod->spec.volumes.v[i];
        if (v->persistent_volume_claim)
            fn(user, pod->metadata.namespace, v->persistent_volume_claim->claim_name);
        else if (v->ephemeral)
            fn(user, pod->metadata.namespace,
               arena_printf(a, "%s-%s", pod->metadata.name, v->name));
    }
}

struct search {
    const char *claim;
    bool found;
};

static void compare(void *user, const char *ns, const char *claim) {
    struct search *s = user;
    s->found |= str_eq(claim, s->claim);
}

/* A pod that is not on a node yet does not count: none will start it with a claim that goes. */
static bool used(const struct world *w, struct arena *a, const char *ns, const char *claim) {
    struct search s = {.claim = claim};
    size_t at = 0;
    for (const struct api_object *o; !s.found && (o = world_next(w, "Pod", ns, &at));) {
        const struct core_v1_pod *pod = (const struct core_v1_pod *)o;
        if (!str_empty(pod->spec.node_name)) each_claim(a, pod, compare, &s);
    }
    return s.found;
}

static int claim_reconcile(const struct world *w, const char *key, struct plan *p,
                           struct err *err) {
    (void)err;
    const char *ns, *name;
    key_split(plan_arena(p), key, &ns, &name);
    const struct api_object *o = world_get(w, "PersistentVolumeClaim", ns, name);
    if (going(o, claim_finalizer) && !used(w, plan_arena(p), ns, name))
        plan_set_finalizers(p, o, claim_finalizer);
    return 0;
}

static void add_key(void *user, const char *ns, const char *claim) {
    keys_add_name(user, ns, claim);
}

static void claim_map(const struct reconciler *r, const struct world *w, const struct api_kind *k,
                      const struct api_object *now, const struct api_object *old,
                      struct keys *out) {
    if (strcmp(k->kind, "Pod") != 0) {
        reconciler_default_map(r, w, k, now, old, out);
        return;
    }
    if (now) return; /* only a pod that is gone sets a claim free */
    struct arena *a = arena_new();
    each_claim(a, (const struct core_v1_pod *)old, add_key, out);
    arena_free(a);
}

static const char *const claim_watches[] = {"PersistentVolumeClaim", "Pod", NULL};
static const struct reconciler claim_protection = {.name = "claim-protection",
                                                   .kind = "PersistentVolumeClaim",
                                                   .watches = claim_watches,
                                                   .map = claim_map,
                                                   .reconcile = claim_reconcile};
RECONCILER(claim_protection);

/* ---- volumes ---- */

static int volume_reconcile(const struct world *w, const char *key, struct plan *p,
                            struct err *err) {
    (void)err;
    const struct api_object *o = world_get(w, "PersistentVolume", NULL, key);
    if (!going(o, volume_finalizer)) return 0;
    const struct core_v1_persistent_volume *v = (const struct core_v1_persistent_volume *)o;
    if (!str_eq(v->status.phase, "Bound")) plan_set_finalizers(p, o, volume_finalizer);
    return 0;
}

static const char *const volume_watches[] = {"PersistentVolume", NULL};
static const struct reconciler volume_protection = {.name = "volume-protection",
                                                    .kind = "PersistentVolume",
                                                    .watches = volume_watches,
                                                    .reconcile = volume_reconcile};
RECONCILER(volume_protection);
