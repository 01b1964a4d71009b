#include "scheduler/place/explain.h"

#include <stdlib.h>

#include "base/own.h"
#include "scheduler/place/place.h"

static int by_priority(const void *x, const void *y) {
    const struct sched_pod *p = *(const struct sched_pod *const *)x,
                           *q = *(const struct sched_pod *const *)y;
    return (p->class->priority < q->class->priority) - (p->class->priority > q->class->priority);
}

/* Without all of lower priority it fits or not; those that may stay all the same come back, the
 * most important first. */
static size_t victims_on(struct arena *a, struct sched_query *q, struct sched_node *n) {
    struct sched_pod **lower = ARENA_ARRAY(a, struct sched_pod *, n->pods.n + 1);
    size_t count = 0, victims = 0;
    for (size_t i = 0; i < n->pods.n; i++)
        if (n->pods.v[i]->class->priority < q->class->priority) lower[count++] = n->pods.v[i];
    if (!count) return 0;
    for (size_t i = 0; i < count; i++) snapshot_lift_pod(q->snapshot, lower[i]);
    bool helps = sched_fits(q, n, NULL);
    qsort(lower, count, sizeof(struct sched_pod *), by_priority);
    for (size_t i = 0; i < count; i++) {
        snapshot_drop_pod(q->snapshot, lower[i]);
        if (!helps || sched_fits(q, n, NULL)) continue;
        snapshot_lift_pod(q->snapshot, lower[i]);
        lower[victims++] = lower[i];
    }
    for (size_t i = 0; i < victims; i++) snapshot_drop_pod(q->snapshot, lower[i]);
    return victims;
}

static bool takes_part(const struct sched_query *q, size_t step) {
    const struct sched_step *s = &q->profile->v[step];
    return s->score && q->concerned[step] &&
           (s->plugin->reads != SCHED_READS_ALL || !s->plugin->scores ||
            s->plugin->scores(q->state[step]));
}

/* One plugin's scores of all nodes that fit. */
static void add_scores(struct arena *a, struct explanation *e, const struct sched_query *q,
                       size_t step) {
    const struct sched_step *s = &q->profile->v[step];
    int64_t *raw = ARENA_ARRAY(a, int64_t, e->n + 1), min = INT64_MAX, max = INT64_MIN;
    for (size_t i = 0; i < e->n; i++) {
        if (!e->nodes[i].fits) continue;
        raw[i] = s->plugin->score(q, q->snapshot->nodes.v[i], q->state[step]);
        if (raw[i] == SCHED_SCORE_NONE) continue;
        min = MIN_OF(min, raw[i]);
        max = MAX_OF(max, raw[i]);
    }
    for (size_t i = 0; i < e->n; i++) {
        struct explain_node *n = &e->nodes[i];
        if (!n->fits) continue;
        int64_t score = raw[i] == SCHED_SCORE_NONE ? 0
                        : s->plugin->scale         ? s->plugin->scale(raw[i], min, max)
                                                   : raw[i];
        n->scores[e->n_scores] = (struct explain_score){s->plugin->name, s->weight, score};
        n->total += s->weight * score;
    }
    e->n_scores++;
}

static void ask_filters(struct arena *a, struct explanation *e, struct sched_query *q) {
    place_prepare(q);
    for (size_t i = 0; i < e->n; i++) {
        struct explain_node *n = &e->nodes[i];
        struct sched_node *node = q->snapshot->nodes.v[i];
        n->name = node->name;
        n->why = ARENA_NEW(a, struct sched_why);
        n->fits = !place_refuses(q, node, n->why);
        e->n_fit += n->fits;
        n->scores = n->fits ? ARENA_ARRAY(a, struct explain_score, q->profile->n + 1) : NULL;
    }
}

static void ask_preemption(struct arena *a, struct explanation *e, struct snapshot *s,
                           const struct budgets *budgets, const struct core_v1_pod *pod) {
    struct preempt_result r = preempt_find(a, s, budgets, pod);
    e->message = r.node ? e->message : arena_printf(a, "%s %s", e->message, r.message);
    e->preempts_on = r.node ? r.node->name : NULL;
    e->victims = ARENA_ARRAY(a, const char *, r.n + 1);
    for (size_t i = 0; i < r.n; i++)
        e->victims[e->n_victims++] =
            arena_printf(a, "%s/%s", r.victims[i]->class->namespace, sched_pod_name(r.victims[i]));
}

static void ask_without_lower(struct arena *a, struct explanation *e, struct sched_query *q) {
    for (size_t i = 0; i < e->n; i++)
        if (!e->nodes[i].why->hopeless)
            e->nodes[i].victims = victims_on(a, q, q->snapshot->nodes.v[i]);
}

/* What is decided before any node is asked. */
static const char *ask_group(struct arena *a, struct explanation *e, const struct snapshot *s,
                             const struct core_v1_pod *pod) {
    const char *name = str_map_get(&pod->metadata.labels, GANG_LABEL);
    if (str_empty(name)) return NULL;
    const struct gang *g = gang_of(s, pod->metadata.namespace, name);
    if (!g)
        return arena_printf(a, "PodGroup %s/%s not found", str_or(pod->metadata.namespace, ""),
                            name);
    e->together = g->known ? g->min_member : 0;
    return gang_not_ready(a, s, g, g->waiting.n);
}

struct explanation sched_explain(struct arena *a, struct snapshot *s, const struct budgets *budgets,
                                 const struct core_v1_pod *pod) {
    struct sched_query *q = sched_query_of(a, s, pod);
    struct explanation e = {.profile = q->profile,
                            .n = s->nodes.n,
                            .nodes = ARENA_ARRAY(a, struct explain_node, s->nodes.n + 1)};
    const char *group = ask_group(a, &e, s, pod), *quota = quota_refuses(a, s, q->class);
    e.held = group ? group : quota;
    e.barred = preempt_barred(s, pod);
    ask_filters(a, &e, q);
    for (size_t i = 0; i < q->profile->n && e.n_fit; i++)
        if (takes_part(q, i)) add_scores(a, &e, q, i);
    struct sched_result r = sched_place(a, s, pod);
    e.chosen = r.node;
    if (r.node && !e.held) return e;
    e.message = e.held ? e.held : r.message;
    if (group || !e.n) return e;
    if (e.barred) {
        e.message = arena_printf(a, "%s %s", e.message, e.barred);
        return e;
    }
    if (!r.node) ask_without_lower(a, &e, q);
    ask_preemption(a, &e, s, budgets, pod);
    return e;
}
