/* nodeSelector and node affinity, required and preferred. */
#include <errno.h>
#include <stdlib.h>

#include "base/own.h"
#include "scheduler/plugin.h"

static bool to_number(const char *s, long long *ret) {
    char *end;
    errno = 0;
    if (str_empty(s)) return false;
    *ret = strtoll(s, &end, 10);
    return !errno && !*end;
}

static bool in_list(const struct str_list *l, const char *v) {
    for (size_t i = 0; i < l->n; i++)
        if (str_eq(l->v[i], v)) return true;
    return false;
}

static bool requirement_holds(const struct core_v1_node_selector_requirement *r,
                              const char *value) {
    long long have, want;
    if (str_eq(r->operator, "In")) return value && in_list(&r->values, value);
    if (str_eq(r->operator, "NotIn")) return !value || !in_list(&r->values, value);
    if (str_eq(r->operator, "Exists")) return value;
    if (str_eq(r->operator, "DoesNotExist")) return !value;
    if (!value || r->values.n != 1 || !to_number(value, &have) || !to_number(r->values.v[0], &want))
        return false;
    if (str_eq(r->operator, "Gt")) return have > want;
    return str_eq(r->operator, "Lt") && have < want;
}

static bool term_holds(const struct core_v1_node_selector_term *t, const struct sched_node *n) {
    if (!t->match_expressions.n && !t->match_fields.n)
        return false; /* an empty term selects nothing */
    for (size_t i = 0; i < t->match_expressions.n; i++) {
        const struct core_v1_node_selector_requirement *r = &t->match_expressions.v[i];
        if (!requirement_holds(r, str_map_get(&n->object->metadata.labels, r->key))) return false;
    }
    for (size_t i = 0; i < t->match_fields.n; i++) {
        const struct core_v1_node_selector_requirement *r = &t->match_fields.v[i];
        if (!requirement_holds(r, str_eq(r->key, "metadata.name") ? n->name : NULL)) return false;
    }
    return true;
}

bool sched_node_selected(const struct core_v1_pod *pod, const struct sched_node *n) {
    const struct str_map *want = &pod->spec.node_selector;
    for (size_t i = 0; i < want->n; i++) {
        const char *have = str_map_get(&n->object->metadata.labels, want->v[i].key);
        if (!have || !str_eq(have, want->v[i].value)) return false;
    }
    const struct core_v1_node_affinity *affinity =
        pod->spec.affinity ? pod->spec.affinity->node_affinity : NULL;
    const struct core_v1_node_selector *required =
        affinity ? affinity->required_during_scheduling_ignored_during_execution : NULL;
    if (!required) return true;
    for (size_t i = 0; i < required->node_selector_terms.n; i++)
        if (term_holds(&required->node_selector_terms.v[i], n)) return true;
    return false;
}

static bool filter(const struct sched_query *q, const struct sched_node *n, const void *state,
                   struct sched_why *why) {
    (void)state;
    return sched_node_selected(q->pod, n) ||
           sched_refuse_for_good(why, "node(s) didn't match Pod's node affinity/selector");
}

static int64_t score(const struct sched_query *q, const struct sched_node *n, const void *state) {
    (void)state;
    const struct core_v1_node_affinity *affinity =
        q->pod->spec.affinity ? q->pod->spec.affinity->node_affinity : NULL;
    if (!affinity) return 0;
    int64_t sum = 0, all = 0;
    for (size_t i = 0; i < affinity->preferred_during_scheduling_ignored_during_execution.n; i++) {
        const struct core_v1_preferred_scheduling_term *t =
            &affinity->preferred_during_scheduling_ignored_during_execution.v[i];
        all += t->weight;
        if (term_holds(&t->preference, n)) sum += t->weight;
    }
    return all ? sum * SCHED_SCORE_MAX / all : 0;
}

static const struct sched_plugin node_affinity = {
    .name = "NodeAffinity", .order = 40, .weight = 2, .filter = filter, .score = score};
SCHED_PLUGIN(node_affinity);
