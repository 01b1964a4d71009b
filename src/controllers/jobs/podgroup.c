/* PodGroup of scheduling.x-k8s.io: how far a gang is, told from its pods. The scheduler decides. */
#include "api/rules/pods.h"
#include "base/own.h"
#include "controllers/common.h"

#define LABEL "scheduling.x-k8s.io/pod-group"

typedef struct scheduling_v1alpha1_pod_group pod_group;
typedef struct scheduling_v1alpha1_pod_group_status group_status;

static const char *phase_of(const group_status *s, int32_t pods, int32_t least) {
    if (s->succeeded >= least) return "Finished";
    if (s->failed && s->failed + s->running + s->succeeded >= least) return "Failed";
    if (s->running + s->succeeded >= least) return "Running";
    if (s->scheduled >= least) return "Scheduled";
    return pods >= least ? "Scheduling" : "Pending";
}

static void count(group_status *s, const struct core_v1_pod *pod) {
    s->scheduled += !str_empty(pod->spec.node_name);
    s->running += str_eq(pod->status.phase, "Running");
    s->succeeded += str_eq(pod->status.phase, "Succeeded");
    s->failed += str_eq(pod->status.phase, "Failed");
}

static int reconcile(const struct world *w, const char *key, struct plan *p, struct err *err) {
    const char *ns, *name;
    struct arena *a = plan_arena(p);
    (void)err;
    key_split(a, key, &ns, &name);
    const pod_group *g = (const pod_group *)world_get(w, "PodGroup", ns, name);
    if (!g || g->metadata.deletion_timestamp) return 0;
    group_status s = {.schedule_start_time = g->status.schedule_start_time, .occupied_by = ""};
    int32_t pods = 0;
    size_t at = 0;
    const struct core_v1_pod *pod;
    while ((pod = (const struct core_v1_pod *)world_next(w, "Pod", ns, &at))) {
        if (!str_eq(str_map_get(&pod->metadata.labels, LABEL), name)) continue;
        if (pod_is_terminating(pod)) continue;
        for (size_t i = 0; !*s.occupied_by && i < pod->metadata.owner_references.n; i++)
            s.occupied_by = arena_printf(a, "%s/%s", ns, pod->metadata.owner_references.v[i].name);
        pods++;
        count(&s, pod);
    }
    s.phase = phase_of(&s, pods, g->spec.min_member);
    if (str_eq(s.phase, "Pending"))
        s.schedule_start_time = NULL;
    else if (!s.schedule_start_time)
        s.schedule_start_time = now_text(a, w);
    if (!*s.occupied_by) s.occupied_by = NULL;
    if (api_equal(&scheduling_v1alpha1_pod_group_status_type, &s, &g->status)) return 0;
    pod_group *copy = arena_copy(a, g, sizeof *g);
    copy->status = s;
    plan_update_status(p, (const struct api_object *)copy);
    return 0;
}

static void map(const struct reconciler *r, const struct world *w, const struct api_kind *k,
                const struct api_object *now, const struct api_object *old, struct keys *out) {
    (void)r, (void)w;
    if (str_eq(k->kind, "PodGroup")) {
        keys_add_object(out, now ? now : old);
        return;
    }
    const struct api_object *both[] = {now, old};
    for (size_t i = 0; i < 2; i++) {
        const char *name = both[i] ? str_map_get(&both[i]->metadata.labels, LABEL) : NULL;
        if (!str_empty(name)) keys_add_name(out, both[i]->metadata.namespace, name);
    }
}

static const char *const watches[] = {"PodGroup", "Pod", NULL};
static const struct reconciler podgroup = {
    .name = "podgroup", .kind = "PodGroup", .watches = watches, .map = map, .reconcile = reconcile};
RECONCILER(podgroup);
