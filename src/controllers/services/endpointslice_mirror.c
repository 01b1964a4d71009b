/*
 * Mirroring: Endpoints that a user wrote for a Service without selector become EndpointSlices,
 * which is all that load balancing and DNS read (KEP-752). Endpoints with the label skip-mirror,
 * and those that are a lock of a leader election, are left alone.
 */
#include <string.h>

#include "base/own.h"
#include "controllers/services/slices.h"

static const char manager[] = "endpointslicemirroring-controller.k8s.io";

typedef struct discovery_v1_endpoint_slice slice_object;

static bool is_mirrored(const struct core_v1_service *s, const struct core_v1_endpoints *e) {
    return s && !s->metadata.deletion_timestamp && !e->metadata.deletion_timestamp &&
           !s->spec.selector.n && !str_eq(s->spec.type, "ExternalName") &&
           !str_eq(str_map_get(&e->metadata.labels, "endpointslice.kubernetes.io/skip-mirror"),
                   "true") &&
           !str_map_get(&e->metadata.annotations, "control-plane.alpha.kubernetes.io/leader");
}

static slice_object *begin(struct slice_set *s, const struct core_v1_endpoint_subset *subset,
                           bool v6) {
    struct arena *a = plan_arena(s->p);
    slice_object *o = slice_next(s, v6 ? "IPv6" : "IPv4");
    for (size_t i = 0; i < subset->ports.n; i++) {
        const struct core_v1_endpoint_port *p = &subset->ports.v[i];
        *ARENA_PUSH(a, &o->ports) =
            (struct discovery_v1_endpoint_port){.name = str_or(p->name, ""),
                                                .protocol = str_or(p->protocol, "TCP"),
                                                .app_protocol = p->app_protocol,
                                                .port = int_new(a, p->port)};
    }
    return o;
}

/* Adds the addresses of one family; starts a new slice when one is full. */
static void add(struct slice_set *s, const struct core_v1_endpoint_subset *subset, bool v6) {
    struct arena *a = plan_arena(s->p);
    slice_object *o = NULL;
    size_t n_ready = subset->addresses.n, n = n_ready + subset->not_ready_addresses.n;
    for (size_t i = 0; i < n; i++) {
        const struct core_v1_endpoint_address *from =
            i < n_ready ? &subset->addresses.v[i] : &subset->not_ready_addresses.v[i - n_ready];
        if ((strchr(str_or(from->ip, ""), ':') != NULL) != v6) continue;
        if (o && o->endpoints.n == SLICE_ENDPOINTS_MAX) {
            slice_put(s, o);
            o = NULL;
        }
        if (!o) o = begin(s, subset, v6);
        struct discovery_v1_endpoint *to = ARENA_PUSH(a, &o->endpoints);
        *ARENA_PUSH(a, &to->addresses) = from->ip;
        to->conditions.ready = bool_new(a, i < n_ready);
        to->hostname = str_empty(from->hostname) ? NULL : from->hostname;
        to->node_name = from->node_name;
        to->target_ref = from->target_ref;
    }
    if (o) slice_put(s, o);
}

/* Annotations come along, but for those that speak of the Endpoints themselves. */
static struct str_map annotations_of(struct arena *a, const struct core_v1_endpoints *e) {
    static const char *const own[] = {"endpoints.kubernetes.io/last-change-trigger-time",
                                      "kubectl.kubernetes.io/last-applied-configuration"};
    struct str_map out = {0};
    for (size_t i = 0; i < e->metadata.annotations.n; i++) {
        const struct str_pair *x = &e->metadata.annotations.v[i];
        bool skip = false;
        for (size_t j = 0; j < ARRAY_LEN(own); j++) skip |= str_eq(x->key, own[j]);
        if (!skip) *ARENA_PUSH(a, &out) = *x;
    }
    return out;
}

static int reconcile(const struct world *w, const char *key, struct plan *p, struct err *err) {
    (void)err;
    const char *ns, *name;
    key_split(plan_arena(p), key, &ns, &name);
    const struct core_v1_endpoints *e =
        (const struct core_v1_endpoints *)world_get(w, "Endpoints", ns, name);
    const struct core_v1_service *s =
        (const struct core_v1_service *)world_get(w, "Service", ns, name);
    if (!e) return 0; /* the owner reference lets the garbage collector take them */
    struct str_map annotations = annotations_of(plan_arena(p), e);
    struct slice_set set = {.w = w,
                            .p = p,
                            .manager = manager,
                            .service = name,
                            .owner = (const struct api_object *)e,
                            .annotations = &annotations};
    for (size_t i = 0; is_mirrored(s, e) && i < e->subsets.n; i++) {
        add(&set, &e->subsets.v[i], false);
        add(&set, &e->subsets.v[i], true);
    }
    slices_finish(&set);
    return 0;
}

static void map(const struct reconciler *r, const struct world *w, const struct api_kind *k,
                const struct api_object *now, const struct api_object *old, struct keys *out) {
    (void)r, (void)w;
    const struct api_object *o = now ? now : old;
    if (strcmp(k->kind, "EndpointSlice") == 0)
        map_slice_to_service(manager, o, out);
    else
        keys_add_object(out, o); /* Service and Endpoints share their name */
}

static const char *const watches[] = {"Service", "Endpoints", "EndpointSlice", NULL};
static const struct reconciler endpointslice_mirror = {.name = "endpointslice-mirror",
                                                       .kind = "Endpoints",
                                                       .watches = watches,
                                                       .map = map,
                                                       .reconcile = reconcile};
RECONCILER(endpointslice_mirror);
