/* Classes of pods: what pods of one template have in common is stored once. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "scheduler/snapshot/snapshot.h"

void key_text(struct buf *b, const char *text) {
    uint32_t n = text ? (uint32_t)strlen(text) : 0;
    buf_append(b, &n, sizeof n); /* no text can pretend to be two */
    buf_append(b, text ? text : "", n);
}

void key_map(struct buf *b, const struct str_map *m) {
    uint32_t n = (uint32_t)m->n;
    buf_append(b, &n, sizeof n);
    for (size_t i = 0; i < m->n; i++) {
        key_text(b, m->v[i].key);
        key_text(b, m->v[i].value);
    }
}

static void key_containers(struct buf *b, const struct core_v1_container_list *l) {
    uint32_t n = (uint32_t)l->n;
    buf_append(b, &n, sizeof n);
    for (size_t i = 0; i < l->n; i++) {
        const struct core_v1_container *c = &l->v[i];
        key_map(b, &c->resources.requests);
        key_text(b, c->restart_policy);
        uint32_t ports = (uint32_t)c->ports.n;
        buf_append(b, &ports, sizeof ports);
        for (size_t j = 0; j < c->ports.n; j++) {
            int32_t numbers[] = {c->ports.v[j].host_port, c->ports.v[j].container_port};
            buf_append(b, numbers, sizeof numbers);
            key_text(b, c->ports.v[j].protocol);
            key_text(b, c->ports.v[j].host_ip);
        }
    }
}

static int32_t priority_of(const struct core_v1_pod *pod) {
    return pod->spec.priority ? *pod->spec.priority : 0;
}

void class_key(struct buf *b, const struct core_v1_pod *pod) {
    const struct core_v1_pod_spec *spec = &pod->spec;
    int32_t priority = priority_of(pod);
    key_text(b, pod->metadata.namespace);
    buf_append(b, &priority, sizeof priority);
    buf_char(b, pod->metadata.deletion_timestamp ? 'd' : 'l');
    buf_char(b, spec->host_network ? 'h' : 'n');
    key_containers(b, &spec->containers);
    key_containers(b, &spec->init_containers);
    key_map(b, &spec->overhead);
    if (spec->resources) key_map(b, &spec->resources->requests);
    pod_volumes_key(b, pod);
    if (!spec->affinity || (!spec->affinity->pod_affinity && !spec->affinity->pod_anti_affinity))
        return;
    key_map(b, &pod->metadata.labels); /* its terms may be made of them */
    if (spec->affinity->pod_affinity)
        api_encode(b, &core_v1_pod_affinity_type, spec->affinity->pod_affinity);
    buf_char(b, '|');
    if (spec->affinity->pod_anti_affinity)
        api_encode(b, &core_v1_pod_anti_affinity_type, spec->affinity->pod_anti_affinity);
}

static void bear(struct snapshot *s, struct pod_class *c, const struct core_v1_pod *pod,
                 const struct core_v1_pod_affinity_term *t, enum class_bears sort, int weight) {
    struct term_source from = {.pod = pod, .terms = &t, .n = 1, .topology_key = t->topology_key};
    struct {
        struct class_term *v;
        size_t n;
    } list = {c->bears, c->n_bears};
    *ARENA_PUSH(c->arena, &list) = (struct class_term){term_use(s, &from), sort, weight};
    c->bears = list.v;
    c->n_bears = list.n;
}

static void bear_all(struct snapshot *s, struct pod_class *c, const struct core_v1_pod *pod) {
    const struct core_v1_pod_affinity *with = pod->spec.affinity->pod_affinity;
    const struct core_v1_pod_anti_affinity *away = pod->spec.affinity->pod_anti_affinity;
    for (size_t i = 0; with && i < with->required_during_scheduling_ignored_during_execution.n; i++)
        bear(s, c, pod, &with->required_during_scheduling_ignored_during_execution.v[i],
             BEARS_AFFINITY, 0);
    for (size_t i = 0; with && i < with->preferred_during_scheduling_ignored_during_execution.n;
         i++) {
        const struct core_v1_weighted_pod_affinity_term *t =
            &with->preferred_during_scheduling_ignored_during_execution.v[i];
        bear(s, c, pod, &t->pod_affinity_term, BEARS_PREFERENCE, t->weight);
    }
    for (size_t i = 0; away && i < away->required_during_scheduling_ignored_during_execution.n; i++)
        bear(s, c, pod, &away->required_during_scheduling_ignored_during_execution.v[i], BEARS_ANTI,
             0);
    for (size_t i = 0; away && i < away->preferred_during_scheduling_ignored_during_execution.n;
         i++) {
        const struct core_v1_weighted_pod_affinity_term *t =
            &away->preferred_during_scheduling_ignored_during_execution.v[i];
        bear(s, c, pod, &t->pod_affinity_term, BEARS_PREFERENCE, -t->weight);
    }
}

static struct pod_class *class_new(const struct core_v1_pod *pod) {
    struct pod_class *c = calloc(1, sizeof *c);
    if (!c) abort();
    c->arena = arena_new_sized(512);
    c->users = 1;
    c->namespace = arena_str(c->arena, str_or(pod->metadata.namespace, ""));
    c->priority = priority_of(pod);
    c->terminating = pod->metadata.deletion_timestamp;
    c->asks = pod_asks(c->arena, pod);
    for (size_t i = 0; i < c->asks.n; i++)
        c->asks.v[i].name = arena_str(c->arena, c->asks.v[i].name);
    c->gpu_wrong = !gpu_ask_of(&c->asks, &c->gpu);
    pod_asks_nonzero(pod, &c->nonzero_cpu_milli, &c->nonzero_memory_bytes);
    c->n_ports = pod_host_ports(c->arena, pod, &c->ports);
    c->volumes = pod_volumes_of(c->arena, pod);
    return c;
}

struct pod_class *class_use(struct snapshot *s, const struct core_v1_pod *pod) {
    OWN(buf_done) struct buf key = {0};
    OWN(arena_free_p)
    struct arena *scratch = pod->status.container_statuses.n ? arena_new_sized(256) : NULL;
    if (scratch) pod = pod_as_granted(scratch, pod);
    class_key(&key, pod);
    struct pod_class *c = map_get(&s->class_by_key, buf_view(&key));
    if (c) {
        c->users++;
        return c;
    }
    c = class_new(pod);
    map_put(&s->class_by_key, buf_view(&key), c);
    c->hash = map_hash(buf_view(&key));
    c->key_n = key.n;
    c->key = buf_steal(&key);
    if (pod->spec.affinity) bear_all(s, c, pod);
    return c;
}

void class_release(struct snapshot *s, struct pod_class *c) {
    if (--c->users) return;
    map_del(&s->class_by_key, slice_from(c->key, c->key_n));
    for (size_t i = 0; i < c->n_bears; i++) term_release(s, c->bears[i].term);
    arena_free(c->arena);
    free(c->key);
    free(c);
}
