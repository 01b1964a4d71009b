/* APIService: validation, Table columns. */
#include "api/kinds/kinds.h"

enum { GROUP_PRIORITY_MAX = 20000, VERSION_PRIORITY_MAX = 1000, PORT_MAX = 65535 };

static void apiservice_prepare(struct arena *a, void *obj, const void *old) {
    struct apiregistration_v1_api_service *s = obj;
    if (!old) s->status = (struct apiregistration_v1_api_service_status){0};
}

static void service_validate(const struct apiregistration_v1_api_service_spec *s,
                             struct api_causes *causes) {
    int32_t port = s->service->port ? *s->service->port : 443;
    if (str_empty(s->service->namespace)) cause_required(causes, "spec.service.namespace", NULL);
    if (str_empty(s->service->name)) cause_required(causes, "spec.service.name", NULL);
    if (port < 1 || port > PORT_MAX)
        cause_invalid_int(causes, "spec.service.port", port,
                          "port is not valid: must be between 1 and 65535, inclusive");
    if (s->insecure_skip_tls_verify && !str_empty(s->ca_bundle))
        cause_invalid_raw(causes, "spec.insecureSkipTLSVerify", "true",
                          "may not be true if caBundle is present");
}

static void local_validate(const struct apiregistration_v1_api_service_spec *s,
                           struct api_causes *causes) {
    if (!str_empty(s->ca_bundle))
        cause_invalid(causes, "spec.caBundle", s->ca_bundle,
                      "local APIServices may not have a caBundle");
    if (s->insecure_skip_tls_verify)
        cause_invalid_raw(causes, "spec.insecureSkipTLSVerify", "true",
                          "local APIServices may not have insecureSkipTLSVerify");
}

static void apiservice_validate(const void *obj, const void *old, const char *subresource,
                                struct api_causes *causes) {
    const struct apiregistration_v1_api_service *o = obj;
    const struct apiregistration_v1_api_service_spec *s = &o->spec;
    const char *want =
        arena_printf(causes->a, "%s.%s", str_or(s->version, ""), str_or(s->group, ""));
    if (!str_eq(o->metadata.name, want))
        cause_invalid(
            causes, "metadata.name", o->metadata.name,
            arena_printf(causes->a, "must be `spec.version+\".\"+spec.group`: \"%s\"", want));
    if (str_empty(s->version))
        cause_required(causes, "spec.version", NULL);
    else
        name_validate(causes, "spec.version", NAME_DNS_1035_LABEL, s->version);
    if (!str_empty(s->group)) name_validate(causes, "spec.group", NAME_DNS_SUBDOMAIN, s->group);
    if (str_empty(s->group) && !str_eq(s->version, "v1"))
        cause_required(causes, "spec.group",
                       "only v1 may have an empty group and it better be "
                       "legacy kube");
    if (s->group_priority_minimum <= 0 || s->group_priority_minimum > GROUP_PRIORITY_MAX)
        cause_invalid_int(causes, "spec.groupPriorityMinimum", s->group_priority_minimum,
                          "must be positive and less than 20000");
    if (s->version_priority <= 0 || s->version_priority > VERSION_PRIORITY_MAX)
        cause_invalid_int(causes, "spec.versionPriority", s->version_priority,
                          "must be positive and less than 1000");
    if (s->service)
        service_validate(s, causes);
    else
        local_validate(s, causes);
}

static const char *available_text(struct arena *a, const struct apiregistration_v1_api_service *s) {
    for (size_t i = 0; i < s->status.conditions.n; i++) {
        const struct apiregistration_v1_api_service_condition *c = &s->status.conditions.v[i];
        if (!str_eq(c->type, "Available")) continue;
        return str_eq(c->status, "True")
                   ? "True"
                   : arena_printf(a, "%s (%s)", c->status, str_or(c->reason, ""));
    }
    return UNKNOWN_TEXT;
}

static const struct api_column columns[] = {
    COLUMN_NAME,
    COLUMN("Service", "The reference to the service that hosts this API endpoint."),
    COLUMN("Available", "Whether this service is available."),
    COLUMN_AGE,
};

static void apiservice_row(struct arena *a, const void *obj, int64_t now_ns,
                           struct api_cell *cells) {
    const struct apiregistration_v1_api_service *s = obj;
    cells[0] = cell_text(s->metadata.name);
    cells[1] = cell_text(!s->spec.service ? "Local"
                                          : arena_printf(a, "%s/%s", s->spec.service->namespace,
                                                         s->spec.service->name));
    cells[2] = cell_text(available_text(a, s));
    cells[3] = cell_age(a, &s->metadata, now_ns);
}

static const struct api_behavior apiservice_behavior = {
    .group = "apiregistration.k8s.io",
    .kind = "APIService",
    .prepare = apiservice_prepare,
    .validate = apiservice_validate,
    .columns = columns,
    .n_columns = ARRAY_LEN(columns),
    .row = apiservice_row,
};
API_BEHAVIOR(apiservice_behavior);
