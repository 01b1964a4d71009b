#include "scheduler/snapshot.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"

static char *copy_str(const char *s) {
    char *p = strdup(s);
    if (!p) abort();
    return p;
}

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

static bool same_port(const struct host_port *x, const struct host_port *y) {
    return x->port == y->port && str_eq(x->protocol, y->protocol) && str_eq(x->ip, y->ip);
}

bool host_ports_clash(const struct host_port *x, const struct host_port *y) {
    return x->port == y->port && strcmp(x->protocol, y->protocol) == 0 &&
           (!*x->ip || !*y->ip || strcmp(x->ip, y->ip) == 0);
}

/* Adds (sign 1) or takes away (sign −1) what a pod uses. */
static void count(struct sched_node *n, const struct sched_pod *p, int sign) {
    n->used_cpu_milli += sign * p->asks.cpu_milli;
    n->used_memory_bytes += sign * p->asks.memory_bytes;
    n->used_ephemeral_bytes += sign * p->asks.ephemeral_bytes;
    n->used_pods += sign;
    n->nonzero_cpu_milli += sign * p->nonzero_cpu_milli;
    n->nonzero_memory_bytes += sign * p->nonzero_memory_bytes;
    for (size_t i = 0; i < p->asks.n; i++) {
        struct extended *e = map_gets(&n->used_extended, p->asks.v[i].name);
        if (!e) {
            e = calloc(1, sizeof *e);
            if (!e) abort();
            map_put(&n->used_extended, slice_of(p->asks.v[i].name), e);
        }
        e->amount += sign * p->asks.v[i].amount;
    }
    for (size_t i = 0; i < p->ports.n; i++) {
        if (sign > 0) {
            vec_push(&n->ports, p->ports.v[i]);
            continue;
        }
        for (size_t j = 0; j < n->ports.n; j++)
            if (same_port(&n->ports.v[j], &p->ports.v[i])) {
                vec_swap_remove(&n->ports, j);
                break;
            }
    }
}

static void node_free(struct sched_node *n) {
    size_t at = 0;
    struct map_entry *e;
    while ((e = map_next(&n->used_extended, &at))) free(e->value);
    map_done(&n->used_extended);
    vec_done(&n->ports);
    arena_free(n->arena);
    free(n->name);
    free(n);
}

static void pod_free(struct sched_pod *p) {
    arena_free(p->arena);
    free(p->uid);
    free(p->node);
    free(p);
}

void snapshot_done(struct snapshot *s) {
    size_t at = 0;
    struct map_entry *e;
    while ((e = map_next(&s->pod_by_uid, &at))) pod_free(e->value);
    for (size_t i = 0; i < s->nodes.n; i++) node_free(s->nodes.v[i]);
    vec_done(&s->nodes);
    map_done(&s->node_by_name);
    map_done(&s->pod_by_uid);
}

void snapshot_put_node(struct snapshot *s, const struct core_v1_node *node) {
    struct sched_node *n = map_gets(&s->node_by_name, node->metadata.name);
    if (!n) {
        n = calloc(1, sizeof *n);
        if (!n) abort();
        n->name = copy_str(node->metadata.name);
        vec_push(&s->nodes, n);
        map_put(&s->node_by_name, slice_of(n->name), n);
        size_t at = 0;
        struct map_entry *e;
        while ((e = map_next(&s->pod_by_uid, &at))) {
            const struct sched_pod *p = e->value;
            if (strcmp(p->node, n->name) == 0) count(n, p, 1);
        }
    }
    arena_free(n->arena);
    n->arena = arena_new();
    n->object = api_copy(n->arena, &core_v1_node_type, node);
    n->offers = node_offers(n->arena, n->object);
}

void snapshot_remove_node(struct snapshot *s, const char *name) {
    struct sched_node *n = map_del(&s->node_by_name, slice_of(name));
    for (size_t i = 0; n && i < s->nodes.n; i++)
        if (s->nodes.v[i] == n) {
            vec_remove(&s->nodes, i);
            break;
        }
    if (n) node_free(n);
}

void snapshot_add_pod(struct snapshot *s, const struct core_v1_pod *pod, const char *node) {
    struct sched_pod *p = map_gets(&s->pod_by_uid, pod->metadata.uid);
    if (p && strcmp(p->node, node) == 0) return;
    snapshot_remove_pod(s, pod->metadata.uid);
    p = calloc(1, sizeof *p);
    if (!p) abort();
    p->arena = arena_new();
    p->uid = copy_str(pod->metadata.uid);
    p->node = copy_str(node);
    p->asks = pod_asks(p->arena, pod);
    for (size_t i = 0; i < p->asks.n; i++)
        p->asks.v[i].name = arena_str(p->arena, p->asks.v[i].name);
    pod_asks_nonzero(pod, &p->nonzero_cpu_milli, &p->nonzero_memory_bytes);
    p->ports.n = pod_host_ports(p->arena, pod, &p->ports.v);
    map_put(&s->pod_by_uid, slice_of(p->uid), p);
    struct sched_node *n = map_gets(&s->node_by_name, node);
    if (n) count(n, p, 1);
}

bool snapshot_remove_pod(struct snapshot *s, const char *uid) {
    struct sched_pod *p = map_del(&s->pod_by_uid, slice_of(uid));
    if (!p) return false;
    struct sched_node *n = map_gets(&s->node_by_name, p->node);
    if (n) count(n, p, -1);
    pod_free(p);
    return true;
}

const char *snapshot_node_of(const struct snapshot *s, const char *uid) {
    const struct sched_pod *p = map_gets(&s->pod_by_uid, uid);
    return p ? p->node : NULL;
}
