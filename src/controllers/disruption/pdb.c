/*
 * PodDisruptionBudget: how many pods of a set may be evicted now. The eviction subresource charges
 * a budget by writing its status on the version it has read, and so does this: neither can undo
 * what the other has counted.
 */
#include <string.h>

#include "api/rules/pods.h"
#include "api/values/selector.h"
#include "base/own.h"
#include "base/times.h"
#include "controllers/common.h"
#include "controllers/disruption/pdb_scale.h"
#include "controllers/workloads/rollout.h"

/* For so long an eviction that was granted counts although its pod has not gone. */
enum { DELETION_TIMEOUT_MS = 2 * 60 * 1000 };

typedef struct policy_v1_pod_disruption_budget budget;
typedef struct policy_v1_pod_disruption_budget_status budget_status;

/* ---- the status ---- */

/* Granted evictions that are still to be waited for: the pod is there, is not going, and is not a
 * later one of the same name. */
static struct str_map disrupted(const struct world *w, const budget *b,
                                const struct budget_pods *pods, struct plan *p) {
    struct str_map left = {0};
    int64_t now_ns = world_now_ns(w);
    for (size_t i = 0; i < pods->n && b->status.disrupted_pods.n; i++) {
        const struct core_v1_pod *pod = pods->v[i];
        const char *text = str_map_get(&b->status.disrupted_pods, pod->metadata.name);
        int64_t at_ns, made_ns;
        if (!text || pod_is_terminating(pod) || time_parse(text, &at_ns) < 0) continue;
        if (time_parse(str_or(pod->metadata.creation_timestamp, ""), &made_ns) == 0 &&
            made_ns > at_ns)
            continue;
        int64_t left_ms = (at_ns - now_ns) / 1000000 + DELETION_TIMEOUT_MS;
        if (left_ms <= 0) {
            plan_event(p, (const struct api_object *)pod, "Warning", "NotDeleted",
                       "Pod was expected by PDB %s/%s to be deleted but it wasn't",
                       b->metadata.namespace, b->metadata.name);
            continue;
        }
        plan_requeue(p, (uint64_t)MIN_OF(left_ms, (int64_t)DELETION_TIMEOUT_MS));
        str_map_set(plan_arena(p), &left, pod->metadata.name, text);
    }
    return left;
}

static int32_t count_healthy(const struct budget_pods *pods, const struct str_map *gone) {
    int32_t n = 0;
    for (size_t i = 0; i < pods->n; i++)
        n += !pod_is_terminating(pods->v[i]) && pod_is_ready(pods->v[i]) &&
             !str_map_get(gone, pods->v[i]->metadata.name);
    return n;
}

/* The condition DisruptionAllowed among the others. message "": by the numbers; else the sync has
 * failed. */
static void set_condition(const struct world *w, struct arena *a, budget_status *s,
                          const char *message) {
    bool failed = *message, allowed = !failed && s->disruptions_allowed > 0;
    struct meta_v1_condition_list out = {0};
    struct meta_v1_condition c = {
        .type = "DisruptionAllowed",
        .status = allowed ? "True" : "False",
        .observed_generation = s->observed_generation,
        .last_transition_time = now_text(a, w),
        .reason = failed ? "SyncFailed" : (allowed ? "SufficientPods" : "InsufficientPods"),
        .message = message};
    for (size_t i = 0; i < s->conditions.n; i++) {
        const struct meta_v1_condition *old = &s->conditions.v[i];
        if (!str_eq(old->type, c.type)) {
            *ARENA_PUSH(a, &out) = *old;
        } else if (str_eq(old->status, c.status)) {
            c.last_transition_time = old->last_transition_time;
        }
    }
    *ARENA_PUSH(a, &out) = c;
    s->conditions = out;
}

static void status_write(const budget *b, const budget_status *s, struct plan *p) {
    if (api_equal(&policy_v1_pod_disruption_budget_status_type, s, &b->status)) return;
    budget *copy = arena_copy(plan_arena(p), b, sizeof *b);
    copy->status = *s;
    plan_update_status(p, (const struct api_object *)copy);
}

/* What cannot be counted forbids evictions and says why. */
static void fail_safe(const struct world *w, const budget *b, const char *why, struct plan *p) {
    budget_status s = b->status;
    s.disruptions_allowed = 0;
    set_condition(w, plan_arena(p), &s, why);
    status_write(b, &s, p);
}

/* ---- the numbers ---- */

/* As budget_scale. */
static int expected(const struct world *w, const budget *b, const struct budget_pods *pods,
                    budget_status *s, struct plan *p, const char **ret_why) {
    const struct policy_v1_pod_disruption_budget_spec *spec = &b->spec;
    bool by_max = spec->max_unavailable.kind != IOS_NONE;
    s->expected_pods = 0;
    s->desired_healthy = 0;
    if (!by_max && spec->min_available.kind == IOS_NONE) return 0;
    if (!by_max && spec->min_available.kind == IOS_INT) {
        s->expected_pods = (int32_t)MIN_OF(pods->n, (size_t)INT32_MAX);
        s->desired_healthy = spec->min_available.i;
        return 0;
    }
    int rc = budget_scale(w, b, pods, p, &s->expected_pods, ret_why);
    if (rc) return rc;
    int32_t amount = rollout_amount(by_max ? &spec->max_unavailable : &spec->min_available,
                                    s->expected_pods, true);
    s->desired_healthy = by_max ? MAX_OF(s->expected_pods - amount, 0) : amount;
    return 0;
}

static struct budget_pods pods_of(const struct world *w, const budget *b, struct plan *p) {
    struct arena *a = plan_arena(p);
    struct budget_pods pods = {0};
    struct selector *selector;
    struct err err;
    if (!b->spec.selector || selector_from_labels(a, b->spec.selector, &selector, &err) < 0)
        return pods;
    const struct api_object *o;
    for (size_t at = 0; (o = world_next(w, "Pod", b->metadata.namespace, &at));)
        if (selector_matches(selector, &o->metadata.labels))
            *ARENA_PUSH(a, &pods) = (const struct core_v1_pod *)o;
    return pods;
}

static int reconcile(const struct world *w, const char *key, struct plan *p, struct err *err) {
    (void)err;
    struct arena *a = plan_arena(p);
    const char *why = "";
    const budget *b = (const budget *)world_by_key(w, "PodDisruptionBudget", key);
    if (!b) return 0;
    struct budget_pods pods = pods_of(w, b, p);
    budget_status s = b->status;
    if (!pods.n && (b->status.expected_pods || b->status.observed_generation == 0))
        plan_event(p, (const struct api_object *)b, "Normal", "NoPods", "No matching pods found");
    int rc = expected(w, b, &pods, &s, p, &why);
    if (rc > 0) return 0; /* the answer runs this key again */
    if (rc < 0) {
        plan_event(p, (const struct api_object *)b, "Warning", "CalculateExpectedPodCountFailed",
                   "Failed to calculate the number of expected pods: %s", why);
        fail_safe(w, b, why, p);
        return 0;
    }
    s.observed_generation = b->metadata.generation;
    s.disrupted_pods = disrupted(w, b, &pods, p);
    s.current_healthy = count_healthy(&pods, &s.disrupted_pods);
    s.disruptions_allowed = 0;
    if (s.expected_pods > 0 && s.current_healthy > s.desired_healthy)
        s.disruptions_allowed = s.current_healthy - s.desired_healthy;
    set_condition(w, a, &s, "");
    status_write(b, &s, p);
    return 0;
}

/* ---- who wakes it ---- */

static void wake(const struct world *w, const struct api_object *pod, struct keys *out) {
    const struct api_object *o;
    if (!pod) return;
    for (size_t at = 0; (o = world_next(w, "PodDisruptionBudget", pod->metadata.namespace, &at));)
        if (labels_match(((const budget *)o)->spec.selector, &pod->metadata.labels))
            keys_add_object(out, o);
}

/* What the budgets count of a pod. */
static bool pod_changed(const struct api_object *now, const struct api_object *old) {
    if (!now || !old) return true;
    const struct core_v1_pod *x = (const struct core_v1_pod *)now;
    const struct core_v1_pod *y = (const struct core_v1_pod *)old;
    const struct meta_v1_owner_reference *nowner = api_controller_of(now);
    const struct meta_v1_owner_reference *oowner = api_controller_of(old);
    return pod_is_ready(x) != pod_is_ready(y) || pod_is_terminating(x) != pod_is_terminating(y) ||
           !str_eq(now->metadata.uid, old->metadata.uid) ||
           !str_eq(nowner ? nowner->uid : "", oowner ? oowner->uid : "") ||
           !api_equal(&meta_v1_label_selector_type,
                      &(struct meta_v1_label_selector){.match_labels = now->metadata.labels},
                      &(struct meta_v1_label_selector){.match_labels = old->metadata.labels});
}

static void map(const struct reconciler *r, const struct world *w, const struct api_kind *k,
                const struct api_object *now, const struct api_object *old, struct keys *out) {
    (void)r;
    const struct api_object *either = now ? now : old, *o;
    if (strcmp(k->kind, "PodDisruptionBudget") == 0) {
        keys_add_object(out, either);
    } else if (strcmp(k->kind, "Pod") == 0) {
        if (!pod_changed(now, old)) return;
        wake(w, now, out);
        if (old) wake(w, old, out);
    } else if (budget_scale_changed(k, now, old)) {
        for (size_t at = 0;
             (o = world_next(w, "PodDisruptionBudget", either->metadata.namespace, &at));)
            if (((const budget *)o)->spec.min_available.kind != IOS_INT) keys_add_object(out, o);
    }
}

static const char *const watches[] = {
    "PodDisruptionBudget",   "Pod", "Deployment", "ReplicaSet", "StatefulSet",
    "ReplicationController", NULL};
static const struct reconciler disruption = {.name = "disruption",
                                             .kind = "PodDisruptionBudget",
                                             .watches = watches,
                                             .map = map,
                                             .reconcile = reconcile};
RECONCILER(disruption);
