/* EndpointSlice: what is behind a Service, at most 100 endpoints a slice, so that one change moves
 * one small object. */
#include <string.h>

#include "base/map.h"
#include "base/own.h"
#include "controllers/endpoint_set.h"

enum { SLICE_ENDPOINTS = 100 };
static const char manager[] = "endpointslice-controller.k8s.io";
static const char manager_key[] = "endpointslice.kubernetes.io/managed-by";
static const char service_key[] = "kubernetes.io/service-name";

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

/* The n-th slice of a Service has a name of its own, always the same: two controllers cannot both
 * make it. */
static const char *slice_name(struct arena *a, const struct core_v1_service *s, size_t nth) {
    static const char alphabet[] = "bcdfghjklmnpqrstvwxz2456789";
    uint64_t h = 0xcbf29ce484222325u ^ nth;
    char suffix[6] = {0};
    for (const char *c = s->metadata.uid; *c; c++) h = (h ^ (unsigned char)*c) * 0x100000001b3u;
    for (int i = 0; i < 5; i++, h /= 27) suffix[i] = alphabet[h % 27];
    return arena_printf(a, "%.240s-%s", s->metadata.name, suffix);
}

static slice_object *new_slice(struct arena *a, const struct core_v1_service *s, size_t nth) {
    slice_object *o = (slice_object *)api_object_new(
        a, api_kind_by_name("discovery.k8s.io", "v1", "EndpointSlice"));
    o->metadata.name = slice_name(a, s, nth);
    o->metadata.namespace = s->metadata.namespace;
    for (size_t i = 0; i < s->metadata.labels.n; i++)
        str_map_set(a, &o->metadata.labels, s->metadata.labels.v[i].key,
                    s->metadata.labels.v[i].value);
    str_map_set(a, &o->metadata.labels, service_key, s->metadata.name);
    str_map_set(a, &o->metadata.labels, manager_key, manager);
    if (str_eq(s->spec.cluster_ip, "None"))
        str_map_set(a, &o->metadata.labels, "service.kubernetes.io/headless", "");
    *ARENA_PUSH(a, &o->metadata.owner_references) =
        controller_reference(a, (const struct api_object *)s);
    o->address_type = "IPv4";
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

static void write_slice(const struct world *w, slice_object *want, struct plan *p) {
    const slice_object *have = (const slice_object *)world_get(
        w, "EndpointSlice", want->metadata.namespace, want->metadata.name);
    if (!have) {
        plan_create(p, (struct api_object *)want);
        return;
    }
    struct str_map labels = want->metadata.labels;
    want->metadata = have->metadata;
    want->metadata.labels = labels;
    if (!api_equal(&discovery_v1_endpoint_slice_type, want, have))
        plan_update(p, (struct api_object *)want);
}

static bool is_mine(const struct api_object *o, const char *service) {
    return str_eq(str_map_get(&o->metadata.labels, manager_key), manager) &&
           str_eq(str_map_get(&o->metadata.labels, service_key), service);
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
    size_t nth = 0;
    struct map keep = {0};
    for (size_t i = 0; managed && i < MAX_OF(set.n, 1); i++) {
        const struct endpoint_group *g = set.n ? &set.v[i] : NULL;
        for (size_t from = 0; from == 0 || (g && from < g->n); from += SLICE_ENDPOINTS) {
            slice_object *o = new_slice(a, s, nth++);
            if (g) put_ports(a, g, o);
            for (size_t j = from; g && j < MIN_OF(g->n, from + SLICE_ENDPOINTS); j++)
                *ARENA_PUSH(a, &o->endpoints) = endpoint_of(a, s, &g->v[j]);
            map_put(&keep, slice_of(o->metadata.name), o);
            write_slice(w, o, p);
        }
    }
    const struct api_object *o;
    size_t at = 0;
    while ((o = world_next(w, "EndpointSlice", ns, &at)))
        if (is_mine(o, name) && !map_gets(&keep, o->metadata.name)) plan_delete(p, o, NULL);
    map_done(&keep);
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
    else if (str_eq(str_map_get(&o->metadata.labels, manager_key), manager))
        keys_add_name(out, o->metadata.namespace,
                      str_or(str_map_get(&o->metadata.labels, service_key), ""));
}

static const char *const watches[] = {"Service", "Pod", "EndpointSlice", NULL};
static const struct reconciler endpointslice = {.name = "endpointslice",
                                                .kind = "Service",
                                                .watches = watches,
                                                .map = map,
                                                .reconcile = reconcile};
RECONCILER(endpointslice);
