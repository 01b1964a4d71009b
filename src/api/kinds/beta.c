/* The beta forms that clients before 1.21 speak, made from the stored forms and back. */
#include "api/codec/convert.h"
#include "api/kinds/kinds.h"

/* ---- batch/v1beta1 CronJob: the same layout ---- */

static void *cron_job_to_v1(struct arena *a, const void *obj) {
    const struct batch_v1beta1_cron_job *from = obj;
    struct batch_v1_cron_job *to = ARENA_NEW(a, struct batch_v1_cron_job);
    to->metadata = from->metadata;
    to->spec = from->spec;
    to->status = from->status;
    return to;
}

static void *cron_job_to_v1beta1(struct arena *a, const void *obj) {
    const struct batch_v1_cron_job *from = obj;
    struct batch_v1beta1_cron_job *to = ARENA_NEW(a, struct batch_v1beta1_cron_job);
    to->metadata = from->metadata;
    to->spec = from->spec;
    to->status = from->status;
    return to;
}

/* ---- policy/v1beta1 PodDisruptionBudget: an empty selector selects nothing there, everything in
 * v1. A requirement on a label that no pod has stands for the meaning the form cannot say. ---- */

#define EMPTY_MATCH_KEY "pdb.kubernetes.io/deprecated-v1beta1-empty-selector-match"

static bool selects_by(const struct meta_v1_label_selector *s, const char *operator) {
    return s && s->match_labels.n == 0 && s->match_expressions.n == 1 &&
           str_eq(s->match_expressions.v[0].key, EMPTY_MATCH_KEY) &&
           str_eq(s->match_expressions.v[0].operator, operator);
}

/* The selector for the other form: the empty one becomes a requirement with `operator`, and that
 * with `opposite` becomes the empty one. */
static struct meta_v1_label_selector *selector_turned(struct arena *a,
                                                      struct meta_v1_label_selector *s,
                                                      const char *operator, const char * opposite) {
    bool empty = s && s->match_labels.n == 0 && s->match_expressions.n == 0;
    if (!empty && !selects_by(s, opposite)) return s;
    struct meta_v1_label_selector *turned = ARENA_NEW(a, struct meta_v1_label_selector);
    if (empty)
        *ARENA_PUSH(a, &turned->match_expressions) = (struct meta_v1_label_selector_requirement){
            .key = EMPTY_MATCH_KEY, .operator= operator};
    return turned;
}

static void *budget_to_v1(struct arena *a, const void *obj) {
    const struct policy_v1beta1_pod_disruption_budget *from = obj;
    struct policy_v1_pod_disruption_budget *to =
        ARENA_NEW(a, struct policy_v1_pod_disruption_budget);
    to->metadata = from->metadata;
    to->spec = from->spec;
    to->status = from->status;
    to->spec.selector = selector_turned(a, from->spec.selector, "Exists", "DoesNotExist");
    return to;
}

static void *budget_to_v1beta1(struct arena *a, const void *obj) {
    const struct policy_v1_pod_disruption_budget *from = obj;
    struct policy_v1beta1_pod_disruption_budget *to =
        ARENA_NEW(a, struct policy_v1beta1_pod_disruption_budget);
    to->metadata = from->metadata;
    to->spec = from->spec;
    to->status = from->status;
    to->spec.selector = selector_turned(a, from->spec.selector, "DoesNotExist", "Exists");
    return to;
}

/* ---- discovery.k8s.io/v1beta1 EndpointSlice: node and zone are labels there ---- */

#define HOST_KEY "kubernetes.io/hostname"
#define ZONE_KEY "topology.kubernetes.io/zone"

static struct discovery_v1_endpoint endpoint_to_v1(struct arena *a,
                                                   const struct discovery_v1beta1_endpoint *e) {
    struct discovery_v1_endpoint to = {.addresses = e->addresses,
                                       .conditions = e->conditions,
                                       .hostname = e->hostname,
                                       .target_ref = e->target_ref,
                                       .node_name = e->node_name,
                                       .hints = e->hints,
                                       .zone = str_map_get(&e->topology, ZONE_KEY)};
    if (!to.node_name) to.node_name = str_map_get(&e->topology, HOST_KEY);
    for (size_t i = 0; i < e->topology.n; i++)
        if (!str_eq(e->topology.v[i].key, ZONE_KEY) &&
            !(str_eq(e->topology.v[i].key, HOST_KEY) &&
              str_eq(e->topology.v[i].value, to.node_name)))
            *ARENA_PUSH(a, &to.deprecated_topology) = e->topology.v[i];
    return to;
}

static struct discovery_v1beta1_endpoint
endpoint_to_v1beta1(struct arena *a, const struct discovery_v1_endpoint *e) {
    struct discovery_v1beta1_endpoint to = {.addresses = e->addresses,
                                            .conditions = e->conditions,
                                            .hostname = e->hostname,
                                            .target_ref = e->target_ref,
                                            .node_name = e->node_name,
                                            .hints = e->hints,
                                            .topology = e->deprecated_topology};
    if (!str_empty(e->node_name) && !str_map_get(&to.topology, HOST_KEY))
        str_map_set(a, &to.topology, HOST_KEY, e->node_name);
    if (!str_empty(e->zone)) str_map_set(a, &to.topology, ZONE_KEY, e->zone);
    return to;
}

static void *slice_to_v1(struct arena *a, const void *obj) {
    const struct discovery_v1beta1_endpoint_slice *from = obj;
    struct discovery_v1_endpoint_slice *to = ARENA_NEW(a, struct discovery_v1_endpoint_slice);
    to->metadata = from->metadata;
    to->address_type = from->address_type;
    to->ports = from->ports;
    for (size_t i = 0; i < from->endpoints.n; i++)
        *ARENA_PUSH(a, &to->endpoints) = endpoint_to_v1(a, &from->endpoints.v[i]);
    return to;
}

static void *slice_to_v1beta1(struct arena *a, const void *obj) {
    const struct discovery_v1_endpoint_slice *from = obj;
    struct discovery_v1beta1_endpoint_slice *to =
        ARENA_NEW(a, struct discovery_v1beta1_endpoint_slice);
    to->metadata = from->metadata;
    to->address_type = from->address_type;
    to->ports = from->ports;
    for (size_t i = 0; i < from->endpoints.n; i++)
        *ARENA_PUSH(a, &to->endpoints) = endpoint_to_v1beta1(a, &from->endpoints.v[i]);
    return to;
}

#define CONVERSION(name, from_type, to_type, run)                                                  \
    static const struct api_conversion name = {&from_type, &to_type, run};                         \
    API_CONVERSION(name)
CONVERSION(beta_cron_job_in, batch_v1beta1_cron_job_type, batch_v1_cron_job_type, cron_job_to_v1);
CONVERSION(beta_cron_job_out, batch_v1_cron_job_type, batch_v1beta1_cron_job_type,
           cron_job_to_v1beta1);
CONVERSION(beta_budget_in, policy_v1beta1_pod_disruption_budget_type,
           policy_v1_pod_disruption_budget_type, budget_to_v1);
CONVERSION(beta_budget_out, policy_v1_pod_disruption_budget_type,
           policy_v1beta1_pod_disruption_budget_type, budget_to_v1beta1);
CONVERSION(beta_slice_in, discovery_v1beta1_endpoint_slice_type, discovery_v1_endpoint_slice_type,
           slice_to_v1);
CONVERSION(beta_slice_out, discovery_v1_endpoint_slice_type, discovery_v1beta1_endpoint_slice_type,
           slice_to_v1beta1);
