/* Terms that select nodes: of pods' affinity and of volumes. */
#include "api/kinds/kinds.h"

static void requirement_validate(const struct core_v1_node_selector_requirement *r,
                                 const char *path, struct api_causes *causes) {
    const char *values = path_of(causes, "%s.values", path);
    if ((str_eq(r->operator, "In") || str_eq(r->operator, "NotIn")) && r->values.n == 0)
        cause_required(causes, values, "must be specified when `operator` is 'In' or 'NotIn'");
    if ((str_eq(r->operator, "Exists") || str_eq(r->operator, "DoesNotExist")) && r->values.n)
        cause_forbidden(causes, values,
                        "may not be specified when `operator` is 'Exists' or 'DoesNotExist'");
    if ((str_eq(r->operator, "Gt") || str_eq(r->operator, "Lt")) && r->values.n != 1)
        cause_required(causes, values,
                       "must be specified single value when `operator` is 'Lt' or 'Gt'");
}

/* Of fields there is only the name: one value, which can be a name. */
static void field_validate(const struct core_v1_node_selector_requirement *r, const char *path,
                           struct api_causes *causes) {
    bool named = str_eq(r->key, "metadata.name");
    if (!named)
        cause_invalid(causes, path_of(causes, "%s.key", path), str_or(r->key, ""),
                      "not a valid field selector key");
    if ((str_eq(r->operator, "In") || str_eq(r->operator, "NotIn")) && r->values.n != 1)
        cause_required(causes, path_of(causes, "%s.values", path),
                       "must be only one value when `operator` is 'In' or 'NotIn' for node field "
                       "selector");
    for (size_t i = 0; named && i < r->values.n; i++)
        name_validate(causes, path_of(causes, "%s.values[%zu]", path, i), NAME_DNS_SUBDOMAIN,
                      str_or(r->values.v[i], ""));
}

void node_selector_term_validate(const struct core_v1_node_selector_term *t, const char *path,
                                 struct api_causes *causes) {
    for (size_t i = 0; i < t->match_expressions.n; i++)
        requirement_validate(&t->match_expressions.v[i],
                             path_of(causes, "%s.matchExpressions[%zu]", path, i), causes);
    for (size_t i = 0; i < t->match_fields.n; i++)
        field_validate(&t->match_fields.v[i], path_of(causes, "%s.matchFields[%zu]", path, i),
                       causes);
}

void node_selector_validate(const struct core_v1_node_selector *s, const char *path,
                            struct api_causes *causes) {
    for (size_t i = 0; i < s->node_selector_terms.n; i++)
        node_selector_term_validate(&s->node_selector_terms.v[i],
                                    path_of(causes, "%s.nodeSelectorTerms[%zu]", path, i), causes);
}
