/* Affinity and anti-affinity between pods, of the pod itself and of those that run already. */
#include "base/own.h"
#include "scheduler/plugin.h"

struct affinity_state {
    bool first; /* no pod matches anywhere and the pod matches itself: anywhere will do */
    struct sched_term **against; /* borne as anti-affinity by others, and they mean this pod */
    size_t n_against;
    struct sched_term **drawn; /* borne as a preference or as required affinity */
    size_t n_drawn;
    int64_t hard_weight;      /* of required affinity of others */
    bool without_preferences; /* of others */
    bool filters, scores;
};
struct affinity_args {
    int64_t hard_weight;
    bool ignore_preferred;
};

static bool draws(const struct sched_term *t) { return t->all_weights || t->all_hard; }

static void *prepare(const struct sched_query *q, const void *args) {
    const struct affinity_args *given = args;
    size_t n = q->class->matches.n;
    bool any = q->n_affinity || q->n_anti || q->n_preferred;
    for (size_t i = 0; i < n && !any; i++)
        any = q->class->matches.v[i]->all_anti || draws(q->class->matches.v[i]);
    if (!any) return NULL;
    struct affinity_state *st = ARENA_NEW(q->a, struct affinity_state);
    st->hard_weight = given->hard_weight;
    st->without_preferences =
        given->ignore_preferred && !q->n_affinity && !q->n_anti && !q->n_preferred;
    st->against = ARENA_ARRAY(q->a, struct sched_term *, n + 1);
    st->drawn = ARENA_ARRAY(q->a, struct sched_term *, n + 1);
    for (size_t i = 0; i < n; i++) {
        struct sched_term *t = q->class->matches.v[i];
        if (t->all_anti) st->against[st->n_against++] = t;
        if (draws(t)) st->drawn[st->n_drawn++] = t;
    }
    st->filters = q->n_affinity || q->n_anti || st->n_against;
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

static bool filters(const void *state) { return ((const struct affinity_state *)state)->filters; }
static bool scores(const void *state) { return ((const struct affinity_state *)state)->scores; }

static int64_t score(const struct sched_query *q, const struct sched_node *n, const void *state) {
    const struct affinity_state *st = state;
    int64_t sum = 0;
    for (size_t i = 0; i < q->n_preferred; i++)
        sum += (int64_t)q->preferred[i].weight *
               term_matched(q->preferred[i].term, domain(n, q->preferred[i].term));
    for (size_t i = 0; i < st->n_drawn; i++) {
        uint32_t d = domain(n, st->drawn[i]);
        sum += st->hard_weight * term_hard(st->drawn[i], d);
        if (!st->without_preferences) sum += term_weight(st->drawn[i], d);
    }
    return sum;
}

static int64_t scale(int64_t value, int64_t min, int64_t max) {
    return max > min ? SCHED_SCORE_MAX * (value - min) / (max - min) : 0;
}

enum { HARD_WEIGHT = 1 };

static const void *configure(struct arena *a, const void *from, struct err *err) {
    const struct kubescheduler_v1_inter_pod_affinity_args *args = from;
    struct affinity_args *ret = ARENA_NEW(a, struct affinity_args);
    (void)err;
    ret->hard_weight =
        args && args->hard_pod_affinity_weight ? *args->hard_pod_affinity_weight : HARD_WEIGHT;
    ret->ignore_preferred = args && args->ignore_preferred_terms_of_existing_pods;
    return ret;
}

static const struct sched_plugin inter_pod_affinity = {
    .name = "InterPodAffinity",
    .order = 100,
    .weight = 2,
    .reads = SCHED_READS_ALL,
    .args_type = &kubescheduler_v1_inter_pod_affinity_args_type,
    .configure = configure,
    .prepare = prepare,
    .filter = filter,
    .filters = filters,
    .scores = scores,
    .score = score,
    .scale = scale};
SCHED_PLUGIN(inter_pod_affinity);
