/* FlowSchema, PriorityLevelConfiguration. */
#include <stdlib.h>

#include "api/kinds/kinds.h"

#define GROUP "flowcontrol.apiserver.k8s.io"
enum { QUEUES_MAX = 4096, HAND_BITS_MAX = 60 };

/* ---- FlowSchema ---- */

static void subject_validate(const struct flowcontrol_v1_subject *s, const char *at,
                             struct api_causes *causes) {
    if (str_eq(s->kind, "User") && !s->user)
        cause_required(causes, path_of(causes, "%s.user", at),
                       "user is required when subject kind is 'User'");
    if (str_eq(s->kind, "Group") && !s->group)
        cause_required(causes, path_of(causes, "%s.group", at),
                       "group is required when subject kind is 'Group'");
    if (str_eq(s->kind, "ServiceAccount") && !s->service_account)
        cause_required(causes, path_of(causes, "%s.serviceAccount", at),
                       "serviceAccount is required when subject kind is 'ServiceAccount'");
}

static void resource_rule_validate(const struct flowcontrol_v1_resource_policy_rule *r,
                                   const char *at, struct api_causes *causes) {
    if (r->namespaces.n == 0 && !r->cluster_scope)
        cause_required(causes, path_of(causes, "%s.namespaces", at),
                       "resource rules that are not cluster scoped must supply at least one "
                       "namespace");
}

static void path_validate(const char *path, const char *at, struct api_causes *causes) {
    const char *star = strchr(path, '*');
    if (str_eq(path, "*")) return;
    if (*path != '/')
        cause_invalid(causes, at, path, "must start with slash");
    else if (star && (star[1] || star[-1] != '/'))
        cause_invalid(causes, at, path, "wildcard may only follow the last slash");
}

static void flowschema_validate(const void *obj, const void *old, const char *subresource,
                                struct api_causes *causes) {
    const struct flowcontrol_v1_flow_schema *f = obj;
    const struct flowcontrol_v1_flow_schema_spec *s = &f->spec;
    if (s->matching_precedence == 1 && !str_eq(f->metadata.name, "exempt"))
        cause_invalid_int(causes, "spec.matchingPrecedence", 1,
                          "only the schema named 'exempt' may have matchingPrecedence 1");
    for (size_t i = 0; i < s->rules.n; i++) {
        const struct flowcontrol_v1_policy_rules_with_subjects *r = &s->rules.v[i];
        const char *at = path_of(causes, "spec.rules[%zu]", i);
        if (r->resource_rules.n == 0 && r->non_resource_rules.n == 0)
            cause_required(
                causes, at,
                "at least one of resourceRules and nonResourceRules has to be non-empty");
        for (size_t j = 0; j < r->subjects.n; j++)
            subject_validate(&r->subjects.v[j], path_of(causes, "%s.subjects[%zu]", at, j), causes);
        for (size_t j = 0; j < r->resource_rules.n; j++)
            resource_rule_validate(&r->resource_rules.v[j],
                                   path_of(causes, "%s.resourceRules[%zu]", at, j), causes);
        for (size_t j = 0; j < r->non_resource_rules.n; j++) {
            const struct str_list *urls = &r->non_resource_rules.v[j].non_resource_urls;
            for (size_t k = 0; k < urls->n; k++)
                path_validate(
                    urls->v[k],
                    path_of(causes, "%s.nonResourceRules[%zu].nonResourceURLs[%zu]", at, j, k),
                    causes);
        }
    }
}

static const struct api_column flowschema_columns[] = {
    COLUMN_NAME,
    COLUMN("PriorityLevel", "Name of the priority level that requests are put into."),
    COLUMN("MatchingPrecedence", "The smallest number of those that match is taken."),
    COLUMN("DistinguisherMethod", "How requests are sorted into flows."),
    COLUMN_AGE,
    COLUMN("MissingPL", "Whether the priority level does not exist."),
};

static void flowschema_row(struct arena *a, const void *obj, int64_t now_ns,
                           struct api_cell *cells) {
    const struct flowcontrol_v1_flow_schema *f = obj;
    const char *missing = "?";
    for (size_t i = 0; i < f->status.conditions.n; i++)
        if (str_eq(f->status.conditions.v[i].type, "Dangling"))
            missing = str_or(f->status.conditions.v[i].status, "?");
    cells[0] = cell_text(f->metadata.name);
    cells[1] = cell_text(f->spec.priority_level_configuration.name);
    cells[2] = cell_text(arena_printf(a, "%d", f->spec.matching_precedence));
    cells[3] =
        cell_or_none(f->spec.distinguisher_method ? f->spec.distinguisher_method->type : NULL);
    cells[4] = cell_age(a, &f->metadata, now_ns);
    cells[5] = cell_text(missing);
}

static const struct api_behavior flowschema_behavior = {
    .group = GROUP,
    .kind = "FlowSchema",
    .validate = flowschema_validate,
    .columns = flowschema_columns,
    .n_columns = ARRAY_LEN(flowschema_columns),
    .row = flowschema_row,
};
API_BEHAVIOR(flowschema_behavior);

/* ---- PriorityLevelConfiguration ---- */

static void queuing_validate(const struct flowcontrol_v1_queuing_configuration *q,
                             struct api_causes *causes) {
#define AT "spec.limited.limitResponse.queuing"
    double hands = 1;
    if (q->queues > QUEUES_MAX)
        cause_invalid_int(causes, AT ".queues", q->queues, "must not be greater than 4096 here");
    if (q->hand_size > q->queues)
        cause_invalid_int(causes, AT ".handSize", q->hand_size,
                          path_of(causes, "should not be greater than queues (%d)", q->queues));
    for (int32_t i = 0; i < q->hand_size && i < HAND_BITS_MAX; i++) hands *= q->queues - i;
    if (hands > (double)(1ULL << HAND_BITS_MAX))
        cause_invalid_int(causes, AT ".handSize", q->hand_size,
                          path_of(causes,
                                  "required entropy bits of deckSize %d and handSize %d should not "
                                  "be greater than 60",
                                  q->queues, q->hand_size));
#undef AT
}

static void prioritylevel_validate(const void *obj, const void *old, const char *subresource,
                                   struct api_causes *causes) {
    const struct flowcontrol_v1_priority_level_configuration *p = obj;
    const struct flowcontrol_v1_limited_priority_level_configuration *l = p->spec.limited;
    bool exempt = str_eq(p->spec.type, "Exempt");
    if (exempt != str_eq(p->metadata.name, "exempt"))
        cause_invalid(causes, "spec.type", p->spec.type,
                      "type must be 'Exempt' if and only if `name` is 'exempt'");
    if (exempt && l)
        cause_forbidden(causes, "spec.limited", "must be nil if the type is not Limited");
    if (exempt) return;
    if (p->spec.exempt)
        cause_forbidden(causes, "spec.exempt", "must be nil if the type is Limited");
    if (!l) {
        cause_required(causes, "spec.limited", "must not be empty when type is Limited");
        return;
    }
    const struct flowcontrol_v1_queuing_configuration *q = l->limit_response.queuing;
    bool queue = str_eq(l->limit_response.type, "Queue");
    if (queue && !q)
        cause_required(causes, "spec.limited.limitResponse.queuing",
                       "must not be empty if limitResponse.type is Queue");
    if (!queue && q)
        cause_forbidden(causes, "spec.limited.limitResponse.queuing",
                        "must be nil if limitResponse.type is not Queue");
    if (q) queuing_validate(q, causes);
}

static const struct api_column prioritylevel_columns[] = {
    COLUMN_NAME,
    COLUMN("Type", "Exempt or Limited."),
    COLUMN("NominalConcurrencyShares", "Its share of the server's seats."),
    COLUMN("Queues", "How many queues there are."),
    COLUMN("HandSize", "From how many queues a flow takes the shortest."),
    COLUMN("QueueLengthLimit", "How many requests one queue holds."),
    COLUMN_AGE,
};

static const char *number_text(struct arena *a, const int32_t *n) {
    return n ? arena_printf(a, "%d", *n) : NONE_TEXT;
}

static void prioritylevel_row(struct arena *a, const void *obj, int64_t now_ns,
                              struct api_cell *cells) {
    const struct flowcontrol_v1_priority_level_configuration *p = obj;
    const struct flowcontrol_v1_limited_priority_level_configuration *l = p->spec.limited;
    const struct flowcontrol_v1_queuing_configuration *q = l ? l->limit_response.queuing : NULL;
    cells[0] = cell_text(p->metadata.name);
    cells[1] = cell_text(p->spec.type);
    cells[2] = cell_text(number_text(a, l ? l->nominal_concurrency_shares : NULL));
    cells[3] = cell_text(number_text(a, q ? &q->queues : NULL));
    cells[4] = cell_text(number_text(a, q ? &q->hand_size : NULL));
    cells[5] = cell_text(number_text(a, q ? &q->queue_length_limit : NULL));
    cells[6] = cell_age(a, &p->metadata, now_ns);
}

static const struct api_behavior prioritylevel_behavior = {
    .group = GROUP,
    .kind = "PriorityLevelConfiguration",
    .validate = prioritylevel_validate,
    .columns = prioritylevel_columns,
    .n_columns = ARRAY_LEN(prioritylevel_columns),
    .row = prioritylevel_row,
};
API_BEHAVIOR(prioritylevel_behavior);
