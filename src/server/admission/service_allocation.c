#include "server/admission/service_allocation.h"

#include "server/admission/allocator.h"

static void explain(struct api_causes *causes, const char *field, const char *value,
                    enum allocation how, const char *range) {
    if (how == ALLOCATION_TAKEN)
        cause_invalid(causes, field, value,
                      "failed to allocate IP: provided IP is already allocated");
    else if (how == ALLOCATION_OUT_OF_RANGE)
        cause_invalid(
            causes, field, value,
            arena_printf(causes->a,
                         "failed to allocate IP: the provided IP (%s) is not in the valid "
                         "range. The range of valid IPs is %s",
                         value, range));
    else
        cause_invalid(causes, field, value, "failed to allocate IP: range is full");
}

static void set_single_stack(struct admission *ad, struct core_v1_service_spec *spec) {
    spec->cluster_ips = (struct str_list){0};
    *ARENA_PUSH(ad->a, &spec->cluster_ips) = spec->cluster_ip;
    if (!spec->ip_families.n) *ARENA_PUSH(ad->a, &spec->ip_families) = "IPv4";
    if (str_empty(spec->ip_family_policy)) spec->ip_family_policy = "SingleStack";
}

static bool has_ports(const struct core_v1_service_spec *spec) {
    if (str_eq(spec->type, "NodePort")) return true;
    if (!str_eq(spec->type, "LoadBalancer")) return false;
    return !spec->allocate_load_balancer_node_ports || *spec->allocate_load_balancer_node_ports;
}

/* A number that the old version of the same Service holds already. */
static bool held(const struct core_v1_service_spec *old, int32_t port) {
    for (size_t i = 0; old && i < old->ports.n; i++)
        if (old->ports.v[i].node_port == port) return true;
    return false;
}

/* Whose numbers they are until the Service is stored, see allocator.h. */
static const char *owner_of(struct admission *ad) {
    if (ad->dry_run) return NULL;
    return *ad->name ? arena_printf(ad->a, "%s/%s", ad->ns, ad->name) : "";
}

/* The same protocol-less number may serve two ports of one Service (TCP and UDP). */
static bool given(const struct core_v1_service_spec *spec, size_t before, int32_t port) {
    for (size_t i = 0; i < before; i++)
        if (spec->ports.v[i].node_port == port) return true;
    return false;
}

/* An update keeps the numbers that it does not name, by port name and protocol. */
static int32_t inherited(const struct core_v1_service_spec *old,
                         const struct core_v1_service_port *p) {
    for (size_t i = 0; old && i < old->ports.n; i++)
        if (old->ports.v[i].port == p->port && str_eq(old->ports.v[i].protocol, p->protocol))
            return old->ports.v[i].node_port;
    return 0;
}

static void allocate_port(struct admission *ad, struct core_v1_service_spec *spec,
                          const struct core_v1_service_spec *old, size_t i,
                          struct api_causes *causes) {
    struct core_v1_service_port *p = &spec->ports.v[i];
    if (!p->node_port) p->node_port = inherited(old, p);
    if (p->node_port && (held(old, p->node_port) || given(spec, i, p->node_port))) return;
    const char *field = arena_printf(ad->a, "spec.ports[%zu].nodePort", i);
    switch (allocator_port(ad->api, p->node_port, owner_of(ad), &p->node_port)) {
    case ALLOCATED: return;
    case ALLOCATION_TAKEN:
        cause_invalid_int(causes, field, p->node_port, "provided port is already allocated");
        return;
    case ALLOCATION_OUT_OF_RANGE:
        cause_invalid_int(causes, field, p->node_port,
                          "provided port is not in the valid range. The range of valid ports is "
                          "30000-32767");
        return;
    case ALLOCATION_FULL:
        cause_invalid_int(causes, field, p->node_port,
                          "failed to allocate a nodePort: range is full");
        return;
    }
}

void service_allocate(struct admission *ad, struct api_causes *causes) {
    if (*ad->kind->group || !str_eq(ad->kind->plural, "services")) return;
    struct core_v1_service_spec *spec = &((struct core_v1_service *)(void *)ad->object)->spec;
    const struct core_v1_service_spec *old =
        ad->old ? &((const struct core_v1_service *)(const void *)ad->old)->spec : NULL;
    if (str_eq(spec->type, "ExternalName")) {
        spec->cluster_ip = NULL;
        spec->cluster_ips = (struct str_list){0};
        return;
    }
    if (str_empty(spec->cluster_ip) && spec->cluster_ips.n)
        spec->cluster_ip = spec->cluster_ips.v[0];
    if (str_empty(spec->cluster_ip) && old) spec->cluster_ip = old->cluster_ip;
    if (str_empty(spec->cluster_ip) || (!old && !str_eq(spec->cluster_ip, "None"))) {
        const char *wanted = spec->cluster_ip, *ip = NULL;
        enum allocation how = allocator_address(ad->api, ad->a, wanted, owner_of(ad), &ip);
        if (how != ALLOCATED) {
            explain(causes, "spec.clusterIPs", str_or(wanted, ""), how, allocator_range(ad->api));
            return;
        }
        spec->cluster_ip = ip;
    }
    set_single_stack(ad, spec);
    for (size_t i = 0; i < spec->ports.n; i++) {
        if (has_ports(spec))
            allocate_port(ad, spec, old, i, causes);
        else if (!str_eq(spec->type, "LoadBalancer"))
            spec->ports.v[i].node_port = 0;
    }
}
