#include "controllers/workloads/daemon_pods.h"

#include "api/rules/node_match.h"
#include "base/own.h"
#include "controllers/workloads/revisions.h"

/* Daemons stay where other pods are sent away. */
static const struct {
    const char *key, *effect;
    bool host_network; /* only for pods that use the node's network */
} tolerated[] = {
    {"node.kubernetes.io/not-ready", "NoExecute", false},
    {"node.kubernetes.io/unreachable", "NoExecute", false},
    {"node.kubernetes.io/disk-pressure", "NoSchedule", false},
    {"node.kubernetes.io/memory-pressure", "NoSchedule", false},
    {"node.kubernetes.io/pid-pressure", "NoSchedule", false},
    {"node.kubernetes.io/unschedulable", "NoSchedule", false},
    {"node.kubernetes.io/network-unavailable", "NoSchedule", true},
};

/* One of the same key, effect and value gives way. */
static void tolerate(struct arena *a, struct core_v1_pod_spec *spec, const char *key,
                     const char *effect) {
    struct core_v1_toleration added = {.key = key, .operator= "Exists", .effect = effect};
    for (size_t i = 0; i < spec->tolerations.n; i++) {
        struct core_v1_toleration *t = &spec->tolerations.v[i];
        if (!str_eq(t->key, key) || !str_eq(t->effect, effect) || !str_empty(t->value)) continue;
        *t = added;
        return;
    }
    *ARENA_PUSH(a, &spec->tolerations) = added;
}

struct core_v1_pod_spec *daemon_pod_spec(struct arena *a, const daemon_set *d) {
    struct core_v1_pod_spec *spec = api_copy(a, &core_v1_pod_spec_type, &d->spec.template.spec);
    for (size_t i = 0; i < ARRAY_LEN(tolerated); i++)
        if (!tolerated[i].host_network || spec->host_network)
            tolerate(a, spec, tolerated[i].key, tolerated[i].effect);
    return spec;
}

enum daemon_place daemon_place(const struct core_v1_pod_spec *spec, const struct core_v1_node *n) {
    if (!str_empty(spec->node_name) && !str_eq(spec->node_name, n->metadata.name))
        return DAEMON_UNWANTED;
    if (!pod_selects_node(spec, n)) return DAEMON_UNWANTED;
    if (!pod_untolerated_taint(spec, n, true)) return DAEMON_WANTED;
    return pod_untolerated_taint(spec, n, false) ? DAEMON_UNWANTED : DAEMON_KEPT;
}

const char *daemon_pod_node(const struct core_v1_pod *pod) {
    if (!str_empty(pod->spec.node_name)) return pod->spec.node_name;
    const struct core_v1_node_affinity *affinity =
        pod->spec.affinity ? pod->spec.affinity->node_affinity : NULL;
    const struct core_v1_node_selector *required =
        affinity ? affinity->required_during_scheduling_ignored_during_execution : NULL;
    for (size_t i = 0; required && i < required->node_selector_terms.n; i++) {
        const struct core_v1_node_selector_term *t = &required->node_selector_terms.v[i];
        for (size_t j = 0; j < t->match_fields.n; j++) {
            const struct core_v1_node_selector_requirement *r = &t->match_fields.v[j];
            if (str_eq(r->key, "metadata.name") && str_eq(r->operator, "In") && r->values.n == 1)
                return r->values.v[0];
        }
    }
    return NULL;
}

/* Instead of the nodes that the template asks for: this one. */
static struct core_v1_affinity *bound_to(struct arena *a, const struct core_v1_affinity *old,
                                         const char *node) {
    struct core_v1_affinity *affinity = ARENA_NEW(a, struct core_v1_affinity);
    if (old) *affinity = *old;
    struct core_v1_node_affinity *nodes = ARENA_NEW(a, struct core_v1_node_affinity);
    if (affinity->node_affinity) *nodes = *affinity->node_affinity;
    affinity->node_affinity = nodes;
    struct core_v1_node_selector *required = ARENA_NEW(a, struct core_v1_node_selector);
    nodes->required_during_scheduling_ignored_during_execution = required;
    struct core_v1_node_selector_term *term = ARENA_PUSH(a, &required->node_selector_terms);
    struct core_v1_node_selector_requirement *r = ARENA_PUSH(a, &term->match_fields);
    r->key = "metadata.name";
    r->operator= "In";
    *ARENA_PUSH(a, &r->values) = node;
    return affinity;
}

void daemon_pod_create(const daemon_set *d, const struct core_v1_pod_spec *spec, const char *hash,
                       const char *node, struct plan *p) {
    struct arena *a = plan_arena(p);
    const struct meta_v1_object_meta *t = &d->spec.template.metadata;
    struct core_v1_pod *pod =
        (struct core_v1_pod *)api_object_new(a, api_kind_by_name("", "v1", "Pod"));
    pod->metadata.generate_name = arena_printf(a, "%s-", d->metadata.name);
    pod->metadata.namespace = d->metadata.namespace;
    str_map_merge(a, &pod->metadata.labels, &t->labels);
    str_map_set(a, &pod->metadata.labels, revision_hash_key, hash);
    pod->metadata.annotations = t->annotations;
    pod->metadata.finalizers = t->finalizers;
    *ARENA_PUSH(a, &pod->metadata.owner_references) =
        controller_reference(a, (const struct api_object *)d);
    pod->spec = *spec;
    pod->spec.affinity = bound_to(a, spec->affinity, node);
    plan_create(p, (struct api_object *)pod);
    plan_report(p, (const struct api_object *)d, "SuccessfulCreate", "FailedCreate");
}

void daemon_pod_delete(const daemon_set *d, const struct core_v1_pod *pod, struct plan *p) {
    plan_delete(p, (const struct api_object *)pod, NULL);
    plan_report(p, (const struct api_object *)d, "SuccessfulDelete", "FailedDelete");
}
