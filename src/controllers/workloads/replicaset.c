/* ReplicaSet: as many pods as spec.replicas says. */
#include <string.h>

#include "base/own.h"
#include "controllers/workloads/failures.h"
#include "controllers/workloads/replica_pods.h"

static void status_write(const void *user, const struct apps_v1_replica_set_status *s,
                         struct plan *p) {
    const struct apps_v1_replica_set *rs = user;
    if (api_equal(&apps_v1_replica_set_status_type, s, &rs->status)) return;
    struct apps_v1_replica_set *copy = arena_copy(plan_arena(p), rs, sizeof *rs);
    copy->status = *s;
    plan_update_status(p, (const struct api_object *)copy);
}

static int reconcile(const struct world *w, const char *key, struct plan *p, struct err *err) {
    (void)err;
    struct arena *a = plan_arena(p);
    const char *ns, *name;
    key_split(a, key, &ns, &name);
    const struct apps_v1_replica_set *rs =
        (const struct apps_v1_replica_set *)world_get(w, "ReplicaSet", ns, name);
    if (!rs) failures_drop(w, "ReplicaSet", ns, name, p);
    if (!rs) return 0;
    replica_pods(w, rs, p, status_write, rs);
    return 0;
}

static bool selects(const struct api_object *o, const struct str_map *labels) {
    return labels_match(((const struct apps_v1_replica_set *)o)->spec.selector, labels);
}

static void map(const struct reconciler *r, const struct world *w, const struct api_kind *k,
                const struct api_object *now, const struct api_object *old, struct keys *out) {
    static const char *const claimed[] = {"Pod", NULL};
    adoption_map(r, w, k, now, old, out, claimed, selects);
}

static const char *const watches[] = {"ReplicaSet", "Pod", NULL};
static const struct reconciler replicaset = {.name = "replicaset",
                                             .kind = "ReplicaSet",
                                             .watches = watches,
                                             .map = map,
                                             .reconcile = reconcile};
RECONCILER(replicaset);
