/* Pods that nobody will ever finish: bound to a node that is gone, or deleted before they were
 * bound. */
#include <string.h>

#include "base/times.h"
#include "controllers/common.h"

/* A node object may be a moment late when its pods are already there (restored store, registration
 * in progress). */
enum { NODE_GONE_GRACE_MS = 40 * 1000 };

static int reconcile(const struct world *w, const char *key, struct plan *p, struct err *err) {
    (void)err;
    const char *ns, *name;
    key_split(plan_arena(p), key, &ns, &name);
    const struct api_object *o = world_get(w, "Pod", ns, name);
    const struct core_v1_pod *pod = (const struct core_v1_pod *)o;
    if (!pod) return 0;
    if (str_empty(pod->spec.node_name)) {
        if (pod->metadata.deletion_timestamp) plan_delete_grace(p, o, NULL, 0);
        return 0;
    }
    if (world_get(w, "Node", NULL, pod->spec.node_name)) return 0;
    int64_t created;
    if (time_parse(str_or(pod->metadata.creation_timestamp, ""), &created) < 0) return 0;
    int64_t age_ms = (world_now_ns(w) - created) / 1000000;
    if (age_ms < NODE_GONE_GRACE_MS)
        plan_requeue(p, (uint64_t)(NODE_GONE_GRACE_MS - age_ms));
    else
        plan_delete_grace(p, o, NULL, 0);
    return 0;
}

static void map(const struct reconciler *r, const struct world *w, const struct api_kind *k,
                const struct api_object *now, const struct api_object *old, struct keys *out) {
    (void)r;
    if (strcmp(k->kind, "Pod") == 0) {
        if (now) keys_add_object(out, now);
        return;
    }
    if (now) return;
    const struct api_object *o;
    size_t at = 0;
    while ((o = world_next(w, "Pod", NULL, &at)))
        if (str_eq(((const struct core_v1_pod *)o)->spec.node_name, old->metadata.name))
            keys_add_object(out, o);
}

static const char *const watches[] = {"Pod", "Node", NULL};
static const struct reconciler pod_gc = {
    .name = "pod-gc", .kind = "Pod", .watches = watches, .map = map, .reconcile = reconcile};
RECONCILER(pod_gc);
