/* Affinity and anti-affinity between pods, of the pod itself and of those that run already. */
#include "base/own.h"
#include "scheduler/plugin.h"

struct affinity_state {
    bool first; /* no pod matches anywhere and the pod matches itself: anywhere will do */
    struct sched_term **against; /* borne as anti-affinity by others, and they mean this pod */
    size_t n_against;
    struct sched_term **drawn; /* borne as a preference */
    size_t n_drawn;
    bool scores;
};

static void *prepare(const struct sched_query *q, const void *args) {
    (void)args;
    size_t n = q->class->matches.n;
    bool any = q->n_affinity || q->n_anti || q->n_preferred;
    for (size_t i = 0; i < n && !any; i++)
        any = q->class->matches.v[i]->all_anti || q->class->matches.v[i]->all_weights;
    if (!any) return NULL;
    struct affinity_state *st = ARENA_NEW(q->a, struct affinity_state);
    st->against = ARENA_ARRAY(q->a, struct sched_term *, n + 1);
    st->drawn = ARENA_ARRAY(q->a, struct sched_term *, n + 1);
    for (size_t i = 0; i < n; i++) {
        struct sched_term *t = q->class->matches.v[i];
        if (t->all_anti) st->against[st->n_against++] = t;
        if (t->all_weights) st->drawn[st->n_drawn++] = t;
    }
    st->scores = st->n_drawn || q->n_preferred;
    st->first = q->affinity_self;
    for (size_t i = 0; i < q->n_affinity; i++)
        if (q->affinity[i]->all_matched) st->first = false;
    return st;
}

static uint32_t domain(const struct sched_node *n, const struct sched_term *t) {
    return n->domains.v[t->topology];
}

static bool filter(const struct sched_query *q, const struct sched_node *n, const void *state,
                   struct sched_why *why) {
    const struct affinity_state *st = state;
    for (size_t i = 0; i < q->n_affinity; i++) {
        uint32_t d = domain(n, q->affinity[i]);
        if (d == NO_DOMAIN || (!st->first && !term_matched(q->affinity[i], d)))
            return sched_refuse_for_good(why, "node(s) didn't match pod affinity rules");
    }
    for (size_t i = 0; i < q->n_anti; i++)
        if (term_matched(q->anti[i], domain(n, q->anti[i])))
            return sched_refuse(why, "node(s) didn't match pod anti-affinity rules");
    for (size_t i = 0; i < st->n_against; i++)
        if (term_anti(st->against[i], domain(n, st->against[i])))
            return sched_refuse(why, "node(s) didn't satisfy existing pods anti-affinity rules");
    return true;
}

static bool scores(const void *state) { return ((const struct affinity_state *)state)->scores; }

static int64_t score(const struct sched_query *q, const struct sched_node *n, const void *state) {
    const struct affinity_state *st = state;
    int64_t sum = 0;
    for (size_t i = 0; i < q->n_preferred; i++)
        sum += (int64_t)q->preferred[i].weight *
               term_matched(q->preferred[i].term, domain(n, q->preferred[i].term));
    for (size_t i = 0; i < st->n_drawn; i++)
        sum += term_weight(st->drawn[i], domain(n, st->drawn[i]));
    return sum;
}

static int64_t scale(int64_t value, int64_t min, int64_t max) {
    return max > min ? SCHED_SCORE_MAX * (value - min) / (max - min) : 0;
}

static const struct sched_plugin inter_pod_affinity = {.name = "InterPodAffinity",
                                                       .order = 100,
                                                       .weight = 2,
                                                       .reads = SCHED_READS_ALL,
                                                       .prepare = prepare,
                                                       .filter = filter,
                                                       .scores = scores,
                                                       .score = score,
                                                       .scale = scale};
SCHED_PLUGIN(inter_pod_affinity);
