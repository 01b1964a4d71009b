/* Service: defaults, validation of ports and addresses, Table columns. */
#include <inttypes.h>
#include <string.h>

#include "api/kinds/kinds.h"

enum { AFFINITY_TIMEOUT_S = 10800 };

static bool is_type(const struct core_v1_service *s, const char *type) {
    return str_eq(s->spec.type, type);
}
static bool is_headless(const struct core_v1_service *s) {
    return str_eq(s->spec.cluster_ip, "None");
}
static bool is_external_name(const struct core_v1_service *s) { return is_type(s, "ExternalName"); }
static bool has_node_ports(const struct core_v1_service *s) {
    return is_type(s, "NodePort") || is_type(s, "LoadBalancer");
}
static bool is_reachable_from_outside(const struct core_v1_service *s) {
    return has_node_ports(s) || (is_type(s, "ClusterIP") && s->spec.external_ips.n > 0);
}

static void affinity_defaults(struct arena *a, struct core_v1_service_spec *spec) {
    if (str_eq(spec->session_affinity, "None")) spec->session_affinity_config = NULL;
    if (!str_eq(spec->session_affinity, "ClientIP")) return;
    if (!spec->session_affinity_config)
        spec->session_affinity_config = ARENA_NEW(a, struct core_v1_session_affinity_config);
    struct core_v1_session_affinity_config *c = spec->session_affinity_config;
    if (!c->client_ip) c->client_ip = ARENA_NEW(a, struct core_v1_client_ip_config);
    if (c->client_ip->timeout_seconds) return;
    c->client_ip->timeout_seconds = ARENA_NEW(a, int32_t);
    *c->client_ip->timeout_seconds = AFFINITY_TIMEOUT_S;
}

static void service_defaults(struct arena *a, void *obj) {
    struct core_v1_service *s = obj;
    struct core_v1_service_spec *spec = &s->spec;
    affinity_defaults(a, spec);
    for (size_t i = 0; i < spec->ports.n; i++) {
        struct core_v1_service_port *p = &spec->ports.v[i];
        bool unset = p->target_port.kind == IOS_NONE ||
                     (p->target_port.kind == IOS_INT && p->target_port.i == 0) ||
                     (p->target_port.kind == IOS_STRING && str_empty(p->target_port.s));
        if (unset) p->target_port = (struct int_or_string){.kind = IOS_INT, .i = p->port};
    }
    if (is_reachable_from_outside(s) && str_empty(spec->external_traffic_policy))
        spec->external_traffic_policy = "Cluster";
    if (!is_external_name(s) && str_empty(spec->internal_traffic_policy))
        spec->internal_traffic_policy = "Cluster";
    if (is_type(s, "LoadBalancer") && !spec->allocate_load_balancer_node_ports) {
        spec->allocate_load_balancer_node_ports = ARENA_NEW(a, bool);
        *spec->allocate_load_balancer_node_ports = true;
    }
}

static const char *port_key(struct arena *a, const struct core_v1_service_port *p) {
    return arena_printf(a, "%s/%d", str_or(p->protocol, "TCP"), p->port);
}

/* Node ports that were allocated before stay with their port. */
static void keep_node_ports(struct arena *a, struct core_v1_service_port_list *ports,
                            const struct core_v1_service_port_list *old) {
    OWN(map_done) struct map before = {0};
    for (size_t i = 0; i < old->n; i++)
        map_put(&before, slice_of(port_key(a, &old->v[i])), &old->v[i]);
    for (size_t i = 0; i < ports->n; i++) {
        const struct core_v1_service_port *p =
            map_get(&before, slice_of(port_key(a, &ports->v[i])));
        if (p && ports->v[i].node_port == 0) ports->v[i].node_port = p->node_port;
    }
}

/* A service without node ports any more loses those it had, not ones that were just written. */
static void drop_node_ports(struct arena *a, struct core_v1_service_port_list *ports,
                            const struct core_v1_service_port_list *old) {
    OWN(map_done) struct map before = {0};
    for (size_t i = 0; i < old->n; i++)
        map_put(&before, slice_of(arena_printf(a, "%d", old->v[i].node_port)), &old->v[i]);
    for (size_t i = 0; i < ports->n; i++)
        if (map_get(&before, slice_of(arena_printf(a, "%d", ports->v[i].node_port))))
            ports->v[i].node_port = 0;
}

/* What the server allocated is kept when an update leaves it out, as `kubectl replace` does; what
 * the new type has no use for goes. */
static void service_prepare(struct arena *a, void *obj, const void *old_obj) {
    struct core_v1_service *s = obj;
    const struct core_v1_service *old = old_obj;
    if (!old) {
        s->status = (struct core_v1_service_status){0};
        return;
    }
    if (!is_external_name(s) && !is_external_name(old)) {
        if (str_empty(s->spec.cluster_ip) && s->spec.cluster_ips.n == 0) {
            s->spec.cluster_ip = old->spec.cluster_ip;
            s->spec.cluster_ips = old->spec.cluster_ips;
        }
        if (s->spec.ip_families.n == 0) s->spec.ip_families = old->spec.ip_families;
        if (str_empty(s->spec.ip_family_policy))
            s->spec.ip_family_policy = old->spec.ip_family_policy;
    }
    if (has_node_ports(s) && has_node_ports(old))
        keep_node_ports(a, &s->spec.ports, &old->spec.ports);
    if (is_external_name(s) && !is_external_name(old)) {
        if (str_eq(s->spec.cluster_ip, old->spec.cluster_ip)) {
            s->spec.cluster_ip = NULL;
            s->spec.cluster_ips = (struct str_list){0};
        }
        s->spec.ip_families = (struct str_list){0};
        s->spec.ip_family_policy = s->spec.internal_traffic_policy = NULL;
    }
    if (has_node_ports(s) || !has_node_ports(old)) return;
    drop_node_ports(a, &s->spec.ports, &old->spec.ports);
    if (!is_reachable_from_outside(s)) s->spec.external_traffic_policy = NULL;
    s->spec.allocate_load_balancer_node_ports =
        is_type(s, "LoadBalancer") ? s->spec.allocate_load_balancer_node_ports : NULL;
}

static void ports_validate(const struct core_v1_service *s, struct api_causes *causes) {
    OWN(map_done) struct map names = {0};
    OWN(map_done) struct map numbers = {0};
    OWN(map_done) struct map node_ports = {0};
    if (s->spec.ports.n == 0 && !is_headless(s) && !is_external_name(s))
        cause_required(causes, "spec.ports", NULL);
    for (size_t i = 0; i < s->spec.ports.n; i++) {
        const struct core_v1_service_port *p = &s->spec.ports.v[i];
        const char *at = path_of(causes, "spec.ports[%zu]", i);
        if (str_empty(p->name) && s->spec.ports.n > 1)
            cause_required(causes, path_of(causes, "%s.name", at), NULL);
        if (!str_empty(p->name) && map_seen(&names, slice_of(p->name)))
            cause_duplicate(causes, path_of(causes, "%s.name", at), p->name);
        const char *key = path_of(causes, "%s/%d", str_or(p->protocol, ""), p->port);
        if (map_seen(&numbers, slice_of(key))) cause_duplicate(causes, at, key);
        if (p->node_port == 0) continue;
        if (!has_node_ports(s))
            cause_forbidden(
                causes, path_of(causes, "%s.nodePort", at),
                path_of(causes, "may not be used when `type` is '%s'", str_or(s->spec.type, "")));
        key = path_of(causes, "%s/%d", str_or(p->protocol, ""), p->node_port);
        if (map_seen(&node_ports, slice_of(key)))
            cause_duplicate(causes, path_of(causes, "%s.nodePort", at),
                            path_of(causes, "%d", p->node_port));
    }
}

static void external_name_validate(const struct core_v1_service *s, struct api_causes *causes) {
    if (!str_empty(s->spec.cluster_ip) || s->spec.cluster_ips.n > 0)
        cause_forbidden(causes, "spec.clusterIPs[0]",
                        "may not be set when `type` is 'ExternalName'");
    if (str_empty(s->spec.external_name)) {
        cause_required(causes, "spec.externalName", NULL);
        return;
    }
    char *name = arena_str(causes->a, s->spec.external_name);
    size_t n = strlen(name);
    if (name[n - 1] == '.') name[n - 1] = 0;
    name_validate(causes, "spec.externalName", NAME_DNS_SUBDOMAIN, name);
}

static void address_validate(const struct core_v1_service *s, struct api_causes *causes) {
    const struct core_v1_service_spec *spec = &s->spec;
    if (is_headless(s) && has_node_ports(s))
        cause_invalid(causes, "spec.clusterIPs[0]", "None",
                      path_of(causes, "may not be set to 'None' for %s services", spec->type));
    if (!str_empty(spec->cluster_ip) && !is_headless(s) && !ip_valid(spec->cluster_ip))
        cause_invalid(causes, "spec.clusterIPs[0]", spec->cluster_ip, CAUSE_IP);
    if (spec->cluster_ips.n > 0 && !str_eq(spec->cluster_ips.v[0], spec->cluster_ip))
        cause_invalid(causes, "spec.clusterIPs", str_or(spec->cluster_ips.v[0], ""),
                      "first value must match `clusterIP`");
    for (size_t i = 0; i < spec->external_ips.n; i++)
        if (!ip_valid(spec->external_ips.v[i]))
            cause_invalid(causes, path_of(causes, "spec.externalIPs[%zu]", i),
                          str_or(spec->external_ips.v[i], ""), CAUSE_IP);
}

static void policies_validate(const struct core_v1_service *s, struct api_causes *causes) {
    const struct core_v1_service_spec *spec = &s->spec;
    if (!str_empty(spec->external_traffic_policy) && !is_reachable_from_outside(s))
        cause_invalid(causes, "spec.externalTrafficPolicy", spec->external_traffic_policy,
                      "may only be set for externally-accessible services");
    if (spec->health_check_node_port != 0 &&
        !(is_type(s, "LoadBalancer") && str_eq(spec->external_traffic_policy, "Local")))
        cause_invalid_int(causes, "spec.healthCheckNodePort", spec->health_check_node_port,
                          "may only be set when `type` is 'LoadBalancer' and "
                          "`externalTrafficPolicy` is 'Local'");
    if (spec->load_balancer_source_ranges.n > 0 && !is_type(s, "LoadBalancer"))
        cause_forbidden(causes, "spec.LoadBalancerSourceRanges",
                        "may only be used when `type` is 'LoadBalancer'");
    if (!str_empty(spec->load_balancer_class) && !is_type(s, "LoadBalancer"))
        cause_forbidden(causes, "spec.loadBalancerClass",
                        "may only be used when `type` is 'LoadBalancer'");
    if (spec->allocate_load_balancer_node_ports && !is_type(s, "LoadBalancer"))
        cause_forbidden(causes, "spec.allocateLoadBalancerNodePorts",
                        "may only be used when `type` is 'LoadBalancer'");
    static const char *const families[] = {"IPv4", "IPv6"};
    for (size_t i = 0; i < spec->ip_families.n; i++)
        if (!str_eq(spec->ip_families.v[i], "IPv4") && !str_eq(spec->ip_families.v[i], "IPv6"))
            cause_not_supported(causes, path_of(causes, "spec.ipFamilies[%zu]", i),
                                str_or(spec->ip_families.v[i], ""), families, 2);
}

static void service_validate(const void *obj, const void *old_obj, const char *subresource,
                             struct api_causes *causes) {
    const struct core_v1_service *s = obj, *old = old_obj;
    if (!str_empty(subresource)) return;
    ports_validate(s, causes);
    if (is_external_name(s))
        external_name_validate(s, causes);
    else
        address_validate(s, causes);
    policies_validate(s, causes);
    if (old && !is_external_name(s) && !is_external_name(old) && !str_empty(old->spec.cluster_ip) &&
        !str_eq(s->spec.cluster_ip, old->spec.cluster_ip))
        cause_invalid_raw(causes, "spec.clusterIPs[0]",
                          path_of(causes, "[\"%s\"]", str_or(s->spec.cluster_ip, "")),
                          "may not change once set");
}

static const struct api_column columns[] = {
    COLUMN_NAME,
    COLUMN("Type", "How the service is exposed."),
    COLUMN("Cluster-IP", "Address of the service inside the cluster."),
    COLUMN("External-IP", "Addresses that reach the service from outside."),
    COLUMN("Port(s)", "Ports of the service, with node ports."),
    COLUMN_AGE,
    COLUMN_WIDE("Selector", "Labels of the pods behind the service."),
};

static const char *external_text(struct arena *a, const struct core_v1_service *s) {
    OWN(buf_done) struct buf text = {0};
    if (is_external_name(s)) return str_or(s->spec.external_name, "");
    for (size_t i = 0; is_type(s, "LoadBalancer") && i < s->status.load_balancer.ingress.n; i++) {
        const struct core_v1_load_balancer_ingress *in = &s->status.load_balancer.ingress.v[i];
        text_join(&text, ",", str_or(in->ip, str_or(in->hostname, "")));
    }
    for (size_t i = 0; i < s->spec.external_ips.n; i++)
        text_join(&text, ",", s->spec.external_ips.v[i]);
    return text_copy(a, &text, is_type(s, "LoadBalancer") ? "<pending>" : NONE_TEXT);
}

static const char *ports_text(struct arena *a, const struct core_v1_service *s) {
    OWN(buf_done) struct buf text = {0};
    for (size_t i = 0; i < s->spec.ports.n; i++) {
        const struct core_v1_service_port *p = &s->spec.ports.v[i];
        const char *protocol = str_or(p->protocol, "");
        text_join(&text, ",",
                  p->node_port ? arena_printf(a, "%d:%d/%s", p->port, p->node_port, protocol)
                               : arena_printf(a, "%d/%s", p->port, protocol));
    }
    return text_copy(a, &text, NONE_TEXT);
}

static void service_row(struct arena *a, const void *obj, int64_t now_ns, struct api_cell *cells) {
    const struct core_v1_service *s = obj;
    cells[0] = cell_text(s->metadata.name);
    cells[1] = cell_text(s->spec.type);
    cells[2] = cell_or_none(s->spec.cluster_ip);
    cells[3] = cell_text(external_text(a, s));
    cells[4] = cell_text(ports_text(a, s));
    cells[5] = cell_age(a, &s->metadata, now_ns);
    cells[6] = cell_text(labels_text(a, &s->spec.selector));
}

static const char *const fields[] = {"spec.clusterIP", "spec.type", NULL};

static const char *service_field(struct arena *a, const void *obj, const char *path) {
    const struct core_v1_service *s = obj;
    if (str_eq(path, "spec.clusterIP")) return str_or(s->spec.cluster_ip, "");
    return str_eq(path, "spec.type") ? str_or(s->spec.type, "") : NULL;
}

static const struct api_behavior service_behavior = {
    .group = "",
    .kind = "Service",
    .defaults = service_defaults,
    .prepare = service_prepare,
    .validate = service_validate,
    .columns = columns,
    .n_columns = ARRAY_LEN(columns),
    .row = service_row,
    .field = service_field,
    .fields = fields,
};
API_BEHAVIOR(service_behavior);
