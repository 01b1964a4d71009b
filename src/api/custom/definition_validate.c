/* The rules for CustomResourceDefinitions (apiextensions validation). Those of schemas are in
 * schema_check.c. */
#include <ctype.h>

#include "api/custom/definition.h"
#include "api/kinds/kinds.h"
#include "base/map.h"
#include "base/own.h"

typedef struct apiextensions_v1_custom_resource_definition definition;
typedef struct apiextensions_v1_custom_resource_definition_names definition_names;
typedef struct apiextensions_v1_custom_resource_definition_version definition_version;

static definition_rules_fn *check_rules;

void definition_use_rules(definition_rules_fn *fn) { check_rules = fn; }

enum { SELECTABLE_MAX = 8, WARNING_BYTES_MAX = 256 };

/* ---- names ---- */

static const char *joined(struct api_causes *c, const char *prefix, const char *const *v,
                          size_t n) {
    OWN(buf_done) struct buf b = {0};
    buf_str(&b, prefix);
    for (size_t i = 0; i < n; i++) buf_printf(&b, "%s%s", i ? "," : "", v[i]);
    return arena_strn(c->a, buf_view(&b));
}

static void label(struct api_causes *c, const char *path, const char *value, const char *prefix) {
    const char *messages[NAME_MESSAGES_MAX];
    if (str_empty(value)) return;
    char *lower = arena_str(c->a, value);
    for (char *p = *prefix ? lower : ""; *p; p++) *p = (char)tolower((unsigned char)*p);
    size_t n = name_messages(c->a, NAME_DNS_1035_LABEL, lower, messages);
    if (n) cause_invalid(c, path, value, joined(c, prefix, messages, n));
}

static void labels(struct api_causes *c, const char *path, const struct str_list *l) {
    for (size_t i = 0; i < l->n; i++) label(c, path_of(c, "%s[%zu]", path, i), l->v[i], "");
}

static void names_validate(struct api_causes *c, const char *path, const definition_names *n) {
    static const char mixed[] = "may have mixed case, but should otherwise match: ";
    label(c, path_of(c, "%s.plural", path), n->plural, "");
    label(c, path_of(c, "%s.singular", path), n->singular, "");
    label(c, path_of(c, "%s.kind", path), n->kind, mixed);
    label(c, path_of(c, "%s.listKind", path), n->list_kind, mixed);
    labels(c, path_of(c, "%s.shortNames", path), &n->short_names);
    if (!str_empty(n->kind) && str_eq(n->kind, n->list_kind))
        cause_invalid(c, path_of(c, "%s.listKind", path), n->list_kind,
                      "kind and listKind may not be the same");
    labels(c, path_of(c, "%s.categories", path), &n->categories);
}

static void needed(struct api_causes *c, const char *path, const char *value) {
    if (str_empty(value)) cause_required(c, path, NULL);
}

static void group_validate(struct api_causes *c, const char *group) {
    const char *messages[NAME_MESSAGES_MAX];
    if (str_empty(group)) {
        cause_required(c, "spec.group", NULL);
        return;
    }
    size_t n = name_messages(c->a, NAME_DNS_SUBDOMAIN, group, messages);
    if (n)
        cause_invalid(c, "spec.group", group, joined(c, "", messages, n));
    else if (!strchr(group, '.'))
        cause_invalid(c, "spec.group", group, "should be a domain with at least one dot");
}

/* Upstream's own groups are for kinds that the community has approved (KEP-1111). */
static void approval_validate(struct api_causes *c, const definition *d) {
    static const char key[] = "api-approved.kubernetes.io";
    const char *group = str_or(d->spec.group, "");
    bool ours = str_ends(group, ".k8s.io") || str_ends(group, ".kubernetes.io") ||
                str_eq(group, "k8s.io") || str_eq(group, "kubernetes.io");
    const char *value = str_map_get(&d->metadata.annotations, key);
    if (!ours) return;
    if (!value)
        cause_required(c, "metadata.annotations[api-approved.kubernetes.io]",
                       "protected groups must have approval annotation "
                       "\"api-approved.kubernetes.io\", see "
                       "https://github.com/kubernetes/enhancements/pull/1111");
    else if (!str_starts(value, "http") && !str_starts(value, "unapproved"))
        cause_invalid(c, "metadata.annotations[api-approved.kubernetes.io]", value,
                      "protected groups must have approval annotation "
                      "\"api-approved.kubernetes.io\" with either a URL or a reason starting with "
                      "\"unapproved\", see https://github.com/kubernetes/enhancements/pull/1111");
}

/* ---- conversion ---- */

static void client_validate(struct api_causes *c,
                            const struct apiextensions_v1_webhook_conversion *w) {
    static const char path[] = "spec.conversion.webhookClientConfig";
    const struct apiextensions_v1_webhook_client_config *k = w->client_config;
    if (!k || (k->url != NULL) == (k->service != NULL)) {
        cause_required(c, path,
                       k ? "exactly one of url or service is required"
                         : "required when strategy is set to Webhook");
        return;
    }
    if (k->url && !str_starts(k->url, "https://"))
        cause_invalid(c, path_of(c, "%s.url", path), k->url,
                      "'https' is the only allowed URL scheme");
    if (!k->service) return;
    needed(c, path_of(c, "%s.service.name", path), k->service->name);
    needed(c, path_of(c, "%s.service.namespace", path), k->service->namespace);
    if (k->service->port && (*k->service->port < 1 || *k->service->port > 65535))
        cause_invalid_int(c, path_of(c, "%s.service.port", path), *k->service->port,
                          "port is not valid: must be between 1 and 65535, inclusive");
    if (k->service->path && *k->service->path != '/')
        cause_invalid(c, path_of(c, "%s.service.path", path), k->service->path,
                      "must start with a '/'");
}

static void review_versions_validate(struct api_causes *c, const struct str_list *l) {
    static const char path[] = "spec.conversion.conversionReviewVersions";
    bool known = false;
    OWN(map_done) struct map seen = {0};
    if (!l->n) {
        cause_required(c, path, NULL);
        return;
    }
    for (size_t i = 0; i < l->n; i++) {
        known = known || str_eq(l->v[i], "v1") || str_eq(l->v[i], "v1beta1");
        label(c, path_of(c, "%s[%zu]", path, i), l->v[i], "");
        if (map_seen(&seen, slice_of(str_or(l->v[i], ""))))
            cause_invalid(c, path_of(c, "%s[%zu]", path, i), l->v[i], "duplicate version");
    }
    if (!known) cause_invalid(c, path, l->v[0], "must include at least one of v1, v1beta1");
}

static void conversion_validate(struct api_causes *c,
                                const struct apiextensions_v1_custom_resource_conversion *v) {
    static const char *const strategies[] = {"None", "Webhook"};
    bool webhook = str_eq(v->strategy, "Webhook");
    if (str_empty(v->strategy))
        cause_required(c, "spec.conversion.strategy", NULL);
    else if (!webhook && !str_eq(v->strategy, "None"))
        cause_not_supported(c, "spec.conversion.strategy", v->strategy, strategies, 2);
    if (webhook && !v->webhook) {
        cause_required(c, "spec.conversion.webhookClientConfig",
                       "required when strategy is set to Webhook");
    } else if (webhook) {
        client_validate(c, v->webhook);
        review_versions_validate(c, &v->webhook->conversion_review_versions);
    } else if (v->webhook) {
        cause_forbidden(c, "spec.conversion.webhook",
                        "should not be set when strategy is not set to Webhook");
    }
}

/* ---- versions ---- */

static void scale_path(struct api_causes *c, const char *path, const char *value, const char *below,
                       const char *or_below, const char *why) {
    if (!jsonpath_is_simple(value))
        cause_invalid(c, path, value,
                      *value == '.' ? "must be a json path in the dot notation"
                                    : "must be a simple json path starting with .");
    else if (!str_starts(value, below) && !(or_below && str_starts(value, or_below)))
        cause_invalid(c, path, value, why);
}

static void scale_validate(struct api_causes *c, const char *path,
                           const struct apiextensions_v1_custom_resource_subresource_scale *s) {
    const char *spec = path_of(c, "%s.scale.specReplicasPath", path);
    const char *status = path_of(c, "%s.scale.statusReplicasPath", path);
    if (str_empty(s->spec_replicas_path))
        cause_required(c, spec, NULL);
    else
        scale_path(c, spec, s->spec_replicas_path, ".spec.", NULL,
                   "should be a json path under .spec");
    if (str_empty(s->status_replicas_path))
        cause_required(c, status, NULL);
    else
        scale_path(c, status, s->status_replicas_path, ".status.", NULL,
                   "should be a json path under .status");
    if (!str_empty(s->label_selector_path))
        scale_path(c, path_of(c, "%s.scale.labelSelectorPath", path), s->label_selector_path,
                   ".spec.", ".status.", "should be a json path under either .spec or .status");
}

static void column_validate(struct api_causes *c, const char *path,
                            const struct apiextensions_v1_custom_resource_column_definition *v) {
    static const char types[] = "must be one of boolean,date,integer,number,string";
    static const char *const known[] = {"boolean", "date", "integer", "number", "string"};
    static const char *const formats[] = {"byte",  "date",  "date-time", "double",  "float",
                                          "int32", "int64", "name",      "password"};
    struct jsonpath *parsed;
    struct err err;
    bool fine = false, format = str_empty(v->format);
    for (size_t i = 0; i < ARRAY_LEN(known); i++) fine = fine || str_eq(v->type, known[i]);
    for (size_t i = 0; i < ARRAY_LEN(formats); i++)
        format = format || str_eq(v->format, formats[i]);
    needed(c, path_of(c, "%s.name", path), v->name);
    if (str_empty(v->type))
        cause_required(c, path_of(c, "%s.type", path), types);
    else if (!fine)
        cause_invalid(c, path_of(c, "%s.type", path), v->type, types);
    if (!format)
        cause_invalid(c, path_of(c, "%s.format", path), v->format,
                      "must be one of byte,date,date-time,double,float,int32,int64,name,password");
    if (str_empty(v->json_path))
        cause_required(c, path_of(c, "%s.jsonPath", path), NULL);
    else if (*v->json_path != '.')
        cause_invalid(c, path_of(c, "%s.jsonPath", path), v->json_path,
                      "must be a simple json path starting with .");
    else if (jsonpath_parse(c->a, v->json_path, &parsed, &err) < 0)
        cause_invalid(c, path_of(c, "%s.jsonPath", path), v->json_path, err.text);
}

static void warning_validate(struct api_causes *c, const char *path, const definition_version *v) {
    const char *w = v->deprecation_warning;
    if (!w) return;
    if (!v->deprecated) cause_invalid(c, path, w, "can only be set for deprecated versions");
    if (strlen(w) > WARNING_BYTES_MAX) cause_invalid(c, path, w, "must be <= 256 characters long");
    if (!*w) cause_invalid(c, path, w, "must not be an empty string");
    for (size_t i = 0; w[i]; i++) {
        if ((unsigned char)w[i] >= 0x20 && w[i] != 0x7f) continue;
        cause_invalid(c, path, w,
                      path_of(c,
                              "must only contain printable UTF-8 characters; non-printable "
                              "character found at index %zu",
                              i));
        break;
    }
}

/* The schema of a simple path, or NULL. */
static const struct schema *schema_at(const struct schema *s, const char *path) {
    struct slice left = slice_of(path), step;
    while (s && slice_cut(&left, '.', &step))
        if (step.n) s = schema_property(s, step);
    return s;
}

static void selectable_validate(struct api_causes *c, const char *path, const definition_version *v,
                                const struct schema *s) {
    if (v->selectable_fields.n > SELECTABLE_MAX)
        cause_too_many(c, path, v->selectable_fields.n, SELECTABLE_MAX);
    for (size_t i = 0; i < v->selectable_fields.n && i < SELECTABLE_MAX; i++) {
        const char *json = str_or(v->selectable_fields.v[i].json_path, "");
        const char *at = path_of(c, "%s[%zu].jsonPath", path, i);
        const struct schema *f = jsonpath_is_simple(json) ? schema_at(s, json) : NULL;
        for (size_t k = 0; k < i; k++)
            if (str_eq(v->selectable_fields.v[k].json_path, json)) cause_duplicate(c, at, json);
        if (!*json)
            cause_required(c, at, NULL);
        else if (!jsonpath_is_simple(json))
            cause_invalid(c, at, json, "must be a simple json path starting with .");
        else if (str_starts(json, ".metadata.") || str_eq(json, ".metadata"))
            cause_invalid(c, at, json, "must not point to fields in metadata");
        else if (!f)
            cause_invalid(c, at, json, "does not refer to a valid field");
        else if (f->type != SCHEMA_STRING && f->type != SCHEMA_BOOLEAN && f->type != SCHEMA_INTEGER)
            cause_invalid(c, at, json,
                          "must point to a field of type string, boolean or integer. Enum string "
                          "fields and strings with formats are allowed.");
    }
}

/* The schema when it is sound; else causes tell why not. */
static void schema_document_validate(struct api_causes *c, const char *path,
                                     const definition_version *v) {
    OWN(arena_free_p) struct arena *a = arena_new();
    OWN(buf_done) struct buf json = {0};
    struct value document;
    struct schema *built = NULL;
    struct err err;
    bool status = v->subresources && v->subresources->status.p;
    const char *at = path_of(c, "%s.schema.openAPIV3Schema", path);
    if (!v->schema || !v->schema->open_apiv_3_schema) {
        cause_required(c, at, "schemas are required");
        return;
    }
    api_encode(&json, &apiextensions_v1_json_schema_props_type, v->schema->open_apiv_3_schema);
    if (value_parse(a, buf_view(&json), "", NULL, &document, &err) < 0) {
        cause_invalid(c, at, "", err.text);
        return;
    }
    if (schema_build(a, &document, &built, &err) < 0) built = NULL;
    size_t before = c->n;
    schema_check(&document, built, status, at, c);
    if (!built && c->n == before) cause_invalid(c, at, "", err.text);
    if (!built) return;
    selectable_validate(c, path_of(c, "%s.selectableFields", path), v, built);
    if (c->n == before && check_rules && built->flags & SCHEMA_HAS_RULES) check_rules(built, at, c);
}

static void version_validate(struct api_causes *c, const char *path, const definition_version *v) {
    if (str_empty(v->name))
        cause_required(c, path_of(c, "%s.name", path), NULL);
    else
        label(c, path_of(c, "%s.name", path), v->name, "");
    warning_validate(c, path_of(c, "%s.deprecationWarning", path), v);
    schema_document_validate(c, path, v);
    if (v->subresources && v->subresources->scale)
        scale_validate(c, path_of(c, "%s.subresources", path), v->subresources->scale);
    for (size_t i = 0; i < v->additional_printer_columns.n; i++)
        column_validate(c, path_of(c, "%s.additionalPrinterColumns[%zu]", path, i),
                        &v->additional_printer_columns.v[i]);
}

static const char *versions_text(struct api_causes *c, const definition *d) {
    OWN(buf_done) struct buf b = {0};
    for (size_t i = 0; i < d->spec.versions.n; i++)
        buf_printf(&b, "%s%s", i ? "," : "", str_or(d->spec.versions.v[i].name, ""));
    return arena_strn(c->a, buf_view(&b));
}

static void versions_validate(struct api_causes *c, const definition *d) {
    size_t stored = 0;
    bool unique = true;
    OWN(map_done) struct map names = {0};
    for (size_t i = 0; i < d->spec.versions.n; i++) {
        const definition_version *v = &d->spec.versions.v[i];
        stored += v->storage;
        if (map_seen(&names, slice_of(str_or(v->name, "")))) unique = false;
        version_validate(c, path_of(c, "spec.versions[%zu]", i), v);
    }
    if (!unique)
        cause_invalid(c, "spec.versions", versions_text(c, d), "must contain unique version names");
    if (stored != 1)
        cause_invalid(c, "spec.versions", versions_text(c, d),
                      "must have exactly one version marked as storage version");
}

static void stored_versions_validate(struct api_causes *c, const definition *d) {
    static const char path[] = "status.storedVersions";
    const struct str_list *l = &d->status.stored_versions;
    if (!l->n) cause_invalid_raw(c, path, "[]", "must have at least one stored version");
    OWN(map_done) struct map stored = {0}, told = {0};
    for (size_t k = 0; k < l->n; k++) map_seen(&stored, slice_of(l->v[k]));
    for (size_t i = 0; i < d->spec.versions.n; i++) {
        const definition_version *v = &d->spec.versions.v[i];
        const char *name = str_or(v->name, "");
        map_seen(&told, slice_of(name));
        if (v->storage && l->n && !map_gets(&stored, name))
            cause_invalid(c, path, v->name, path_of(c, "must have the storage version %s", name));
    }
    for (size_t k = 0; k < l->n; k++)
        if (!map_gets(&told, l->v[k]))
            cause_invalid(c, path_of(c, "%s[%zu]", path, k), l->v[k],
                          "must appear in spec.versions");
}

/* ---- the whole ---- */

static void immutable(struct api_causes *c, const char *path, const char *now, const char *old) {
    if (!str_eq(now, old)) cause_invalid(c, path, now, "field is immutable");
}

static void update_validate(struct api_causes *c, const definition *d, const definition *old) {
    if (definition_is(old, "Established")) {
        immutable(c, "spec.scope", d->spec.scope, old->spec.scope);
        immutable(c, "spec.names.kind", d->spec.names.kind, old->spec.names.kind);
    }
    immutable(c, "spec.group", d->spec.group, old->spec.group);
    immutable(c, "spec.names.plural", d->spec.names.plural, old->spec.names.plural);
}

void definition_validate(const void *obj, const void *old, const char *subresource,
                         struct api_causes *c) {
    static const char *const scopes[] = {"Cluster", "Namespaced"};
    const definition *d = obj;
    names_validate(c, "status.acceptedNames", &d->status.accepted_names);
    stored_versions_validate(c, d);
    if (str_eq(subresource, "status")) return;
    const char *wanted =
        path_of(c, "%s.%s", str_or(d->spec.names.plural, ""), str_or(d->spec.group, ""));
    if (!str_eq(d->metadata.name, wanted))
        cause_invalid(c, "metadata.name", d->metadata.name,
                      path_of(c, "must be spec.names.plural+\".\"+spec.group"));
    group_validate(c, d->spec.group);
    if (str_empty(d->spec.scope))
        cause_required(c, "spec.scope", NULL);
    else if (!str_eq(d->spec.scope, scopes[0]) && !str_eq(d->spec.scope, scopes[1]))
        cause_not_supported(c, "spec.scope", d->spec.scope, scopes, 2);
    needed(c, "spec.names.plural", d->spec.names.plural);
    needed(c, "spec.names.singular", d->spec.names.singular);
    needed(c, "spec.names.kind", d->spec.names.kind);
    needed(c, "spec.names.listKind", d->spec.names.list_kind);
    names_validate(c, "spec.names", &d->spec.names);
    versions_validate(c, d);
    if (d->spec.preserve_unknown_fields)
        cause_invalid_raw(c, "spec.preserveUnknownFields", "true",
                          "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in "
                          "spec.versions[*].schema instead");
    if (d->spec.conversion) conversion_validate(c, d->spec.conversion);
    if (!old) approval_validate(c, d);
    if (old) update_validate(c, d, old);
}

const struct apiextensions_v1_custom_resource_definition_condition *
definition_condition(const definition *d, const char *type) {
    for (size_t i = 0; i < d->status.conditions.n; i++)
        if (str_eq(d->status.conditions.v[i].type, type)) return &d->status.conditions.v[i];
    return NULL;
}

bool definition_is(const definition *d, const char *type) {
    const struct apiextensions_v1_custom_resource_definition_condition *c =
        definition_condition(d, type);
    return c && str_eq(c->status, "True");
}
