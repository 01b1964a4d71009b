/* ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding: what may be written. Here and not
 * beside the other kinds, since expressions must compile. */
#include "api/kinds/kinds.h"
#include "server/policy/policy.h"

enum { CONDITIONS_MAX = 64, ANNOTATIONS_MAX = 20 };

typedef struct admissionregistration_v1_validating_admission_policy policy_object;
typedef struct admissionregistration_v1_validating_admission_policy_binding binding_object;

/* ---- rules and selectors ---- */

static void list_validate(const struct str_list *l, const char *path, struct api_causes *causes) {
    if (!l->n) cause_required(causes, path, NULL);
    if (l->n > 1 && str_list_has(l, "*"))
        cause_invalid_raw(causes, path, "[\"*\"]", "if '*' is present, must not specify others");
}

static void rule_validate(const struct admissionregistration_v1_named_rule_with_operations *r,
                          const char *path, struct api_causes *causes) {
    static const char *const operations[] = {"*", "CONNECT", "CREATE", "DELETE", "UPDATE"};
    list_validate(&r->operations, path_of(causes, "%s.operations", path), causes);
    for (size_t i = 0; i < r->operations.n; i++) {
        size_t k = 0;
        while (k < ARRAY_LEN(operations) && !str_eq(operations[k], r->operations.v[i])) k++;
        if (k == ARRAY_LEN(operations))
            cause_not_supported(causes, path_of(causes, "%s.operations[%zu]", path, i),
                                r->operations.v[i], operations, ARRAY_LEN(operations));
    }
    list_validate(&r->api_groups, path_of(causes, "%s.apiGroups", path), causes);
    list_validate(&r->api_versions, path_of(causes, "%s.apiVersions", path), causes);
    if (!r->resources.n) cause_required(causes, path_of(causes, "%s.resources", path), NULL);
    for (size_t i = 0; i < r->resources.n; i++)
        if (str_empty(r->resources.v[i]))
            cause_required(causes, path_of(causes, "%s.resources[%zu]", path, i), NULL);
}

static void match_validate(const struct admissionregistration_v1_match_resources *m,
                           const char *path, struct api_causes *causes) {
    if (m->namespace_selector)
        label_selector_validate(causes, path_of(causes, "%s.namespaceSelector", path),
                                m->namespace_selector);
    if (m->object_selector)
        label_selector_validate(causes, path_of(causes, "%s.objectSelector", path),
                                m->object_selector);
    for (size_t i = 0; i < m->resource_rules.n; i++)
        rule_validate(&m->resource_rules.v[i], path_of(causes, "%s.resourceRules[%zu]", path, i),
                      causes);
    for (size_t i = 0; i < m->exclude_resource_rules.n; i++)
        rule_validate(&m->exclude_resource_rules.v[i],
                      path_of(causes, "%s.excludeResourceRules[%zu]", path, i), causes);
}

/* ---- policies ---- */

static bool blank(const char *s) { return slice_trim(slice_of(str_or(s, ""))).n == 0; }

static void validation_validate(const struct admissionregistration_v1_validation *v,
                                const char *path, struct api_causes *causes) {
    static const char *const reasons[] = {"Forbidden", "Invalid", "RequestEntityTooLarge",
                                          "Unauthorized"};
    if (!str_empty(v->expression) && blank(v->expression))
        cause_required(causes, path_of(causes, "%s.expression", path),
                       "expression is not specified");
    const char *message = path_of(causes, "%s.message", path);
    if (!str_empty(v->message) && blank(v->message))
        cause_invalid(causes, message, v->message, "message must be non-empty if specified");
    else if (!str_empty(v->message) && strchr(v->message, '\n'))
        cause_invalid(causes, message, v->message, "message must not contain line breaks");
    else if (str_empty(v->message) && strchr(str_or(v->expression, ""), '\n'))
        cause_required(causes, message,
                       "message must be specified if expression contains line breaks");
    size_t i = 0;
    while (i < ARRAY_LEN(reasons) && !str_eq(reasons[i], v->reason)) i++;
    if (!str_empty(v->reason) && i == ARRAY_LEN(reasons))
        cause_not_supported(causes, path_of(causes, "%s.reason", path), v->reason, reasons,
                            ARRAY_LEN(reasons));
}

static bool identifier(const char *s) {
    for (const char *p = s; *p; p++) {
        bool letter = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || *p == '_';
        if (!letter && (p == s || *p < '0' || *p > '9')) return false;
    }
    return *s != 0;
}

static void names_validate(const policy_spec *spec, struct api_causes *causes) {
    OWN(map_done) struct map variables = {0};
    OWN(map_done) struct map conditions = {0};
    for (size_t i = 0; i < spec->variables.n; i++) {
        const char *at = path_of(causes, "spec.variables[%zu].name", i);
        const char *name = str_or(spec->variables.v[i].name, "");
        if (*name && !identifier(name))
            cause_invalid(causes, at, name, "name is not a valid CEL identifier");
        if (*name && map_seen(&variables, slice_of(name))) cause_duplicate(causes, at, name);
    }
    for (size_t i = 0; i < spec->match_conditions.n; i++)
        if (map_seen(&conditions, slice_of(str_or(spec->match_conditions.v[i].name, ""))))
            cause_duplicate(causes, path_of(causes, "spec.matchConditions[%zu].name", i),
                            spec->match_conditions.v[i].name);
}

static void annotations_of_policy_validate(const policy_object *p, struct api_causes *causes) {
    size_t n = p->spec.audit_annotations.n;
    if (n > ANNOTATIONS_MAX)
        cause_invalid_raw(causes, "spec.auditAnnotations", path_of(causes, "%zu", n),
                          "must not have more than 20 auditAnnotations");
    OWN(map_done) struct map seen = {0};
    for (size_t i = 0; i < n; i++) {
        const char *key = str_or(p->spec.audit_annotations.v[i].key, "");
        const char *at = path_of(causes, "spec.auditAnnotations[%zu].key", i);
        if (*key)
            name_validate(causes, at, NAME_QUALIFIED,
                          path_of(causes, "%s/%s", str_or(p->metadata.name, ""), key));
        if (map_seen(&seen, slice_of(key))) cause_duplicate(causes, at, key);
    }
}

static void on_problem(void *user, const char *path, const char *expression, const char *problem) {
    cause_invalid(user, path, expression, problem);
}

/* Whether there are so few expressions that they may be compiled. */
static bool counts_validate(const policy_spec *spec, struct api_causes *causes) {
    const struct {
        const char *path;
        size_t n, most;
    } lists[] = {
        {"spec.matchConditions", spec->match_conditions.n, CONDITIONS_MAX},
        {"spec.validations", spec->validations.n, LIMIT_POLICY_EXPRESSIONS},
        {"spec.variables", spec->variables.n, LIMIT_POLICY_EXPRESSIONS},
    };
    bool few = spec->audit_annotations.n <= ANNOTATIONS_MAX;
    for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
        if (lists[i].n <= lists[i].most) continue;
        cause_too_many(causes, lists[i].path, lists[i].n, lists[i].most);
        few = false;
    }
    return few;
}

static void policy_validate(const void *obj, const void *old, const char *subresource,
                            struct api_causes *causes) {
    const policy_object *p = obj;
    const policy_spec *spec = &p->spec;
    struct policy compiled = {0};
    if (*subresource) return;
    if (!spec->match_constraints)
        cause_required(causes, "spec.matchConstraints", NULL);
    else if (!spec->match_constraints->resource_rules.n)
        cause_required(causes, "spec.matchConstraints.resourceRules", NULL);
    if (spec->match_constraints)
        match_validate(spec->match_constraints, "spec.matchConstraints", causes);
    if (!spec->validations.n && !spec->audit_annotations.n)
        cause_required(causes, "spec.validations",
                       "validations or auditAnnotations must be non-empty");
    if (spec->param_kind && str_empty(spec->param_kind->api_version))
        cause_required(causes, "spec.paramKind.apiVersion", NULL);
    if (spec->param_kind && str_empty(spec->param_kind->kind))
        cause_required(causes, "spec.paramKind.kind", NULL);
    for (size_t i = 0; i < spec->validations.n; i++)
        validation_validate(&spec->validations.v[i], path_of(causes, "spec.validations[%zu]", i),
                            causes);
    names_validate(spec, causes);
    annotations_of_policy_validate(p, causes);
    if (!counts_validate(spec, causes)) return;
    policy_compile(causes->a, spec, cel_type(CEL_DYN), spec->param_kind ? cel_type(CEL_DYN) : NULL,
                   &compiled, on_problem, causes);
}

/* ---- bindings ---- */

static void actions_validate(const struct str_list *actions, struct api_causes *causes) {
    static const char *const known[] = {"Audit", "Deny", "Warn"};
    OWN(map_done) struct map seen = {0};
    if (!actions->n)
        cause_required(causes, "spec.validationActions",
                       "at least one validation action is required");
    for (size_t i = 0; i < actions->n; i++) {
        const char *at = path_of(causes, "spec.validationActions[%zu]", i);
        size_t k = 0;
        while (k < ARRAY_LEN(known) && !str_eq(known[k], actions->v[i])) k++;
        if (k == ARRAY_LEN(known))
            cause_not_supported(causes, at, str_or(actions->v[i], ""), known, ARRAY_LEN(known));
        if (map_seen(&seen, slice_of(str_or(actions->v[i], ""))))
            cause_duplicate(causes, at, actions->v[i]);
    }
    if (str_list_has(actions, "Deny") && str_list_has(actions, "Warn"))
        cause_invalid_raw(causes, "spec.validationActions", "[\"Deny\",\"Warn\"]",
                          "must not contain both Deny and Warn (repeating the same validation "
                          "failure information in the API response and headers serves no purpose)");
}

static void param_ref_validate(const struct admissionregistration_v1_param_ref *r,
                               struct api_causes *causes) {
    static const char *const actions[] = {"Allow", "Deny"};
    if (!str_empty(r->name) && r->selector)
        cause_forbidden(causes, "spec.paramRef.name", "name and selector are mutually exclusive");
    else if (str_empty(r->name) && !r->selector)
        cause_required(causes, "spec.paramRef", "one of name or selector must be specified");
    if (r->selector) label_selector_validate(causes, "spec.paramRef.selector", r->selector);
    const char *action = r->parameter_not_found_action;
    if (str_empty(action))
        cause_required(causes, "spec.paramRef.parameterNotFoundAction", NULL);
    else if (!str_eq(action, "Allow") && !str_eq(action, "Deny"))
        cause_not_supported(causes, "spec.paramRef.parameterNotFoundAction", action, actions, 2);
}

static void binding_validate(const void *obj, const void *old, const char *subresource,
                             struct api_causes *causes) {
    const binding_object *b = obj;
    if (str_empty(b->spec.policy_name))
        cause_required(causes, "spec.policyName", NULL);
    else
        name_validate(causes, "spec.policyName", NAME_DNS_SUBDOMAIN, b->spec.policy_name);
    actions_validate(&b->spec.validation_actions, causes);
    if (b->spec.param_ref) param_ref_validate(b->spec.param_ref, causes);
    if (b->spec.match_resources)
        match_validate(b->spec.match_resources, "spec.matchResources", causes);
}

/* The status is the system's: policy_status.c writes it. */
static void policy_prepare(struct arena *a, void *obj, const void *old) {
    policy_object *p = obj;
    if (!old) memset(&p->status, 0, sizeof p->status);
}

/* ---- tables ---- */

static const struct api_column policy_columns[] = {
    COLUMN_NAME,
    COLUMN_INT("Validations", "Number of validations."),
    COLUMN("ParamKind", "Kind of the parameters."),
    COLUMN_AGE,
};

static void policy_row(struct arena *a, const void *obj, int64_t now_ns, struct api_cell *cells) {
    const policy_object *p = obj;
    const struct admissionregistration_v1_param_kind *k = p->spec.param_kind;
    cells[0] = cell_text(p->metadata.name);
    cells[1] = cell_int((int64_t)p->spec.validations.n);
    cells[2] = cell_text(
        k ? arena_printf(a, "%s/%s", str_or(k->api_version, ""), str_or(k->kind, "")) : "<unset>");
    cells[3] = cell_age(a, &p->metadata, now_ns);
}

static const struct api_column binding_columns[] = {
    COLUMN_NAME,
    COLUMN("PolicyName", "The policy that is put into effect."),
    COLUMN("ParamRef", "The parameters."),
    COLUMN_AGE,
};

static void binding_row(struct arena *a, const void *obj, int64_t now_ns, struct api_cell *cells) {
    const binding_object *b = obj;
    const struct admissionregistration_v1_param_ref *r = b->spec.param_ref;
    const char *params = "<unset>";
    if (r && r->selector)
        params = arena_printf(a, "%s/%s", str_or(r->namespace, "*"), "<selector>");
    else if (r)
        params = arena_printf(a, "%s/%s", str_or(r->namespace, "*"), str_or(r->name, ""));
    cells[0] = cell_text(b->metadata.name);
    cells[1] = cell_text(b->spec.policy_name);
    cells[2] = cell_text(params);
    cells[3] = cell_age(a, &b->metadata, now_ns);
}

static const struct api_behavior policy_behavior = {
    .group = "admissionregistration.k8s.io",
    .kind = "ValidatingAdmissionPolicy",
    .prepare = policy_prepare,
    .validate = policy_validate,
    .columns = policy_columns,
    .n_columns = ARRAY_LEN(policy_columns),
    .row = policy_row,
};
API_BEHAVIOR(policy_behavior);

static const struct api_behavior binding_behavior = {
    .group = "admissionregistration.k8s.io",
    .kind = "ValidatingAdmissionPolicyBinding",
    .validate = binding_validate,
    .columns = binding_columns,
    .n_columns = ARRAY_LEN(binding_columns),
    .row = binding_row,
};
API_BEHAVIOR(binding_behavior);
