/*
 * Pods that were told that they have to go (condition DisruptionTarget) and still stay after two
 * minutes, because whoever said so has failed or changed his mind: the condition becomes False
 * again, as KEP-3329 has it.
 */
#include "api/rules/pods.h"
#include "base/own.h"
#include "base/times.h"
#include "controllers/common.h"

enum { STALE_MS = 2 * 60 * 1000 };

static int reconcile(const struct world *w, const char *key, struct plan *p, struct err *err) {
    (void)err;
    const struct api_object *o = world_by_key(w, "Pod", key);
    const struct core_v1_pod *pod = (const struct core_v1_pod *)o;
    if (!pod || !pod_is_active(pod) || !pod_condition_is_true(pod, "DisruptionTarget")) return 0;
    const struct core_v1_pod_condition *c = pod_condition_get(pod, "DisruptionTarget");
    int64_t since = world_now_ns(w);
    time_parse(str_or(c->last_transition_time, ""), &since);
    int64_t left_ms = (since - world_now_ns(w)) / 1000000 + STALE_MS;
    if (left_ms > 0) {
        plan_requeue(p, (uint64_t)MIN_OF(left_ms, (int64_t)STALE_MS));
        return 0;
    }
    const char *patch = arena_printf(
        plan_arena(p),
        "{\"metadata\":{\"uid\":\"%s\"},\"status\":{\"conditions\":[{\"type\":\"DisruptionTarget\","
        "\"status\":\"False\",\"lastTransitionTime\":\"%s\"}]}}",
        o->metadata.uid, now_text(plan_arena(p), w));
    plan_patch(p, o, "status", "application/strategic-merge-patch+json", slice_of(patch));
    return 0;
}

static void map(const struct reconciler *r, const struct world *w, const struct api_kind *k,
                const struct api_object *now, const struct api_object *old, struct keys *out) {
    (void)r, (void)w, (void)k, (void)old;
    if (now && pod_condition_is_true((const struct core_v1_pod *)now, "DisruptionTarget"))
        keys_add_object(out, now);
}

static const char *const watches[] = {"Pod", NULL};
static const struct reconciler stale_disruption = {.name = "stale-disruption",
                                                   .kind = "Pod",
                                                   .watches = watches,
                                                   .map = map,
                                                   .reconcile = reconcile};
RECONCILER(stale_disruption);
