/* Deletion and eviction: the rules of src/server/remove.c and eviction.c. */
#include "api/pods.h"
#include "api/selector.h"
#include "base/own.h"
#include "base/times.h"
#include "sim/api.h"

static const char orphan[] = "orphan", foreground[] = "foregroundDeletion";

static bool has(const struct str_list *l, const char *s) {
    for (size_t i = 0; i < l->n; i++)
        if (str_eq(l->v[i], s)) return true;
    return false;
}

static void set_finalizer(struct arena *a, struct str_list *l, const char *name, bool wanted) {
    if (has(l, name) == wanted) return;
    struct str_list out = {0};
    for (size_t i = 0; i < l->n; i++)
        if (!str_eq(l->v[i], name)) *ARENA_PUSH(a, &out) = l->v[i];
    if (wanted) *ARENA_PUSH(a, &out) = name;
    *l = out;
}

static int64_t pod_grace_s(const struct core_v1_pod *pod, int64_t asked_s) {
    if (str_empty(pod->spec.node_name) || pod_is_terminal(pod)) return 0;
    int64_t grace_s = asked_s;
    if (grace_s < 0)
        grace_s = pod->spec.termination_grace_period_seconds
                      ? *pod->spec.termination_grace_period_seconds
                      : 30;
    return grace_s < 0 ? 1 : grace_s;
}

static void set_deadline(struct sim *s, struct arena *a, struct meta_v1_object_meta *m,
                         int64_t grace_s) {
    int64_t start_ns = sim_wall_ns(s), old_end_ns;
    if (!str_empty(m->deletion_timestamp) && time_parse(m->deletion_timestamp, &old_end_ns) == 0 &&
        m->deletion_grace_period_seconds)
        start_ns = old_end_ns - *m->deletion_grace_period_seconds * 1000000000;
    char text[TIME_TEXT_MAX];
    time_format(text, start_ns + grace_s * 1000000000);
    m->deletion_timestamp = arena_str(a, text);
    m->deletion_grace_period_seconds = arena_copy(a, &grace_s, sizeof grace_s);
}

enum outcome { NOW, LATER, NOTHING };

static enum outcome decide(struct sim *s, struct arena *a, const struct api_kind *k,
                           struct api_object *o, const struct sim_delete *d) {
    struct meta_v1_object_meta *m = &o->metadata;
    size_t n_before = m->finalizers.n;
    if (d->policy != PROPAGATE_AS_IS) {
        set_finalizer(a, &m->finalizers, foreground, d->policy == PROPAGATE_FOREGROUND);
        set_finalizer(a, &m->finalizers, orphan, d->policy == PROPAGATE_ORPHAN);
    }
    int64_t grace_s = 0;
    if (str_eq(k->kind, "Pod"))
        grace_s = pod_grace_s((const struct core_v1_pod *)(const void *)o, d->grace_s);
    bool dying = !str_empty(m->deletion_timestamp), namespace_full = false;
    int64_t left_s = m->deletion_grace_period_seconds ? *m->deletion_grace_period_seconds : 0;
    if (str_eq(k->kind, "Namespace")) {
        struct core_v1_namespace *n = (void *)o;
        n->status.phase = "Terminating";
        namespace_full = n->spec.finalizers.n > 0;
    }
    if (dying && d->grace_s < 0) grace_s = left_s;
    if (grace_s == 0 && !m->finalizers.n && !namespace_full) return NOW;
    if (dying && grace_s >= left_s && m->finalizers.n == n_before) return NOTHING;
    if (!dying || grace_s < left_s) set_deadline(s, a, m, grace_s);
    if (!dying && k->flags & API_GENERATION) m->generation++;
    return LATER;
}

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
    switch (decide(s, a, k, o, d)) {
    case NOTHING: break;
    case LATER:
        current = store_put(s, k, o);
        if (ret) *ret = current;
        break;
    case NOW:
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

static bool goes_free(const struct core_v1_pod *pod,
                      const struct policy_v1_pod_disruption_budget *b) {
    if (pod_is_ready(pod)) return false;
    if (str_eq(b->spec.unhealthy_pod_eviction_policy, "AlwaysAllow")) return true;
    return b->status.current_healthy >= b->status.desired_healthy && b->status.desired_healthy > 0;
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
    if (!b || goes_free(pod, b)) return api_remove(s, k, ns, name, d, NULL, err);
    if (b->status.observed_generation < b->metadata.generation ||
        b->status.disruptions_allowed <= 0)
        return err_set(err, ERR_TOO_MANY_REQUESTS,
                       "Cannot evict pod as it would violate the pod's disruption budget.");
    b->status.disruptions_allowed--;
    str_map_set(a, &b->status.disrupted_pods, name, api_now(s, a));
    store_put(s, stored->kind, (struct api_object *)(void *)b);
    return api_remove(s, k, ns, name, d, NULL, err);
}
