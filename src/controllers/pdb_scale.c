#include "controllers/pdb_scale.h"

#include <string.h>

#include "base/map.h"
#include "base/own.h"

static const int32_t *deployment_replicas(const struct api_object *o) {
    return ((const struct apps_v1_deployment *)o)->spec.replicas;
}
static const int32_t *replicaset_replicas(const struct api_object *o) {
    return ((const struct apps_v1_replica_set *)o)->spec.replicas;
}
static const int32_t *statefulset_replicas(const struct api_object *o) {
    return ((const struct apps_v1_stateful_set *)o)->spec.replicas;
}
static const int32_t *controller_replicas(const struct api_object *o) {
    return ((const struct core_v1_replication_controller *)o)->spec.replicas;
}

static const struct scaled {
    const char *group, *kind;
    const int32_t *(*replicas)(const struct api_object *o);
} scaled[] = {
    {"apps", "Deployment", deployment_replicas},
    {"apps", "ReplicaSet", replicaset_replicas},
    {"apps", "StatefulSet", statefulset_replicas},
    {"", "ReplicationController", controller_replicas},
};

static struct slice group_of(const char *api_version) {
    const char *slash = strchr(str_or(api_version, ""), '/');
    return slash ? slice_from(api_version, (size_t)(slash - api_version)) : SLICE("");
}

static const struct scaled *row_of(const struct meta_v1_owner_reference *ref) {
    for (size_t i = 0; i < ARRAY_LEN(scaled); i++)
        if (str_eq(ref->kind, scaled[i].kind) &&
            slice_is(group_of(ref->api_version), scaled[i].group))
            return &scaled[i];
    return NULL;
}

/* The object a reference names, NULL when it is gone or another one. */
static const struct api_object *resolve(const struct world *w, const char *ns,
                                        const struct meta_v1_owner_reference *ref) {
    const struct api_object *o = world_get(w, ref->kind, ns, ref->name);
    return o && str_eq(o->metadata.uid, ref->uid) ? o : NULL;
}

enum found { SCALE_FOUND, SCALE_NO_OWNER, SCALE_UNKNOWN_KIND };

/* *ret_owner is whose scale it is: a Deployment for the pods of its ReplicaSets. */
static enum found find_scale(const struct world *w, const char *ns,
                             const struct meta_v1_owner_reference *ref,
                             const struct api_object **ret_owner, int32_t *ret) {
    const struct scaled *row = row_of(ref);
    if (!row) return SCALE_UNKNOWN_KIND;
    const struct api_object *o = resolve(w, ns, ref);
    if (!o) return SCALE_NO_OWNER;
    const struct meta_v1_owner_reference *above = api_controller_of(o);
    if (str_eq(ref->kind, "ReplicaSet") && above && str_eq(above->kind, "Deployment")) {
        if (!(row = row_of(above)) || !(o = resolve(w, ns, above))) return SCALE_NO_OWNER;
    }
    *ret_owner = o;
    *ret = int_or(row->replicas(o), 1);
    return SCALE_FOUND;
}

static const char *refusal(struct arena *a, enum found f, const struct core_v1_pod *pod,
                           const struct meta_v1_owner_reference *ref) {
    if (f == SCALE_NO_OWNER)
        return arena_printf(a, "found no controllers for pod \"%s\"", pod->metadata.name);
    const struct api_kind *k = api_kind_by_api_version(ref->api_version, ref->kind);
    if (k && !(k->flags & API_HAS_SCALE))
        return arena_printf(a, "%s%s%s does not implement the scale subresource", k->plural,
                            *k->group ? "." : "", k->group);
    return arena_printf(a, "the scale of %s %s, which controls pod \"%s\", is not known to budgets",
                        ref->kind, ref->name, pod->metadata.name);
}

static void tell_unmanaged(const struct policy_v1_pod_disruption_budget *b, size_t n,
                           struct plan *p) {
    if (!n || b->status.observed_generation >= b->metadata.generation) return;
    plan_event(p, (const struct api_object *)b, "Warning", "UnmanagedPods",
               "Pods selected by this PodDisruptionBudget were found to be unmanaged (%zu). As a "
               "result, the status of the PDB cannot be calculated correctly, which may result in "
               "undefined behavior. To account for these pods please set \".spec.minAvailable\" "
               "field of the PDB to an integer value.",
               n);
}

bool budget_scale(const struct world *w, const struct policy_v1_pod_disruption_budget *b,
                  const struct budget_pods *pods, struct plan *p, int32_t *ret,
                  const char **ret_why) {
    OWN(map_done) struct map seen = {0}; /* owners by uid, those above them too */
    int64_t sum = 0;
    size_t unmanaged = 0;
    for (size_t i = 0; i < pods->n; i++) {
        const struct core_v1_pod *pod = pods->v[i];
        const struct meta_v1_owner_reference *ref =
            api_controller_of((const struct api_object *)pod);
        const struct api_object *owner;
        int32_t n;
        unmanaged += !ref;
        if (!ref || map_gets(&seen, ref->uid)) continue;
        enum found f = find_scale(w, b->metadata.namespace, ref, &owner, &n);
        if (f != SCALE_FOUND) {
            *ret_why = refusal(plan_arena(p), f, pod, ref);
            return false;
        }
        if (!map_gets(&seen, owner->metadata.uid)) sum += n;
        map_put(&seen, slice_of(ref->uid), (void *)(uintptr_t)pod);
        map_put(&seen, slice_of(owner->metadata.uid), (void *)(uintptr_t)pod);
    }
    tell_unmanaged(b, unmanaged, p);
    *ret = (int32_t)MIN_OF(sum, (int64_t)INT32_MAX);
    return true;
}

bool budget_scale_changed(const struct api_kind *k, const struct api_object *now,
                          const struct api_object *old) {
    for (size_t i = 0; i < ARRAY_LEN(scaled); i++) {
        if (strcmp(k->kind, scaled[i].kind) != 0 || strcmp(k->group, scaled[i].group) != 0)
            continue;
        if (!now || !old) return true;
        const struct meta_v1_owner_reference *x = api_controller_of(now),
                                             *y = api_controller_of(old);
        return int_or(scaled[i].replicas(now), 1) != int_or(scaled[i].replicas(old), 1) ||
               !str_eq(x ? x->uid : "", y ? y->uid : "");
    }
    return false;
}
