/* Makes the claims of ephemeral volumes: one for each, named after the pod and the volume, owned by
 * the pod so that it goes with it. A claim of that name that is somebody else's stays as it is; the
 * scheduler says what is wrong. */
#include "base/own.h"
#include "controllers/common.h"

static void make(struct plan *p, const struct core_v1_pod *pod, const struct core_v1_volume *v,
                 const char *name) {
    struct arena *a = plan_arena(p);
    const struct core_v1_persistent_volume_claim_template *t = v->ephemeral->volume_claim_template;
    struct core_v1_persistent_volume_claim *c =
        (struct core_v1_persistent_volume_claim *)api_object_new(
            a, api_kind_by_name("", "v1", "PersistentVolumeClaim"));
    c->metadata.name = name;
    c->metadata.namespace = pod->metadata.namespace;
    c->metadata.labels = t->metadata.labels;
    c->metadata.annotations = t->metadata.annotations;
    *ARENA_PUSH(a, &c->metadata.owner_references) =
        controller_reference(a, (const struct api_object *)pod);
    c->spec = t->spec;
    plan_create(p, (const struct api_object *)c);
}

static int reconcile(const struct world *w, const char *key, struct plan *p, struct err *err) {
    (void)err;
    const char *ns, *name;
    key_split(plan_arena(p), key, &ns, &name);
    const struct core_v1_pod *pod = (const struct core_v1_pod *)world_get(w, "Pod", ns, name);
    if (!pod || !str_empty(pod->metadata.deletion_timestamp)) return 0;
    for (size_t i = 0; i < pod->spec.volumes.n; i++) {
        const struct core_v1_volume *v = &pod->spec.volumes.v[i];
        if (!v->ephemeral || !v->ephemeral->volume_claim_template) continue;
        const char *claim = arena_printf(plan_arena(p), "%s-%s", name, v->name);
        if (!world_get(w, "PersistentVolumeClaim", ns, claim)) make(p, pod, v, claim);
    }
    return 0;
}

static bool has_ephemeral(const struct core_v1_pod *pod) {
    for (size_t i = 0; i < pod->spec.volumes.n; i++)
        if (pod->spec.volumes.v[i].ephemeral) return true;
    return false;
}

/* Few pods have such volumes: the others never become keys. */
static void map(const struct reconciler *r, const struct world *w, const struct api_kind *k,
                const struct api_object *now, const struct api_object *old, struct keys *out) {
    if (!str_eq(k->kind, "Pod"))
        reconciler_default_map(r, w, k, now, old, out);
    else if (now && has_ephemeral((const struct core_v1_pod *)now))
        keys_add_object(out, now);
}

static const char *const watches[] = {"Pod", "PersistentVolumeClaim", NULL};
static const struct reconciler ephemeral_claims = {.name = "ephemeral-claims",
                                                   .kind = "Pod",
                                                   .watches = watches,
                                                   .map = map,
                                                   .reconcile = reconcile};
RECONCILER(ephemeral_claims);
