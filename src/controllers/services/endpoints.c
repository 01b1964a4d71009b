/* Endpoints: the older form of what is behind a Service, one object per Service, for clients that
 * still read it. */
#include <string.h>

#include "base/own.h"
#include "controllers/services/endpoint_set.h"

static const char over_capacity[] = "endpoints.kubernetes.io/over-capacity";
enum { ENDPOINTS_MAX = 1000 }; /* as upstream; more are cut off and marked */

static struct core_v1_endpoint_address address_of(struct arena *a, const struct core_v1_service *s,
                                                  const struct core_v1_pod *pod) {
    struct core_v1_object_reference *ref = ARENA_NEW(a, struct core_v1_object_reference);
    ref->kind = "Pod";
    ref->namespace = pod->metadata.namespace;
    ref->name = pod->metadata.name;
    ref->uid = pod->metadata.uid;
    return (struct core_v1_endpoint_address){.ip = pod->status.pod_ip,
                                             .node_name = pod->spec.node_name,
                                             .hostname = endpoint_hostname(s, pod),
                                             .target_ref = ref};
}

static void fill(struct arena *a, const struct core_v1_service *s, const struct endpoint_set *set,
                 struct core_v1_endpoints *ep) {
    size_t total = 0;
    bool cut = false;
    for (size_t i = 0; i < set->n; i++) {
        const struct endpoint_group *g = &set->v[i];
        struct core_v1_endpoint_subset subset = {0};
        for (size_t j = 0; j < g->n; j++) {
            if (g->v[j].terminating && !s->spec.publish_not_ready_addresses) continue;
            if (++total > ENDPOINTS_MAX) {
                cut = true;
                break;
            }
            if (g->v[j].ready)
                *ARENA_PUSH(a, &subset.addresses) = address_of(a, s, g->v[j].pod);
            else
                *ARENA_PUSH(a, &subset.not_ready_addresses) = address_of(a, s, g->v[j].pod);
        }
        if (!subset.addresses.n && !subset.not_ready_addresses.n) continue;
        for (size_t j = 0; j < g->n_ports; j++)
            *ARENA_PUSH(a, &subset.ports) = (struct core_v1_endpoint_port){
                .name = str_empty(g->ports[j].name) ? NULL : g->ports[j].name,
                .port = g->ports[j].port,
                .protocol = g->ports[j].protocol,
                .app_protocol = g->ports[j].app_protocol};
        *ARENA_PUSH(a, &ep->subsets) = subset;
    }
    struct str_map notes = {0};
    for (size_t i = 0; i < ep->metadata.annotations.n; i++) {
        const struct str_pair *x = &ep->metadata.annotations.v[i];
        if (!str_eq(x->key, over_capacity)) *ARENA_PUSH(a, &notes) = *x;
    }
    if (cut) str_map_set(a, &notes, over_capacity, "truncated");
    ep->metadata.annotations = notes;
}

static int reconcile(const struct world *w, const char *key, struct plan *p, struct err *err) {
    (void)err;
    struct arena *a = plan_arena(p);
    const char *ns, *name;
    key_split(a, key, &ns, &name);
    const struct core_v1_service *s =
        (const struct core_v1_service *)world_get(w, "Service", ns, name);
    const struct core_v1_endpoints *have =
        (const struct core_v1_endpoints *)world_get(w, "Endpoints", ns, name);
    struct endpoint_set set;
    if (!s) return 0; /* the owner reference lets the garbage collector take them */
    if (s->metadata.deletion_timestamp || !endpoint_set_of(w, s, a, &set)) return 0;
    struct core_v1_endpoints *want =
        (struct core_v1_endpoints *)api_object_new(a, api_kind_by_name("", "v1", "Endpoints"));
    if (have) want->metadata = have->metadata;
    want->metadata.name = name;
    want->metadata.namespace = ns;
    want->metadata.labels = (struct str_map){0};
    str_map_merge(a, &want->metadata.labels, &s->metadata.labels);
    if (str_eq(s->spec.cluster_ip, "None"))
        str_map_set(a, &want->metadata.labels, "service.kubernetes.io/headless", "");
    if (!owner_reference_to((struct api_object *)want, s->metadata.uid)) {
        want->metadata.owner_references.n = 0;
        want->metadata.owner_references.v = NULL;
        *ARENA_PUSH(a, &want->metadata.owner_references) =
            controller_reference(a, (const struct api_object *)s);
    }
    fill(a, s, &set, want);
    if (!have)
        plan_create(p, (struct api_object *)want);
    else if (!api_equal(&core_v1_endpoints_type, want, have))
        plan_update(p, (struct api_object *)want);
    return 0;
}

static void map(const struct reconciler *r, const struct world *w, const struct api_kind *k,
                const struct api_object *now, const struct api_object *old, struct keys *out) {
    (void)r;
    if (strcmp(k->kind, "Pod") == 0)
        map_pod_to_services(w, now, old, out);
    else
        keys_add_object(out, now ? now : old); /* Service and Endpoints share their name */
}

static const char *const watches[] = {"Service", "Pod", "Endpoints", NULL};
static const struct reconciler endpoints = {
    .name = "endpoints", .kind = "Service", .watches = watches, .map = map, .reconcile = reconcile};
RECONCILER(endpoints);
