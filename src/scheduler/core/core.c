#include "scheduler/core/core.h"

#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "scheduler/core/power.h"
#include "scheduler/place/place.h"
#include "scheduler/place/profiles.h"

void core_done(struct sched_core *c) {
    queue_done(&c->queue);
    budgets_done(&c->budgets);
    snapshot_done(&c->snapshot);
}

bool core_wants_node(const struct sched_core *c, const struct core_v1_pod *p) {
    return str_empty(p->spec.node_name) && !p->metadata.deletion_timestamp &&
           !p->spec.scheduling_gates.n && !core_is_over(p) &&
           sched_profile_named(c->snapshot.profiles, p->spec.scheduler_name);
}

bool core_is_over(const struct core_v1_pod *p) {
    return str_eq(p->status.phase, "Succeeded") || str_eq(p->status.phase, "Failed");
}

static int32_t priority_of(const struct core_v1_pod *p) {
    return p->spec.priority ? *p->spec.priority : 0;
}

/* ---- what may help whom ---- */

struct event {
    struct snapshot *snapshot;
    struct sched_node *node;         /* has more room, or has changed; NULL: none */
    const struct pod_labels *labels; /* such a pod came or left; NULL: none */
    bool object;                     /* the node itself changed */
};

static bool is_seen_by_others(const struct pod_labels *l) {
    return l->matches.n || l->class->n_bears;
}

static bool helps(void *user, const struct queue_hint *h) {
    const struct event *e = user;
    struct sched_node *n = e->node;
    if (h->refused & CORE_GANG) return e->object;
    if (h->refused & CORE_QUOTA)
        return !e->labels || quota_of(e->snapshot, e->labels->class->namespace);
    if (h->refused & 1u << SCHED_READS_ALL &&
        (e->object || (e->labels && is_seen_by_others(e->labels))))
        return true;
    if (!n || n->at == SIZE_MAX) return false;
    if (h->cpu_milli > n->offers.cpu_milli - n->used_cpu_milli) return false;
    if (h->memory_bytes > n->offers.memory_bytes - n->used_memory_bytes) return false;
    const struct place_class *c = place_class_find(e->snapshot, h->key);
    return !c || !place_refuses_alone(&c->query, n, NULL);
}

static void wake(struct sched_core *c, struct event e) {
    e.snapshot = &c->snapshot;
    if (c->queue.groups.n) queue_wake(&c->queue, c->now_ms, helps, &e);
}

void core_wake_all(struct sched_core *c, uint64_t now_ms) {
    c->now_ms = now_ms;
    queue_wake(&c->queue, now_ms, NULL, NULL);
}

/* Those who made room there look whether it is enough. */
static void tell_nominated(struct sched_core *c, const struct sched_node *n) {
    for (size_t i = 0; i < n->nominated.n; i++) queue_activate(&c->queue, n->nominated.v[i]->uid);
}

static void share_of(struct sched_core *c, const char *ns) {
    const struct quota *q = quota_of(&c->snapshot, ns);
    if (q) queue_share(&c->queue, ns, quota_share(q));
}

/* ---- pods ---- */

static void forget_waiting(struct sched_core *c, const char *uid) {
    struct queued *p = queue_get(&c->queue, uid);
    if (!p) return;
    if (p->gang) gang_unwait(&c->snapshot, p->gang, uid);
    queue_remove(&c->queue, uid);
}

static void drop_nomination(struct sched_core *c, const char *uid) {
    const struct nominated *m = snapshot_nominated(&c->snapshot, uid);
    if (!m) return;
    struct sched_node *n = m->node->at == SIZE_MAX ? NULL : m->node;
    snapshot_unnominate(&c->snapshot, uid);
    if (n) wake(c, (struct event){.node = n});
}

void core_remove_pod(struct sched_core *c, const char *uid, uint64_t now_ms) {
    c->now_ms = now_ms;
    forget_waiting(c, uid);
    drop_nomination(c, uid);
    struct sched_pod *p = snapshot_pod(&c->snapshot, uid);
    if (!p) return;
    struct sched_node *n = p->node;
    struct pod_labels *labels = p->labels;
    labels->users++; /* outlive their last pod for the event */
    bool known = n->at != SIZE_MAX;
    snapshot_remove_pod(&c->snapshot, uid);
    share_of(c, labels->class->namespace);
    wake(c, (struct event){.node = known ? n : NULL, .labels = labels});
    if (known) tell_nominated(c, n);
    labels_release(&c->snapshot, labels);
}

static void put_placed(struct sched_core *c, const struct core_v1_pod *pod) {
    const char *uid = pod->metadata.uid, *before = snapshot_node_of(&c->snapshot, uid);
    bool moved = !before || !str_eq(before, pod->spec.node_name);
    const struct sched_pod *was = snapshot_pod(&c->snapshot, uid);
    int64_t cpu_milli = was ? was->class->asks.cpu_milli : 0;
    int64_t memory_bytes = was ? was->class->asks.memory_bytes : 0;
    forget_waiting(c, uid);
    snapshot_add_pod(&c->snapshot, pod, pod->spec.node_name);
    const struct sched_pod *p = snapshot_pod(&c->snapshot, uid);
    if (!moved) { /* it may have been made smaller */
        if (p->class->asks.cpu_milli < cpu_milli || p->class->asks.memory_bytes < memory_bytes)
            wake(c, (struct event){.node = p->node});
        return;
    }
    share_of(c, p->class->namespace);
    if (is_seen_by_others(p->labels)) wake(c, (struct event){.labels = p->labels});
}

static void put_waiting(struct sched_core *c, const struct core_v1_pod *pod) {
    struct queued *p = queue_add(&c->queue, pod->metadata.uid, pod->metadata.namespace,
                                 pod->metadata.name, priority_of(pod), c->now_ms);
    struct gang *g =
        gang_wait(&c->snapshot, pod->metadata.namespace, &pod->metadata.labels, pod->metadata.uid);
    if (p->gang && p->gang != g) gang_unwait(&c->snapshot, p->gang, p->uid);
    bool joins = g && p->gang != g;
    p->gang = g;
    share_of(c, pod->metadata.namespace);
    if (!str_empty(pod->status.nominated_node_name) &&
        !snapshot_nominated(&c->snapshot, pod->metadata.uid))
        snapshot_nominate(&c->snapshot, pod, pod->status.nominated_node_name);
    /* One more member may be the one that the others wait for. */
    size_t at = 0;
    struct map_entry *e;
    while (joins && gang_staying(g) + g->waiting.n == (size_t)MAX_OF(g->min_member, 0) &&
           (e = map_next(&g->waiting, &at)))
        queue_activate(&c->queue, e->key);
}

void core_put_pod(struct sched_core *c, const struct core_v1_pod *pod, bool renewed,
                  uint64_t now_ms) {
    const char *uid = pod->metadata.uid;
    c->now_ms = now_ms;
    if (core_is_over(pod))
        core_remove_pod(c, uid, now_ms);
    else if (!str_empty(pod->spec.node_name))
        put_placed(c, pod);
    else if (!core_wants_node(c, pod)) {
        forget_waiting(c, uid);
        drop_nomination(c, uid);
    } else if (!snapshot_node_of(&c->snapshot, uid) && (renewed || !queue_get(&c->queue, uid)))
        put_waiting(c, pod);
}

void core_bind_failed(struct sched_core *c, const char *uid, const struct core_v1_pod *pod,
                      uint64_t now_ms) {
    c->now_ms = now_ms;
    struct sched_pod *p = snapshot_pod(&c->snapshot, uid);
    struct sched_node *n = p && p->node->at != SIZE_MAX ? p->node : NULL;
    snapshot_remove_pod(&c->snapshot, uid);
    if (n) wake(c, (struct event){.node = n});
    if (pod && core_wants_node(c, pod)) put_waiting(c, pod);
}

void core_evict_failed(struct sched_core *c, const char *uid) {
    struct sched_pod *p = snapshot_pod(&c->snapshot, uid);
    if (p && !p->class->terminating) snapshot_set_leaving(&c->snapshot, p, false);
}

/* ---- other objects ---- */

void core_put_node(struct sched_core *c, const struct core_v1_node *node, uint64_t now_ms) {
    c->now_ms = now_ms;
    snapshot_put_node(&c->snapshot, node);
    struct sched_node *n = map_gets(&c->snapshot.node_by_name, node->metadata.name);
    wake(c, (struct event){.node = n, .object = true});
    tell_nominated(c, n);
}

void core_remove_node(struct sched_core *c, const char *name) {
    struct sched_node *n = map_gets(&c->snapshot.node_by_name, name);
    if (n) tell_nominated(c, n); /* they look for room elsewhere */
    snapshot_remove_node(&c->snapshot, name);
}

void core_put_quota(struct sched_core *c, const struct scheduling_v1alpha1_elastic_quota *q,
                    uint64_t now_ms) {
    quotas_put(&c->snapshot, q);
    share_of(c, str_or(q->metadata.namespace, ""));
    core_wake_all(c, now_ms);
}

void core_remove_quota(struct sched_core *c, const char *ns, const char *name, uint64_t now_ms) {
    quotas_remove(&c->snapshot, ns, name);
    if (!quota_of(&c->snapshot, ns)) queue_share(&c->queue, ns, -1);
    core_wake_all(c, now_ms);
}

void core_put_group(struct sched_core *c, const struct scheduling_v1alpha1_pod_group *o,
                    uint64_t now_ms) {
    size_t at = 0;
    struct map_entry *e;
    c->now_ms = now_ms;
    gangs_put(&c->snapshot, o);
    const struct gang *g = gang_of(&c->snapshot, o->metadata.namespace, o->metadata.name);
    while ((e = map_next(&g->waiting, &at))) queue_activate(&c->queue, e->key);
}

/* ---- decisions ---- */

struct queue_hint core_hint(const struct place_class *class, unsigned refused) {
    if (!class) return (struct queue_hint){.refused = refused};
    return (struct queue_hint){.key = class->hash,
                               .refused = refused,
                               .cpu_milli = class->query.class->asks.cpu_milli,
                               .memory_bytes = class->query.class->asks.memory_bytes};
}

void core_assume(struct sched_core *c, const struct core_v1_pod *pod, const char *node) {
    snapshot_add_pod(&c->snapshot, pod, node);
    share_of(c, pod->metadata.namespace);
    forget_waiting(c, pod->metadata.uid);
    c->acts->bind(c->user, pod, node);
}

struct sched_result core_place(struct sched_core *c, struct arena *a,
                               const struct core_v1_pod *pod) {
    if (c->snapshot.quotas.by_namespace.n) {
        struct place_class *class = place_class_of(&c->snapshot, pod);
        bool promised = snapshot_nominated(&c->snapshot, pod->metadata.uid);
        if (promised) quotas_count(&c->snapshot, class->query.class, QUOTA_PROMISED, -1);
        const char *why = quota_refuses(a, &c->snapshot, class->query.class);
        if (promised) quotas_count(&c->snapshot, class->query.class, QUOTA_PROMISED, 1);
        if (why)
            return (struct sched_result){.message = why, .class = class, .refused = CORE_QUOTA};
    }
    return sched_place(a, &c->snapshot, pod);
}

void core_carry_out(struct sched_core *c, struct arena *a, const struct core_v1_pod *pod,
                    const struct preempt_result *r) {
    size_t n;
    snapshot_nominate(&c->snapshot, pod, r->node->name);
    for (size_t i = 0; i < r->n; i++) {
        struct sched_pod *v = r->victims[i];
        snapshot_set_leaving(&c->snapshot, v, true);
        budgets_charge(&c->budgets, v->labels, sched_pod_name(v));
        c->acts->evict(c->user, v, pod);
    }
    struct nominated **lower = preempt_outranked(a, &c->snapshot, pod, r->node, &n);
    for (size_t i = 0; i < n; i++) {
        queue_activate(&c->queue, lower[i]->uid);
        c->acts->unnominate(c->user, lower[i]);
        snapshot_unnominate(&c->snapshot, lower[i]->uid);
    }
}

static void refuse(struct sched_core *c, struct arena *a, struct queued *p,
                   const struct core_v1_pod *pod, const struct sched_result *r) {
    const char *barred = preempt_barred(&c->snapshot, pod), *message = r->message;
    const char *waking = r->refused & CORE_QUOTA ? NULL : core_wake_for(c, a, pod);
    if (waking || barred) {
        message = arena_printf(a, "%s %s", message, waking ? waking : barred);
    } else if (c->snapshot.nodes.n) {
        struct preempt_result made = preempt_find(a, &c->snapshot, &c->budgets, pod);
        if (made.node)
            core_carry_out(c, a, pod, &made);
        else
            message = arena_printf(a, "%s %s", message, made.message);
    }
    const struct nominated *m = snapshot_nominated(&c->snapshot, pod->metadata.uid);
    c->acts->refuse(c->user, pod, message, m ? m->node->name : NULL);
    struct queue_hint hint = core_hint(r->class, r->refused);
    if (waking) hint.within_ms = POWER_AGAIN_MS;
    queue_failed(&c->queue, p, c->now_ms, hint);
}

static void try_one(struct sched_core *c, struct arena *a, struct queued *p) {
    const struct core_v1_pod *pod = c->acts->pod(c->user, p->ns, p->name);
    if (!pod || !str_eq(pod->metadata.uid, p->uid) || !core_wants_node(c, pod)) {
        OWN(free_p) char *uid = strdup(p->uid);
        if (!uid) abort();
        forget_waiting(c, uid);
        drop_nomination(c, uid);
        return;
    }
    const struct gang *g = p->gang;
    if (g && !(g->known && gang_staying(g) >= (size_t)MAX_OF(g->min_member, 0))) {
        core_try_gang(c, a, p->gang);
        return;
    }
    struct sched_result r = core_place(c, a, pod);
    if (!r.node)
        refuse(c, a, p, pod, &r);
    else if (!pod->spec.volumes.n || !core_waits_for_claims(c, a, p, pod, r.node))
        core_assume(c, pod, r.node);
}

uint64_t core_run(struct sched_core *c, uint64_t now_ms, size_t most) {
    OWN(arena_free_p) struct arena *a = arena_new();
    uint64_t wait_ms = UINT64_MAX;
    struct queued *p;
    c->now_ms = now_ms;
    for (size_t i = 0; i < most; i++) {
        if (!(p = queue_next(&c->queue, now_ms, &wait_ms))) return wait_ms;
        try_one(c, a, p);
        arena_reset(a);
    }
    return 0;
}
