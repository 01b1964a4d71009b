#include "scheduler/core/preempt.h"

#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "scheduler/place/place.h"

struct cost {
    bool possible;
    bool covered; /* a budget has a say */
    uint32_t violations, victims;
    int32_t highest;
    int64_t sum, start_s;
};

/* By node what it would cost pods of a class; the cheapest is at the root of a tournament. */
struct preempting {
    struct cost *costs;
    uint32_t *tree; /* 1…2·width: nodes; NOBODY */
    size_t width;
    uint64_t seen, epoch, members, allowances;
};
enum { NOBODY = UINT32_MAX, CANDIDATES_MIN = 100, TRIES_PER_CANDIDATE = 4 };

struct trial {
    struct snapshot *snapshot;
    struct place_class *class;
    struct sched_query query;
    const struct budgets *budgets;
    struct arena *asked, *scratch; /* of one question to the plugins; of one node */
    bool wide;                     /* other nodes' pods matter */
    bool alone;                    /* but are not asked now */
    bool reclaims;                 /* its namespace has not got its min */
};

struct suspect {
    struct sched_pod *pod;
    bool violates, lifted;
};
struct suspects {
    struct suspect *v;
    size_t n;
};

void preempting_free(struct preempting *p) {
    if (!p) return;
    free(p->costs);
    free(p->tree);
    free(p);
}

static int64_t start_of(const struct sched_pod *p) { return p->start_s ? p->start_s : INT64_MAX; }

static int by_importance(const void *x, const void *y) {
    const struct sched_pod *a = ((const struct suspect *)x)->pod,
                           *b = ((const struct suspect *)y)->pod;
    if (a->class->priority != b->class->priority)
        return a->class->priority > b->class->priority ? -1 : 1;
    if (start_of(a) != start_of(b)) return start_of(a) < start_of(b) ? -1 : 1;
    return strcmp(sched_pod_uid(a), sched_pod_uid(b));
}

/* A pod of lower priority; between namespaces with quotas instead: of one that has more than its
 * min, for one that has not. */
static bool may_go(const struct trial *t, const struct sched_pod *p) {
    const struct pod_class *own = t->query.class, *other = p->class;
    bool lower = other->priority < own->priority;
    if (p->away) return false;
    if (!t->snapshot->quotas.by_namespace.n || str_eq(own->namespace, other->namespace))
        return lower;
    if (!quota_of(t->snapshot, own->namespace) || !quota_of(t->snapshot, other->namespace))
        return lower;
    return t->reclaims && quota_over_min(t->snapshot, other, false);
}

static bool fits(struct trial *t, struct sched_node *n) {
    if (!place_has_room(t->class, n, t->query.uid)) return false;
    if (t->alone) return true;
    if (t->snapshot->quotas.by_namespace.n) {
        arena_reset(t->asked);
        if (quota_refuses(t->asked, t->snapshot, t->query.class)) return false;
    }
    if (!t->wide) return true;
    arena_reset(t->asked);
    t->query.a = t->asked;
    place_prepare(&t->query);
    return !place_refuses(&t->query, n, NULL);
}

/* All that may go is taken off the node, the least important first. */
static struct suspects lift_all(struct trial *t, struct sched_node *n) {
    struct suspects s = {.v = ARENA_ARRAY(t->scratch, struct suspect, n->pods.n + 1)};
    for (size_t i = 0; i < n->pods.n; i++)
        if (may_go(t, n->pods.v[i])) s.v[s.n++].pod = n->pods.v[i];
    if (s.n > 1) qsort(s.v, s.n, sizeof *s.v, by_importance);
    for (size_t i = s.n; i-- > 0;) {
        if (!may_go(t, s.v[i].pod)) continue; /* by now its namespace has no more than its min */
        snapshot_lift_pod(t->snapshot, s.v[i].pod);
        s.v[i].lifted = true;
    }
    return s;
}

static void drop_all(struct trial *t, struct suspects *s) {
    for (size_t i = 0; i < s->n; i++)
        if (s->v[i].lifted) snapshot_drop_pod(t->snapshot, s->v[i].pod);
}

static void find_violations(struct trial *t, struct suspects *s, struct cost *cost) {
    struct budget_trial budgets;
    if (!t->budgets || !t->budgets->v.n) return;
    budget_trial_init(&budgets, t->scratch, t->budgets);
    for (size_t i = 0; i < s->n; i++) {
        struct sched_pod *p = s->v[i].pod;
        if (!s->v[i].lifted || p->leaving) continue;
        s->v[i].violates = budget_trial_take(&budgets, p->labels, sched_pod_name(p));
        cost->covered = cost->covered || budgets_cover(t->budgets, p->labels, sched_pod_name(p));
    }
}

/* Who can stay stays. */
static void reprieve(struct trial *t, struct sched_node *n, struct suspects *s, bool violating) {
    for (size_t i = 0; i < s->n; i++) {
        struct suspect *x = &s->v[i];
        if (!x->lifted || x->pod->leaving || x->violates != violating) continue;
        snapshot_drop_pod(t->snapshot, x->pod);
        x->lifted = false;
        if (fits(t, n)) continue;
        snapshot_lift_pod(t->snapshot, x->pod);
        x->lifted = true;
    }
}

static void price(const struct suspects *s, struct cost *c) {
    c->possible = true;
    c->highest = INT32_MIN;
    c->start_s = INT64_MAX;
    for (size_t i = 0; i < s->n; i++) {
        const struct suspect *x = &s->v[i];
        if (!x->lifted || x->pod->leaving) continue;
        int32_t priority = x->pod->class->priority;
        c->victims++;
        c->violations += x->violates;
        c->sum += (int64_t)priority - INT32_MIN;
        if (priority > c->highest) {
            c->highest = priority;
            c->start_s = start_of(x->pod);
        } else if (priority == c->highest)
            c->start_s = MIN_OF(c->start_s, start_of(x->pod));
    }
}

/* What it would cost there; ret (may be NULL), in a, gets who would go. */
static struct cost try_node(struct trial *t, struct sched_node *n, struct arena *a,
                            struct preempt_result *ret) {
    struct cost cost = {.possible = false};
    if (t->class->fixed->scores[n->at] < 0) return cost;
    arena_reset(t->scratch);
    struct suspects s = lift_all(t, n);
    bool any = false;
    for (size_t i = 0; i < s.n && !any; i++) any = s.v[i].lifted;
    if (any && fits(t, n)) {
        find_violations(t, &s, &cost);
        reprieve(t, n, &s, true);
        reprieve(t, n, &s, false);
        price(&s, &cost);
    }
    drop_all(t, &s);
    if (!ret || !cost.possible) return cost;
    ret->node = n;
    ret->n = 0;
    ret->victims = ARENA_ARRAY(a, struct sched_pod *, s.n + 1);
    for (size_t i = 0; i < s.n; i++)
        if (s.v[i].lifted && !s.v[i].pod->leaving) ret->victims[ret->n++] = s.v[i].pod;
    return cost;
}

static bool cheaper(const struct cost *x, const struct cost *y) {
    if (x->possible != y->possible) return x->possible;
    if (x->violations != y->violations) return x->violations < y->violations;
    if (x->highest != y->highest) return x->highest < y->highest;
    if (x->sum != y->sum) return x->sum < y->sum;
    if (x->victims != y->victims) return x->victims < y->victims;
    return x->start_s > y->start_s;
}

/* ---- kept node by node ---- */

static uint32_t better(const struct preempting *p, uint32_t x, uint32_t y) {
    if (x == NOBODY || y == NOBODY) return x == NOBODY ? y : x;
    return cheaper(&p->costs[y], &p->costs[x]) ? y : x;
}

static void set_cost(struct preempting *p, struct trial *t, size_t at) {
    p->costs[at] = try_node(t, t->snapshot->nodes.v[at], NULL, NULL);
    p->tree[p->width + at] = p->costs[at].possible ? (uint32_t)at : NOBODY;
}

static void raise_cost(struct preempting *p, struct trial *t, size_t at) {
    set_cost(p, t, at);
    for (size_t i = (p->width + at) / 2; i; i /= 2)
        p->tree[i] = better(p, p->tree[2 * i], p->tree[2 * i + 1]);
}

static void rebuild(struct preempting *p, struct trial *t) {
    size_t n = t->snapshot->nodes.n, width = 1;
    while (width < n) width *= 2;
    if (width != p->width) {
        free(p->costs);
        free(p->tree);
        p->costs = calloc(width, sizeof *p->costs);
        p->tree = calloc(2 * width, sizeof *p->tree);
        if (!p->costs || !p->tree) abort();
        p->width = width;
    }
    for (size_t i = 0; i < width; i++)
        if (i < n)
            set_cost(p, t, i);
        else
            p->tree[width + i] = NOBODY;
    for (size_t i = width - 1; i; i--) p->tree[i] = better(p, p->tree[2 * i], p->tree[2 * i + 1]);
}

/* What each node would cost by itself; only nodes that changed are looked at again. */
static struct preempting *costs_of(struct trial *t) {
    static const struct budgets none;
    struct snapshot *s = t->snapshot;
    const struct budgets *b = t->budgets ? t->budgets : &none;
    struct preempting *p = t->class->preempts;
    const char *uid = t->query.uid;
    bool fresh = !p;
    if (!p) p = t->class->preempts = calloc(1, sizeof *p);
    if (!p) abort();
    t->query.uid = ""; /* for all pods of the class */
    t->alone = true;
    if (fresh || p->epoch != s->epoch || p->members != b->members ||
        s->n_changes - p->seen > MIN_OF((uint64_t)SNAPSHOT_CHANGES, s->nodes.n + 1)) {
        rebuild(p, t);
    } else {
        for (size_t i = 0; p->allowances != b->allowances && i < s->nodes.n; i++)
            if (p->costs[i].covered) raise_cost(p, t, i);
        for (uint64_t i = p->seen; i < s->n_changes; i++)
            raise_cost(p, t, s->changes[i % SNAPSHOT_CHANGES].at);
    }
    p->seen = s->n_changes;
    p->epoch = s->epoch;
    p->members = b->members;
    p->allowances = b->allowances;
    t->query.uid = uid;
    t->alone = false;
    return p;
}

/* ---- looking at some of the nodes ---- */

struct search {
    struct trial *t;
    struct arena *a;
    struct preempt_result *ret;
    struct cost best;
    size_t found, tried, want;
};

static bool enough(const struct search *x) {
    return x->found >= x->want || x->tried >= TRIES_PER_CANDIDATE * x->want;
}

static void look_at(struct search *x, struct sched_node *n) {
    struct preempt_result one = {.node = NULL};
    if (x->t->class->refusals && refusals_hopeless(x->t->class, n->at)) return;
    struct cost cost = try_node(x->t, n, x->a, &one);
    x->tried++;
    x->found += cost.possible;
    if (!cheaper(&cost, &x->best)) return;
    x->best = cost;
    *x->ret = one;
}

/* Where quotas matter: begun elsewhere each time. */
static void search_all(struct search *x) {
    const struct snapshot *s = x->t->snapshot;
    for (size_t i = 0; i < s->nodes.n && !enough(x); i++)
        look_at(x, s->nodes.v[(s->clock + i) % s->nodes.n]);
}

static void heap_push(const struct preempting *p, uint32_t *heap, size_t *n, uint32_t at) {
    size_t i = (*n)++;
    for (; i && better(p, p->tree[heap[(i - 1) / 2]], p->tree[at]) == p->tree[at]; i = (i - 1) / 2)
        heap[i] = heap[(i - 1) / 2];
    heap[i] = at;
}

static uint32_t heap_pop(const struct preempting *p, uint32_t *heap, size_t *n) {
    uint32_t first = heap[0], last = heap[--*n];
    size_t i = 0;
    for (size_t child; (child = 2 * i + 1) < *n; i = child) {
        if (child + 1 < *n &&
            better(p, p->tree[heap[child]], p->tree[heap[child + 1]]) == p->tree[heap[child + 1]])
            child++;
        if (better(p, p->tree[last], p->tree[heap[child]]) == p->tree[last]) break;
        heap[i] = heap[child];
    }
    heap[i] = last;
    return first;
}

/* Where other nodes' pods matter: the nodes in the order of what they would cost by themselves,
 * until none that follows can be cheaper than what has been found. */
static void search_cheapest_first(struct search *x) {
    const struct preempting *p = costs_of(x->t);
    uint32_t *heap = ARENA_ARRAY(x->a, uint32_t, 2 * p->width + 2);
    size_t n = 0;
    if (p->tree[1] != NOBODY) heap_push(p, heap, &n, 1);
    while (n && !enough(x)) {
        uint32_t at = heap_pop(p, heap, &n), node = p->tree[at];
        if (x->best.possible && !cheaper(&p->costs[node], &x->best)) break;
        if (at >= p->width) {
            look_at(x, x->t->snapshot->nodes.v[node]);
            continue;
        }
        for (uint32_t child = 2 * at; child <= 2 * at + 1; child++)
            if (p->tree[child] != NOBODY) heap_push(p, heap, &n, child);
    }
}

/* A gang that would be left with too few goes as a whole, so that it does not hold what it cannot
 * use. */
static void whole_gangs(struct arena *a, const struct trial *t, struct preempt_result *r) {
    struct {
        struct sched_pod **v;
        size_t n;
    } all = {NULL, 0};
    for (size_t i = 0; i < r->n; i++) *ARENA_PUSH(a, &all) = r->victims[i];
    for (size_t i = 0; i < r->n; i++) r->victims[i]->away = true;
    for (size_t i = 0; i < all.n; i++) {
        const struct gang *g = all.v[i]->labels->gang;
        size_t staying = 0;
        if (!g || !g->known) continue;
        for (size_t j = 0; j < g->placed.n; j++)
            staying += !g->placed.v[j]->leaving && !g->placed.v[j]->away;
        if (staying >= (size_t)MAX_OF(g->min_member, 0)) continue;
        for (size_t j = 0; j < g->placed.n; j++) {
            struct sched_pod *p = g->placed.v[j];
            if (p->leaving || !may_go(t, p)) continue;
            *ARENA_PUSH(a, &all) = p;
            p->away = true;
        }
    }
    for (size_t i = 0; i < all.n; i++) all.v[i]->away = false;
    r->victims = all.v;
    r->n = all.n;
}

static const char *no_victims(struct arena *a, const struct trial *t) {
    struct tally tally = {0};
    size_t nodes = t->snapshot->nodes.n;
    size_t hopeless = t->class->refusals ? refusals_hopeless_nodes(t->class) : 0;
    if (nodes > hopeless)
        *ARENA_PUSH(a, &tally) =
            (struct refusal){"No preemption victims found for incoming pod", nodes - hopeless};
    if (hopeless)
        *ARENA_PUSH(a, &tally) =
            (struct refusal){"Preemption is not helpful for scheduling", hopeless};
    return arena_printf(a, "preemption: %s", tally_text(a, nodes, &tally));
}

const char *preempt_barred(const struct snapshot *s, const struct core_v1_pod *pod) {
    int32_t priority = pod->spec.priority ? *pod->spec.priority : 0;
    if (str_eq(pod->spec.preemption_policy, "Never"))
        return "preemption: not eligible due to preemptionPolicy=Never.";
    if (snapshot_profile(s, pod->spec.scheduler_name)->without_preemption)
        return "preemption: the profile has it disabled.";
    const struct nominated *m = snapshot_nominated(s, pod->metadata.uid);
    if (!m || m->node->at == SIZE_MAX) return NULL;
    for (size_t i = 0; i < m->node->pods.n; i++)
        if (m->node->pods.v[i]->leaving && m->node->pods.v[i]->class->priority < priority)
            return "preemption: not eligible due to a terminating pod on the nominated node.";
    return NULL;
}

struct preempt_result preempt_find(struct arena *a, struct snapshot *s,
                                   const struct budgets *budgets, const struct core_v1_pod *pod) {
    OWN(arena_free_p) struct arena *asked = arena_new(), *scratch = arena_new();
    struct preempt_result r = {.node = NULL};
    snapshot_unnominate(s, pod->metadata.uid);
    struct place_class *c = place_class_of(s, pod);
    struct trial t = {.snapshot = s,
                      .class = c,
                      .query = c->query,
                      .budgets = budgets,
                      .asked = asked,
                      .scratch = scratch};
    t.query.a = asked;
    t.query.uid = pod->metadata.uid;
    t.wide = place_prepare(&t.query);
    bool quotas = s->quotas.by_namespace.n;
    t.reclaims = quotas && !quota_over_min(s, c->query.class, true);
    if (!quotas && !snapshot_has_lower(s, c->query.class->priority)) {
        r.message = no_victims(a, &t);
        return r;
    }
    struct search x = {
        .t = &t, .a = a, .ret = &r, .want = MAX_OF((size_t)CANDIDATES_MIN, s->nodes.n / 10)};
    if (s->nodes.n && quotas)
        search_all(&x);
    else if (s->nodes.n && t.wide)
        search_cheapest_first(&x);
    else if (s->nodes.n) {
        const struct preempting *p = costs_of(&t);
        if (p->tree[1] != NOBODY) try_node(&t, s->nodes.v[p->tree[1]], a, &r);
    }
    if (r.node)
        whole_gangs(a, &t, &r);
    else
        r.message = no_victims(a, &t);
    return r;
}

struct nominated **preempt_outranked(struct arena *a, const struct snapshot *s,
                                     const struct core_v1_pod *pod, const struct sched_node *n,
                                     size_t *ret_n) {
    struct nominated **v = ARENA_ARRAY(a, struct nominated *, n->nominated.n + 1);
    int32_t priority = pod->spec.priority ? *pod->spec.priority : 0;
    (void)s;
    *ret_n = 0;
    for (size_t i = 0; i < n->nominated.n; i++)
        if (n->nominated.v[i]->class->priority < priority) v[(*ret_n)++] = n->nominated.v[i];
    return v;
}
