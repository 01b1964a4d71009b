/* Affinity and anti-affinity between pods, of the pod itself and of those that run already. */
#include <string.h>

#include "base/own.h"
#include "scheduler/place/plugin.h"

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
    size_t n = q->labels->matches.n;
    bool any = q->n_affinity || q->n_anti || q->n_preferred;
    for (size_t i = 0; i < n && !any; i++)
        any = q->labels->matches.v[i]->all_anti || draws(q->labels->matches.v[i]);
    if (!any) return NULL;
    struct affinity_state *st = ARENA_NEW(q->a, struct affinity_state);
    st->hard_weight = given->hard_weight;
    st->without_preferences =
        given->ignore_preferred && !q->n_affinity && !q->n_anti && !q->n_preferred;
    st->against = ARENA_ARRAY(q->a, struct sched_term *, n + 1);
    st->drawn = ARENA_ARRAY(q->a, struct sched_term *, n + 1);
    for (size_t i = 0; i < n; i++) {
        struct sched_term *t = q->labels->matches.v[i];
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

static bool filter(const struct sched_query *q, const struct sched_node *n, const void *state,
                   struct sched_why *why) {
    const struct affinity_state *st = state;
    for (size_t i = 0; i < q->n_affinity; i++) {
        uint32_t d = snapshot_domain(q->snapshot, n, q->affinity[i]);
        if (d == NO_DOMAIN || (!st->first && !term_matched(q->affinity[i], d)))
            return sched_refuse_for_good(why, "node(s) didn't match pod affinity rules");
    }
    for (size_t i = 0; i < q->n_anti; i++)
        if (term_matched(q->anti[i], snapshot_domain(q->snapshot, n, q->anti[i])))
            return sched_refuse(why, "node(s) didn't match pod anti-affinity rules");
    for (size_t i = 0; i < st->n_against; i++)
        if (term_anti(st->against[i], snapshot_domain(q->snapshot, n, st->against[i])))
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
               term_matched(q->preferred[i].term,
                            snapshot_domain(q->snapshot, n, q->preferred[i].term));
    for (size_t i = 0; i < st->n_drawn; i++) {
        uint32_t d = snapshot_domain(q->snapshot, n, st->drawn[i]);
        sum += st->hard_weight * term_hard(st->drawn[i], d);
        if (!st->without_preferences) sum += term_weight(st->drawn[i], d);
    }
    return sum;
}

/* ---- many nodes at once ---- */

static const uint32_t *domains(const struct sched_query *q, const struct sched_term *t) {
    return q->snapshot->topologies.v[t->topology]->of.v;
}

static int32_t count_in(const int32_t *counts, const struct sched_term *t, uint32_t domain) {
    return domain < t->n_domains ? counts[domain] : 0;
}

/* Keeps the nodes in whose domain there are some, or none. */
static size_t keep(const struct sched_query *q, const struct sched_term *t, const int32_t *counts,
                   bool some, uint32_t *at, size_t n) {
    const uint32_t *of = domains(q, t);
    size_t kept = 0;
    for (size_t i = 0; i < n; i++) {
        uint32_t node = at[i];
        at[kept] = node;
        kept += (count_in(counts, t, of[node]) != 0) == some;
    }
    return kept;
}

static size_t keep_labelled(const struct sched_query *q, const struct sched_term *t, uint32_t *at,
                            size_t n) {
    const uint32_t *of = domains(q, t);
    size_t kept = 0;
    for (size_t i = 0; i < n; i++) {
        uint32_t node = at[i];
        at[kept] = node;
        kept += of[node] != NO_DOMAIN;
    }
    return kept;
}

static size_t filter_many(const struct sched_query *q, const void *state, uint32_t *at, size_t n) {
    const struct affinity_state *st = state;
    for (size_t i = 0; i < q->n_affinity; i++)
        n = st->first ? keep_labelled(q, q->affinity[i], at, n)
                      : keep(q, q->affinity[i], q->affinity[i]->matched, true, at, n);
    for (size_t i = 0; i < q->n_anti; i++)
        n = keep(q, q->anti[i], q->anti[i]->matched, false, at, n);
    for (size_t i = 0; i < st->n_against; i++)
        n = keep(q, st->against[i], st->against[i]->anti, false, at, n);
    return n;
}

static void add_counts(const struct sched_query *q, const struct sched_term *t,
                       const int32_t *counts, int64_t weight, const uint32_t *at, size_t n,
                       int64_t *scores) {
    const uint32_t *of = domains(q, t);
    for (size_t i = 0; i < n; i++) scores[i] += weight * count_in(counts, t, of[at[i]]);
}

static void score_many(const struct sched_query *q, const void *state, const uint32_t *at, size_t n,
                       int64_t *scores) {
    const struct affinity_state *st = state;
    memset(scores, 0, n * sizeof *scores);
    for (size_t i = 0; i < q->n_preferred; i++) {
        const struct sched_term *t = q->preferred[i].term;
        add_counts(q, t, t->matched, q->preferred[i].weight, at, n, scores);
    }
    for (size_t k = 0; k < st->n_drawn; k++) {
        const struct sched_term *t = st->drawn[k];
        const uint32_t *of = domains(q, t);
        if (t->all_hard) add_counts(q, t, t->hard, st->hard_weight, at, n, scores);
        if (st->without_preferences || !t->all_weights) continue;
        for (size_t i = 0; i < n; i++) scores[i] += term_weight(t, of[at[i]]);
    }
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
    .filter_many = filter_many,
    .score_many = score_many,
    .scale = scale};
SCHED_PLUGIN(inter_pod_affinity);
