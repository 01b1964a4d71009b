#include "api/rules/host_ports.h"

#include <stdio.h>
#include <string.h>

static void ports_of_containers(struct arena *a, const struct core_v1_pod *pod,
                                const struct core_v1_container *c, struct host_port **v,
                                size_t *n) {
    struct {
        struct host_port *v;
        size_t n;
    } list = {*v, *n};
    for (size_t i = 0; i < c->ports.n; i++) {
        const struct core_v1_container_port *p = &c->ports.v[i];
        int32_t number =
            p->host_port ? p->host_port : (pod->spec.host_network ? p->container_port : 0);
        if (!number) continue;
        struct host_port *h = ARENA_PUSH(a, &list);
        h->port = number;
        snprintf(h->protocol, sizeof h->protocol, "%s", str_or(p->protocol, "TCP"));
        const char *ip = str_or(p->host_ip, "");
        snprintf(h->ip, sizeof h->ip, "%s",
                 strcmp(ip, "0.0.0.0") == 0 || strcmp(ip, "::") == 0 ? "" : ip);
    }
    *v = list.v;
    *n = list.n;
}

size_t pod_host_ports(struct arena *a, const struct core_v1_pod *pod, struct host_port **ret) {
    struct host_port *v = NULL;
    size_t n = 0;
    for (size_t i = 0; i < pod->spec.containers.n; i++)
        ports_of_containers(a, pod, &pod->spec.containers.v[i], &v, &n);
    for (size_t i = 0; i < pod->spec.init_containers.n; i++)
        if (str_eq(pod->spec.init_containers.v[i].restart_policy, "Always"))
            ports_of_containers(a, pod, &pod->spec.init_containers.v[i], &v, &n);
    *ret = v;
    return n;
}

bool host_ports_clash(const struct host_port *x, const struct host_port *y) {
    return x->port == y->port && strcmp(x->protocol, y->protocol) == 0 &&
           (!*x->ip || !*y->ip || strcmp(x->ip, y->ip) == 0);
}
