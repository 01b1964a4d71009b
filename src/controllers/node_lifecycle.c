/*
 * Node lifecycle: a node whose Lease is not renewed becomes Unknown; nodes that are not ready are
 * tainted, and pods that do not tolerate that (any longer) are deleted.
 */
#include <string.h>

#include "base/own.h"
#include "base/times.h"
#include "controllers/common.h"

enum { LEASE_GRACE_MS = 40 * 1000 };
static const char not_ready[] = "node.kubernetes.io/not-ready";
static const char unreachable[] = "node.kubernetes.io/unreachable";

typedef struct core_v1_node node;

static const struct core_v1_node_condition *ready_condition(const node *n) {
    for (size_t i = 0; i < n->status.conditions.n; i++)
        if (str_eq(n->status.conditions.v[i].type, "Ready")) return &n->status.conditions.v[i];
    return NULL;
}

/* Milliseconds until the lease counts as lost; ≤ 0 when it is. Nodes that never had a lease are
 * measured from their creation. */
static int64_t lease_left_ms(const struct world *w, const node *n) {
    const struct coordination_v1_lease *l = (const struct coordination_v1_lease *)world_get(
        w, "Lease", "kube-node-lease", n->metadata.name);
    const char *text = l ? l->spec.renew_time : n->metadata.creation_timestamp;
    int64_t renewed;
    if (time_parse(str_or(text, ""), &renewed) < 0) return LEASE_GRACE_MS;
    return (renewed - world_now_ns(w)) / 1000000 + LEASE_GRACE_MS;
}

static void mark_unknown(const struct world *w, const node *n, struct plan *p) {
    struct arena *a = plan_arena(p);
    node *copy = (node *)api_object_copy(a, api_kind_by_name("", "v1", "Node"),
                                         (const struct api_object *)n);
    for (size_t i = 0; i < copy->status.conditions.n; i++) {
        struct core_v1_node_condition *c = &copy->status.conditions.v[i];
        if (str_eq(c->status, "Unknown")) continue;
        c->status = "Unknown";
        c->reason = "NodeStatusUnknown";
        c->message = "The node agent stopped renewing its lease.";
        c->last_transition_time = now_text(a, w);
    }
    plan_update_status(p, (struct api_object *)copy);
    plan_event(p, (const struct api_object *)n, "Normal", "NodeNotReady",
               "Node %s status is now: NodeNotReady", n->metadata.name);
}

static bool has_taint(const node *n, const char *key, const char *effect) {
    for (size_t i = 0; i < n->spec.taints.n; i++)
        if (str_eq(n->spec.taints.v[i].key, key) && str_eq(n->spec.taints.v[i].effect, effect))
            return true;
    return false;
}

/* The taints this controller owns, as the Ready condition wants them. True when the plan changes
 * the node. */
static bool write_taints(const struct world *w, const node *n, const char *want, struct plan *p) {
    static const char *const effects[] = {"NoSchedule", "NoExecute"};
    struct arena *a = plan_arena(p);
    bool same = true;
    for (size_t i = 0; i < ARRAY_LEN(effects); i++) {
        same = same && has_taint(n, not_ready, effects[i]) == (want == not_ready);
        same = same && has_taint(n, unreachable, effects[i]) == (want == unreachable);
    }
    if (same) return false;
    node *copy = (node *)api_object_copy(a, api_kind_by_name("", "v1", "Node"),
                                         (const struct api_object *)n);
    copy->spec.taints.n = 0;
    copy->spec.taints.v = NULL;
    for (size_t i = 0; i < n->spec.taints.n; i++) {
        const struct core_v1_taint *t = &n->spec.taints.v[i];
        if (!str_eq(t->key, not_ready) && !str_eq(t->key, unreachable))
            *ARENA_PUSH(a, &copy->spec.taints) = *t;
    }
    for (size_t i = 0; want && i < ARRAY_LEN(effects); i++)
        *ARENA_PUSH(a, &copy->spec.taints) =
            (struct core_v1_taint){.key = want, .effect = effects[i], .time_added = now_text(a, w)};
    plan_update(p, (struct api_object *)copy);
    return true;
}

/* Seconds the pod may stay: −1 for ever, 0 not at all. */
static int64_t tolerated_s(const struct core_v1_pod *pod, const char *key) {
    int64_t best = 0;
    for (size_t i = 0; i < pod->spec.tolerations.n; i++) {
        const struct core_v1_toleration *t = &pod->spec.tolerations.v[i];
        bool key_fits = str_empty(t->key) ? str_eq(t->operator, "Exists") : str_eq(t->key, key);
        bool effect_fits = str_empty(t->effect) || str_eq(t->effect, "NoExecute");
        if (!key_fits || !effect_fits) continue;
        if (!t->toleration_seconds) return -1;
        best = MAX_OF(best, *t->toleration_seconds);
    }
    return best;
}

static void evict(const struct world *w, const node *n, const char *key, struct plan *p) {
    int64_t since = world_now_ns(w);
    for (size_t i = 0; i < n->spec.taints.n; i++)
        if (str_eq(n->spec.taints.v[i].key, key) && n->spec.taints.v[i].time_added)
            time_parse(n->spec.taints.v[i].time_added, &since);
    const struct api_object *o;
    size_t at = 0;
    while ((o = world_next(w, "Pod", NULL, &at))) {
        const struct core_v1_pod *pod = (const struct core_v1_pod *)o;
        if (!str_eq(pod->spec.node_name, n->metadata.name) || pod->metadata.deletion_timestamp)
            continue;
        int64_t stay_s = tolerated_s(pod, key);
        if (stay_s < 0) continue;
        int64_t left_ms = (since - world_now_ns(w)) / 1000000 + stay_s * 1000;
        if (left_ms > 0)
            plan_requeue(p, (uint64_t)left_ms);
        else
            plan_delete(p, o, NULL);
    }
}

static int reconcile(const struct world *w, const char *key, struct plan *p, struct err *err) {
    (void)err;
    const node *n = (const node *)world_get(w, "Node", NULL, key);
    if (!n || n->metadata.deletion_timestamp) return 0;
    const struct core_v1_node_condition *ready = ready_condition(n);
    int64_t left_ms = lease_left_ms(w, n);
    if (left_ms > 0)
        plan_requeue(p, (uint64_t)left_ms);
    else if (ready && !str_eq(ready->status, "Unknown")) {
        mark_unknown(w, n, p);
        return 0;
    }
    const char *want = NULL;
    if (ready && str_eq(ready->status, "Unknown"))
        want = unreachable;
    else if (ready && str_eq(ready->status, "False"))
        want = not_ready;
    if (!write_taints(w, n, want, p) && want) evict(w, n, want, p);
    return 0;
}

static void map(const struct reconciler *r, const struct world *w, const struct api_kind *k,
                const struct api_object *now, const struct api_object *old, struct keys *out) {
    (void)r, (void)w;
    const struct api_object *o = now ? now : old;
    if (strcmp(k->kind, "Node") == 0) keys_add(out, o->metadata.name);
    /* A renewal only moves the deadline: the node looks for itself then. The first lease and its
     * loss matter at once. */
    if (strcmp(k->kind, "Lease") == 0 && str_eq(o->metadata.namespace, "kube-node-lease") &&
        (!now || !old))
        keys_add(out, o->metadata.name);
}

static const char *const watches[] = {"Node", "Lease", "Pod", NULL};
static const struct reconciler node_lifecycle = {.name = "node-lifecycle",
                                                 .kind = "Node",
                                                 .watches = watches,
                                                 .map = map,
                                                 .reconcile = reconcile};
RECONCILER(node_lifecycle);
