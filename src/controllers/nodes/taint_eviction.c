/*
 * Taint-based eviction: a pod that does not tolerate a NoExecute taint of its node is deleted, one
 * that tolerates it for a time when that is over. The time counts from when the taint was put on
 * (timeAdded, which node-lifecycle writes where it is missing) or the pod was bound, whichever is
 * later: from the objects alone, so that a restart of this process changes nothing.
 */
#include <string.h>

#include "api/rules/node_match.h"
#include "api/rules/pods.h"
#include "base/own.h"
#include "base/times.h"
#include "controllers/nodes/node_lifecycle.h"

#define FOR_EVER INT64_MAX

/* When the pod came to its node. */
static int64_t bound_ns(const struct core_v1_pod *pod) {
    const struct core_v1_pod_condition *c = pod_condition_get(pod, "PodScheduled");
    const char *text = c ? c->last_transition_time : NULL;
    int64_t at_ns = 0;
    if (time_parse(str_or(text ? text : pod->metadata.creation_timestamp, ""), &at_ns) < 0)
        return 0;
    return at_ns;
}

/* When the pod must go because of this taint; FOR_EVER: it may stay. */
static int64_t deadline_ns(const struct world *w, const struct core_v1_pod *pod,
                           const struct core_v1_taint *t) {
    int64_t now_ns = world_now_ns(w), added_ns = now_ns, end_ns;
    for (size_t i = 0; i < pod->spec.tolerations.n; i++) {
        const struct core_v1_toleration *l = &pod->spec.tolerations.v[i];
        if (!toleration_covers(l, t->key, t->value, t->effect)) continue;
        if (!l->toleration_seconds) return FOR_EVER;
        if (!str_empty(t->time_added)) time_parse(t->time_added, &added_ns);
        added_ns = MAX_OF(added_ns, bound_ns(pod));
        int64_t stay_s = MAX_OF(*l->toleration_seconds, (int64_t)0), stay_ns;
        if (__builtin_mul_overflow(stay_s, INT64_C(1000000000), &stay_ns) ||
            __builtin_add_overflow(added_ns, stay_ns, &end_ns))
            return FOR_EVER;
        return end_ns;
    }
    return now_ns;
}

static int64_t first_deadline_ns(const struct world *w, const struct core_v1_pod *pod,
                                 const node *n) {
    int64_t first_ns = FOR_EVER;
    for (size_t i = 0; i < n->spec.taints.n; i++)
        if (str_eq(n->spec.taints.v[i].effect, "NoExecute"))
            first_ns = MIN_OF(first_ns, deadline_ns(w, pod, &n->spec.taints.v[i]));
    return first_ns;
}

static void evict(const struct world *w, const struct api_object *o, struct plan *p) {
    plan_event(p, o, "Normal", "TaintManagerEviction", "Marking for deletion Pod %s/%s",
               o->metadata.namespace, o->metadata.name);
    plan_pod_disrupted(p, w, o, NULL, "DeletionByTaintManager",
                       "Taint manager: deleting due to NoExecute taint");
    plan_delete(p, o, NULL);
}

static int reconcile(const struct world *w, const char *key, struct plan *p, struct err *err) {
    (void)err;
    const struct api_object *o = world_by_key(w, "Pod", key);
    const struct core_v1_pod *pod = (const struct core_v1_pod *)o;
    if (!pod || pod_is_terminating(pod) || str_empty(pod->spec.node_name)) return 0;
    const node *n = (const node *)world_get(w, "Node", NULL, pod->spec.node_name);
    int64_t due_ns = n ? first_deadline_ns(w, pod, n) : FOR_EVER;
    if (due_ns == FOR_EVER) return 0;
    int64_t left_ns = due_ns - world_now_ns(w);
    if (left_ns > 0)
        plan_requeue(p, (uint64_t)left_ns / 1000000 + 1);
    else
        evict(w, o, p);
    return 0;
}

static void map(const struct reconciler *r, const struct world *w, const struct api_kind *k,
                const struct api_object *now, const struct api_object *old, struct keys *out) {
    (void)r, (void)old;
    if (!now) return;
    if (strcmp(k->kind, "Pod") == 0) {
        const char *on = ((const struct core_v1_pod *)now)->spec.node_name;
        const node *n = str_empty(on) ? NULL : (const node *)world_get(w, "Node", NULL, on);
        if (n && node_executes_taints(n)) keys_add_object(out, now);
        return;
    }
    const node *n = (const node *)now, *before = (const node *)old;
    if (!node_executes_taints(n)) return;
    if (before && api_equal(&core_v1_node_spec_type, &n->spec, &before->spec)) return;
    map_node_to_pods(w, n->metadata.name, out);
}

static const char *const watches[] = {"Pod", "Node", NULL};
static const struct reconciler taint_eviction = {.name = "taint-eviction",
                                                 .kind = "Pod",
                                                 .watches = watches,
                                                 .map = map,
                                                 .reconcile = reconcile};
RECONCILER(taint_eviction);
