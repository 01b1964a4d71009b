/* MutatingWebhookConfiguration, ValidatingWebhookConfiguration: validation, Table columns. */
#include "api/kinds/kinds.h"

enum { TIMEOUT_MAX_S = 30, CONDITIONS_MAX = 64, PORT_MAX = 65535 };

/* What both kinds of webhook have in common. */
struct hook {
    const char *name;
    const struct admissionregistration_v1_webhook_client_config *client;
    const struct admissionregistration_v1_rule_with_operations_list *rules;
    const struct str_list *versions;
    const struct meta_v1_label_selector *namespaces, *objects;
    const struct admissionregistration_v1_match_condition_list *conditions;
    const int32_t *timeout_s;
};

#define HOOK_OF(w)                                                                                 \
    (struct hook) {                                                                                \
        (w)->name, &(w)->client_config, &(w)->rules, &(w)->admission_review_versions,              \
            (w)->namespace_selector, (w)->object_selector, &(w)->match_conditions,                 \
            (w)->timeout_seconds                                                                   \
    }

static void client_validate(const struct admissionregistration_v1_webhook_client_config *c,
                            const char *path, struct api_causes *causes) {
    bool url = !str_empty(c->url);
    if (url == (c->service != NULL)) {
        cause_required(causes, path, "exactly one of url or service is required");
        return;
    }
    if (url) {
        const char *rest = str_starts(c->url, "https://") ? c->url + 8 : NULL;
        const char *at = path_of(causes, "%s.url", path);
        if (!rest)
            cause_invalid(causes, at, c->url,
                          "'https' is the only allowed URL scheme; desired "
                          "format: https://host[/path]");
        else if (!*rest || *rest == '/')
            cause_invalid(causes, at, c->url,
                          "host must be specified; desired format: https://host[/path]");
        else if (strpbrk(rest, "@?#"))
            cause_invalid(causes, at, c->url,
                          strchr(rest, '@')   ? "user information is not permitted in the URL"
                          : strchr(rest, '#') ? "fragments are not permitted in the URL"
                                              : "query parameters are not permitted in the URL");
        return;
    }
    int32_t port = c->service->port ? *c->service->port : 443;
    if (port < 1 || port > PORT_MAX)
        cause_invalid_int(causes, path_of(causes, "%s.service.port", path), port,
                          "port is not valid: must be between 1 and 65535, inclusive");
    if (!str_empty(c->service->path) && *c->service->path != '/')
        cause_invalid(causes, path_of(causes, "%s.service.path", path), c->service->path,
                      "must start with a '/'");
}

/* "*" says it all: nothing may stand beside it. */
static void list_validate(const struct str_list *l, bool exclusive, const char *path,
                          struct api_causes *causes) {
    if (!l->n) cause_required(causes, path, NULL);
    if (exclusive && l->n > 1 && str_list_has(l, "*"))
        cause_invalid_raw(causes, path, "[\"*\"]", "if '*' is present, must not specify others");
}

static void rule_validate(const struct admissionregistration_v1_rule_with_operations *r,
                          const char *path, struct api_causes *causes) {
    static const char *const operations[] = {"*", "CONNECT", "CREATE", "DELETE", "UPDATE"};
    list_validate(&r->operations, true, path_of(causes, "%s.operations", path), causes);
    for (size_t i = 0; i < r->operations.n; i++) {
        bool known = false;
        for (size_t j = 0; j < ARRAY_LEN(operations); j++)
            known |= str_eq(r->operations.v[i], operations[j]);
        if (!known)
            cause_not_supported(causes, path_of(causes, "%s.operations[%zu]", path, i),
                                r->operations.v[i], operations, ARRAY_LEN(operations));
    }
    list_validate(&r->api_groups, true, path_of(causes, "%s.apiGroups", path), causes);
    list_validate(&r->api_versions, true, path_of(causes, "%s.apiVersions", path), causes);
    for (size_t i = 0; i < r->api_versions.n; i++)
        if (str_empty(r->api_versions.v[i]))
            cause_required(causes, path_of(causes, "%s.apiVersions[%zu]", path, i), NULL);
    list_validate(&r->resources, false, path_of(causes, "%s.resources", path), causes);
    for (size_t i = 0; i < r->resources.n; i++)
        if (str_empty(r->resources.v[i]))
            cause_required(causes, path_of(causes, "%s.resources[%zu]", path, i), NULL);
}

static size_t segments(const char *name) {
    size_t n = 1;
    for (; name && *name; name++) n += *name == '.';
    return n;
}

static void conditions_validate(const struct admissionregistration_v1_match_condition_list *l,
                                const char *path, struct api_causes *causes) {
    if (l->n > CONDITIONS_MAX) cause_too_many(causes, path, l->n, CONDITIONS_MAX);
    OWN(map_done) struct map names = {0};
    for (size_t i = 0; i < l->n; i++)
        if (map_seen(&names, slice_of(str_or(l->v[i].name, ""))))
            cause_duplicate(causes, path_of(causes, "%s[%zu].name", path, i), l->v[i].name);
}

static void hook_validate(const struct hook *h, const char *path, struct api_causes *causes) {
    const char *name = path_of(causes, "%s.name", path);
    if (!str_empty(h->name)) {
        name_validate(causes, name, NAME_DNS_SUBDOMAIN, h->name);
        if (segments(h->name) < 3)
            cause_invalid(causes, name, h->name,
                          "should be a domain with at least three segments separated by dots");
    }
    client_validate(h->client, path_of(causes, "%s.clientConfig", path), causes);
    for (size_t i = 0; i < h->rules->n; i++)
        rule_validate(&h->rules->v[i], path_of(causes, "%s.rules[%zu]", path, i), causes);
    const char *versions = path_of(causes, "%s.admissionReviewVersions", path);
    if (!h->versions->n)
        cause_required(causes, versions, "must specify one of v1, v1beta1");
    else if (!str_list_has(h->versions, "v1") && !str_list_has(h->versions, "v1beta1"))
        cause_invalid_raw(causes, versions, "null", "must include at least one of v1, v1beta1");
    OWN(map_done) struct map seen = {0};
    for (size_t i = 0; i < h->versions->n; i++) {
        const char *version = str_or(h->versions->v[i], "");
        const char *at = path_of(causes, "%s[%zu]", versions, i);
        name_validate(causes, at, NAME_DNS_1035_LABEL, version);
        if (map_seen(&seen, slice_of(version)))
            cause_invalid(causes, at, version, "duplicate version");
    }
    if (h->timeout_s && (*h->timeout_s < 1 || *h->timeout_s > TIMEOUT_MAX_S))
        cause_invalid_int(causes, path_of(causes, "%s.timeoutSeconds", path), *h->timeout_s,
                          "the timeout value must be between 1 and 30 seconds");
    if (h->namespaces)
        label_selector_validate(causes, path_of(causes, "%s.namespaceSelector", path),
                                h->namespaces);
    if (h->objects)
        label_selector_validate(causes, path_of(causes, "%s.objectSelector", path), h->objects);
    conditions_validate(h->conditions, path_of(causes, "%s.matchConditions", path), causes);
}

static void duplicate_validate(struct map *seen, const char *name, const char *path,
                               struct api_causes *causes) {
    if (!str_empty(name) && map_seen(seen, slice_of(name)))
        cause_duplicate(causes, path_of(causes, "%s.name", path), name);
}

#define VALIDATE_ALL(c, causes)                                                                    \
    do {                                                                                           \
        struct map seen = {0};                                                                     \
        for (size_t i = 0; i < (c)->webhooks.n; i++) {                                             \
            const char *path = arena_printf((causes)->a, "webhooks[%zu]", i);                      \
            struct hook h = HOOK_OF(&(c)->webhooks.v[i]);                                          \
            hook_validate(&h, path, causes);                                                       \
            duplicate_validate(&seen, h.name, path, causes);                                       \
        }                                                                                          \
        map_done(&seen);                                                                           \
    } while (0)

static void mutating_validate(const void *obj, const void *old, const char *subresource,
                              struct api_causes *causes) {
    const struct admissionregistration_v1_mutating_webhook_configuration *c = obj;
    VALIDATE_ALL(c, causes);
}

static void validating_validate(const void *obj, const void *old, const char *subresource,
                                struct api_causes *causes) {
    const struct admissionregistration_v1_validating_webhook_configuration *c = obj;
    VALIDATE_ALL(c, causes);
}

static const struct api_column columns[] = {
    COLUMN_NAME,
    COLUMN_INT("Webhooks", "How many webhooks the configuration has."),
    COLUMN_AGE,
};

static void row(struct arena *a, const struct meta_v1_object_meta *m, size_t n, int64_t now_ns,
                struct api_cell *cells) {
    cells[0] = cell_text(m->name);
    cells[1] = cell_int((int64_t)n);
    cells[2] = cell_age(a, m, now_ns);
}

static void mutating_row(struct arena *a, const void *obj, int64_t now_ns, struct api_cell *cells) {
    const struct admissionregistration_v1_mutating_webhook_configuration *c = obj;
    row(a, &c->metadata, c->webhooks.n, now_ns, cells);
}

static void validating_row(struct arena *a, const void *obj, int64_t now_ns,
                           struct api_cell *cells) {
    const struct admissionregistration_v1_validating_webhook_configuration *c = obj;
    row(a, &c->metadata, c->webhooks.n, now_ns, cells);
}

static const struct api_behavior mutating_behavior = {.group = "admissionregistration.k8s.io",
                                                      .kind = "MutatingWebhookConfiguration",
                                                      .validate = mutating_validate,
                                                      .columns = columns,
                                                      .n_columns = ARRAY_LEN(columns),
                                                      .row = mutating_row};
API_BEHAVIOR(mutating_behavior);

static const struct api_behavior validating_behavior = {.group = "admissionregistration.k8s.io",
                                                        .kind = "ValidatingWebhookConfiguration",
                                                        .validate = validating_validate,
                                                        .columns = columns,
                                                        .n_columns = ARRAY_LEN(columns),
                                                        .row = validating_row};
API_BEHAVIOR(validating_behavior);
