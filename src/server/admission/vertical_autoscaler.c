/*
 * VerticalPodAutoscaler: a pod that is made asks for what is recommended for its containers, unless
 * the mode is Off. The autoscaler is found by the controller it names: the pod's, or that one's.
 */
#include "server/admission/vertical_autoscaler.h"

#include "api/rules/vpa.h"
#include "base/own.h"

enum { OWNERS_MAX = 4 }; /* from a pod upwards */

static const struct meta_v1_owner_reference *
controller_of(const struct meta_v1_owner_reference_list *l) {
    for (size_t i = 0; i < l->n; i++)
        if (l->v[i].controller && *l->v[i].controller) return &l->v[i];
    return NULL;
}

static struct slice group_of(const char *api_version) {
    struct slice s = slice_of(str_or(api_version, "v1")), group;
    if (!memchr(s.p, '/', s.n)) return SLICE("");
    slice_cut(&s, '/', &group);
    return group;
}

static bool is_target(const vpa_object *v, const struct meta_v1_owner_reference *owner) {
    const struct autoscaling_v1_cross_version_object_reference *t = v->spec.target_ref;
    return t && str_eq(t->kind, owner->kind) && str_eq(t->name, owner->name) &&
           slice_eq(group_of(t->api_version), group_of(owner->api_version));
}

/* The controller of what this reference names; NULL: none, or it is not known. */
static const struct meta_v1_owner_reference *next_owner(struct admission *ad,
                                                        const struct meta_v1_owner_reference *o) {
    const struct api_kind *k = api_kind_by_api_version(o->api_version, o->kind);
    struct object *stored = k ? admission_find(ad, k->group, k->plural, ad->ns, o->name) : NULL;
    struct api_object *decoded;
    if (!stored || k->custom ||
        api_object_decode(ad->a, k, object_json(stored), &decoded, NULL) < 0)
        return NULL;
    return controller_of(&decoded->metadata.owner_references);
}

/* All autoscalers of the namespace that act, decoded. */
struct list {
    const vpa_object **v;
    size_t n;
};

static struct list autoscalers_of(struct admission *ad, const struct api_kind *k,
                                  const struct resource *r) {
    struct list out = {0};
    struct slice prefix = slice_of(arena_printf(ad->a, "%s/", ad->ns));
    struct key_cursor at = key_index_seek(&r->index, prefix, false);
    for (struct object *o; (o = key_index_next(&r->index, &at));) {
        struct api_object *decoded;
        if (o->key_n < prefix.n || memcmp(o->key, prefix.p, prefix.n) != 0) break;
        if (api_object_decode(ad->a, k, object_json(o), &decoded, NULL) < 0) continue;
        const vpa_object *v = (const void *)decoded;
        if (!str_eq(vpa_mode(v), "Off") && v->status.recommendation) *ARENA_PUSH(ad->a, &out) = v;
    }
    return out;
}

static const vpa_object *find(struct admission *ad, const struct list *all,
                              const struct core_v1_pod *pod) {
    const struct meta_v1_owner_reference *o = controller_of(&pod->metadata.owner_references);
    for (int i = 0; o && i < OWNERS_MAX; i++) {
        for (size_t j = 0; j < all->n; j++)
            if (is_target(all->v[j], o)) return all->v[j];
        o = next_owner(ad, o);
    }
    return NULL;
}

/* What the namespace's LimitRanges would refuse is not asked for. */
static struct vpa_bounds bounds_of(struct admission *ad) {
    static const struct api_kind *k;
    struct vpa_bounds b = {0};
    if (!k) k = api_kind_by_plural("", "v1", "limitranges");
    const struct resource *r = k ? cache_of_kind(&ad->api->cache, k) : NULL;
    struct slice prefix = slice_of(arena_printf(ad->a, "%s/", ad->ns));
    if (!r || !r->index.n) return b;
    struct key_cursor at = key_index_seek(&r->index, prefix, false);
    for (struct object *o; (o = key_index_next(&r->index, &at));) {
        struct api_object *decoded;
        if (o->key_n < prefix.n || memcmp(o->key, prefix.p, prefix.n) != 0) break;
        if (api_object_decode(ad->a, k, object_json(o), &decoded, NULL) == 0)
            vpa_bounds_add(ad->a, &b, &((const struct core_v1_limit_range *)(void *)decoded)->spec);
    }
    return b;
}

static void apply(struct admission *ad, const vpa_object *v, struct core_v1_pod *pod) {
    OWN(buf_done) struct buf updates = {0}, names = {0};
    struct vpa_bounds bounds = bounds_of(ad);
    const struct autoscaling_v1_recommended_container_resources *wanted =
        vpa_for_pod(ad->a, v, &bounds, &pod->spec.containers);
    for (size_t i = 0; i < pod->spec.containers.n; i++) {
        struct core_v1_container *c = &pod->spec.containers.v[i];
        buf_printf(&names, "%s%s", i ? ", " : "", c->name);
        const char *changed = vpa_apply(ad->a, v, &wanted[i], c);
        if (changed) buf_printf(&updates, "%scontainer %zu: %s", updates.n ? "; " : "", i, changed);
    }
    str_map_set(ad->a, &pod->metadata.annotations, "vpaObservedContainers",
                arena_strn(ad->a, buf_view(&names)));
    if (updates.n)
        str_map_set(
            ad->a, &pod->metadata.annotations, "vpaUpdates",
            arena_printf(ad->a, "Pod resources updated by %s: %s", v->metadata.name, updates.p));
}

int vertical_autoscaler_mutate(struct admission *ad) {
    static const struct api_kind *k;
    if (!k) k = api_kind_by_plural("autoscaling.k8s.io", "v1", "verticalpodautoscalers");
    const struct resource *r = k ? cache_of_kind(&ad->api->cache, k) : NULL;
    if (!r || !r->index.n) return ADMISSION_OK;
    struct core_v1_pod *pod = (struct core_v1_pod *)(void *)ad->object;
    if (!controller_of(&pod->metadata.owner_references)) return ADMISSION_OK;
    struct list all = autoscalers_of(ad, k, r);
    const vpa_object *v = all.n ? find(ad, &all, pod) : NULL;
    if (v) apply(ad, v, pod);
    return ADMISSION_OK;
}

static const struct admission_plugin plugin = {.name = "VerticalPodAutoscaler",
                                               .order = ORDER_VERTICAL_AUTOSCALER,
                                               .operations = ADMIT_CREATE,
                                               .group = "",
                                               .plural = "pods",
                                               .mutate = vertical_autoscaler_mutate};
ADMISSION_PLUGIN(plugin);
