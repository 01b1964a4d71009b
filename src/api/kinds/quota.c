/* ResourceQuota: validation, Table columns. */
#include <string.h>

#include "api/kinds/kinds.h"
#include "api/values/quantity.h"

static const char *const standard[] = {"cpu",
                                       "memory",
                                       "ephemeral-storage",
                                       "requests.cpu",
                                       "requests.memory",
                                       "requests.storage",
                                       "requests.ephemeral-storage",
                                       "limits.cpu",
                                       "limits.memory",
                                       "limits.ephemeral-storage",
                                       "pods",
                                       "resourcequotas",
                                       "services",
                                       "replicationcontrollers",
                                       "secrets",
                                       "persistentvolumeclaims",
                                       "configmaps",
                                       "services.nodeports",
                                       "services.loadbalancers"};
static const char *const scopes[] = {"Terminating",   "NotTerminating",
                                     "BestEffort",    "NotBestEffort",
                                     "PriorityClass", "CrossNamespacePodAffinity"};

static bool in(const char *const *list, size_t n, const char *s) {
    for (size_t i = 0; i < n; i++)
        if (str_eq(list[i], s)) return true;
    return false;
}

static bool is_standard(const char *name) {
    return in(standard, ARRAY_LEN(standard), name) || str_starts(name, "hugepages-") ||
           str_starts(name, "requests.hugepages-");
}

/* Which resources a scope can be asked about: pods themselves, and what pods compute with. */
static bool scope_fits(const char *scope, const char *resource) {
    bool compute = in(standard, 5, resource) || str_starts(resource, "limits.") ||
                   str_eq(resource, "requests.ephemeral-storage") ||
                   str_eq(resource, "requests.memory") || str_starts(resource, "hugepages-") ||
                   str_starts(resource, "requests.hugepages-");
    if (str_eq(scope, "BestEffort")) return str_eq(resource, "pods");
    return compute || str_eq(resource, "pods");
}

static void hard_validate(const struct str_map *hard, const char *path, struct api_causes *causes) {
    for (size_t i = 0; i < hard->n; i++) {
        const char *name = hard->v[i].key, *value = str_or(hard->v[i].value, "0");
        const char *at = path_of(causes, "%s[%s]", path, name);
        name_validate(causes, at, NAME_QUALIFIED, name);
        if (!strchr(name, '/') && !is_standard(name))
            cause_invalid(causes, at, name, "must be a standard resource for quota");
        if (quantity_cmp(value, "0") < 0)
            cause_invalid(causes, at, value, "must be greater than or equal to 0");
        bool whole =
            in(standard + 10, ARRAY_LEN(standard) - 10, name) || str_starts(name, "count/");
        if (whole && quantity_milli(value) % 1000 != 0)
            cause_invalid(causes, at, value, "must be an integer");
    }
}

/* Scopes that exclude each other. */
static void pairs_validate(const struct str_list *list, const char *path,
                           struct api_causes *causes) {
    static const char *const pairs[][2] = {{"BestEffort", "NotBestEffort"},
                                           {"Terminating", "NotTerminating"}};
    for (size_t p = 0; p < ARRAY_LEN(pairs); p++)
        if (in(list->v, list->n, pairs[p][0]) && in(list->v, list->n, pairs[p][1]))
            cause_invalid(causes, path, "", "conflicting scopes");
}

static void scope_validate(const struct core_v1_resource_quota_spec *spec, const char *scope,
                           struct map *seen, const char *name_path, const char *path,
                           struct api_causes *causes) {
    bool known = in(scopes, ARRAY_LEN(scopes), scope);
    if (!known) cause_invalid(causes, name_path, scope, "unsupported scope");
    if (!known || map_seen(seen, slice_of(scope))) return;
    for (size_t i = 0; i < spec->hard.n; i++)
        if (is_standard(spec->hard.v[i].key) && !scope_fits(scope, spec->hard.v[i].key))
            cause_invalid(causes, path, scope, "unsupported scope applied to resource");
}

static void selector_validate(const struct core_v1_resource_quota_spec *spec,
                              struct api_causes *causes) {
    static const char *const path = "spec.scopeSelector.matchExpressions";
    struct str_list names = {0};
    OWN(map_done) struct map seen = {0};
    for (size_t i = 0; i < spec->scope_selector->match_expressions.n; i++) {
        const struct core_v1_scoped_resource_selector_requirement *r =
            &spec->scope_selector->match_expressions.v[i];
        const char *scope = str_or(r->scope_name, ""), *op = str_or(r->operator, "");
        bool listed = str_eq(op, "In") || str_eq(op, "NotIn");
        *ARENA_PUSH(causes->a, &names) = scope;
        scope_validate(spec, scope, &seen, path_of(causes, "%s.scopeName", path), path, causes);
        if (in(scopes, 4, scope) && !str_eq(op, "Exists"))
            cause_invalid(causes, path_of(causes, "%s.operator", path), op,
                          "must be 'Exist' when scope is any of ResourceQuotaScopeTerminating, "
                          "ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, "
                          "ResourceQuotaScopeNotBestEffort or "
                          "ResourceQuotaScopeCrossNamespacePodAffinity");
        if (listed && r->values.n == 0)
            cause_required(causes, path_of(causes, "%s.values", path),
                           "must be at least one value when `operator` is 'In' or 'NotIn' for "
                           "scope selector");
        else if (!listed && !str_eq(op, "Exists") && !str_eq(op, "DoesNotExist"))
            cause_invalid(causes, path_of(causes, "%s.operator", path), op,
                          "not a valid selector operator");
        else if (!listed && r->values.n)
            cause_invalid(causes, path_of(causes, "%s.values", path), r->values.v[0],
                          "must be no value when `operator` is 'Exist' or 'DoesNotExist' for "
                          "scope selector");
    }
    pairs_validate(&names, path, causes);
}

static void quota_validate(const void *obj, const void *old_obj, const char *subresource,
                           struct api_causes *causes) {
    const struct core_v1_resource_quota *q = obj, *old = old_obj;
    if (str_eq(subresource, "status")) {
        hard_validate(&q->status.hard, "status.hard", causes);
        hard_validate(&q->status.used, "status.used", causes);
        return;
    }
    OWN(map_done) struct map seen = {0};
    hard_validate(&q->spec.hard, "spec.hard", causes);
    for (size_t i = 0; i < q->spec.scopes.n; i++)
        scope_validate(&q->spec, str_or(q->spec.scopes.v[i], ""), &seen, "spec.scopes",
                       "spec.scopes", causes);
    pairs_validate(&q->spec.scopes, "spec.scopes", causes);
    if (q->spec.scope_selector) selector_validate(&q->spec, causes);
    static const char *const fields[] = {"scopes", NULL};
    if (old)
        api_validate_unchanged(&core_v1_resource_quota_spec_type, &q->spec, &old->spec, fields,
                               "spec", causes);
}

static void quota_prepare(struct arena *a, void *obj, const void *old) {
    struct core_v1_resource_quota *q = obj;
    if (!old) q->status = (struct core_v1_resource_quota_status){0};
}

static const struct api_column columns[] = {
    COLUMN_NAME,
    COLUMN_AGE,
    COLUMN("Request", "Used and hard amounts of requests."),
    COLUMN("Limit", "Used and hard amounts of limits."),
};

static const char *use_text(struct arena *a, const struct core_v1_resource_quota *q, bool limits) {
    OWN(buf_done) struct buf b = {0};
    for (size_t i = 0; i < q->status.hard.n; i++) {
        const char *name = q->status.hard.v[i].key;
        if (str_starts(name, "limits.") != limits) continue;
        text_join(&b, ", ",
                  arena_printf(a, "%s: %s/%s", name,
                               str_or(str_map_get(&q->status.used, name), "0"),
                               str_or(q->status.hard.v[i].value, "0")));
    }
    return text_copy(a, &b, "");
}

static void quota_row(struct arena *a, const void *obj, int64_t now_ns, struct api_cell *cells) {
    const struct core_v1_resource_quota *q = obj;
    cells[0] = cell_text(q->metadata.name);
    cells[1] = cell_age(a, &q->metadata, now_ns);
    cells[2] = cell_text(use_text(a, q, false));
    cells[3] = cell_text(use_text(a, q, true));
}

static const struct api_behavior quota_behavior = {
    .group = "",
    .kind = "ResourceQuota",
    .prepare = quota_prepare,
    .validate = quota_validate,
    .columns = columns,
    .n_columns = ARRAY_LEN(columns),
    .row = quota_row,
};
API_BEHAVIOR(quota_behavior);
