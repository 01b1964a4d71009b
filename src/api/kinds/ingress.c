/* Ingress and IngressClass: validation, Table columns. */
#include <string.h>

#include "api/kinds/kinds.h"

enum { CONTROLLER_BYTES_MAX = 250, HOSTS_LISTED_MAX = 3 };
#define CLASS_KEY "kubernetes.io/ingress.class"

static void ingress_prepare(struct arena *a, void *obj, const void *old) {
    struct networking_v1_ingress *i = obj;
    if (!old) i->status = (struct networking_v1_ingress_status){0};
}

static void service_validate(const struct networking_v1_ingress_service_backend *s,
                             const char *path, struct api_causes *causes) {
    const char *name = path_of(causes, "%s.service.name", path);
    const char *port = path_of(causes, "%s.service.port", path);
    if (str_empty(s->name))
        cause_required(causes, name, NULL);
    else
        name_validate(causes, name, NAME_DNS_1035_LABEL, s->name);
    bool named = !str_empty(s->port.name), numbered = s->port.number != 0;
    if (named && numbered)
        cause_invalid(causes, path, "", "cannot set both port name & port number");
    else if (named)
        name_validate(causes, path_of(causes, "%s.name", port), NAME_PORT, s->port.name);
    else if (!numbered)
        cause_required(causes, path, "port name or number is required");
    else if (s->port.number < 1 || s->port.number > 65535)
        cause_invalid_int(causes, path_of(causes, "%s.number", port), s->port.number,
                          "must be between 1 and 65535, inclusive");
}

static void resource_validate(const struct core_v1_typed_local_object_reference *r,
                              const char *path, struct api_causes *causes) {
    if (r->api_group)
        name_validate(causes, path_of(causes, "%s.apiGroup", path), NAME_DNS_SUBDOMAIN,
                      r->api_group);
    if (str_empty(r->kind))
        cause_required(causes, path_of(causes, "%s.kind", path), "kind is required");
    else
        name_validate(causes, path_of(causes, "%s.kind", path), NAME_PATH_SEGMENT, r->kind);
    if (str_empty(r->name))
        cause_required(causes, path_of(causes, "%s.name", path), "name is required");
    else
        name_validate(causes, path_of(causes, "%s.name", path), NAME_PATH_SEGMENT, r->name);
}

static void backend_validate(const struct networking_v1_ingress_backend *b, const char *path,
                             struct api_causes *causes) {
    if (b->resource && b->service)
        cause_invalid(causes, path, "", "cannot set both resource and service backends");
    else if (b->service)
        service_validate(b->service, path, causes);
    else if (!b->resource)
        cause_invalid(causes, path, "", "resource or service backend is required");
    else
        resource_validate(b->resource, path_of(causes, "%s.resource", path), causes);
}

static void path_validate(const struct networking_v1_http_ingress_path *p, const char *path,
                          struct api_causes *causes) {
    static const char *const types[] = {"Exact", "ImplementationSpecific", "Prefix"};
    static const char *const never[] = {"//", "/./", "/../", "%2f", "%2F"};
    static const char *const no_end[] = {"/..", "/."};
    const char *at = path_of(causes, "%s.path", path), *text = str_or(p->path, "");
    if (!p->path_type) {
        cause_required(causes, path_of(causes, "%s.pathType", path), "pathType must be specified");
        return;
    }
    bool own = str_eq(p->path_type, "ImplementationSpecific");
    choice_validate(p->path_type, types, 3, path_of(causes, "%s.pathType", path), causes);
    if (*text != '/' && (!own || *text))
        cause_invalid(causes, at, text, "must be an absolute path");
    for (size_t i = 0; i < ARRAY_LEN(never) && !own; i++)
        if (strstr(text, never[i]))
            cause_invalid(causes, at, text, path_of(causes, "must not contain '%s'", never[i]));
    for (size_t i = 0; i < ARRAY_LEN(no_end) && !own; i++)
        if (str_ends(text, no_end[i]))
            cause_invalid(causes, at, text, path_of(causes, "cannot end with '%s'", no_end[i]));
    backend_validate(&p->backend, path_of(causes, "%s.backend", path), causes);
}

static void host_validate(const char *host, const char *path, struct api_causes *causes) {
    name_validate(causes, path, strchr(host, '*') ? NAME_WILDCARD_SUBDOMAIN : NAME_DNS_SUBDOMAIN,
                  host);
}

static void rules_validate(const struct networking_v1_ingress_spec *s, struct api_causes *causes) {
    for (size_t i = 0; i < s->rules.n; i++) {
        const struct networking_v1_ingress_rule *r = &s->rules.v[i];
        const char *path = path_of(causes, "spec.rules[%zu]", i);
        const char *host = path_of(causes, "%s.host", path);
        if (!str_empty(r->host) && ip_valid(r->host))
            cause_invalid(causes, host, r->host, "must be a DNS name, not an IP address");
        if (!str_empty(r->host)) host_validate(r->host, host, causes);
        if (!r->http) continue;
        if (!r->http->paths.n) cause_required(causes, path_of(causes, "%s.http.paths", path), NULL);
        for (size_t j = 0; j < r->http->paths.n; j++)
            path_validate(&r->http->paths.v[j], path_of(causes, "%s.http.paths[%zu]", path, j),
                          causes);
    }
}

static void tls_validate(const struct networking_v1_ingress_spec *s, struct api_causes *causes) {
    for (size_t i = 0; i < s->tls.n; i++) {
        const char *path = path_of(causes, "spec.tls[%zu]", i);
        for (size_t j = 0; j < s->tls.v[i].hosts.n; j++)
            host_validate(str_or(s->tls.v[i].hosts.v[j], ""),
                          path_of(causes, "%s.hosts[%zu]", path, j), causes);
        if (!str_empty(s->tls.v[i].secret_name))
            name_validate(causes, path_of(causes, "%s.secretName", path), NAME_DNS_SUBDOMAIN,
                          s->tls.v[i].secret_name);
    }
}

static void ingress_validate(const void *obj, const void *old, const char *subresource,
                             struct api_causes *causes) {
    const struct networking_v1_ingress *i = obj;
    const struct networking_v1_ingress_spec *s = &i->spec;
    const char *annotated = str_map_get(&i->metadata.annotations, CLASS_KEY);
    if (str_eq(subresource, "status")) {
        for (size_t j = 0; j < i->status.load_balancer.ingress.n; j++) {
            const char *ip = i->status.load_balancer.ingress.v[j].ip;
            if (!str_empty(ip) && !ip_valid(ip))
                cause_invalid(causes, path_of(causes, "status.loadBalancer.ingress[%zu].ip", j), ip,
                              "must be a valid IP address");
        }
        return;
    }
    if (!s->rules.n && !s->default_backend)
        cause_invalid_raw(causes, "spec", "null",
                          "either `defaultBackend` or `rules` must be specified");
    if (s->default_backend) backend_validate(s->default_backend, "spec.defaultBackend", causes);
    rules_validate(s, causes);
    tls_validate(s, causes);
    if (s->ingress_class_name)
        name_validate(causes, "spec.ingressClassName", NAME_DNS_SUBDOMAIN, s->ingress_class_name);
    if (!old && annotated && s->ingress_class_name && !str_eq(annotated, s->ingress_class_name))
        cause_invalid(causes, "metadata.annotations." CLASS_KEY, annotated,
                      "must match `ingressClassName` when both are specified");
}

static const struct api_column columns[] = {
    COLUMN_NAME,
    COLUMN("Class", "IngressClass that serves it."),
    COLUMN("Hosts", "Hosts that it is for."),
    COLUMN("Address", "Where it can be reached."),
    COLUMN("Ports", "Ports on which it listens."),
    COLUMN_AGE,
};

static const char *hosts_text(struct arena *a, const struct networking_v1_ingress *i) {
    OWN(buf_done) struct buf b = {0};
    size_t n = 0;
    for (size_t j = 0; j < i->spec.rules.n; j++) {
        if (str_empty(i->spec.rules.v[j].host)) continue;
        if (n++ < HOSTS_LISTED_MAX) text_join(&b, ",", i->spec.rules.v[j].host);
    }
    if (n > HOSTS_LISTED_MAX) buf_printf(&b, " + %zu more...", n - HOSTS_LISTED_MAX);
    return text_copy(a, &b, "*");
}

static const char *address_text(struct arena *a, const struct networking_v1_ingress *i) {
    OWN(buf_done) struct buf b = {0};
    const struct networking_v1_ingress_load_balancer_ingress_list *l =
        &i->status.load_balancer.ingress;
    for (size_t j = 0; j < l->n; j++)
        text_join(&b, ",", str_or(str_empty(l->v[j].ip) ? l->v[j].hostname : l->v[j].ip, ""));
    return text_copy(a, &b, "");
}

static void ingress_row(struct arena *a, const void *obj, int64_t now_ns, struct api_cell *cells) {
    const struct networking_v1_ingress *i = obj;
    const char *class = i->spec.ingress_class_name;
    if (!class) class = str_map_get(&i->metadata.annotations, CLASS_KEY);
    cells[0] = cell_text(i->metadata.name);
    cells[1] = cell_text(class ? class : NONE_TEXT);
    cells[2] = cell_text(hosts_text(a, i));
    cells[3] = cell_text(address_text(a, i));
    cells[4] = cell_text(i->spec.tls.n ? "80, 443" : "80");
    cells[5] = cell_age(a, &i->metadata, now_ns);
}

static const struct api_behavior ingress_behavior = {
    .group = "networking.k8s.io",
    .kind = "Ingress",
    .prepare = ingress_prepare,
    .validate = ingress_validate,
    .columns = columns,
    .n_columns = ARRAY_LEN(columns),
    .row = ingress_row,
};
API_BEHAVIOR(ingress_behavior);

/* ---- IngressClass ---- */

static void parameters_validate(const struct networking_v1_ingress_class_parameters_reference *p,
                                struct api_causes *causes) {
    static const char *const scopes[] = {"Cluster", "Namespace"};
    const char *namespace = "spec.parameters.namespace";
    if (!str_empty(p->api_group))
        name_validate(causes, "spec.parameters.apiGroup", NAME_DNS_SUBDOMAIN, p->api_group);
    if (str_empty(p->kind))
        cause_required(causes, "spec.parameters.kind", "kind is required");
    else
        name_validate(causes, "spec.parameters.kind", NAME_PATH_SEGMENT, p->kind);
    if (str_empty(p->name))
        cause_required(causes, "spec.parameters.name", "name is required");
    else
        name_validate(causes, "spec.parameters.name", NAME_PATH_SEGMENT, p->name);
    choice_validate(p->scope, scopes, 2, "spec.parameters.scope", causes);
    bool inside = str_eq(p->scope, "Namespace");
    if (inside && str_empty(p->namespace))
        cause_required(causes, namespace, "`parameters.scope` is set to 'Namespace'");
    else if (inside)
        name_validate(causes, namespace, NAME_DNS_LABEL, p->namespace);
    else if (p->namespace)
        cause_forbidden(causes, namespace, "`parameters.scope` is set to 'Cluster'");
}

static void class_validate(const void *obj, const void *old, const char *subresource,
                           struct api_causes *causes) {
    const struct networking_v1_ingress_class *c = obj;
    const char *controller = c->spec.controller;
    if (c->spec.parameters) parameters_validate(c->spec.parameters, causes);
    if (old) return;
    if (str_empty(controller)) {
        cause_required(causes, "spec.controller", NULL);
        return;
    }
    if (strlen(controller) > CONTROLLER_BYTES_MAX)
        cause_too_long(causes, "spec.controller", CONTROLLER_BYTES_MAX);
    const char *slash = strchr(controller, '/');
    if (!slash || slash == controller || !slash[1])
        cause_invalid(causes, "spec.controller", controller,
                      "must be a domain-prefixed path (such as \"acme.io/foo\")");
    else
        name_validate(causes, "spec.controller", NAME_DNS_SUBDOMAIN,
                      arena_strn(causes->a, slice_from(controller, (size_t)(slash - controller))));
}

static const struct api_column class_columns[] = {
    COLUMN_NAME,
    COLUMN("Controller", "Who serves Ingresses of this class."),
    COLUMN("Parameters", "Object with its parameters."),
    COLUMN_AGE,
};

static void class_row(struct arena *a, const void *obj, int64_t now_ns, struct api_cell *cells) {
    const struct networking_v1_ingress_class *c = obj;
    const struct networking_v1_ingress_class_parameters_reference *p = c->spec.parameters;
    const char *text = NONE_TEXT;
    if (p)
        text = arena_printf(a, "%s%s%s/%s", str_or(p->kind, ""), str_empty(p->api_group) ? "" : ".",
                            str_or(p->api_group, ""), str_or(p->name, ""));
    cells[0] = cell_text(c->metadata.name);
    cells[1] = cell_text(c->spec.controller);
    cells[2] = cell_text(text);
    cells[3] = cell_age(a, &c->metadata, now_ns);
}

static const struct api_behavior class_behavior = {
    .group = "networking.k8s.io",
    .kind = "IngressClass",
    .validate = class_validate,
    .columns = class_columns,
    .n_columns = ARRAY_LEN(class_columns),
    .row = class_row,
};
API_BEHAVIOR(class_behavior);
