/* Deletion and eviction: the rules of src/server/verbs/remove.c and eviction.c. */
#include "api/rules/pods.h"
#include "api/values/selector.h"
#include "base/own.h"
#include "sim/api.h"
#include "sim/oracle.h"

int api_remove(struct sim *s, const struct api_kind *k, const char *ns, const char *name,
               const struct sim_delete *d, struct sim_object **ret, struct err *err) {
    OWN(arena_free_p) struct arena *a = arena_new();
    struct sim_object *current = store_get(store_resource(s, k), ns, name);
    if (!current)
        return err_set(err, ERR_NOT_FOUND, "%s \"%s\" not found", k->plural, str_or(name, ""));
    struct api_object *o = store_decode(a, current);
    if (d->uid && !str_eq(d->uid, o->metadata.uid))
        return err_set(err, ERR_CONFLICT,
                       "Precondition failed: UID in precondition: %s, UID in object meta: %s",
                       d->uid, o->metadata.uid);
    if (d->resource_version && !str_eq(d->resource_version, o->metadata.resource_version))
        return err_set(err, ERR_CONFLICT, "Precondition failed: ResourceVersion");
    if (ret) *ret = current;
    const struct deletion how = {.grace_s = d->grace_s, .policy = d->policy};
    switch (deletion_apply(a, k, o, &how, sim_wall_ns(s))) {
    case DELETION_NOTHING: break;
    case DELETION_LATER:
        current = store_put(s, k, o);
        if (ret) *ret = current;
        break;
    case DELETION_NOW:
        store_remove(s, k, o);
        if (ret) *ret = NULL;
        break;
    }
    return 0;
}

/* ---- eviction ---- */

static struct policy_v1_pod_disruption_budget *find_budget(struct sim *s, struct arena *a,
                                                           const struct core_v1_pod *pod,
                                                           struct sim_object **ret_stored) {
    struct sim_resource *r = store_resource_of(s, "policy", "PodDisruptionBudget");
    size_t n = 0;
    OWN(free_p) struct sim_object **list = r ? store_list(r, &n) : NULL;
    for (size_t i = 0; i < n; i++) {
        if (!str_eq(list[i]->ns, pod->metadata.namespace)) continue;
        struct policy_v1_pod_disruption_budget *b = (void *)store_decode(a, list[i]);
        struct selector *selector;
        if (!b->spec.selector || selector_from_labels(a, b->spec.selector, &selector, NULL) < 0 ||
            !selector_matches(selector, &pod->metadata.labels))
            continue;
        *ret_stored = list[i];
        return b;
    }
    return NULL;
}

int api_evict(struct sim *s, const char *ns, const char *name, const struct sim_delete *d,
              struct err *err) {
    OWN(arena_free_p) struct arena *a = arena_new();
    const struct api_kind *k = api_kind_by_name("", "v1", "Pod");
    struct sim_object *o = store_get(store_resource(s, k), ns, name), *stored;
    if (!o) return err_set(err, ERR_NOT_FOUND, "pods \"%s\" not found", name);
    const struct core_v1_pod *pod = (const void *)store_decode(a, o);
    bool beyond =
        pod_is_terminal(pod) || pod_is_terminating(pod) || str_eq(pod->status.phase, "Pending");
    struct policy_v1_pod_disruption_budget *b = beyond ? NULL : find_budget(s, a, pod, &stored);
    if (!b || eviction_is_free(pod, b)) return api_remove(s, k, ns, name, d, NULL, err);
    if (!(s->bugs & SIM_BUG_EVICT) && (b->status.observed_generation < b->metadata.generation ||
                                       b->status.disruptions_allowed <= 0))
        return err_set(err, ERR_TOO_MANY_REQUESTS,
                       "Cannot evict pod as it would violate the pod's disruption budget.");
    oracle_eviction(s, stored);
    b->status.disruptions_allowed--;
    str_map_set(a, &b->status.disrupted_pods, name, api_now(s, a));
    store_put(s, stored->kind, (struct api_object *)(void *)b);
    return api_remove(s, k, ns, name, d, NULL, err);
}
