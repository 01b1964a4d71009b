/* What becomes of a volume whose claim has gone. */
#include "controllers/volumes/binding.h"

static const char *failed(const char **ret_reason, const char **ret_message, const char *reason,
                          const char *message) {
    *ret_reason = reason;
    *ret_message = message;
    return "Failed";
}

/* Directories of a node are removed by the node, and then the volume; when there is no such node
 * any more, nothing is left but the object. */
static const char *reclaim_local(const struct world *w, struct plan *p, const volume_t *v) {
    const char *node = str_map_get(&v->metadata.labels, LOCAL_VOLUME_NODE);
    if (str_empty(v->metadata.deletion_timestamp) && str_eq(v->status.phase, "Released") &&
        !world_get(w, "Node", NULL, str_or(node, "")))
        plan_delete(p, (const struct api_object *)v, NULL);
    return "Released";
}

static const char *reclaim_delete(const struct world *w, struct plan *p, const volume_t *v,
                                  const char **ret_reason, const char **ret_message) {
    const char *maker = str_map_get(&v->metadata.annotations, VOLUME_PROVISIONED_BY);
    if (str_eq(maker, LOCAL_PROVISIONER)) return reclaim_local(w, p, v);
    if (maker && !str_starts(maker, "kubernetes.io/")) return "Released"; /* they delete it */
    if (v->spec.host_path && !str_starts(str_or(v->spec.host_path->path, ""), "/tmp/"))
        return failed(ret_reason, ret_message, "VolumeFailedDelete",
                      arena_printf(plan_arena(p),
                                   "host_path deleter only supports /tmp/.+ but received provided "
                                   "%s",
                                   v->spec.host_path->path));
    return failed(ret_reason, ret_message, "VolumeFailedDelete",
                  arena_printf(plan_arena(p),
                               "error getting deleter volume plugin for volume \"%s\": no "
                               "deletable volume plugin matched",
                               v->metadata.name));
}

const char *reclaim(const struct world *w, struct plan *p, const volume_t *v,
                    const char **ret_reason, const char **ret_message) {
    const char *policy = str_or(v->spec.persistent_volume_reclaim_policy, "Retain");
    if (str_eq(policy, "Retain")) return str_eq(v->status.phase, "Failed") ? "Failed" : "Released";
    if (str_eq(policy, "Delete")) return reclaim_delete(w, p, v, ret_reason, ret_message);
    if (str_eq(policy, "Recycle"))
        return failed(ret_reason, ret_message, "VolumeFailedRecycle",
                      "No recycler plugin found for the volume!");
    return failed(ret_reason, ret_message, "VolumeUnknownReclaimPolicy",
                  "Volume has unrecognized PersistentVolumeReclaimPolicy");
}
