/* Placement: the root of the tournament, or one pass over the nodes that fit when pods elsewhere
 * matter; says why when nothing fits. */
#include "scheduler/place/place.h"

#include <stdlib.h>
#include <string.h>

#include "base/own.h"

extern const struct sched_plugin *const __start_atoll_sched_plugins[];
extern const struct sched_plugin *const __stop_atoll_sched_plugins[];

static int by_order(const void *x, const void *y) {
    const struct sched_plugin *a = *(const struct sched_plugin *const *)x,
                              *b = *(const struct sched_plugin *const *)y;
    return a->order != b->order ? a->order - b->order : strcmp(a->name, b->name);
}

size_t sched_plugins(const struct sched_plugin *ret[SCHED_PLUGINS_MAX]) {
    static const struct sched_plugin *sorted[SCHED_PLUGINS_MAX];
    static size_t n;
    if (!n) {
        n = (size_t)(__stop_atoll_sched_plugins - __start_atoll_sched_plugins);
        if (n > SCHED_PLUGINS_MAX) abort();
        memcpy(sorted, __start_atoll_sched_plugins, n * sizeof *sorted);
        qsort(sorted, n, sizeof *sorted, by_order);
    }
    memcpy(ret, sorted, n * sizeof *ret);
    return n;
}

const void *sched_configure(struct arena *a, const struct sched_plugin *p, const void *args,
                            struct err *err) {
    return p->configure ? p->configure(a, args, err) : NULL;
}

const struct sched_profile *sched_default_profile(void) {
    static struct sched_profile made = {.name = "default-scheduler"};
    static struct arena *arena; /* for the life of the process */
    const struct sched_plugin *list[SCHED_PLUGINS_MAX];
    if (arena) return &made;
    arena = arena_new();
    size_t n = sched_plugins(list);
    for (size_t i = 0; i < n; i++)
        if (!list[i]->by_name_only)
            made.v[made.n++] =
                (struct sched_step){.plugin = list[i],
                                    .args = sched_configure(arena, list[i], NULL, NULL),
                                    .weight = list[i]->weight,
                                    .filter = list[i]->filter,
                                    .score = list[i]->score};
    return &made;
}

/* True when a plugin wants to see every node. */
bool place_prepare(struct sched_query *q) {
    bool any = false;
    for (size_t i = 0; i < q->profile->n; i++) {
        const struct sched_step *step = &q->profile->v[i];
        if (step->plugin->reads != SCHED_READS_ALL) continue;
        q->state[i] = step->plugin->prepare ? step->plugin->prepare(q, step->args) : step->args;
        q->concerned[i] = q->state[i] || !step->plugin->prepare;
        any = any || q->concerned[i];
    }
    return any;
}

static bool filters(const struct sched_query *q, const struct sched_node *n, unsigned reads,
                    struct sched_why *why) {
    for (size_t i = 0; i < q->profile->n; i++) {
        const struct sched_step *step = &q->profile->v[i];
        if (!(reads & 1u << step->plugin->reads) || !step->filter || !q->concerned[i]) continue;
        if (step->plugin->filter(q, n, q->state[i], why)) continue;
        if (why) why->plugin = step->plugin->name;
        return false;
    }
    return true;
}

enum {
    OBJECT = 1 << SCHED_READS_OBJECT,
    USE = 1 << SCHED_READS_USE,
    ALL = 1 << SCHED_READS_ALL,
    EVERYTHING = OBJECT | USE | ALL
};

/* Does it also fit when those have come that made room there? */
static bool leaves_room(const struct sched_query *q, struct sched_node *n, struct sched_why *why) {
    if (!n->nominated.n) return true;
    snapshot_count_nominated(n, q->class->priority, q->uid, 1);
    bool fits = filters(q, n, USE, why);
    snapshot_count_nominated(n, q->class->priority, q->uid, -1);
    return fits;
}

struct sched_query *sched_query_of(struct arena *a, struct snapshot *s,
                                   const struct core_v1_pod *pod) {
    struct sched_query *q = ARENA_NEW(a, struct sched_query);
    *q = place_class_of(s, pod)->query;
    q->a = a;
    q->uid = pod->metadata.uid;
    return q;
}

bool sched_fits(struct sched_query *q, struct sched_node *n, struct sched_why *why) {
    place_prepare(q);
    return filters(q, n, EVERYTHING, why) && leaves_room(q, n, why);
}

bool place_refuses(const struct sched_query *q, struct sched_node *n, struct sched_why *why) {
    return !filters(q, n, EVERYTHING, why) || !leaves_room(q, n, why);
}

bool place_refuses_alone(const struct sched_query *q, struct sched_node *n, struct sched_why *why) {
    return !filters(q, n, OBJECT | USE, why) || !leaves_room(q, n, why);
}

bool place_refuses_for_others(const struct sched_query *q, const struct sched_node *n,
                              struct sched_why *why) {
    return !filters(q, n, ALL, why);
}

/* What is wrong with the pod itself is said once, not node by node. */
static const char *barred(const struct sched_query *q) {
    const char *why = NULL;
    for (size_t i = 0; i < q->profile->n && !why; i++) {
        const struct sched_step *step = &q->profile->v[i];
        if (step->filter && q->concerned[i] && step->plugin->bars)
            why = step->plugin->bars(q->state[i]);
    }
    return why;
}

static struct sched_result nothing_fits(struct arena *a, struct place_class *c,
                                        struct sched_query *q, bool wide) {
    if (!q->snapshot->nodes.n)
        return (struct sched_result){.message = "no nodes available to schedule pods"};
    refusals_update(c, q, wide);
    const char *why = barred(q);
    return (struct sched_result){.message = why ? arena_printf(a, "0/%zu nodes are available: %s.",
                                                               q->snapshot->nodes.n, why)
                                                : refusals_message(a, c),
                                 .class = c,
                                 .refused = refusals_reads(c)};
}

/* ---- when other nodes matter ---- */

struct scan { /* of nodes that fit */
    uint32_t *at;
    size_t n;
    int64_t *total;
};

/* Scores are few and their scale divides, so each is scaled once; those too far apart, each time.
 */
enum { SCALED_MAX = 256 };

static void add_scaled(struct scan *scan, const int64_t *scores, const struct sched_plugin *p,
                       int weight) {
    int64_t min = INT64_MAX, max = INT64_MIN, known[SCALED_MAX];
    bool is_known[SCALED_MAX] = {false};
    for (size_t i = 0; i < scan->n; i++) {
        if (scores[i] == SCHED_SCORE_NONE) continue;
        min = MIN_OF(min, scores[i]);
        max = MAX_OF(max, scores[i]);
    }
    if (min > max) return;
    bool few = (uint64_t)max - (uint64_t)min < SCALED_MAX;
    for (size_t i = 0; i < scan->n; i++) {
        if (scores[i] == SCHED_SCORE_NONE) continue;
        int64_t which = few ? scores[i] - min : 0;
        if (!few || !is_known[which])
            known[which] = weight * (p->scale ? p->scale(scores[i], min, max) : scores[i]);
        is_known[which] = true;
        scan->total[i] += known[which];
    }
}

static void add_scores(struct sched_query *q, struct scan *scan, const struct sched_step *step,
                       const void *state) {
    const struct sched_plugin *p = step->plugin;
    int64_t *scores = ARENA_ARRAY(q->a, int64_t, scan->n);
    if (p->score_many)
        p->score_many(q, state, scan->at, scan->n, scores);
    else
        for (size_t i = 0; i < scan->n; i++)
            scores[i] = p->score(q, q->snapshot->nodes.v[scan->at[i]], state);
    add_scaled(scan, scores, p, step->weight);
}

static void add_raw(struct arena *a, struct scan *scan, const struct place_part *p,
                    const int32_t *raw) {
    int64_t *scores = ARENA_ARRAY(a, int64_t, scan->n);
    for (size_t i = 0; i < scan->n; i++) {
        int32_t score = raw[scan->at[i]];
        scores[i] = score == INT32_MIN ? SCHED_SCORE_NONE : score;
    }
    add_scaled(scan, scores, p->plugin, p->weight);
}

static void add_all(struct sched_query *q, struct scan *scan, const struct place_fixed *f) {
    for (size_t i = 0, k = 0; i < f->parts.n; i++) {
        const struct place_part *p = &f->parts.v[i];
        if (!p->scaled) continue;
        if (p->varies) add_raw(q->a, scan, p, f->raw + k * f->width);
        k++;
    }
    for (size_t i = 0; i < q->profile->n; i++) {
        const struct sched_step *step = &q->profile->v[i];
        if (step->plugin->reads == SCHED_READS_ALL && q->concerned[i] && step->score &&
            (!step->plugin->scores || step->plugin->scores(q->state[i])))
            add_scores(q, scan, step, q->state[i]);
    }
}

/* The steps whose filters must be asked about every node now. */
static void filter_all(const struct sched_query *q, struct scan *scan) {
    for (size_t i = 0; i < q->profile->n; i++) {
        const struct sched_plugin *p = q->profile->v[i].plugin;
        const void *state = q->state[i];
        if (p->reads != SCHED_READS_ALL || !q->profile->v[i].filter || !q->concerned[i] ||
            (p->filters && !p->filters(state)))
            continue;
        if (p->filter_many) {
            scan->n = p->filter_many(q, state, scan->at, scan->n);
            continue;
        }
        size_t kept = 0;
        for (size_t j = 0; j < scan->n; j++)
            if (p->filter(q, q->snapshot->nodes.v[scan->at[j]], state, NULL))
                scan->at[kept++] = scan->at[j];
        scan->n = kept;
    }
}

/* Every node that fits by itself, with what other nodes' pods say about it. */
static struct sched_node *best_of_all(struct sched_query *q, const struct place_class *c) {
    const struct snapshot *s = q->snapshot;
    const uint64_t *leaves = c->tree + c->width;
    struct scan scan = {.at = ARENA_ARRAY(q->a, uint32_t, s->nodes.n + 1)};
    for (size_t i = 0; i < s->nodes.n; i++) {
        scan.at[scan.n] = (uint32_t)i;
        scan.n += leaves[i] != 0;
    }
    filter_all(q, &scan);
    if (!scan.n) return NULL;
    scan.total = ARENA_ARRAY(q->a, int64_t, scan.n);
    for (size_t i = 0; i < scan.n; i++) scan.total[i] = leaf_score(leaves[scan.at[i]]);
    add_all(q, &scan, c->fixed);
    int64_t most = INT64_MIN;
    uint64_t best = 0;
    for (size_t i = 0; i < scan.n; i++) most = MAX_OF(most, scan.total[i]);
    for (size_t i = 0; i < scan.n; i++) {
        uint64_t rest = leaf_rest(leaves[scan.at[i]]);
        best = MAX_OF(best, scan.total[i] == most ? rest : 0);
    }
    return s->nodes.v[leaf_at(best >> LEAF_REST_SHIFT)];
}

/* The node that the pod made room on, once it fits. */
static struct sched_node *own_room(struct sched_query *q) {
    const struct nominated *m = snapshot_nominated(q->snapshot, q->uid);
    return m && m->node->at != SIZE_MAX && !place_refuses(q, m->node, NULL) ? m->node : NULL;
}

struct sched_result sched_place(struct arena *a, struct snapshot *s,
                                const struct core_v1_pod *pod) {
    struct place_class *c = place_class_of(s, pod);
    struct sched_query q = c->query;
    q.a = a;
    q.uid = pod->metadata.uid;
    bool concerned = place_prepare(&q), wide = concerned;
    for (size_t i = 0; i < c->fixed->parts.n && !wide; i++) wide = c->fixed->parts.v[i].varies;
    struct sched_node *best = s->nominated_by_uid.n ? own_room(&q) : NULL;
    if (!best && c->tree[1]) best = wide ? best_of_all(&q, c) : s->nodes.v[leaf_at(c->tree[1])];
    if (!best) return nothing_fits(a, c, &q, concerned);
    return (struct sched_result){.node = best->name};
}
