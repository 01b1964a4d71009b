/* The descheduler's picture: made from the world. */
#include <string.h>

#include "api/rules/pods.h"
#include "api/values/quantity.h"
#include "api/values/selector.h"
#include "base/map.h"
#include "base/own.h"
#include "base/times.h"
#include "controllers/disruption/descheduler.h"

/* ---- resources ---- */

static int64_t amount(const char *resource, const char *text) {
    return str_eq(resource, "cpu") ? quantity_milli(text) : quantity_value(text);
}

static void add_resource(struct view *v, const char *name) {
    for (size_t i = 0; i < v->resources.n; i++)
        if (str_eq(v->resources.v[i], name)) return;
    if (v->resources.n < DESCHEDULER_RESOURCES_MAX) v->resources.v[v->resources.n++] = name;
}

/* "pods" first, then those that every node offers, then whatever some node does. What has no room
 * in the table is of no matter for moves: at most extended resources. */
static void list_resources(struct view *v) {
    static const char *const common[] = {"pods", "cpu", "memory", "ephemeral-storage"};
    const struct api_object *o;
    for (size_t i = 0; i < ARRAY_LEN(common); i++) add_resource(v, common[i]);
    for (size_t at = 0; (o = world_next(v->w, "Node", NULL, &at));) {
        const struct str_map *m = &((const node *)o)->status.allocatable;
        for (size_t i = 0; i < m->n; i++) add_resource(v, m->v[i].key);
    }
}

int64_t place_percent(const struct place *p, size_t resource, int64_t more) {
    if (p->offers[resource] <= 0) return 0;
    return (int64_t)((__int128)(p->used[resource] + more) * 100 / p->offers[resource]);
}

static void count(const struct view *v, struct resident *r, int sign) {
    for (size_t i = 0; i < v->resources.n; i++)
        if (__builtin_add_overflow(r->place->used[i], sign * r->asks[i], &r->place->used[i]))
            r->place->used[i] = INT64_MAX / 2;
}

void view_move(struct view *v, struct resident *r, struct place *to) {
    count(v, r, -1);
    r->place = to;
    count(v, r, 1);
}

/* ---- places ---- */

/* Absent: matches everything. */
static struct selector *optional_selector(struct arena *a, const struct meta_v1_label_selector *l) {
    static const struct meta_v1_label_selector everything;
    struct selector *s;
    struct err err;
    return selector_from_labels(a, l ? l : &everything, &s, &err) == 0 ? s : NULL;
}

static bool selects(const struct selector *s, const struct str_map *labels) {
    return s && selector_matches(s, labels);
}

static void make_places(struct view *v, struct map *by_name) {
    const struct selector *watched = optional_selector(v->a, v->policy->spec.node_selector);
    const struct api_object *o;
    v->places.v = ARENA_ARRAY(v->a, struct place, world_count(v->w, "Node") + 1);
    for (size_t at = 0; (o = world_next(v->w, "Node", NULL, &at));) {
        struct place *p = &v->places.v[v->places.n];
        const node *n = (const node *)o;
        *p = (struct place){.object = n, .index = v->places.n++};
        const char *ready = node_readiness(n);
        p->open = !n->spec.unschedulable && !n->metadata.deletion_timestamp &&
                  (!*ready || str_eq(ready, "True"));
        p->watched = selects(watched, &n->metadata.labels);
        for (size_t i = 0; i < v->resources.n; i++)
            p->offers[i] =
                amount(v->resources.v[i], str_map_get(&n->status.allocatable, v->resources.v[i]));
        map_put(by_name, slice_of(n->metadata.name), p);
    }
}

struct topology *view_topology(struct view *v, const char *key) {
    for (size_t i = 0; i < v->topologies.n; i++)
        if (str_eq(v->topologies.v[i]->key, key)) return v->topologies.v[i];
    OWN(map_done) struct map values = {0};
    struct topology *t = ARENA_NEW(v->a, struct topology);
    *t = (struct topology){.key = key, .of_place = ARENA_ARRAY(v->a, uint32_t, v->places.n + 1)};
    for (size_t i = 0; i < v->places.n; i++) {
        const char *value = str_map_get(&v->places.v[i].object->metadata.labels, key);
        t->of_place[i] = NO_DOMAIN;
        if (!value) continue;
        uintptr_t domain = (uintptr_t)map_gets(&values, value);
        if (!domain) map_put(&values, slice_of(value), (void *)(domain = ++t->n));
        t->of_place[i] = (uint32_t)(domain - 1);
    }
    *ARENA_PUSH(v->a, &v->topologies) = t;
    return t;
}

/* ---- residents ---- */

struct rules { /* who may be moved */
    const struct selector *namespaces, *pods;
    int64_t oldest_birth_ns; /* who was born later is too young */
};

static bool namespace_allowed(const struct view *v, const struct rules *rules, const char *ns) {
    if (!v->policy->spec.namespace_selector) return !str_eq(ns, "kube-system");
    const struct api_object *o = world_get(v->w, "Namespace", NULL, ns);
    return o && selects(rules->namespaces, &o->metadata.labels);
}

static bool has_local_storage(const struct core_v1_pod *pod) {
    for (size_t i = 0; i < pod->spec.volumes.n; i++)
        if (pod->spec.volumes.v[i].empty_dir || pod->spec.volumes.v[i].host_path) return true;
    return false;
}

static bool is_movable(const struct view *v, const struct rules *rules, const struct resident *r,
                       const struct meta_v1_owner_reference *owner) {
    const struct core_v1_pod *pod = r->pod;
    const struct descheduling_v1alpha1_descheduler_policy_spec *s = &v->policy->spec;
    int64_t born_ns;
    if (!owner || str_eq(owner->kind, "DaemonSet") || str_eq(owner->kind, "Node")) return false;
    if (!r->place->watched || pod_is_terminating(pod)) return false;
    if (str_map_get(&pod->metadata.annotations, "kubernetes.io/config.mirror")) return false;
    if (r->priority >= int_or(s->priority_threshold, 2000000000)) return false;
    if (time_parse(str_or(pod->metadata.creation_timestamp, ""), &born_ns) < 0 ||
        born_ns > rules->oldest_birth_ns)
        return false;
    if (!s->evict_local_storage && has_local_storage(pod)) return false;
    return selects(rules->pods, &pod->metadata.labels) &&
           namespace_allowed(v, rules, pod->metadata.namespace);
}

static void add_keeper(struct view *v, struct resident *r) {
    const struct core_v1_affinity *affinity = r->pod->spec.affinity;
    const struct core_v1_pod_anti_affinity *anti = affinity ? affinity->pod_anti_affinity : NULL;
    if (!anti || !anti->required_during_scheduling_ignored_during_execution.n) return;
    struct keeper *k = ARENA_PUSH(v->a, &v->keepers);
    *k = (struct keeper){.resident = r,
                         .n = anti->required_during_scheduling_ignored_during_execution.n};
    k->terms = ARENA_ARRAY(v->a, struct pod_term, k->n);
    for (size_t i = 0; i < k->n; i++)
        k->terms[i] = pod_term_make(
            v, r->pod, &anti->required_during_scheduling_ignored_during_execution.v[i]);
}

static void make_residents(struct view *v, const struct map *places) {
    const struct descheduling_v1alpha1_descheduler_policy_spec *s = &v->policy->spec;
    struct rules rules = {.namespaces = optional_selector(v->a, s->namespace_selector),
                          .pods = optional_selector(v->a, s->pod_selector),
                          .oldest_birth_ns =
                              world_now_ns(v->w) -
                              int_or(s->min_pod_age_seconds, 60) * INT64_C(1000000000)};
    const struct api_object *o;
    v->residents.v = ARENA_ARRAY(v->a, struct resident, world_count(v->w, "Pod") + 1);
    for (size_t at = 0; (o = world_next(v->w, "Pod", NULL, &at));) {
        const struct core_v1_pod *pod = (const struct core_v1_pod *)o;
        if (str_empty(pod->spec.node_name) || pod_is_terminal(pod)) continue;
        struct place *p = map_gets(places, pod->spec.node_name);
        if (!p) continue;
        const struct meta_v1_owner_reference *owner = api_controller_of(o);
        struct resident *r = &v->residents.v[v->residents.n++];
        *r = (struct resident){.pod = pod,
                               .place = p,
                               .owner = owner ? owner->uid : NULL,
                               .priority = int_or(pod->spec.priority, 0)};
        r->asks[0] = 1;
        r->asks[1] = pod_requests(&pod->spec).cpu_milli;
        for (size_t i = 2; i < v->resources.n; i++)
            r->asks[i] = pod_request_of(&pod->spec, v->resources.v[i]);
        r->movable = is_movable(v, &rules, r, owner);
        count(v, r, 1);
    }
    for (size_t i = 0; i < v->residents.n; i++) add_keeper(v, &v->residents.v[i]);
}

static void make_budgets(struct view *v) {
    const struct api_object *o;
    for (size_t at = 0; (o = world_next(v->w, "PodDisruptionBudget", NULL, &at));) {
        const struct policy_v1_pod_disruption_budget *b = (const void *)o;
        if (!b->spec.selector) continue;
        bool fresh = b->status.observed_generation >= b->metadata.generation;
        *ARENA_PUSH(v->a, &v->budgets) =
            (struct budget_left){.object = b,
                                 .selector = optional_selector(v->a, b->spec.selector),
                                 .left = fresh ? b->status.disruptions_allowed : 0};
    }
}

struct view *view_new(const struct world *w, struct arena *a, const descheduler_policy *policy) {
    OWN(map_done) struct map by_name = {0};
    struct view *v = ARENA_NEW(a, struct view);
    *v = (struct view){.w = w, .a = a, .policy = policy};
    list_resources(v);
    make_places(v, &by_name);
    make_residents(v, &by_name);
    make_budgets(v);
    return v;
}
