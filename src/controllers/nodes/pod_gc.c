/*
 * Pods that nobody will ever finish: bound to a node that is gone, deleted before they were bound,
 * or going on a node that somebody has declared out of service. And pods that have ended, when
 * there are too many of them: the oldest.
 */
#include <stdlib.h>
#include <string.h>

#include "api/rules/pods.h"
#include "base/own.h"
#include "base/times.h"
#include "controllers/nodes/node_lifecycle.h"

enum {
    NODE_GONE_GRACE_MS = 40 * 1000, /* it may be about to register again */
    ENDED_MAX = 12500,
    ENDED_PERIOD_MS = 20 * 1000,
};

/* ---- pods that cannot end by themselves ---- */

/* Milliseconds since this process has first missed the pod's node; noted with the pod's uid. */
static int64_t missed_ms(const struct world *w, const struct api_object *pod, const char *note,
                         struct plan *p) {
    struct arena *a = plan_arena(p);
    const char *uid = arena_printf(a, "%s ", str_or(pod->metadata.uid, ""));
    const struct fact *f = world_fact(w, note);
    size_t uid_n = strlen(uid);
    int64_t now_ns = world_now_ns(w);
    uint64_t since_ns;
    if (f && f->body.n > uid_n && memcmp(f->body.p, uid, uid_n) == 0 &&
        slice_u64(slice_from(f->body.p + uid_n, f->body.n - uid_n), &since_ns) == 0 &&
        since_ns <= INT64_MAX)
        return (now_ns - (int64_t)since_ns) / 1000000;
    plan_note(p, note, slice_of(arena_printf(a, "%s%lld", uid, (long long)now_ns)));
    return 0;
}

static void forget(const struct world *w, const char *note, struct plan *p) {
    if (world_fact(w, note)) plan_note(p, note, SLICE(""));
}

static void remove_lost(const struct world *w, const struct api_object *o, const char *why,
                        struct plan *p) {
    if (!pod_is_terminal((const struct core_v1_pod *)o))
        plan_pod_disrupted(p, w, o, "Failed", "DeletionByPodGC", why);
    plan_delete_grace(p, o, NULL, 0);
}

static bool is_out_of_service(const node *n) {
    for (size_t i = 0; i < n->spec.taints.n; i++)
        if (str_eq(n->spec.taints.v[i].key, TAINT_OUT_OF_SERVICE))
            return !str_eq(node_readiness(n), "True");
    return false;
}

static int reconcile(const struct world *w, const char *key, struct plan *p, struct err *err) {
    (void)err;
    const char *note = arena_printf(plan_arena(p), "pod-gc/%s", key);
    const struct api_object *o = world_by_key(w, "Pod", key);
    const struct core_v1_pod *pod = (const struct core_v1_pod *)o;
    if (!pod || str_empty(pod->spec.node_name)) {
        forget(w, note, p);
        if (pod && pod_is_terminating(pod)) plan_delete_grace(p, o, NULL, 0);
        return 0;
    }
    const node *n = (const node *)world_get(w, "Node", NULL, pod->spec.node_name);
    if (n) {
        forget(w, note, p);
        if (pod_is_terminating(pod) && is_out_of_service(n))
            remove_lost(w, o, "PodGC: node is out of service", p);
        return 0;
    }
    int64_t left_ms = NODE_GONE_GRACE_MS - missed_ms(w, o, note, p);
    if (left_ms > 0)
        plan_requeue(p, (uint64_t)left_ms);
    else
        remove_lost(w, o, "PodGC: node no longer exists", p);
    return 0;
}

static void map(const struct reconciler *r, const struct world *w, const struct api_kind *k,
                const struct api_object *now, const struct api_object *old, struct keys *out) {
    (void)r;
    if (strcmp(k->kind, "Pod") == 0) {
        keys_add_object(out, now ? now : old);
        return;
    }
    bool back = now && !old;
    bool given_up = now && is_out_of_service((const node *)now) &&
                    !(old && is_out_of_service((const node *)old));
    if (now && !back && !given_up) return;
    map_node_to_pods(w, (now ? now : old)->metadata.name, out);
}

static const char *const watches[] = {"Pod", "Node", NULL};
static const struct reconciler pod_gc = {
    .name = "pod-gc", .kind = "Pod", .watches = watches, .map = map, .reconcile = reconcile};
RECONCILER(pod_gc);

/* ---- too many that have ended ---- */

static const char ended_note[] = "pod-gc-ended/";

static int by_age(const void *x, const void *y) {
    const struct api_object *a = *(const struct api_object *const *)x;
    const struct api_object *b = *(const struct api_object *const *)y;
    int d = strcmp(str_or(a->metadata.creation_timestamp, ""),
                   str_or(b->metadata.creation_timestamp, ""));
    return d ? d : strcmp(a->metadata.name, b->metadata.name);
}

/* The pods are counted at most every ENDED_PERIOD_MS. */
static int reconcile_ended(const struct world *w, const char *key, struct plan *p,
                           struct err *err) {
    (void)key, (void)err;
    struct arena *a = plan_arena(p);
    struct {
        const struct api_object **v;
        size_t n;
    } ended = {0};
    const struct api_object *o;
    const struct fact *f = world_fact(w, ended_note);
    uint64_t last_ns;
    if (world_count(w, "Pod") <= ENDED_MAX) return 0;
    int64_t since_ms = ENDED_PERIOD_MS;
    if (f && slice_u64(f->body, &last_ns) == 0 && last_ns <= INT64_MAX)
        since_ms = (world_now_ns(w) - (int64_t)last_ns) / 1000000;
    if (since_ms < ENDED_PERIOD_MS) {
        plan_requeue(p, (uint64_t)(ENDED_PERIOD_MS - MAX_OF(since_ms, (int64_t)0)));
        return 0;
    }
    plan_note(p, ended_note, slice_of(arena_printf(a, "%lld", (long long)world_now_ns(w))));
    for (size_t at = 0; (o = world_next(w, "Pod", NULL, &at));)
        if (pod_is_terminal((const struct core_v1_pod *)o)) *ARENA_PUSH(a, &ended) = o;
    if (ended.n <= ENDED_MAX) return 0;
    qsort(ended.v, ended.n, sizeof *ended.v, by_age);
    for (size_t i = 0; i < ended.n - ENDED_MAX; i++) plan_delete_grace(p, ended.v[i], NULL, 0);
    return 0;
}

static void map_ended(const struct reconciler *r, const struct world *w, const struct api_kind *k,
                      const struct api_object *now, const struct api_object *old,
                      struct keys *out) {
    (void)r, (void)k;
    if (now && pod_is_terminal((const struct core_v1_pod *)now) &&
        !(old && pod_is_terminal((const struct core_v1_pod *)old)) &&
        world_count(w, "Pod") > ENDED_MAX)
        keys_add(out, "ended");
}

static const char *const watches_ended[] = {"Pod", NULL};
static const struct reconciler pod_gc_ended = {.name = "pod-gc-ended",
                                               .kind = "Pod",
                                               .watches = watches_ended,
                                               .map = map_ended,
                                               .reconcile = reconcile_ended};
RECONCILER(pod_gc_ended);
