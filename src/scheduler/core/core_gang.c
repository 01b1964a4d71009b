/* A gang is decided as a whole in the snapshot: its members are counted one after the other where
 * they fit, and taken back when not enough do. Nothing is held in between, so two gangs cannot wait
 * for each other. */
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "scheduler/core/core.h"
#include "scheduler/place/place.h"

struct member {
    struct queued *queued;
    const struct core_v1_pod *pod;
    const char *node;         /* where it fits; NULL: nowhere */
    struct preempt_result by; /* who must go for it */
    struct sched_result last;
};
struct members {
    struct member *v;
    size_t n;
};

static int by_order(const void *x, const void *y) {
    const struct queued *a = ((const struct member *)x)->queued,
                        *b = ((const struct member *)y)->queued;
    if (a->priority != b->priority) return a->priority > b->priority ? -1 : 1;
    return a->order < b->order ? -1 : 1;
}

static struct members collect(const struct sched_core *c, struct arena *a, const struct gang *g) {
    struct members m = {.v = ARENA_ARRAY(a, struct member, g->waiting.n + 1)};
    struct map_entry *e;
    size_t at = 0;
    while ((e = map_next(&g->waiting, &at))) {
        struct queued *q = queue_get(&c->queue, e->key);
        const struct core_v1_pod *pod = q ? c->acts->pod(c->user, q->ns, q->name) : NULL;
        if (pod && str_eq(pod->metadata.uid, q->uid) && core_wants_node(c, pod))
            m.v[m.n++] = (struct member){.queued = q, .pod = pod};
    }
    if (m.n > 1) qsort(m.v, m.n, sizeof *m.v, by_order);
    return m;
}

static void set_away(struct sched_core *c, const struct preempt_result *r, bool away) {
    for (size_t i = 0; i < r->n; i++) {
        struct sched_pod *v = r->victims[i];
        if (away)
            snapshot_lift_pod(&c->snapshot, v);
        else
            snapshot_drop_pod(&c->snapshot, v);
        v->away = away;
        snapshot_changed(&c->snapshot, v->node, false);
    }
}

/* Pods that leave anyway have no part in what the node can hold then. */
static struct preempt_result with_leaving(struct arena *a, const struct core_v1_pod *pod,
                                          const struct preempt_result *r) {
    struct preempt_result all = *r;
    int32_t priority = pod->spec.priority ? *pod->spec.priority : 0;
    all.victims = ARENA_ARRAY(a, struct sched_pod *, r->n + r->node->pods.n + 1);
    for (size_t i = 0; i < r->n; i++) all.victims[i] = r->victims[i];
    for (size_t i = 0; i < r->node->pods.n; i++) {
        struct sched_pod *p = r->node->pods.v[i];
        if (p->leaving && !p->away && p->class->priority < priority) all.victims[all.n++] = p;
    }
    return all;
}

/* How many fit, until it is sure that fewer than `enough` do; preempting: others may have to go. */
static size_t count_in(struct sched_core *c, struct arena *a, struct members *m, size_t enough,
                       bool preempting) {
    size_t placed = 0;
    for (size_t i = 0; i < m->n; i++)
        m->v[i] = (struct member){.queued = m->v[i].queued, .pod = m->v[i].pod};
    for (size_t i = 0; i < m->n && placed + m->n - i >= enough; i++) {
        struct member *x = &m->v[i];
        x->last = core_place(c, a, x->pod);
        x->node = x->last.node;
        if (!x->node && preempting && placed < enough &&
            !str_eq(x->pod->spec.preemption_policy, "Never")) {
            struct preempt_result r = preempt_find(a, &c->snapshot, &c->budgets, x->pod);
            if (r.node) {
                x->by = with_leaving(a, x->pod, &r);
                x->node = r.node->name;
                set_away(c, &x->by, true);
            }
        }
        if (!x->node) continue;
        snapshot_add_pod(&c->snapshot, x->pod, x->node);
        placed++;
    }
    return placed;
}

static void take_back(struct sched_core *c, struct members *m) {
    for (size_t i = m->n; i-- > 0;) {
        if (!m->v[i].node) continue;
        snapshot_remove_pod(&c->snapshot, m->v[i].pod->metadata.uid);
        set_away(c, &m->v[i].by, false);
    }
}

static bool waits_for_leaving(const struct sched_core *c, const struct members *m) {
    for (size_t i = 0; i < m->n; i++)
        if (snapshot_nominated(&c->snapshot, m->v[i].pod->metadata.uid) &&
            preempt_barred(&c->snapshot, m->v[i].pod) &&
            !str_eq(m->v[i].pod->spec.preemption_policy, "Never"))
            return true;
    return false;
}

/* Where members made room; forgotten by each trial. */
static const char **nominations(const struct sched_core *c, struct arena *a,
                                const struct members *m) {
    const char **v = ARENA_ARRAY(a, const char *, m->n + 1);
    for (size_t i = 0; i < m->n; i++) {
        const struct nominated *x = snapshot_nominated(&c->snapshot, m->v[i].pod->metadata.uid);
        v[i] = x ? arena_str(a, x->node->name) : NULL;
    }
    return v;
}

static void refuse_all(struct sched_core *c, const struct members *m, const char *message,
                       struct queue_hint hint) {
    for (size_t i = 0; i < m->n; i++) {
        const struct nominated *x = snapshot_nominated(&c->snapshot, m->v[i].pod->metadata.uid);
        c->acts->refuse(c->user, m->v[i].pod, message, x ? x->node->name : NULL);
        queue_failed(&c->queue, m->v[i].queued, c->now_ms, hint);
    }
}

static void say_late(struct sched_core *c, struct arena *a, struct gang *g, const char *message) {
    if (!g->tried_ms) g->tried_ms = MAX_OF(c->now_ms, (uint64_t)1);
    if (c->now_ms - g->tried_ms < g->timeout_ms) return;
    g->tried_ms = c->now_ms;
    c->acts->gang_late(c->user, g,
                       arena_printf(a, "not scheduled within %llu seconds: %s",
                                    (unsigned long long)(g->timeout_ms / 1000), message));
}

static void make_room(struct sched_core *c, struct arena *a, struct members *m) {
    take_back(c, m);
    for (size_t i = 0; i < m->n; i++) {
        struct member *x = &m->v[i];
        if (!x->node) continue;
        if (!x->by.node) {
            snapshot_nominate(&c->snapshot, x->pod, x->node);
            continue;
        }
        struct preempt_result r = x->by;
        r.n = 0;
        for (size_t j = 0; j < x->by.n; j++)
            if (!x->by.victims[j]->leaving) r.victims[r.n++] = x->by.victims[j];
        core_carry_out(c, a, x->pod, &r);
    }
}

static void no_room(struct sched_core *c, struct arena *a, struct gang *g, struct members *m,
                    size_t need) {
    size_t placed = count_in(c, a, m, need, true);
    struct sched_result last = {.message = ""};
    for (size_t i = 0; i < m->n; i++)
        if (m->v[i].last.message) last = m->v[i].last;
    const char *message = arena_printf(a, "pod group %s needs %zu pods at once, only %zu fit: %s",
                                       g->key, need, MIN_OF(placed, need), last.message);
    if (placed >= need) {
        make_room(c, a, m);
        message = arena_printf(a, "pod group %s waits for room", g->key);
    } else
        take_back(c, m);
    say_late(c, a, g, message);
    struct queue_hint hint = core_hint(last.class, last.refused);
    uint64_t late_ms = g->tried_ms + g->timeout_ms;
    hint.within_ms = late_ms > c->now_ms ? late_ms - c->now_ms : 1;
    refuse_all(c, m, message, hint);
}

void core_try_gang(struct sched_core *c, struct arena *a, struct gang *g) {
    struct members m = collect(c, a, g);
    const char *why = gang_not_ready(a, &c->snapshot, g, m.n);
    if (why) {
        /* Tried again when there are more pods, a group, or nodes. */
        refuse_all(c, &m, why, (struct queue_hint){.key = 1, .refused = CORE_GANG});
        return;
    }
    size_t need = (size_t)MAX_OF(g->min_member, 0) - gang_staying(g);
    const char **before = nominations(c, a, &m);
    bool waits = waits_for_leaving(c, &m);
    size_t placed = count_in(c, a, &m, need, false);
    if (placed >= need) {
        g->tried_ms = 0;
        for (size_t i = 0; i < m.n; i++)
            if (m.v[i].node) core_assume(c, m.v[i].pod, m.v[i].node);
        return;
    }
    take_back(c, &m);
    if (!waits) {
        for (size_t i = 0; i < m.n; i++)
            snapshot_unnominate(&c->snapshot, m.v[i].pod->metadata.uid);
        no_room(c, a, g, &m, need);
        return;
    }
    for (size_t i = 0; i < m.n; i++)
        if (before[i]) snapshot_nominate(&c->snapshot, m.v[i].pod, before[i]);
    refuse_all(c, &m, arena_printf(a, "pod group %s waits for room", g->key),
               core_hint(m.v[0].last.class, m.v[0].last.refused));
}
