#include "scheduler/snapshot/snapshot.h"

#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "base/times.h"
#include "scheduler/core/power.h"

static char *copy_str(const char *s) {
    char *p = strdup(s);
    if (!p) abort();
    return p;
}

static bool same_port(const struct host_port *x, const struct host_port *y) {
    return x->port == y->port && str_eq(x->protocol, y->protocol) && str_eq(x->ip, y->ip);
}

/* The same for the use of resources and ports alone. sign: 1 or −1 */
static void node_count(struct sched_node *n, const struct pod_class *c, int sign) {
    n->used_cpu_milli += sign * c->asks.cpu_milli;
    n->used_memory_bytes += sign * c->asks.memory_bytes;
    n->used_ephemeral_bytes += sign * c->asks.ephemeral_bytes;
    n->used_pods += sign;
    n->nonzero_cpu_milli += sign * c->nonzero_cpu_milli;
    n->nonzero_memory_bytes += sign * c->nonzero_memory_bytes;
    for (size_t i = 0; i < c->asks.n; i++) {
        struct extended *e = map_gets(&n->used_extended, c->asks.v[i].name);
        if (!e) {
            e = calloc(1, sizeof *e);
            if (!e) abort();
            map_put(&n->used_extended, slice_of(c->asks.v[i].name), e);
        }
        e->amount += sign * c->asks.v[i].amount;
    }
    for (size_t i = 0; i < c->n_ports; i++) {
        if (sign > 0) {
            vec_push(&n->ports, c->ports[i]);
            continue;
        }
        for (size_t j = 0; j < n->ports.n; j++)
            if (same_port(&n->ports.v[j], &c->ports[i])) {
                vec_swap_remove(&n->ports, j);
                break;
            }
    }
}

void snapshot_changed(struct snapshot *s, const struct sched_node *n, bool object) {
    if (n->at == SIZE_MAX) return;
    figures_set(s, n);
    if (!s->changes) s->changes = calloc(SNAPSHOT_CHANGES, sizeof *s->changes);
    if (!s->changes) abort();
    s->changes[s->n_changes++ % SNAPSHOT_CHANGES] = (struct node_change){(uint32_t)n->at, object};
}

static void node_free(struct sched_node *n) {
    size_t at = 0;
    struct map_entry *e;
    while ((e = map_next(&n->used_extended, &at))) free(e->value);
    map_done(&n->used_extended);
    vec_done(&n->ports);
    vec_done(&n->pods);
    vec_done(&n->nominated);
    gpu_node_done(n);
    arena_free(n->arena);
    free(n->name);
    free(n);
}

static struct sched_node *node_of(struct snapshot *s, const char *name) {
    struct sched_node *n = map_gets(&s->node_by_name, name);
    if (n) return n;
    n = calloc(1, sizeof *n);
    if (!n) abort();
    n->name = copy_str(name);
    n->at = SIZE_MAX;
    map_put(&s->node_by_name, slice_of(n->name), n);
    return n;
}

/* A node that only its pods name goes with the last of them. */
static void node_forget(struct snapshot *s, struct sched_node *n) {
    if (n->at != SIZE_MAX || n->pods.n || n->nominated.n) return;
    map_del(&s->node_by_name, slice_of(n->name));
    node_free(n);
}

static void count_images(struct snapshot *s, const struct sched_node *n, int sign) {
    for (size_t i = 0; n->object && i < n->object->status.images.n; i++) {
        const struct core_v1_container_image *m = &n->object->status.images.v[i];
        for (size_t j = 0; j < m->names.n; j++) {
            uintptr_t have = (uintptr_t)map_gets(&s->images, m->names.v[j]);
            if (have + (uintptr_t)sign)
                map_put(&s->images, slice_of(m->names.v[j]), (void *)(have + (uintptr_t)sign));
            else
                map_del(&s->images, slice_of(m->names.v[j]));
        }
    }
}

static bool same_images(const struct core_v1_node *x, const struct core_v1_node *y) {
    if (!x || x->status.images.n != y->status.images.n) return false;
    for (size_t i = 0; i < x->status.images.n; i++)
        if (!api_equal(&core_v1_container_image_type, &x->status.images.v[i],
                       &y->status.images.v[i]))
            return false;
    return true;
}

static void count_pods(struct snapshot *s, struct sched_node *n, int sign) {
    for (size_t i = 0; i < n->pods.n; i++) terms_count_pod(s, n->pods.v[i]->labels, n, sign);
}

void snapshot_put_node(struct snapshot *s, const struct core_v1_node *node) {
    struct sched_node *n = node_of(s, node->metadata.name);
    if (n->at == SIZE_MAX) {
        n->at = s->nodes.n;
        vec_push(&s->nodes, n);
        s->epoch++;
    } else
        count_pods(s, n, -1);
    if (!same_images(n->object, node) && (n->object || node->status.images.n)) s->epoch++;
    count_images(s, n, -1);
    arena_free(n->arena);
    n->arena = arena_new();
    n->object = api_copy(n->arena, &core_v1_node_type, node);
    n->offers = node_offers(n->arena, n->object);
    n->power_down = power_is_down(n->object);
    gpu_node_put(s, n);
    count_images(s, n, 1);
    topology_place_node(s, n);
    count_pods(s, n, 1);
    snapshot_changed(s, n, true);
}

void snapshot_remove_node(struct snapshot *s, const char *name) {
    struct sched_node *n = map_gets(&s->node_by_name, name);
    if (!n || n->at == SIZE_MAX) return;
    count_pods(s, n, -1);
    topology_remove_node(s, n);
    count_images(s, n, -1);
    vec_remove(&s->nodes, n->at);
    figures_remove(s, n->at);
    for (size_t i = n->at; i < s->nodes.n; i++) s->nodes.v[i]->at = i;
    n->at = SIZE_MAX;
    arena_free(TAKE(n->arena));
    n->object = NULL;
    n->offers = (struct resources){0};
    gpu_node_done(n);
    s->epoch++;
    node_forget(s, n);
}

void snapshot_lift_pod(struct snapshot *s, struct sched_pod *p) {
    p->lifted = true;
    node_count(p->node, p->class, -1);
    gpu_pod_count(p, -1);
    quotas_count(s, p->class, QUOTA_USED, -1);
    if (p->leaving) quotas_count(s, p->class, QUOTA_LEAVING, -1);
    terms_count_pod(s, p->labels, p->node, -1);
}

void snapshot_drop_pod(struct snapshot *s, struct sched_pod *p) {
    p->lifted = false;
    node_count(p->node, p->class, 1);
    gpu_pod_count(p, 1);
    quotas_count(s, p->class, QUOTA_USED, 1);
    if (p->leaving) quotas_count(s, p->class, QUOTA_LEAVING, 1);
    terms_count_pod(s, p->labels, p->node, 1);
}

static int64_t start_of(const struct core_v1_pod *pod) {
    int64_t wall_ns = 0;
    if (!str_empty(pod->status.start_time)) time_parse(pod->status.start_time, &wall_ns);
    return wall_ns / 1000000000;
}

static void count_priority(struct snapshot *s, int32_t priority, int sign) {
    size_t i = 0;
    while (i < s->priorities.n && s->priorities.v[i].priority != priority) i++;
    if (i == s->priorities.n) vec_push(&s->priorities, (struct priority_count){priority, 0});
    s->priorities.v[i].pods += (size_t)sign;
    if (!s->priorities.v[i].pods) vec_swap_remove(&s->priorities, i);
}

bool snapshot_has_lower(const struct snapshot *s, int32_t priority) {
    for (size_t i = 0; i < s->priorities.n; i++)
        if (s->priorities.v[i].priority < priority) return true;
    return false;
}

static bool has_uid(const struct set_item *item, const void *uid) {
    return str_eq(sched_pod_uid((const struct sched_pod *)item), uid);
}

struct sched_pod *snapshot_pod(const struct snapshot *s, const char *uid) {
    return s->pods.n ? set_find(&s->pods, set_hash(slice_of(uid)), has_uid, uid) : NULL;
}

void snapshot_add_pod(struct snapshot *s, const struct core_v1_pod *pod, const char *node) {
    const char *uid = str_or(pod->metadata.uid, ""), *name = str_or(pod->metadata.name, "");
    struct sched_pod *p = snapshot_pod(s, uid);
    struct pod_labels *l = labels_use(s, pod);
    if (p && p->labels == l && strcmp(p->node->name, node) == 0) {
        if (p->start_s != start_of(pod)) snapshot_changed(s, p->node, false);
        p->start_s = start_of(pod);
        labels_release(s, l);
        return;
    }
    bool leaving = l->class->terminating || (p && p->leaving && str_eq(p->node->name, node));
    snapshot_remove_pod(s, uid);
    size_t uid_n = strlen(uid) + 1, name_n = strlen(name) + 1;
    p = calloc(1, sizeof *p + uid_n + name_n);
    if (!p) abort();
    memcpy(p->text, uid, uid_n);
    memcpy(p->text + uid_n, name, name_n);
    p->name_at = (uint32_t)uid_n;
    p->item.hash = set_hash(slice_of(uid));
    p->labels = l;
    p->class = l->class;
    p->node = node_of(s, node);
    p->start_s = start_of(pod);
    p->leaving = leaving;
    p->at_node = (uint32_t)p->node->pods.n;
    vec_push(&p->node->pods, p);
    set_add(&s->pods, &p->item);
    count_priority(s, p->class->priority, 1);
    if (l->gang) gang_place(l->gang, p);
    p->of_node = power_pod_of_node(pod);
    gpu_pod_put(s, p, pod);
    snapshot_drop_pod(s, p);
    snapshot_changed(s, p->node, false);
    snapshot_unnominate(s, uid);
}

void snapshot_set_leaving(struct snapshot *s, struct sched_pod *p, bool leaving) {
    if (p->leaving == leaving) return;
    p->leaving = leaving;
    quotas_count(s, p->class, QUOTA_LEAVING, leaving ? 1 : -1);
    snapshot_changed(s, p->node, false);
}

bool snapshot_remove_pod(struct snapshot *s, const char *uid) {
    struct sched_pod *p = snapshot_pod(s, uid);
    if (!p) return false;
    set_remove(&s->pods, &p->item);
    struct sched_node *n = p->node;
    if (!p->away) snapshot_lift_pod(s, p);
    count_priority(s, p->class->priority, -1);
    if (p->labels->gang) gang_unplace(p->labels->gang, p);
    vec_swap_remove(&n->pods, p->at_node);
    if (p->at_node < n->pods.n) n->pods.v[p->at_node]->at_node = p->at_node;
    snapshot_changed(s, n, false);
    labels_release(s, p->labels);
    free(p);
    node_forget(s, n);
    return true;
}

const char *snapshot_node_of(const struct snapshot *s, const char *uid) {
    const struct sched_pod *p = snapshot_pod(s, uid);
    return p ? p->node->name : NULL;
}

const struct nominated *snapshot_nominated(const struct snapshot *s, const char *uid) {
    return map_gets(&s->nominated_by_uid, uid);
}

void snapshot_nominate(struct snapshot *s, const struct core_v1_pod *pod, const char *node) {
    const struct nominated *old = snapshot_nominated(s, pod->metadata.uid);
    struct pod_labels *l = labels_use(s, pod);
    if (old && old->labels == l && str_eq(old->node->name, node)) {
        labels_release(s, l);
        return;
    }
    snapshot_unnominate(s, pod->metadata.uid);
    struct nominated *m = calloc(1, sizeof *m);
    if (!m) abort();
    m->uid = copy_str(pod->metadata.uid);
    m->ns = copy_str(str_or(pod->metadata.namespace, ""));
    m->name = copy_str(str_or(pod->metadata.name, ""));
    m->labels = l;
    m->class = l->class;
    m->node = node_of(s, node);
    quotas_count(s, m->class, QUOTA_PROMISED, 1);
    vec_push(&m->node->nominated, m);
    map_put(&s->nominated_by_uid, slice_of(m->uid), m);
    snapshot_changed(s, m->node, false);
}

void snapshot_unnominate(struct snapshot *s, const char *uid) {
    struct nominated *m = map_del(&s->nominated_by_uid, slice_of(uid));
    if (!m) return;
    struct sched_node *n = m->node;
    for (size_t i = 0; i < n->nominated.n; i++)
        if (n->nominated.v[i] == m) {
            vec_remove(&n->nominated, i);
            break;
        }
    quotas_count(s, m->class, QUOTA_PROMISED, -1);
    snapshot_changed(s, n, false);
    node_forget(s, n);
    labels_release(s, m->labels);
    free(m->uid);
    free(m->ns);
    free(m->name);
    free(m);
}

void snapshot_count_nominated(struct sched_node *n, int32_t priority, const char *uid, int sign) {
    bool later = false;
    for (size_t i = 0; i < n->nominated.n; i++) {
        const struct nominated *m = n->nominated.v[i];
        bool own = str_eq(m->uid, uid);
        later = later || own;
        if (own || m->class->priority < priority) continue;
        if (m->class->priority > priority || !later) node_count(n, m->class, sign);
    }
}

struct namespace_labels {
    struct arena *arena;
    struct str_map labels;
};

static void namespace_free(struct namespace_labels *l) {
    if (!l) return;
    arena_free(l->arena);
    free(l);
}

const struct str_map *snapshot_namespace(const struct snapshot *s, const char *name) {
    static const struct str_map none;
    const struct namespace_labels *l = map_gets(&s->namespaces, name);
    return l ? &l->labels : &none;
}

bool snapshot_put_namespace(struct snapshot *s, const char *name, const struct str_map *labels) {
    const struct str_map *have = snapshot_namespace(s, name);
    bool same = have->n == labels->n;
    for (size_t i = 0; same && i < labels->n; i++)
        same = str_eq(have->v[i].key, labels->v[i].key) &&
               str_eq(have->v[i].value, labels->v[i].value);
    if (same) return false;
    struct namespace_labels *l = calloc(1, sizeof *l);
    if (!l) abort();
    l->arena = arena_new_sized(256);
    for (size_t i = 0; i < labels->n; i++)
        *ARENA_PUSH(l->arena, &l->labels) =
            (struct str_pair){arena_str(l->arena, labels->v[i].key),
                              arena_str(l->arena, str_or(labels->v[i].value, ""))};
    namespace_free(map_put(&s->namespaces, slice_of(name), l));
    terms_rematch(s, name);
    return true;
}

void snapshot_remove_namespace(struct snapshot *s, const char *name) {
    struct namespace_labels *l = map_del(&s->namespaces, slice_of(name));
    if (l) terms_rematch(s, name);
    namespace_free(l);
}

void snapshot_done(struct snapshot *s) {
    size_t at;
    struct map_entry *e;
    places_done(s);
    while (s->nominated_by_uid.n) {
        at = 0;
        e = map_next(&s->nominated_by_uid, &at);
        snapshot_unnominate(s, ((struct nominated *)e->value)->uid);
    }
    /* Not from the start each time: the first slots are empty soon. A removal may move one here. */
    for (at = 0; s->pods.n;) {
        const struct sched_pod *p = set_next(&s->pods, &at);
        at = p ? at - 1 : 0;
        if (p) snapshot_remove_pod(s, sched_pod_uid(p));
    }
    while (s->nodes.n) snapshot_remove_node(s, s->nodes.v[s->nodes.n - 1]->name);
    for (at = 0; (e = map_next(&s->namespaces, &at));) namespace_free(e->value);
    vec_done(&s->nodes);
    vec_done(&s->priorities);
    map_done(&s->nominated_by_uid);
    gangs_done(s);
    quotas_done(&s->quotas);
    gpu_cluster_done(s);
    vec_done(&s->topologies);
    map_done(&s->node_by_name);
    set_done(&s->pods);
    set_done(&s->labels);
    set_done(&s->label_keys);
    map_done(&s->class_by_key);
    map_done(&s->term_by_key);
    map_done(&s->namespaces);
    map_done(&s->images);
    volumes_done(&s->volumes);
    owners_done(&s->owners);
    map_done(&s->fixed_by_key);
    free(s->changes);
    free(s->figures);
    *s = (struct snapshot){0};
}
