/* Topology spread constraints: hard ones as a filter, the others as a score (KEP-895, 3022, 3094).
 */
#include <math.h>

#include "base/own.h"
#include "scheduler/plugins/topology_spread.h"

struct spread_count { /* one constraint now */
    const struct spread_rule *rule;
    int32_t *own; /* pods per domain of eligible nodes; NULL: those of the term */
    int32_t least;
    double weight; /* of scores */
};
struct spread_state {
    struct spread_count *v;
    size_t n;
    bool filters, scores;
    bool all_keys; /* a node without all of the labels is none of the others */
};

static uint32_t domain(const struct sched_query *q, const struct sched_node *n,
                       const struct sched_term *t) {
    return snapshot_domain(q->snapshot, n, t);
}

static bool has_all_keys(const struct sched_query *q, const struct sched_node *n, bool hard) {
    for (size_t i = 0; i < q->n_spread; i++)
        if (q->spread[i].hard == hard && domain(q, n, q->spread[i].term) == NO_DOMAIN) return false;
    return true;
}

static bool eligible(const struct sched_query *q, const struct spread_state *st,
                     const struct spread_rule *r, const struct sched_node *n) {
    const struct core_v1_taint *first;
    return domain(q, n, r->term) != NO_DOMAIN && (!st->all_keys || has_all_keys(q, n, r->hard)) &&
           (!r->by_affinity || sched_node_selected(q->pod, n)) &&
           (!r->by_taints || sched_taints_tolerated(q->pod, n, &first));
}

/* Returns the number of domains; fewer than minDomains make the least 0. */
static size_t count_own(const struct sched_query *q, const struct spread_state *st,
                        struct spread_count *c, const struct topology *topology) {
    const struct snapshot *s = q->snapshot;
    const struct spread_rule *r = c->rule;
    size_t n = topology->nodes.n, live = 0;
    bool *seen = ARENA_ARRAY(q->a, bool, n + 1);
    c->own = ARENA_ARRAY(q->a, int32_t, n + 1);
    for (size_t i = 0; i < s->nodes.n; i++) {
        const struct sched_node *node = s->nodes.v[i];
        if (!eligible(q, st, r, node)) continue;
        uint32_t d = domain(q, node, r->term);
        live += !seen[d];
        seen[d] = true;
        c->own[d] += term_matched(r->by_node, domain(q, node, r->by_node));
    }
    c->least = live ? INT32_MAX : 0;
    for (size_t i = 0; i < n; i++)
        if (seen[i]) c->least = MIN_OF(c->least, c->own[i]);
    return live;
}

static size_t count_shared(struct spread_count *c, const struct topology *topology) {
    c->least = topology->n_live ? INT32_MAX : 0;
    for (size_t i = 0; i < topology->nodes.n; i++)
        if (topology->nodes.v[i])
            c->least = MIN_OF(c->least, term_matched(c->rule->term, (uint32_t)i));
    return topology->n_live;
}

static void *prepare(const struct sched_query *q, const void *args) {
    if (!q->n_spread) return NULL;
    struct spread_state *st = ARENA_NEW(q->a, struct spread_state);
    st->all_keys =
        q->pod->spec.topology_spread_constraints.n || !((const struct spread_args *)args)->system;
    st->v = ARENA_ARRAY(q->a, struct spread_count, q->n_spread);
    for (size_t i = 0; i < q->n_spread; i++) {
        const struct spread_rule *r = &q->spread[i];
        struct spread_count *c = &st->v[st->n++];
        const struct topology *topology = q->snapshot->topologies.v[r->term->topology];
        c->rule = r;
        size_t live = r->by_node ? count_own(q, st, c, topology) : count_shared(c, topology);
        if (r->constraint->min_domains && live < (size_t)MAX_OF(*r->constraint->min_domains, 0))
            c->least = 0;
        c->weight = log((double)live + 2);
        st->scores |= !r->hard;
        st->filters |= r->hard;
    }
    return st;
}

static int32_t count_at(const struct spread_count *c, uint32_t d) {
    return c->own ? c->own[d] : term_matched(c->rule->term, d);
}

static bool filter(const struct sched_query *q, const struct sched_node *n, const void *state,
                   struct sched_why *why) {
    const struct spread_state *st = state;
    for (size_t i = 0; i < st->n; i++) {
        const struct spread_count *c = &st->v[i];
        if (!c->rule->hard) continue;
        uint32_t d = domain(q, n, c->rule->term);
        if (d == NO_DOMAIN)
            return sched_refuse_for_good(why, "node(s) didn't match pod topology spread "
                                              "constraints (missing required label)");
        if ((int64_t)count_at(c, d) + c->rule->self - c->least > c->rule->constraint->max_skew)
            return sched_refuse(why, "node(s) didn't match pod topology spread constraints");
    }
    return true;
}

static bool filters(const void *state) { return ((const struct spread_state *)state)->filters; }
static bool scores(const void *state) { return ((const struct spread_state *)state)->scores; }

/* Fewer is better. A node without the labels is none of the others: it gets nothing. */
static int64_t score(const struct sched_query *q, const struct sched_node *n, const void *state) {
    const struct spread_state *st = state;
    double sum = 0;
    if (st->all_keys && !has_all_keys(q, n, false)) return SCHED_SCORE_NONE;
    for (size_t i = 0; i < st->n; i++) {
        const struct spread_count *c = &st->v[i];
        uint32_t d = domain(q, n, c->rule->term);
        if (!c->rule->hard && d != NO_DOMAIN)
            sum += count_at(c, d) * c->weight + (c->rule->constraint->max_skew - 1);
    }
    return (int64_t)(sum + 0.5);
}

/* ---- many nodes at once ---- */

static size_t filter_many(const struct sched_query *q, const void *state, uint32_t *at, size_t n) {
    const struct spread_state *st = state;
    for (size_t k = 0; k < st->n; k++) {
        const struct spread_count *c = &st->v[k];
        if (!c->rule->hard) continue;
        const uint32_t *of = q->snapshot->topologies.v[c->rule->term->topology]->of.v;
        int64_t most = (int64_t)c->rule->constraint->max_skew + c->least - c->rule->self;
        size_t kept = 0;
        for (size_t i = 0; i < n; i++) {
            uint32_t node = at[i], d = of[node];
            at[kept] = node;
            kept += d != NO_DOMAIN && count_at(c, d) <= most;
        }
        n = kept;
    }
    return n;
}

static void score_many(const struct sched_query *q, const void *state, const uint32_t *at, size_t n,
                       int64_t *scores) {
    const struct spread_state *st = state;
    double *sums = ARENA_ARRAY(q->a, double, n + 1);
    for (size_t k = 0; k < st->n; k++) {
        const struct spread_count *c = &st->v[k];
        if (c->rule->hard) continue;
        const uint32_t *of = q->snapshot->topologies.v[c->rule->term->topology]->of.v;
        double more = c->rule->constraint->max_skew - 1;
        for (size_t i = 0; i < n; i++) {
            uint32_t d = of[at[i]];
            if (d != NO_DOMAIN) sums[i] += count_at(c, d) * c->weight + more;
        }
    }
    for (size_t i = 0; i < n; i++) scores[i] = (int64_t)(sums[i] + 0.5);
    if (!st->all_keys) return;
    for (size_t i = 0; i < n; i++)
        if (!has_all_keys(q, q->snapshot->nodes.v[at[i]], false)) scores[i] = SCHED_SCORE_NONE;
}

static int64_t scale(int64_t value, int64_t min, int64_t max) {
    return max > 0 ? SCHED_SCORE_MAX * (max + min - value) / max : SCHED_SCORE_MAX;
}

static struct core_v1_topology_spread_constraint *softly(struct arena *a, int32_t max_skew,
                                                         const char *key) {
    struct core_v1_topology_spread_constraint *c =
        ARENA_NEW(a, struct core_v1_topology_spread_constraint);
    c->max_skew = max_skew;
    c->topology_key = key;
    c->when_unsatisfiable = "ScheduleAnyway";
    return c;
}

static bool check_defaults(struct arena *a,
                           const struct kubescheduler_v1_pod_topology_spread_args *args,
                           struct err *err) {
    const struct core_v1_topology_spread_constraint_list *l = &args->default_constraints;
    if (l->n && !str_eq(args->defaulting_type, "List")) {
        err_field(
            err, ERR_INVALID, "defaultingType",
            "Invalid value: \"%.20s\": when .defaultConstraints are not empty, it must be List",
            str_or(args->defaulting_type, "System"));
        return false;
    }
    for (size_t i = 0; i < l->n; i++) {
        if (!l->v[i].label_selector) continue;
        err_field(err, ERR_INVALID, arena_printf(a, "defaultConstraints[%zu].labelSelector", i),
                  "Forbidden: constraint must not define a selector, as they deduced for each pod");
        return false;
    }
    return true;
}

static const void *configure(struct arena *a, const void *from, struct err *err) {
    const struct kubescheduler_v1_pod_topology_spread_args *args = from;
    struct spread_args *ret = ARENA_NEW(a, struct spread_args);
    if (args && !check_defaults(a, args, err)) return NULL;
    ret->system = !args || !str_eq(args->defaulting_type, "List");
    if (ret->system) {
        *ARENA_PUSH(a, &ret->defaults) = *softly(a, 3, "kubernetes.io/hostname");
        *ARENA_PUSH(a, &ret->defaults) = *softly(a, 5, "topology.kubernetes.io/zone");
    }
    for (size_t i = 0; !ret->system && i < args->default_constraints.n; i++) {
        const struct core_v1_topology_spread_constraint *c =
            api_copy(a, &core_v1_topology_spread_constraint_type, &args->default_constraints.v[i]);
        *ARENA_PUSH(a, &ret->defaults) = *c;
    }
    return ret;
}

static const struct sched_plugin topology_spread = {
    .name = "PodTopologySpread",
    .order = 90,
    .weight = 2,
    .reads = SCHED_READS_ALL,
    .args_type = &kubescheduler_v1_pod_topology_spread_args_type,
    .configure = configure,
    .prepare = prepare,
    .filter = filter,
    .filters = filters,
    .scores = scores,
    .score = score,
    .filter_many = filter_many,
    .score_many = score_many,
    .scale = scale};
SCHED_PLUGIN(topology_spread);
