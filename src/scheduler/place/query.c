/* A pod as a question: its rules about other pods become terms of the snapshot. */
#include <stdlib.h>

#include "base/own.h"
#include "scheduler/place/place.h"
#include "scheduler/plugins/topology_spread.h"

static struct sched_term *single(struct snapshot *s, const struct core_v1_pod *pod,
                                 const struct core_v1_pod_affinity_term *t) {
    return term_use(
        s, &(struct term_source){.pod = pod, .terms = &t, .n = 1, .topology_key = t->topology_key});
}

/* A pod counts for required affinity when it matches all terms, so each term has all selectors. */
static void compile_affinity(struct sched_query *q, struct arena *a,
                             const struct core_v1_pod_affinity *with) {
    const struct core_v1_pod_affinity_term_list *required =
        &with->required_during_scheduling_ignored_during_execution;
    const struct core_v1_pod_affinity_term **all =
        ARENA_ARRAY(a, const struct core_v1_pod_affinity_term *, required->n + 1);
    for (size_t i = 0; i < required->n; i++) all[i] = &required->v[i];
    q->affinity = ARENA_ARRAY(a, struct sched_term *, required->n + 1);
    for (size_t i = 0; i < required->n; i++)
        q->affinity[q->n_affinity++] =
            term_use(q->snapshot, &(struct term_source){.pod = q->pod,
                                                        .terms = all,
                                                        .n = required->n,
                                                        .topology_key = all[i]->topology_key});
    q->affinity_self = required->n && term_matches(q->snapshot, q->affinity[0], q->labels);
}

static void compile_preferred(struct sched_query *q, struct arena *a,
                              const struct core_v1_weighted_pod_affinity_term_list *l, int sign) {
    struct {
        struct weighted_term *v;
        size_t n;
    } list = {q->preferred, q->n_preferred};
    for (size_t i = 0; i < l->n; i++) {
        struct sched_term *t = single(q->snapshot, q->pod, &l->v[i].pod_affinity_term);
        *ARENA_PUSH(a, &list) = (struct weighted_term){t, sign * l->v[i].weight};
    }
    q->preferred = list.v;
    q->n_preferred = list.n;
}

/* Its own, or those of its profile for pods that belong to something. */
static const struct core_v1_topology_spread_constraint_list *constraints_of(struct sched_query *q,
                                                                            struct arena *a) {
    const struct core_v1_topology_spread_constraint_list *own =
        &q->pod->spec.topology_spread_constraints;
    const struct spread_args *args = NULL;
    for (size_t i = 0; i < q->profile->n; i++)
        if (str_eq(q->profile->v[i].plugin->name, "PodTopologySpread") &&
            (q->profile->v[i].filter || q->profile->v[i].score))
            args = q->profile->v[i].args;
    q->by_owner = !own->n && args && args->defaults.n;
    const struct meta_v1_label_selector *like =
        q->by_owner ? owners_selector(a, &q->snapshot->owners, q->pod) : NULL;
    if (!like) return own;
    q->like = like = api_copy(a, &meta_v1_label_selector_type, like); /* outlives the owners */
    struct core_v1_topology_spread_constraint_list *ret =
        ARENA_NEW(a, struct core_v1_topology_spread_constraint_list);
    for (size_t i = 0; i < args->defaults.n; i++) {
        struct core_v1_topology_spread_constraint *c = ARENA_PUSH(a, ret);
        *c = args->defaults.v[i];
        c->label_selector = (struct meta_v1_label_selector *)(uintptr_t)like;
    }
    return ret;
}

static void compile_spread(struct sched_query *q, struct arena *a) {
    const struct core_v1_topology_spread_constraint_list *l = constraints_of(q, a);
    bool own = l == &q->pod->spec.topology_spread_constraints;
    bool picky =
        q->pod->spec.node_selector.n ||
        (q->pod->spec.affinity && q->pod->spec.affinity->node_affinity &&
         q->pod->spec.affinity->node_affinity->required_during_scheduling_ignored_during_execution);
    q->spread = ARENA_ARRAY(a, struct spread_rule, l->n + 1);
    for (size_t i = 0; i < l->n; i++) {
        const struct core_v1_topology_spread_constraint *c = &l->v[i];
        struct spread_rule *r = &q->spread[q->n_spread++];
        struct core_v1_pod_affinity_term *t = ARENA_NEW(a, struct core_v1_pod_affinity_term);
        t->label_selector = c->label_selector;
        t->match_label_keys = c->match_label_keys;
        const struct core_v1_pod_affinity_term *one = t;
        struct term_source from = {.pod = q->pod,
                                   .terms = &one,
                                   .n = 1,
                                   .topology_key = c->topology_key,
                                   .skip_terminating = true};
        *r =
            (struct spread_rule){.constraint = c,
                                 .hard = !str_eq(c->when_unsatisfiable, "ScheduleAnyway"),
                                 .by_affinity = picky && !str_eq(c->node_affinity_policy, "Ignore"),
                                 .by_taints = str_eq(c->node_taints_policy, "Honor")};
        r->term = term_use(q->snapshot, &from);
        r->self = term_matches(q->snapshot, r->term, q->labels);
        from.topology_key = TOPOLOGY_NODE;
        if (r->by_affinity || r->by_taints || (own && l->n > 1))
            r->by_node = term_use(q->snapshot, &from);
    }
}

void query_compile(struct sched_query *q, struct snapshot *s, struct arena *a,
                   const struct sched_profile *profile, const struct core_v1_pod *pod) {
    struct core_v1_pod *copy = ARENA_NEW(a, struct core_v1_pod);
    *copy = *(const struct core_v1_pod *)api_copy(a, &core_v1_pod_type, pod);
    struct pod_labels *labels = labels_use(s, pod);
    *q = (struct sched_query){
        .pod = copy, .snapshot = s, .profile = profile, .class = labels->class, .labels = labels};
    const struct core_v1_affinity *affinity = copy->spec.affinity;
    const struct core_v1_pod_affinity *with = affinity ? affinity->pod_affinity : NULL;
    const struct core_v1_pod_anti_affinity *away = affinity ? affinity->pod_anti_affinity : NULL;
    if (with) {
        compile_affinity(q, a, with);
        compile_preferred(q, a, &with->preferred_during_scheduling_ignored_during_execution, 1);
    }
    if (away) {
        const struct core_v1_pod_affinity_term_list *l =
            &away->required_during_scheduling_ignored_during_execution;
        q->anti = ARENA_ARRAY(a, struct sched_term *, l->n + 1);
        for (size_t i = 0; i < l->n; i++) q->anti[q->n_anti++] = single(s, copy, &l->v[i]);
        compile_preferred(q, a, &away->preferred_during_scheduling_ignored_during_execution, -1);
    }
    compile_spread(q, a);
}

void query_release(struct sched_query *q) {
    struct snapshot *s = q->snapshot;
    for (size_t i = 0; i < q->n_affinity; i++) term_release(s, q->affinity[i]);
    for (size_t i = 0; i < q->n_anti; i++) term_release(s, q->anti[i]);
    for (size_t i = 0; i < q->n_preferred; i++) term_release(s, q->preferred[i].term);
    for (size_t i = 0; i < q->n_spread; i++) {
        term_release(s, q->spread[i].term);
        if (q->spread[i].by_node) term_release(s, q->spread[i].by_node);
    }
    labels_release(s, q->labels);
}
