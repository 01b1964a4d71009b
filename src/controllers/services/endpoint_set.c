#include "controllers/services/endpoint_set.h"

#include <string.h>

#include "api/rules/pods.h"
#include "api/values/selector.h"
#include "base/own.h"

/* 0 when a named port is not there. */
static int32_t resolve_port(const struct core_v1_pod *pod, const struct core_v1_service_port *sp) {
    if (sp->target_port.kind == IOS_NONE) return sp->port;
    if (sp->target_port.kind == IOS_INT) return sp->target_port.i;
    for (size_t i = 0; i < pod->spec.containers.n; i++) {
        const struct core_v1_container *c = &pod->spec.containers.v[i];
        for (size_t j = 0; j < c->ports.n; j++)
            if (str_eq(c->ports.v[j].name, sp->target_port.s) &&
                str_eq(str_or(c->ports.v[j].protocol, "TCP"), str_or(sp->protocol, "TCP")))
                return c->ports.v[j].container_port;
    }
    return 0;
}

static size_t resolve_ports(struct arena *a, const struct core_v1_service *s,
                            const struct core_v1_pod *pod, struct endpoint_port **ret) {
    struct endpoint_port *ports = ARENA_ARRAY(a, struct endpoint_port, s->spec.ports.n);
    size_t n = 0;
    for (size_t i = 0; i < s->spec.ports.n; i++) {
        const struct core_v1_service_port *sp = &s->spec.ports.v[i];
        int32_t number = resolve_port(pod, sp);
        if (!number) continue;
        ports[n++] = (struct endpoint_port){.name = str_or(sp->name, ""),
                                            .protocol = str_or(sp->protocol, "TCP"),
                                            .app_protocol = sp->app_protocol,
                                            .port = number};
    }
    *ret = ports;
    return n;
}

static struct endpoint_group *group_for(struct arena *a, struct endpoint_set *set,
                                        struct endpoint_port *ports, size_t n) {
    for (size_t i = 0; i < set->n; i++) {
        struct endpoint_group *g = &set->v[i];
        bool same = g->n_ports == n;
        for (size_t j = 0; same && j < n; j++)
            same = g->ports[j].port == ports[j].port && str_eq(g->ports[j].name, ports[j].name);
        if (same) return g;
    }
    struct endpoint_group *g = ARENA_PUSH(a, set);
    g->ports = ports;
    g->n_ports = n;
    return g;
}

bool endpoint_set_of(const struct world *w, const struct core_v1_service *s, struct arena *a,
                     struct endpoint_set *ret) {
    *ret = (struct endpoint_set){0};
    if (!s->spec.selector.n || str_eq(s->spec.type, "ExternalName")) return false;
    struct selector *sel = selector_from_map(a, &s->spec.selector);
    const struct api_object *o;
    size_t at = 0;
    while ((o = world_next(w, "Pod", s->metadata.namespace, &at))) {
        const struct core_v1_pod *pod = (const struct core_v1_pod *)o;
        if (!selector_matches(sel, &o->metadata.labels) || str_empty(pod->status.pod_ip) ||
            pod_is_terminal(pod))
            continue;
        struct endpoint_port *ports;
        size_t n = resolve_ports(a, s, pod, &ports);
        if (!n && s->spec.ports.n) continue;
        struct endpoint_group *g = group_for(a, ret, ports, n);
        bool terminating = pod->metadata.deletion_timestamp, ready = pod_is_ready(pod);
        struct {
            struct endpoint *v;
            size_t n;
        } list = {g->v, g->n};
        *ARENA_PUSH(a, &list) = (struct endpoint){.pod = pod,
                                                  .ready = s->spec.publish_not_ready_addresses ||
                                                           (ready && !terminating),
                                                  .serving = ready,
                                                  .terminating = terminating};
        g->v = list.v;
        g->n = list.n;
    }
    return true;
}

static bool selects(const struct core_v1_service *s, const struct api_object *pod) {
    for (size_t i = 0; i < s->spec.selector.n; i++) {
        const char *v = str_map_get(&pod->metadata.labels, s->spec.selector.v[i].key);
        if (!v || !str_eq(v, s->spec.selector.v[i].value)) return false;
    }
    return s->spec.selector.n > 0;
}

void map_pod_to_services(const struct world *w, const struct api_object *now,
                         const struct api_object *old, struct keys *out) {
    const struct api_object *o;
    size_t at = 0;
    while ((o = world_next(w, "Service", (now ? now : old)->metadata.namespace, &at))) {
        const struct core_v1_service *s = (const struct core_v1_service *)o;
        if ((now && selects(s, now)) || (old && selects(s, old))) keys_add_object(out, o);
    }
}

const char *endpoint_hostname(const struct core_v1_service *s, const struct core_v1_pod *pod) {
    if (str_empty(pod->spec.hostname) || !str_eq(pod->spec.subdomain, s->metadata.name))
        return NULL;
    return pod->spec.hostname;
}
