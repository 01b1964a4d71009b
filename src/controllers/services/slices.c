#include "controllers/services/slices.h"

#include <string.h>

#include "base/own.h"

static const char manager_key[] = "endpointslice.kubernetes.io/managed-by";
static const char service_key[] = "kubernetes.io/service-name";

/* The family is part of it: that of an existing slice can never change. */
static const char *name_of(struct arena *a, const struct slice_set *s, const char *address_type) {
    static const char alphabet[] = "bcdfghjklmnpqrstvwxz2456789";
    uint64_t h = 0xcbf29ce484222325u ^ s->n ^ (uint64_t)str_eq(address_type, "IPv6") << 32;
    char suffix[6] = {0};
    for (const char *c = s->owner->metadata.uid; *c; c++)
        h = (h ^ (unsigned char)*c) * 0x100000001b3u;
    for (int i = 0; i < 5; i++, h /= 27) suffix[i] = alphabet[h % 27];
    return arena_printf(a, "%.240s-%s", s->service, suffix);
}

struct discovery_v1_endpoint_slice *slice_next(struct slice_set *s, const char *address_type) {
    struct arena *a = plan_arena(s->p);
    struct discovery_v1_endpoint_slice *o = (struct discovery_v1_endpoint_slice *)api_object_new(
        a, api_kind_by_name("discovery.k8s.io", "v1", "EndpointSlice"));
    o->metadata.name = name_of(a, s, address_type);
    o->metadata.namespace = s->owner->metadata.namespace;
    str_map_merge(a, &o->metadata.labels, &s->owner->metadata.labels);
    str_map_set(a, &o->metadata.labels, service_key, s->service);
    str_map_set(a, &o->metadata.labels, manager_key, s->manager);
    if (s->annotations) o->metadata.annotations = *s->annotations;
    *ARENA_PUSH(a, &o->metadata.owner_references) = controller_reference(a, s->owner);
    o->address_type = address_type;
    s->n++;
    return o;
}

void slice_put(struct slice_set *s, struct discovery_v1_endpoint_slice *want) {
    const struct discovery_v1_endpoint_slice *have =
        (const struct discovery_v1_endpoint_slice *)world_get(
            s->w, "EndpointSlice", want->metadata.namespace, want->metadata.name);
    *ARENA_PUSH(plan_arena(s->p), &s->names) = want->metadata.name;
    if (!have) {
        plan_create(s->p, (struct api_object *)want);
        return;
    }
    struct str_map labels = want->metadata.labels;
    want->metadata = have->metadata;
    if (s->annotations) want->metadata.annotations = *s->annotations;
    want->metadata.labels = labels;
    if (!api_equal(&discovery_v1_endpoint_slice_type, want, have))
        plan_update(s->p, (struct api_object *)want);
}

static bool is_mine(const struct slice_set *s, const struct api_object *o) {
    return str_eq(str_map_get(&o->metadata.labels, manager_key), s->manager) &&
           str_eq(str_map_get(&o->metadata.labels, service_key), s->service);
}

static bool is_wanted(const struct slice_set *s, const char *name) {
    for (size_t i = 0; i < s->names.n; i++)
        if (str_eq(s->names.v[i], name)) return true;
    return false;
}

void slices_finish(struct slice_set *s) {
    const struct api_object *o;
    size_t at = 0;
    while ((o = world_next(s->w, "EndpointSlice", s->owner->metadata.namespace, &at)))
        if (is_mine(s, o) && !is_wanted(s, o->metadata.name)) plan_delete(s->p, o, NULL);
}

void map_slice_to_service(const char *manager, const struct api_object *slice, struct keys *out) {
    if (str_eq(str_map_get(&slice->metadata.labels, manager_key), manager))
        keys_add_name(out, slice->metadata.namespace,
                      str_or(str_map_get(&slice->metadata.labels, service_key), ""));
}
