/*
 * Pods of a node that does not answer are not ready: whoever waits for them or sends them traffic
 * must know at once, long before they are evicted. Only while the node is Unknown: an agent that
 * lives, ready or not, answers for its pods itself, and corrects this when it is back.
 */
#include <string.h>

#include "api/rules/pods.h"
#include "base/own.h"
#include "controllers/nodes/node_lifecycle.h"

/* Guarded by the uid: another pod of the same name is none of our business. */
static void patch_condition(struct plan *p, const struct world *w, const struct api_object *pod,
                            const char *phase, struct core_v1_pod_condition *c) {
    OWN(buf_done) struct buf b = {0};
    struct core_v1_pod_status s = {.phase = phase, .conditions = {.v = c, .n = 1}};
    c->last_transition_time = now_text(plan_arena(p), w);
    buf_printf(&b, "{\"metadata\":{\"uid\":\"%s\"},\"status\":", pod->metadata.uid);
    api_encode(&b, &core_v1_pod_status_type, &s);
    buf_char(&b, '}');
    plan_patch(p, pod, "status", "application/strategic-merge-patch+json", buf_view(&b));
}

void plan_pod_disrupted(struct plan *p, const struct world *w, const struct api_object *pod,
                        const char *phase, const char *reason, const char *message) {
    patch_condition(
        p, w, pod, phase,
        &(struct core_v1_pod_condition){
            .type = "DisruptionTarget", .status = "True", .reason = reason, .message = message});
}

static bool is_silent(const struct world *w, const struct core_v1_pod *pod) {
    const node *n = str_empty(pod->spec.node_name)
                        ? NULL
                        : (const node *)world_get(w, "Node", NULL, pod->spec.node_name);
    return n && str_eq(node_readiness(n), "Unknown");
}

static int reconcile(const struct world *w, const char *key, struct plan *p, struct err *err) {
    (void)err;
    const struct api_object *o = world_by_key(w, "Pod", key);
    const struct core_v1_pod *pod = (const struct core_v1_pod *)o;
    if (!pod || !pod_is_ready(pod) || !is_silent(w, pod)) return 0;
    patch_condition(p, w, o, NULL,
                    &(struct core_v1_pod_condition){.type = "Ready",
                                                    .status = "False",
                                                    .reason = "NodeNotReady",
                                                    .message = "Node is not ready"});
    plan_event(p, o, "Warning", "NodeNotReady", "Node is not ready");
    return 0;
}

static void map(const struct reconciler *r, const struct world *w, const struct api_kind *k,
                const struct api_object *now, const struct api_object *old, struct keys *out) {
    (void)r;
    if (!now) return;
    if (strcmp(k->kind, "Pod") == 0) {
        const struct core_v1_pod *pod = (const struct core_v1_pod *)now;
        if (pod_is_ready(pod) && is_silent(w, pod)) keys_add_object(out, now);
        return;
    }
    const node *n = (const node *)now;
    if (!str_eq(node_readiness(n), "Unknown") ||
        (old && str_eq(node_readiness((const node *)old), "Unknown")))
        return;
    map_node_to_pods(w, n->metadata.name, out);
}

static const char *const watches[] = {"Pod", "Node", NULL};
static const struct reconciler node_lifecycle_pods = {.name = "node-lifecycle-pods",
                                                      .kind = "Pod",
                                                      .watches = watches,
                                                      .map = map,
                                                      .reconcile = reconcile};
RECONCILER(node_lifecycle_pods);
