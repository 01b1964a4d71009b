/*
 * Node lifecycle: a node that gives no sign of life becomes Unknown, and the taints of a node say
 * what its conditions say. What that means for pods: node_lifecycle_pods.c, taint_eviction.c.
 */
#include "controllers/nodes/node_lifecycle.h"

#include <string.h>

#include "base/own.h"
#include "base/times.h"

/* At most; a Lease that promises more often is held to it. */
enum { SILENCE_MAX_MS = 40 * 1000, SILENCE_MIN_MS = 2 * 1000 };
#define TAINT_UNSCHEDULABLE "node.kubernetes.io/unschedulable"

/* ---- what a node's object says ---- */

const struct core_v1_node_condition *node_condition(const node *n, const char *type) {
    for (size_t i = 0; i < n->status.conditions.n; i++)
        if (str_eq(n->status.conditions.v[i].type, type)) return &n->status.conditions.v[i];
    return NULL;
}

const char *node_readiness(const node *n) {
    const struct core_v1_node_condition *c = node_condition(n, "Ready");
    return c ? str_or(c->status, "") : "";
}

const struct core_v1_taint *node_taint(const node *n, const char *key, const char *effect) {
    for (size_t i = 0; i < n->spec.taints.n; i++)
        if (str_eq(n->spec.taints.v[i].key, key) && str_eq(n->spec.taints.v[i].effect, effect))
            return &n->spec.taints.v[i];
    return NULL;
}

const struct core_v1_taint *node_outage(const node *n) {
    const struct core_v1_taint *t = node_taint(n, TAINT_UNREACHABLE, "NoExecute");
    return t ? t : node_taint(n, TAINT_NOT_READY, "NoExecute");
}

bool node_executes_taints(const node *n) {
    for (size_t i = 0; i < n->spec.taints.n; i++)
        if (str_eq(n->spec.taints.v[i].effect, "NoExecute")) return true;
    return false;
}

/* ---- signs of life ---- */

#define LEASES "kube-node-lease"

/* What it promises; 0: nothing. */
static int32_t duration_s(const struct api_object *lease) {
    const struct coordination_v1_lease *l = (const struct coordination_v1_lease *)lease;
    return l && l->spec.lease_duration_seconds ? *l->spec.lease_duration_seconds : 0;
}

static const char *note_name(struct arena *a, const char *name) {
    return arena_printf(a, "node-lifecycle/%s", name);
}

/* Since when the heartbeat of its status is the same. The observation is a note in the plan: what
 * was seen last, a space, and when that was first seen. */
static int64_t heartbeat_since(const struct world *w, const node *n, struct plan *p) {
    struct arena *a = plan_arena(p);
    const struct core_v1_node_condition *c = node_condition(n, "Ready");
    const char *sign = arena_printf(a, "%s/%s ", str_or(n->metadata.uid, ""),
                                    c ? str_or(c->last_heartbeat_time, "") : "");
    const char *name = note_name(a, n->metadata.name);
    const struct fact *f = world_fact(w, name);
    size_t sign_n = strlen(sign);
    uint64_t at_ns;
    if (f && !f->error && f->body.n > sign_n && memcmp(f->body.p, sign, sign_n) == 0 &&
        slice_u64(slice_from(f->body.p + sign_n, f->body.n - sign_n), &at_ns) == 0 &&
        at_ns <= INT64_MAX)
        return (int64_t)at_ns;
    int64_t now_ns = world_now_ns(w);
    plan_note(p, name, slice_of(arena_printf(a, "%s%lld", sign, (long long)now_ns)));
    return now_ns;
}

/* Since when, by this process's clock, the node has given no sign of life: neither its Lease nor
 * the heartbeat of its status has changed. Clocks of nodes do not matter. A process that has just
 * begun starts counting. */
static int64_t silent_since(const struct world *w, const node *n, struct plan *p) {
    int64_t lease_ns = world_unchanged_since_ns(w, "Lease", LEASES, n->metadata.name);
    return MAX_OF(heartbeat_since(w, n, p), lease_ns);
}

static void forget_silence(const struct world *w, const char *name, struct plan *p) {
    const char *note = note_name(plan_arena(p), name);
    if (world_fact(w, note)) plan_note(p, note, SLICE(""));
}

static int64_t silence_left_ms(const struct world *w, const node *n, struct plan *p) {
    int64_t grace_ms = SILENCE_MAX_MS;
    int32_t promised_s = duration_s(world_get(w, "Lease", LEASES, n->metadata.name));
    if (promised_s > 0) grace_ms = MIN_OF(grace_ms, promised_s * INT64_C(1000));
    grace_ms = MAX_OF(grace_ms, (int64_t)SILENCE_MIN_MS);
    return (silent_since(w, n, p) - world_now_ns(w)) / 1000000 + grace_ms;
}

static void mark_unknown(const struct world *w, const node *n, struct plan *p) {
    static const char *const types[] = {"Ready", "MemoryPressure", "DiskPressure", "PIDPressure"};
    struct arena *a = plan_arena(p);
    node *copy = (node *)api_object_copy(a, api_kind_by_name("", "v1", "Node"),
                                         (const struct api_object *)n);
    for (size_t i = 0; i < copy->status.conditions.n; i++) {
        struct core_v1_node_condition *c = &copy->status.conditions.v[i];
        bool known = false;
        for (size_t j = 0; j < ARRAY_LEN(types); j++) known |= str_eq(c->type, types[j]);
        if (!known || str_eq(c->status, "Unknown")) continue;
        c->status = "Unknown";
        c->reason = "NodeStatusUnknown";
        c->message = "The node agent stopped renewing its lease.";
        c->last_transition_time = now_text(a, w);
    }
    plan_update_status(p, (struct api_object *)copy);
    plan_event(p, (const struct api_object *)n, "Normal", "NodeNotReady",
               "Node %s status is now: NodeNotReady", n->metadata.name);
}

/* ---- taints ---- */

static const struct {
    const char *condition, *status, *key;
} by_condition[] = {
    {"Ready", "False", TAINT_NOT_READY},
    {"Ready", "Unknown", TAINT_UNREACHABLE},
    {"MemoryPressure", "True", "node.kubernetes.io/memory-pressure"},
    {"DiskPressure", "True", "node.kubernetes.io/disk-pressure"},
    {"PIDPressure", "True", "node.kubernetes.io/pid-pressure"},
    {"NetworkUnavailable", "True", "node.kubernetes.io/network-unavailable"},
};

static bool is_ours(const struct core_v1_taint *t) {
    if (str_eq(t->effect, "NoExecute"))
        return str_eq(t->key, TAINT_NOT_READY) || str_eq(t->key, TAINT_UNREACHABLE);
    if (!str_eq(t->effect, "NoSchedule")) return false;
    for (size_t i = 0; i < ARRAY_LEN(by_condition); i++)
        if (str_eq(t->key, by_condition[i].key)) return true;
    return str_eq(t->key, TAINT_UNSCHEDULABLE);
}

struct taints {
    struct core_v1_taint *v;
    size_t n;
    bool changed;
};

/* As it stands on the node, else new. */
static void want(const struct world *w, struct arena *a, const node *n, struct taints *out,
                 const char *key, const char *effect) {
    const struct core_v1_taint *old = node_taint(n, key, effect);
    struct core_v1_taint fresh = {.key = key, .effect = effect, .time_added = now_text(a, w)};
    if (!old) out->changed = true;
    *ARENA_PUSH(a, out) = old ? *old : fresh;
}

/* The taints of others stay; a NoExecute taint gets its time, from which tolerations count. */
static void keep_foreign(const struct world *w, struct arena *a, const node *n,
                         struct taints *out) {
    for (size_t i = 0; i < n->spec.taints.n; i++) {
        struct core_v1_taint t = n->spec.taints.v[i];
        if (is_ours(&t)) continue;
        if (str_eq(t.effect, "NoExecute") && str_empty(t.time_added)) {
            t.time_added = now_text(a, w);
            out->changed = true;
        }
        *ARENA_PUSH(a, out) = t;
    }
}

static void want_outage(const struct world *w, struct plan *p, const node *n, struct taints *out) {
    const char *ready = node_readiness(n);
    bool lost = str_eq(ready, "Unknown");
    uint64_t wait_ms = 0;
    if (!lost && !str_eq(ready, "False")) return;
    enum outage_verdict v = node_outage_verdict(w, n, &wait_ms);
    if (v == OUTAGE_NOBODY) return;
    if (v == OUTAGE_EVICT || node_outage(n)) /* what stands stays, under its new name */
        want(w, plan_arena(p), n, out, lost ? TAINT_UNREACHABLE : TAINT_NOT_READY, "NoExecute");
    else
        plan_requeue(p, wait_ms);
}

static void write_taints(const struct world *w, const node *n, struct plan *p) {
    struct arena *a = plan_arena(p);
    struct taints out = {0};
    keep_foreign(w, a, n, &out);
    if (n->spec.unschedulable) want(w, a, n, &out, TAINT_UNSCHEDULABLE, "NoSchedule");
    for (size_t i = 0; i < ARRAY_LEN(by_condition); i++) {
        const struct core_v1_node_condition *c = node_condition(n, by_condition[i].condition);
        if (c && str_eq(c->status, by_condition[i].status))
            want(w, a, n, &out, by_condition[i].key, "NoSchedule");
    }
    want_outage(w, p, n, &out);
    if (!out.changed && out.n == n->spec.taints.n) return;
    node *copy = arena_copy(a, n, sizeof *n);
    copy->spec.taints.v = out.v;
    copy->spec.taints.n = out.n;
    plan_update(p, (struct api_object *)copy);
}

/* ---- the reconciler ---- */

static int reconcile(const struct world *w, const char *key, struct plan *p, struct err *err) {
    (void)err;
    const node *n = (const node *)world_get(w, "Node", NULL, key);
    if (!n) forget_silence(w, key, p);
    if (!n || n->metadata.deletion_timestamp) return 0;
    const char *ready = node_readiness(n);
    int64_t left_ms = silence_left_ms(w, n, p);
    if (left_ms > 0)
        plan_requeue(p, (uint64_t)left_ms);
    else if (*ready && !str_eq(ready, "Unknown")) {
        mark_unknown(w, n, p);
        return 0;
    }
    write_taints(w, n, p);
    return 0;
}

/* When the first node becomes ready or the last one does not, all that are not look again. */
static void map_others(const struct world *w, const node *now, const node *old, struct keys *out) {
    const struct api_object *o;
    const char *name = now ? now->metadata.name : old->metadata.name;
    bool is = now && str_eq(node_readiness(now), "True");
    bool was = old && str_eq(node_readiness(old), "True");
    if (is == was || !node_is_alone(w, name)) return;
    for (size_t at = 0; (o = world_next(w, "Node", NULL, &at));)
        if (!str_eq(node_readiness((const node *)o), "True")) keys_add_object(out, o);
}

static void map(const struct reconciler *r, const struct world *w, const struct api_kind *k,
                const struct api_object *now, const struct api_object *old, struct keys *out) {
    (void)r;
    const struct api_object *o = now ? now : old;
    if (strcmp(k->kind, "Node") == 0) {
        keys_add(out, o->metadata.name);
        map_others(w, (const node *)now, (const node *)old, out);
    }
    /* One that is renewed is no reason to look: when the node might be silent, the Lease is asked.
     */
    if (strcmp(k->kind, "Lease") == 0 && str_eq(o->metadata.namespace, LEASES) &&
        duration_s(now) != duration_s(old))
        keys_add(out, o->metadata.name);
}

static const char *const watches[] = {"Node", "Lease", NULL};
static const struct reconciler node_lifecycle = {.name = "node-lifecycle",
                                                 .kind = "Node",
                                                 .watches = watches,
                                                 .map = map,
                                                 .reconcile = reconcile};
RECONCILER(node_lifecycle);
