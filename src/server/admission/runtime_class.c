/* RuntimeClass: a pod that names one gets its overhead and where it may run. */
#include "base/map.h"
#include "base/own.h"
#include "server/admission/plugin.h"

/* *ret NULL when the pod names none. */
static int find(struct admission *ad, const struct core_v1_pod_spec *spec,
                const struct node_v1_runtime_class **ret) {
    *ret = NULL;
    if (str_empty(spec->runtime_class_name)) return 0;
    const struct api_kind *k = api_kind_by_plural("node.k8s.io", "v1", "runtimeclasses");
    struct object *o =
        admission_find(ad, "node.k8s.io", "runtimeclasses", "", spec->runtime_class_name);
    if (!k || !o)
        return admission_forbid(ad,
                                arena_printf(ad->a, "pod rejected: RuntimeClass \"%s\" not found",
                                             spec->runtime_class_name));
    struct api_object *decoded;
    int rc = api_object_decode(ad->a, k, object_json(o), &decoded, &ad->err);
    if (rc == 0) *ret = (const void *)decoded;
    return rc;
}

static bool same(const struct str_map *x, const struct str_map *y) {
    if (x->n != y->n) return false;
    for (size_t i = 0; i < x->n; i++)
        if (!str_eq(x->v[i].key, y->v[i].key) || !str_eq(x->v[i].value, y->v[i].value))
            return false;
    return true;
}

static bool toleration_seen(struct map *seen, const struct core_v1_toleration *t) {
    OWN(buf_done) struct buf b = {0};
    api_encode(&b, &core_v1_toleration_type, t);
    return map_seen(seen, buf_view(&b));
}

/* Those that it has not. */
static void tolerate(struct arena *a, struct core_v1_toleration_list *l,
                     const struct core_v1_toleration_list *more) {
    OWN(map_done) struct map seen = {0};
    if (!more->n) return;
    for (size_t i = 0; i < l->n; i++) toleration_seen(&seen, &l->v[i]);
    for (size_t i = 0; i < more->n; i++)
        if (!toleration_seen(&seen, &more->v[i])) *ARENA_PUSH(a, l) = more->v[i];
}

static int schedule(struct admission *ad, struct core_v1_pod_spec *spec,
                    const struct node_v1_scheduling *s) {
    for (size_t i = 0; i < s->node_selector.n; i++) {
        const char *key = s->node_selector.v[i].key, *value = s->node_selector.v[i].value;
        const char *own = str_map_get(&spec->node_selector, key);
        if (own && !str_eq(own, value))
            return admission_forbid(
                ad, arena_printf(ad->a,
                                 "conflict: runtimeClass.scheduling.nodeSelector[%s] = %s; "
                                 "pod.spec.nodeSelector[%s] = %s",
                                 key, value, key, own));
    }
    if (s->node_selector.n) str_map_merge(ad->a, &spec->node_selector, &s->node_selector);
    tolerate(ad->a, &spec->tolerations, &s->tolerations);
    return 0;
}

static int runtime_mutate(struct admission *ad) {
    struct core_v1_pod_spec *spec = &((struct core_v1_pod *)(void *)ad->object)->spec;
    const struct node_v1_runtime_class *class;
    int rc = find(ad, spec, &class);
    if (rc < 0 || !class) return rc;
    if (class->overhead) {
        if (spec->overhead.n && !same(&spec->overhead, &class->overhead->pod_fixed))
            return admission_forbid(
                ad, "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead");
        spec->overhead = class->overhead->pod_fixed;
    }
    return class->scheduling ? schedule(ad, spec, class->scheduling) : 0;
}

static int runtime_validate(struct admission *ad) {
    const struct core_v1_pod_spec *spec =
        &((const struct core_v1_pod *)(const void *)ad->object)->spec;
    const struct node_v1_runtime_class *class;
    int rc = find(ad, spec, &class);
    if (rc < 0) return rc;
    if (class && class->overhead) {
        if (!same(&spec->overhead, &class->overhead->pod_fixed))
            return admission_forbid(
                ad, "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead");
    } else if (spec->overhead.n) {
        return admission_forbid(
            ad,
            "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead");
    }
    return 0;
}

static const struct admission_plugin plugin = {.name = "RuntimeClass",
                                               .order = ORDER_RUNTIME_CLASS,
                                               .operations = ADMIT_CREATE,
                                               .group = "",
                                               .plural = "pods",
                                               .mutate = runtime_mutate,
                                               .validate = runtime_validate};
ADMISSION_PLUGIN(plugin);
