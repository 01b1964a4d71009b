/* Job: defaults, the selector it gets, validation, Table columns. */
#include "api/kinds/job.h"

#include <string.h>

#include "api/values/selector.h"
#include "base/times.h"

#define UID_KEY "batch.kubernetes.io/controller-uid"
#define NAME_KEY "batch.kubernetes.io/job-name"

static int32_t *number(struct arena *a, int32_t v) { return arena_copy(a, &v, sizeof v); }

static void job_spec_defaults(struct arena *a, struct batch_v1_job_spec *s) {
    pod_spec_defaults(a, &s->template.spec);
    if (!s->completions && !s->parallelism) s->completions = number(a, 1);
    if (!s->parallelism) s->parallelism = number(a, 1);
    if (!s->backoff_limit) s->backoff_limit = number(a, s->backoff_limit_per_index ? INT32_MAX : 6);
    if (!s->completion_mode) s->completion_mode = "NonIndexed";
    if (!s->suspend) s->suspend = ARENA_NEW(a, bool);
    if (!s->manual_selector) s->manual_selector = ARENA_NEW(a, bool);
    if (str_empty(s->pod_replacement_policy))
        s->pod_replacement_policy = s->pod_failure_policy ? "Failed" : "TerminatingOrFailed";
}

static void job_defaults(struct arena *a, void *obj) {
    struct batch_v1_job *j = obj;
    job_spec_defaults(a, &j->spec);
    if (!j->metadata.labels.n) j->metadata.labels = j->spec.template.metadata.labels;
}

/* Unless its author says otherwise, a Job selects its pods by its own UID. */
static void own_selector(struct arena *a, struct batch_v1_job *j) {
    struct str_map *labels = &j->spec.template.metadata.labels;
    if (j->spec.manual_selector && *j->spec.manual_selector) return;
    if (str_empty(j->metadata.uid)) return;
    const struct {
        const char *key, *value;
    } own[] = {{"controller-uid", j->metadata.uid},
               {UID_KEY, j->metadata.uid},
               {"job-name", j->metadata.name},
               {NAME_KEY, j->metadata.name}};
    for (size_t i = 0; i < ARRAY_LEN(own); i++) {
        if (str_empty(own[i].value)) continue;
        /* A label the author gave stays, and validation says that it must not. */
        if (!str_map_get(labels, own[i].key)) str_map_set(a, labels, own[i].key, own[i].value);
    }
    if (!j->spec.selector) j->spec.selector = ARENA_NEW(a, struct meta_v1_label_selector);
    if (!str_map_get(&j->spec.selector->match_labels, UID_KEY))
        str_map_set(a, &j->spec.selector->match_labels, UID_KEY, j->metadata.uid);
}

static void job_prepare(struct arena *a, void *obj, const void *old) {
    struct batch_v1_job *j = obj;
    if (old) return;
    j->status = (struct batch_v1_job_status){0};
    own_selector(a, j);
}

static void own_labels_validate(const struct batch_v1_job *j, struct api_causes *causes) {
    const struct str_map *labels = &j->spec.template.metadata.labels;
    const struct {
        const char *key, *value;
    } own[] = {{UID_KEY, j->metadata.uid}, {NAME_KEY, j->metadata.name}};
    if (j->spec.manual_selector && *j->spec.manual_selector) return;
    for (size_t i = 0; i < ARRAY_LEN(own); i++) {
        const char *is = str_map_get(labels, own[i].key);
        if (!is)
            cause_required(causes, "spec.template.metadata.labels",
                           path_of(causes, "must be '%s'", str_or(own[i].value, "")));
        else if (!str_eq(is, own[i].value))
            cause_invalid_raw(causes, "spec.template.metadata.labels",
                              labels_json(causes->a, labels),
                              path_of(causes, "must be '%s'", str_or(own[i].value, "")));
    }
}

/* By the UID, under its name of today or that of Jobs made before. */
static bool own_selector_only(const struct batch_v1_job *j) {
    const struct str_map *labels = &j->spec.selector->match_labels;
    return labels->n == 1 && !j->spec.selector->match_expressions.n &&
           (str_eq(labels->v[0].key, UID_KEY) || str_eq(labels->v[0].key, "controller-uid")) &&
           str_eq(labels->v[0].value, j->metadata.uid);
}

static void selector_validate(const struct batch_v1_job *j, struct api_causes *causes) {
    struct selector *parsed;
    if (!j->spec.selector) {
        cause_required(causes, "spec.selector", NULL);
        return;
    }
    label_selector_validate(causes, "spec.selector", j->spec.selector);
    if (!(j->spec.manual_selector && *j->spec.manual_selector) && !own_selector_only(j))
        cause_invalid_raw(causes, "spec.selector",
                          type_json(causes->a, &meta_v1_label_selector_type, j->spec.selector),
                          "`selector` not auto-generated");
    if (selector_from_labels(causes->a, j->spec.selector, &parsed, NULL) == 0 &&
        !selector_matches(parsed, &j->spec.template.metadata.labels))
        cause_invalid_raw(causes, "spec.template.metadata.labels",
                          labels_json(causes->a, &j->spec.template.metadata.labels),
                          "`selector` does not match template `labels`");
}

/* What may change in the template of a suspended Job that has not begun: where its pods run. */
static bool template_same(const struct batch_v1_job *j, const struct batch_v1_job *old,
                          struct arena *a) {
    struct core_v1_pod_template_spec now = j->spec.template;
    bool waits = old->spec.suspend && *old->spec.suspend && str_empty(old->status.start_time);
    if (waits) {
        now.spec.node_selector = old->spec.template.spec.node_selector;
        now.spec.affinity = old->spec.template.spec.affinity;
        now.spec.tolerations = old->spec.template.spec.tolerations;
        now.spec.scheduling_gates = old->spec.template.spec.scheduling_gates;
        now.metadata.labels = old->spec.template.metadata.labels;
        now.metadata.annotations = old->spec.template.metadata.annotations;
    }
    return api_equal(&core_v1_pod_template_spec_type, &now, &old->spec.template);
}

static bool same_number(const int32_t *x, const int32_t *y) {
    return x == y || (x && y && *x == *y);
}

static void change_validate(const struct batch_v1_job *j, const struct batch_v1_job *old,
                            struct api_causes *causes) {
    const struct batch_v1_job_spec *s = &j->spec, *was = &old->spec;
    bool indexed = str_eq(s->completion_mode, "Indexed");
    bool elastic = indexed && s->completions && was->completions &&
                   same_number(s->completions, s->parallelism);
    if (!same_number(s->completions, was->completions) && !elastic)
        cause_invalid_raw(causes, "spec.completions",
                          s->completions ? path_of(causes, "%d", *s->completions) : "null",
                          indexed ? "can only be modified in tandem with spec.parallelism"
                                  : "field is immutable");
    if (!template_same(j, old, causes->a))
        cause_invalid_raw(causes, "spec.template",
                          type_json(causes->a, &core_v1_pod_template_spec_type, &s->template),
                          "field is immutable");
    static const char *const fields[] = {"selector",
                                         "completionMode",
                                         "podFailurePolicy",
                                         "successPolicy",
                                         "backoffLimitPerIndex",
                                         "managedBy",
                                         NULL};
    api_validate_unchanged(&batch_v1_job_spec_type, s, was, fields, "spec", causes);
}

static void job_validate(const void *obj, const void *old, const char *subresource,
                         struct api_causes *causes) {
    const struct batch_v1_job *j = obj;
    if (!str_empty(subresource)) return;
    if (!old) own_labels_validate(j, causes);
    job_spec_validate(&j->spec, "spec", causes);
    selector_validate(j, causes);
    if (old) change_validate(j, old, causes);
}

static const struct api_column columns[] = {
    COLUMN_NAME,
    COLUMN("Status", "Complete, Failed, Running or another state."),
    COLUMN("Completions", "Pods that succeeded of the wanted number."),
    COLUMN("Duration", "Time it took, or has taken so far."),
    COLUMN_AGE,
    COLUMN_WIDE("Containers", "Names of each container in the template."),
    COLUMN_WIDE("Images", "Images referenced by each container in the template."),
    COLUMN_WIDE("Selector", "Label selector for the pods."),
};

static bool condition_holds(const struct batch_v1_job *j, const char *type) {
    for (size_t i = 0; i < j->status.conditions.n; i++)
        if (str_eq(j->status.conditions.v[i].type, type))
            return str_eq(j->status.conditions.v[i].status, "True");
    return false;
}

static const char *status_text(const struct batch_v1_job *j) {
    static const char *const states[] = {"Complete", "Failed", "Suspended", "FailureTarget",
                                         "SuccessCriteriaMet"};
    for (size_t i = 0; i < ARRAY_LEN(states); i++)
        if (condition_holds(j, states[i])) return states[i];
    return str_empty(j->metadata.deletion_timestamp) ? "Running" : "Terminating";
}

static const char *completions_text(struct arena *a, const struct batch_v1_job *j) {
    if (j->spec.completions)
        return arena_printf(a, "%d/%d", j->status.succeeded, *j->spec.completions);
    int32_t parallel = j->spec.parallelism ? *j->spec.parallelism : 0;
    if (parallel > 1) return arena_printf(a, "%d/1 of %d", j->status.succeeded, parallel);
    return arena_printf(a, "%d/1", j->status.succeeded);
}

static const char *duration_text(struct arena *a, const struct batch_v1_job *j, int64_t now_ns) {
    int64_t start_ns, end_ns = now_ns;
    if (str_empty(j->status.start_time) || time_parse(j->status.start_time, &start_ns) < 0)
        return "";
    if (!str_empty(j->status.completion_time) && time_parse(j->status.completion_time, &end_ns) < 0)
        end_ns = now_ns;
    return human_duration(a, end_ns - start_ns);
}

static void job_row(struct arena *a, const void *obj, int64_t now_ns, struct api_cell *cells) {
    const struct batch_v1_job *j = obj;
    cells[0] = cell_text(j->metadata.name);
    cells[1] = cell_text(status_text(j));
    cells[2] = cell_text(completions_text(a, j));
    cells[3] = cell_text(duration_text(a, j, now_ns));
    cells[4] = cell_age(a, &j->metadata, now_ns);
    cells[5] = cell_text(container_names_text(a, &j->spec.template.spec));
    cells[6] = cell_text(container_images_text(a, &j->spec.template.spec));
    cells[7] = cell_text(label_selector_text(a, j->spec.selector));
}

static const char *const fields[] = {"status.successful", NULL};

static const char *job_field(struct arena *a, const void *obj, const char *path) {
    const struct batch_v1_job *j = obj;
    if (!str_eq(path, "status.successful")) return NULL;
    return arena_printf(a, "%d", j->status.succeeded);
}

static const struct api_behavior job_behavior = {
    .group = "batch",
    .kind = "Job",
    .defaults = job_defaults,
    .prepare = job_prepare,
    .validate = job_validate,
    .columns = columns,
    .n_columns = ARRAY_LEN(columns),
    .row = job_row,
    .field = job_field,
    .fields = fields,
};
API_BEHAVIOR(job_behavior);
