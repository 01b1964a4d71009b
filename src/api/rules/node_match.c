#include "api/rules/node_match.h"

#include <errno.h>
#include <stdlib.h>

#include "base/own.h"

static bool to_number(const char *s, long long *ret) {
    char *end;
    errno = 0;
    if (str_empty(s)) return false;
    *ret = strtoll(s, &end, 10);
    return !errno && !*end;
}

static bool requirement_holds(const struct core_v1_node_selector_requirement *r,
                              const char *value) {
    long long have, want;
    if (str_eq(r->operator, "In")) return value && str_list_has(&r->values, value);
    if (str_eq(r->operator, "NotIn")) return !value || !str_list_has(&r->values, value);
    if (str_eq(r->operator, "Exists")) return value;
    if (str_eq(r->operator, "DoesNotExist")) return !value;
    if (!value || r->values.n != 1 || !to_number(value, &have) || !to_number(r->values.v[0], &want))
        return false;
    if (str_eq(r->operator, "Gt")) return have > want;
    return str_eq(r->operator, "Lt") && have < want;
}

bool node_term_matches(const struct core_v1_node_selector_term *t, const struct core_v1_node *n) {
    if (!t->match_expressions.n && !t->match_fields.n) return false;
    for (size_t i = 0; i < t->match_expressions.n; i++) {
        const struct core_v1_node_selector_requirement *r = &t->match_expressions.v[i];
        if (!requirement_holds(r, str_map_get(&n->metadata.labels, r->key))) return false;
    }
    for (size_t i = 0; i < t->match_fields.n; i++) {
        const struct core_v1_node_selector_requirement *r = &t->match_fields.v[i];
        if (!requirement_holds(r, str_eq(r->key, "metadata.name") ? n->metadata.name : NULL))
            return false;
    }
    return true;
}

bool node_selector_matches(const struct core_v1_node_selector *s, const struct core_v1_node *n) {
    for (size_t i = 0; i < s->node_selector_terms.n; i++)
        if (node_term_matches(&s->node_selector_terms.v[i], n)) return true;
    return false;
}

bool pod_selects_node(const struct core_v1_pod_spec *spec, const struct core_v1_node *n) {
    for (size_t i = 0; i < spec->node_selector.n; i++) {
        const struct str_pair *want = &spec->node_selector.v[i];
        const char *have = str_map_get(&n->metadata.labels, want->key);
        if (!have || !str_eq(have, want->value)) return false;
    }
    const struct core_v1_node_affinity *affinity =
        spec->affinity ? spec->affinity->node_affinity : NULL;
    const struct core_v1_node_selector *required =
        affinity ? affinity->required_during_scheduling_ignored_during_execution : NULL;
    return !required || node_selector_matches(required, n);
}

bool toleration_covers(const struct core_v1_toleration *t, const char *key, const char *value,
                       const char *effect) {
    if (!str_empty(t->effect) && !str_eq(t->effect, effect)) return false;
    if (str_empty(t->key)) return str_eq(t->operator, "Exists");
    if (!str_eq(t->key, key)) return false;
    return str_eq(t->operator, "Exists") || str_eq(str_or(t->value, ""), value);
}

bool pod_tolerates(const struct core_v1_pod_spec *spec, const char *key, const char *value,
                   const char *effect) {
    for (size_t i = 0; i < spec->tolerations.n; i++)
        if (toleration_covers(&spec->tolerations.v[i], key, str_or(value, ""), effect)) return true;
    return false;
}

const struct core_v1_taint *pod_untolerated_taint(const struct core_v1_pod_spec *spec,
                                                  const struct core_v1_node *n, bool no_schedule) {
    for (size_t i = 0; i < n->spec.taints.n; i++) {
        const struct core_v1_taint *t = &n->spec.taints.v[i];
        bool acts =
            str_eq(t->effect, "NoExecute") || (no_schedule && str_eq(t->effect, "NoSchedule"));
        if (acts && !pod_tolerates(spec, t->key, t->value, t->effect)) return t;
    }
    return NULL;
}

static bool says_how_long(const struct core_v1_pod_spec *spec, const char *key) {
    for (size_t i = 0; i < spec->tolerations.n; i++) {
        const struct core_v1_toleration *t = &spec->tolerations.v[i];
        bool effect = str_empty(t->effect) || str_eq(t->effect, "NoExecute");
        if (effect && (str_empty(t->key) || str_eq(t->key, key))) return true;
    }
    return false;
}

void pod_default_tolerations(struct arena *a, struct core_v1_pod_spec *spec) {
    static const char *const keys[] = {"node.kubernetes.io/not-ready",
                                       "node.kubernetes.io/unreachable"};
    static const int64_t seconds = 30;
    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        if (says_how_long(spec, keys[i])) continue;
        *ARENA_PUSH(a, &spec->tolerations) = (struct core_v1_toleration){
            .key = keys[i],
            .operator= "Exists",
            .effect = "NoExecute",
            .toleration_seconds = arena_copy(a, &seconds, sizeof seconds)};
    }
}
