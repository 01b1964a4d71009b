/* EndpointSlice: what is behind a Service, at most 100 endpoints a slice, so that one change moves
 * one small object. */
#include <string.h>

#include "base/own.h"
#include "controllers/services/endpoint_set.h"
#include "controllers/services/slices.h"

static const char manager[] = "endpointslice-controller.k8s.io";

typedef struct discovery_v1_endpoint_slice slice_object;

static struct discovery_v1_endpoint endpoint_of(struct arena *a, const struct core_v1_service *s,
                                                const struct endpoint *e) {
    struct discovery_v1_endpoint out = {0};
    struct core_v1_object_reference *ref = ARENA_NEW(a, struct core_v1_object_reference);
    ref->kind = "Pod";
    ref->namespace = e->pod->metadata.namespace;
    ref->name = e->pod->metadata.name;
    ref->uid = e->pod->metadata.uid;
    out.target_ref = ref;
    *ARENA_PUSH(a, &out.addresses) = e->pod->status.pod_ip;
    out.conditions.ready = bool_new(a, e->ready);
    out.conditions.serving = bool_new(a, e->serving);
    out.conditions.terminating = bool_new(a, e->terminating);
    out.node_name = e->pod->spec.node_name;
    out.hostname = endpoint_hostname(s, e->pod);
    return out;
}

static slice_object *new_slice(struct slice_set *set, const struct core_v1_service *s) {
    slice_object *o = slice_next(set, "IPv4");
    if (str_eq(s->spec.cluster_ip, "None"))
        str_map_set(plan_arena(set->p), &o->metadata.labels, "service.kubernetes.io/headless", "");
    return o;
}

static void put_ports(struct arena *a, const struct endpoint_group *g, slice_object *o) {
    for (size_t i = 0; i < g->n_ports; i++)
        *ARENA_PUSH(a, &o->ports) =
            (struct discovery_v1_endpoint_port){.name = g->ports[i].name,
                                                .protocol = g->ports[i].protocol,
                                                .app_protocol = g->ports[i].app_protocol,
                                                .port = int_new(a, g->ports[i].port)};
}

static int reconcile(const struct world *w, const char *key, struct plan *p, struct err *err) {
    (void)err;
    struct arena *a = plan_arena(p);
    const char *ns, *name;
    key_split(a, key, &ns, &name);
    const struct core_v1_service *s =
        (const struct core_v1_service *)world_get(w, "Service", ns, name);
    struct endpoint_set set;
    if (!s || s->metadata.deletion_timestamp) return 0;
    bool managed = endpoint_set_of(w, s, a, &set);
    struct slice_set slices = {
        .w = w, .p = p, .manager = manager, .service = name, .owner = (const struct api_object *)s};
    for (size_t i = 0; managed && i < MAX_OF(set.n, 1); i++) {
        const struct endpoint_group *g = set.n ? &set.v[i] : NULL;
        for (size_t from = 0; from == 0 || (g && from < g->n); from += SLICE_ENDPOINTS_MAX) {
            slice_object *o = new_slice(&slices, s);
            if (g) put_ports(a, g, o);
            for (size_t j = from; g && j < MIN_OF(g->n, from + SLICE_ENDPOINTS_MAX); j++)
                *ARENA_PUSH(a, &o->endpoints) = endpoint_of(a, s, &g->v[j]);
            slice_put(&slices, o);
        }
    }
    slices_finish(&slices);
    return 0;
}

static void map(const struct reconciler *r, const struct world *w, const struct api_kind *k,
                const struct api_object *now, const struct api_object *old, struct keys *out) {
    (void)r;
    const struct api_object *o = now ? now : old;
    if (strcmp(k->kind, "Pod") == 0)
        map_pod_to_services(w, now, old, out);
    else if (strcmp(k->kind, "Service") == 0)
        keys_add_object(out, o);
    else
        map_slice_to_service(manager, o, out);
}

static const char *const watches[] = {"Service", "Pod", "EndpointSlice", NULL};
static const struct reconciler endpointslice = {.name = "endpointslice",
                                                .kind = "Service",
                                                .watches = watches,
                                                .map = map,
                                                .reconcile = reconcile};
RECONCILER(endpointslice);
