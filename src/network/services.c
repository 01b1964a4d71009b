#include "network/services.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "api/rules/pods.h"
#include "base/own.h"
#include "network/ipam.h"

struct slice_list {
    const struct discovery_v1_endpoint_slice **v;
    size_t n;
};

/* Service "ns/name" → its slices; built once per round, so that the whole is linear. */
static void index_slices(const struct informer *slices, struct arena *a, struct map *index) {
    size_t at = 0;
    const struct api_object *o;
    while ((o = informer_next(slices, &at))) {
        const char *service = str_map_get(&o->metadata.labels, "kubernetes.io/service-name");
        if (str_empty(service)) continue;
        const char *key = arena_printf(a, "%s/%s", str_or(o->metadata.namespace, ""), service);
        struct slice_list *list = map_gets(index, key);
        if (!list) {
            list = ARENA_NEW(a, struct slice_list);
            map_put(index, slice_of(key), list);
        }
        *ARENA_PUSH(a, list) = (const struct discovery_v1_endpoint_slice *)o;
    }
}

struct backends {
    struct rules_backend *v;
    size_t n;
};

static const struct discovery_v1_endpoint_port *
slice_port(const struct discovery_v1_endpoint_slice *s, const char *name) {
    for (size_t i = 0; i < s->ports.n; i++)
        if (str_eq(s->ports.v[i].name, name)) return &s->ports.v[i];
    return NULL;
}

enum want { WANT_READY, WANT_SERVING };

static bool wanted(const struct discovery_v1_endpoint *e, enum want want) {
    const bool *flag = want == WANT_READY ? e->conditions.ready : e->conditions.serving;
    return want == WANT_READY ? !flag || *flag : flag && *flag;
}

static void collect(struct arena *a, const struct slice_list *list, const char *port_name,
                    enum want want, struct backends *out) {
    for (size_t i = 0; list && i < list->n; i++) {
        const struct discovery_v1_endpoint_slice *s = list->v[i];
        const struct discovery_v1_endpoint_port *port = slice_port(s, port_name);
        if (!port || !port->port || !str_eq(s->address_type, "IPv4")) continue;
        for (size_t j = 0; j < s->endpoints.n; j++) {
            const struct discovery_v1_endpoint *e = &s->endpoints.v[j];
            uint32_t ip;
            if (!wanted(e, want) || !e->addresses.n || ipv4_parse(e->addresses.v[0], &ip) < 0)
                continue;
            *ARENA_PUSH(a, out) = (struct rules_backend){ip, (uint16_t)*port->port};
        }
    }
}

static int by_address(const void *x, const void *y) {
    const struct rules_backend *a = x, *b = y;
    if (a->ip != b->ip) return a->ip < b->ip ? -1 : 1;
    return (int)a->port - (int)b->port;
}

/* An endpoint that moves from one slice to another may stand in both for a while. */
static void sort_unique(struct backends *b) {
    size_t n = 0;
    if (b->n) qsort(b->v, b->n, sizeof *b->v, by_address);
    for (size_t i = 0; i < b->n; i++)
        if (!n || by_address(&b->v[n - 1], &b->v[i]) != 0) b->v[n++] = b->v[i];
    b->n = n;
}

static void external_ips(struct arena *a, const struct core_v1_service *s, struct rules_port *p) {
    struct {
        uint32_t *v;
        size_t n;
    } list = {0};
    uint32_t ip;
    for (size_t i = 0; i < s->spec.external_ips.n; i++)
        if (ipv4_parse(s->spec.external_ips.v[i], &ip) == 0) *ARENA_PUSH(a, &list) = ip;
    for (size_t i = 0; i < s->status.load_balancer.ingress.n; i++)
        if (ipv4_parse(s->status.load_balancer.ingress.v[i].ip, &ip) == 0)
            *ARENA_PUSH(a, &list) = ip;
    p->external_ips = list.v;
    p->n_external_ips = list.n;
}

static const char *protocol_name(const char *p) {
    if (str_eq(p, "UDP")) return "udp";
    return str_eq(p, "SCTP") ? "sctp" : "tcp";
}

static uint32_t affinity_seconds(const struct core_v1_service_spec *s) {
    if (!str_eq(s->session_affinity, "ClientIP")) return 0;
    const struct core_v1_session_affinity_config *c = s->session_affinity_config;
    const int32_t *timeout = c && c->client_ip ? c->client_ip->timeout_seconds : NULL;
    return timeout && *timeout > 0 ? (uint32_t)*timeout : 10800;
}

static void add_service(struct arena *a, const struct core_v1_service *s,
                        const struct slice_list *list, struct rules *out) {
    uint32_t ip = 0;
    if (str_eq(s->spec.type, "ExternalName") || ipv4_parse(s->spec.cluster_ip, &ip) < 0) return;
    for (size_t i = 0; i < s->spec.ports.n; i++) {
        const struct core_v1_service_port *sp = &s->spec.ports.v[i];
        struct backends ready = {0};
        collect(a, list, sp->name, WANT_READY, &ready);
        if (!ready.n) collect(a, list, sp->name, WANT_SERVING, &ready);
        sort_unique(&ready);
        struct rules_port p = {
            .id = arena_printf(a, "%s/%s/%s", str_or(s->metadata.namespace, ""), s->metadata.name,
                               str_or(sp->name, "")),
            .protocol = protocol_name(sp->protocol),
            .cluster_ip = ip,
            .port = (uint16_t)sp->port,
            .node_port = (uint16_t)sp->node_port,
            .affinity_s = affinity_seconds(&s->spec),
            .local_only = str_eq(s->spec.external_traffic_policy, "Local"),
            .backends = ready.v,
            .n_backends = ready.n,
        };
        external_ips(a, s, &p);
        rules_add(out, &p);
    }
}

void services_to_rules(const struct informer *services, const struct informer *slices,
                       struct rules *out) {
    OWN(arena_free_p) struct arena *a = arena_new();
    OWN(map_done) struct map index = {0};
    index_slices(slices, a, &index);
    size_t at = 0;
    const struct api_object *o;
    while ((o = informer_next(services, &at))) {
        const char *key =
            arena_printf(a, "%s/%s", str_or(o->metadata.namespace, ""), o->metadata.name);
        add_service(a, (const struct core_v1_service *)o, map_gets(&index, key), out);
    }
}

bool pod_has_host_ports(const struct core_v1_pod *pod) {
    if (pod->spec.host_network) return false;
    for (size_t i = 0; i < pod->spec.containers.n; i++)
        for (size_t j = 0; j < pod->spec.containers.v[i].ports.n; j++)
            if (pod->spec.containers.v[i].ports.v[j].host_port) return true;
    return false;
}

static void add_host_port(struct arena *a, const struct core_v1_pod *pod,
                          const struct core_v1_container_port *cp, struct rules *out) {
    struct rules_backend backend = {.port = (uint16_t)cp->container_port};
    uint32_t host_ip;
    if (!cp->host_port || ipv4_parse(pod->status.pod_ip, &backend.ip) < 0) return;
    bool one_address = ipv4_parse(cp->host_ip, &host_ip) == 0 && host_ip != 0;
    struct rules_port p = {
        .id = arena_printf(a, "%s/%d/%s", pod->metadata.uid, cp->host_port,
                           str_or(cp->protocol, "TCP")),
        .protocol = protocol_name(cp->protocol),
        .external_ips = &host_ip,
        .n_external_ips = one_address ? 1 : 0,
        .port = (uint16_t)cp->host_port,
        .node_port = one_address ? 0 : (uint16_t)cp->host_port,
        .local_only = true,
        .backends = &backend,
        .n_backends = 1,
    };
    rules_add(out, &p);
}

void host_ports_to_rules(const struct informer *pods, struct rules *out) {
    OWN(arena_free_p) struct arena *a = arena_new();
    const struct api_object *o;
    size_t at = 0;
    while ((o = informer_next(pods, &at))) {
        const struct core_v1_pod *pod = (const struct core_v1_pod *)o;
        if (!pod_has_host_ports(pod) || pod_is_terminal(pod)) continue;
        for (size_t i = 0; i < pod->spec.containers.n; i++)
            for (size_t j = 0; j < pod->spec.containers.v[i].ports.n; j++)
                add_host_port(a, pod, &pod->spec.containers.v[i].ports.v[j], out);
    }
}
