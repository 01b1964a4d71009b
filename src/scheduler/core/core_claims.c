/* Pods whose claims wait for them (WaitForFirstConsumer): the node is chosen first and written at
 * the claims, for whoever makes or binds the volumes; the pod keeps its room there and is bound
 * when all its claims are. */
#include "base/own.h"
#include "scheduler/core/core.h"
#include "scheduler/place/place.h"

bool core_waits_for_claims(struct sched_core *c, struct arena *a, struct queued *p,
                           const struct core_v1_pod *pod, const char *node) {
    const struct place_class *class = place_class_of(&c->snapshot, pod);
    const struct pod_class *what = class->query.class;
    const char *first = NULL;
    for (size_t i = 0; i < what->volumes.claims.n; i++) {
        const struct core_v1_persistent_volume_claim *claim =
            volumes_claim(&c->snapshot.volumes, what->namespace, what->volumes.claims.v[i]);
        if (!claim || claim_is_bound(claim)) continue;
        const char *chosen = str_map_get(&claim->metadata.annotations, CLAIM_SELECTED_NODE);
        if (!first) first = claim->metadata.name;
        if (c->acts->select_node && !str_eq(chosen, node))
            c->acts->select_node(c->user, claim, node);
    }
    if (!first) return false;
    if (!snapshot_nominated(&c->snapshot, pod->metadata.uid))
        snapshot_nominate(&c->snapshot, pod, node);
    c->acts->refuse(c->user, pod,
                    arena_printf(a,
                                 "waiting for persistentvolumeclaim \"%s\" to be bound for node %s",
                                 first, node),
                    node);
    queue_failed(&c->queue, p, c->now_ms, core_hint(class, 0));
    return true;
}
