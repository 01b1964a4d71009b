#include "server/admission/admission.h"

#include "base/own.h"
#include "server/admission/allocator.h"
#include "server/body.h"
#include "server/admission/pod_admission.h"

static struct object *find(struct admission *ad, const char *group, const char *plural,
                           const char *ns, const char *name) {
    const struct api_kind *k = api_kind_by_plural(group, "v1", plural);
    struct resource *res = k ? cache_of_kind(&ad->api->cache, k) : NULL;
    return res ? resource_get(res, ns, name) : NULL;
}

/* ---- NamespaceLifecycle ---- */

static int namespace_lifecycle(struct admission *ad) {
    struct meta_v1_object_meta *m = &ad->object->metadata;
    if (!(ad->kind->flags & API_NAMESPACED) || ad->old) return 0;
    struct object *o = find(ad, "", "namespaces", "", m->namespace);
    if (!o) return err_set(ad->err, ERR_NOT_FOUND, "namespaces \"%s\" not found", m->namespace);
    struct api_object *decoded;
    const struct api_kind *k = api_kind_by_plural("", "v1", "namespaces");
    if (api_object_decode(ad->a, k, object_json(o), &decoded, ad->err) < 0) return -1;
    if (str_empty(decoded->metadata.deletion_timestamp)) return 0;
    return err_set(ad->err, ERR_FORBIDDEN,
                   "%s \"%s\" is forbidden: unable to create new content in namespace %s because "
                   "it is being terminated",
                   resource_title(ad->a, ad->kind->group, ad->kind->plural), str_or(m->name, ""),
                   m->namespace);
}

/* ---- Namespace: what the API machinery adds to one ---- */

static int namespace_defaults(struct admission *ad) {
    struct core_v1_namespace *n = (void *)ad->object;
    str_map_set(ad->a, &n->metadata.labels, "kubernetes.io/metadata.name", n->metadata.name);
    if (ad->old) {
        /* Only /finalize changes them. */
        if (!str_eq(ad->subresource, "finalize"))
            n->spec.finalizers = ((const struct core_v1_namespace *)ad->old)->spec.finalizers;
        return 0;
    }
    bool has = false;
    for (size_t i = 0; i < n->spec.finalizers.n; i++)
        if (str_eq(n->spec.finalizers.v[i], "kubernetes")) has = true;
    if (!has) *ARENA_PUSH(ad->a, &n->spec.finalizers) = "kubernetes";
    n->status.phase = "Active";
    return 0;
}

/* ---- the table ---- */

static const struct plugin {
    const char *name;
    const char *group, *plural; /* NULL = every kind */
    bool on_update;
    int (*run)(struct admission *ad);
} plugins[] = {
    {"NamespaceLifecycle", NULL, NULL, false, namespace_lifecycle},
    {"NamespaceDefaults", "", "namespaces", true, namespace_defaults},
    {"Priority", "", "pods", false, pod_priority},
    {"ServiceAccount", "", "pods", false, pod_service_account},
    {"DefaultTolerationSeconds", "", "pods", false, pod_default_tolerations},
};

int admission_run(struct admission *ad) {
    for (size_t i = 0; i < ARRAY_LEN(plugins); i++) {
        const struct plugin *p = &plugins[i];
        if (p->plural &&
            (!str_eq(p->plural, ad->kind->plural) || !str_eq(p->group, ad->kind->group)))
            continue;
        if (ad->old && !p->on_update) continue;
        int rc = p->run(ad);
        if (rc < 0) return rc;
    }
    return 0;
}

/* ---- Services: addresses and ports ---- */

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
    switch (allocator_port(ad->api, p->node_port, &p->node_port)) {
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

static void allocate_service(struct admission *ad, struct api_causes *causes) {
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
        enum allocation how = allocator_address(ad->api, ad->a, wanted, &ip);
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

void admission_allocate(struct admission *ad, struct api_causes *causes) {
    if (!*ad->kind->group && str_eq(ad->kind->plural, "services")) allocate_service(ad, causes);
}
