/* The spec of a Job: numbers that fit together, policies for failure and success. */
#include <string.h>

#include "api/kinds/job.h"

enum {
    RULES_MAX = 20,
    CODES_MAX = 255,
    PARALLEL_INDEXED_MAX = 100000,
    INDEXES_TEXT_MAX = 64 * 1024
};

static bool container_is_there(const struct core_v1_pod_spec *spec, const char *name) {
    for (size_t i = 0; i < spec->containers.n; i++)
        if (str_eq(spec->containers.v[i].name, name)) return true;
    for (size_t i = 0; i < spec->init_containers.n; i++)
        if (str_eq(spec->init_containers.v[i].name, name)) return true;
    return false;
}

static void
exit_codes_validate(const struct batch_v1_pod_failure_policy_on_exit_codes_requirement *r,
                    const struct core_v1_pod_spec *spec, const char *path,
                    struct api_causes *causes) {
    const char *values = path_of(causes, "%s.values", path);
    bool in = str_eq(r->operator, "In");
    if (r->container_name && !container_is_there(spec, r->container_name))
        cause_invalid(causes, path_of(causes, "%s.containerName", path), r->container_name,
                      "must be one of the container or initContainer names in the pod template");
    if (r->values.n == 0) cause_invalid_raw(causes, values, "[]", "at least one value is required");
    if (r->values.n > CODES_MAX) cause_too_many(causes, values, r->values.n, CODES_MAX);
    for (size_t i = 0; i < r->values.n && i < CODES_MAX; i++) {
        int32_t v = r->values.v[i];
        const char *at = path_of(causes, "%s[%zu]", values, i);
        if (in && v == 0) cause_invalid_int(causes, at, v, "must not be 0 for the In operator");
        if (i && v == r->values.v[i - 1])
            cause_printf(causes, "FieldValueDuplicate", at, "Duplicate value: %d", v);
        else if (i && v < r->values.v[i - 1]) {
            cause_invalid_raw(causes, values, "[]", "must be ordered");
            break;
        }
    }
}

static void failure_rule_validate(const struct batch_v1_job_spec *s,
                                  const struct batch_v1_pod_failure_policy_rule *r,
                                  const char *path, struct api_causes *causes) {
    bool codes = r->on_exit_codes != NULL, conditions = r->on_pod_conditions.n > 0;
    if (codes && conditions)
        cause_invalid(causes, path, "",
                      "specifying both OnExitCodes and OnPodConditions is not "
                      "supported");
    if (!codes && !conditions)
        cause_invalid(causes, path, "",
                      "specifying one of OnExitCodes and OnPodConditions is "
                      "required");
    if (str_eq(r->action, "FailIndex") && !s->backoff_limit_per_index)
        cause_invalid(causes, path_of(causes, "%s.action", path), "FailIndex",
                      "requires the backoffLimitPerIndex to be set");
    if (codes)
        exit_codes_validate(r->on_exit_codes, &s->template.spec,
                            path_of(causes, "%s.onExitCodes", path), causes);
    if (r->on_pod_conditions.n > RULES_MAX)
        cause_too_many(causes, path_of(causes, "%s.onPodConditions", path), r->on_pod_conditions.n,
                       RULES_MAX);
}

static void failure_policy_validate(const struct batch_v1_job_spec *s, const char *path,
                                    struct api_causes *causes) {
    const struct batch_v1_pod_failure_policy *p = s->pod_failure_policy;
    const char *rules = path_of(causes, "%s.podFailurePolicy.rules", path);
    if (!str_eq(s->template.spec.restart_policy, "Never"))
        cause_invalid(causes, path_of(causes, "%s.template.spec.restartPolicy", path),
                      str_or(s->template.spec.restart_policy, ""),
                      "only \"Never\" is supported when podFailurePolicy is specified");
    if (str_eq(s->pod_replacement_policy, "TerminatingOrFailed")) {
        static const char *const failed[] = {"Failed"};
        cause_not_supported(causes, path_of(causes, "%s.podReplacementPolicy", path),
                            s->pod_replacement_policy, failed, 1);
    }
    if (p->rules.n > RULES_MAX) cause_too_many(causes, rules, p->rules.n, RULES_MAX);
    for (size_t i = 0; i < p->rules.n && i < RULES_MAX; i++)
        failure_rule_validate(s, &p->rules.v[i], path_of(causes, "%s[%zu]", rules, i), causes);
}

/* "0,3-5": indexes in order, below completions. Returns how many, or -1. */
static int64_t indexes_count(const char *text, int64_t completions) {
    struct slice left = slice_of(text), part;
    int64_t n = 0, last = -1;
    while (slice_cut(&left, ',', &part)) {
        struct slice low_text;
        uint64_t low, high;
        slice_cut(&part, '-', &low_text);
        if (slice_u64(low_text, &low) < 0) return -1;
        high = low;
        if (part.p && slice_u64(part, &high) < 0) return -1;
        if (high < low || (int64_t)low <= last || high >= (uint64_t)completions) return -1;
        n += (int64_t)(high - low) + 1;
        last = (int64_t)high;
    }
    return n;
}

static void success_rule_validate(const struct batch_v1_job_spec *s,
                                  const struct batch_v1_success_policy_rule *r, const char *path,
                                  struct api_causes *causes) {
    int64_t completions = s->completions ? *s->completions : 0, n = completions;
    const char *indexes = path_of(causes, "%s.succeededIndexes", path);
    const char *count = path_of(causes, "%s.succeededCount", path);
    if (!r->succeeded_indexes && !r->succeeded_count) {
        cause_required(causes, path,
                       "at least one of succeededCount or succeededIndexes must be "
                       "specified");
        return;
    }
    if (r->succeeded_indexes) {
        size_t bytes = strlen(r->succeeded_indexes);
        if (bytes > INDEXES_TEXT_MAX) {
            cause_too_long(causes, indexes, INDEXES_TEXT_MAX);
            return;
        }
        n = indexes_count(r->succeeded_indexes, completions);
        if (n < 0)
            cause_invalid(causes, indexes, r->succeeded_indexes,
                          "error parsing succeededIndexes: cannot convert to the list of indexes");
    }
    if (r->succeeded_count && n >= 0 && *r->succeeded_count > n)
        cause_invalid_int(causes, count, *r->succeeded_count,
                          path_of(causes, "must be less than or equal to %lld (the number of %s)",
                                  (long long)n,
                                  r->succeeded_indexes ? "indexes in the specified "
                                                         "succeededIndexes field"
                                                       : "specified completions"));
}

static void success_policy_validate(const struct batch_v1_job_spec *s, const char *path,
                                    struct api_causes *causes) {
    const char *rules = path_of(causes, "%s.successPolicy.rules", path);
    const struct batch_v1_success_policy_rule_list *list = &s->success_policy->rules;
    if (!str_eq(s->completion_mode, "Indexed")) {
        cause_invalid(causes, path_of(causes, "%s.successPolicy", path), "",
                      "requires indexed completion mode");
        return;
    }
    if (list->n == 0)
        cause_required(causes, rules,
                       "at least one rules must be specified when the successPolicy "
                       "is specified");
    if (list->n > RULES_MAX) cause_too_many(causes, rules, list->n, RULES_MAX);
    for (size_t i = 0; i < list->n && i < RULES_MAX; i++)
        success_rule_validate(s, &list->v[i], path_of(causes, "%s[%zu]", rules, i), causes);
}

static void indexed_validate(const struct batch_v1_job_spec *s, const char *path,
                             struct api_causes *causes) {
    const char *failed = path_of(causes, "%s.maxFailedIndexes", path);
    if (str_eq(s->completion_mode, "Indexed")) {
        if (!s->completions)
            cause_required(causes, path_of(causes, "%s.completions", path),
                           "when completion mode is Indexed");
        if (s->parallelism && *s->parallelism > PARALLEL_INDEXED_MAX)
            cause_invalid_int(causes, path_of(causes, "%s.parallelism", path), *s->parallelism,
                              "must be less than or equal to 100000 when completion mode is "
                              "Indexed");
    } else if (s->backoff_limit_per_index) {
        cause_invalid_int(causes, path_of(causes, "%s.backoffLimitPerIndex", path),
                          *s->backoff_limit_per_index, "requires indexed completion mode");
    }
    if (!s->max_failed_indexes) return;
    if (!s->backoff_limit_per_index)
        cause_required(causes, path_of(causes, "%s.backoffLimitPerIndex", path),
                       "when maxFailedIndexes is specified");
    if (s->completions && *s->max_failed_indexes > *s->completions)
        cause_invalid_int(causes, failed, *s->max_failed_indexes,
                          "must be less than or equal to completions");
}

void job_spec_validate(const struct batch_v1_job_spec *s, const char *path,
                       struct api_causes *causes) {
    static const char *const policies[] = {"OnFailure", "Never"};
    const char *restart = path_of(causes, "%s.template.spec.restartPolicy", path);
    const char *policy = s->template.spec.restart_policy;
    pod_template_validate(&s->template, path_of(causes, "%s.template", path), NULL, causes);
    if (str_empty(policy) || str_eq(policy, "Always"))
        cause_required(causes, restart, "valid values: \"OnFailure\", \"Never\"");
    else
        choice_validate(policy, policies, 2, restart, causes);
    indexed_validate(s, path, causes);
    if (s->pod_failure_policy) failure_policy_validate(s, path, causes);
    if (s->success_policy) success_policy_validate(s, path, causes);
    if (s->managed_by && !strchr(s->managed_by, '/'))
        cause_invalid(causes, path_of(causes, "%s.managedBy", path), s->managed_by,
                      "must be a domain-prefixed path (such as \"acme.io/foo\")");
}
