/* NamespaceLifecycle: nothing new in a namespace that is not there or is going. */
#include "base/own.h"
#include "server/admission/plugin.h"

static int namespace_lifecycle(struct admission *ad) {
    struct meta_v1_object_meta *m = &ad->object->metadata;
    if (!(ad->kind->flags & API_NAMESPACED)) return 0;
    struct object *o = admission_find(ad, "", "namespaces", "", m->namespace);
    if (!o) return err_set(&ad->err, ERR_NOT_FOUND, "namespaces \"%s\" not found", m->namespace);
    struct api_object *decoded;
    const struct api_kind *k = api_kind_by_plural("", "v1", "namespaces");
    if (api_object_decode(ad->a, k, object_json(o), &decoded, &ad->err) < 0) return -1;
    if (str_empty(decoded->metadata.deletion_timestamp)) return 0;
    return err_set(&ad->err, ERR_FORBIDDEN,
                   "%s \"%s\" is forbidden: unable to create new content in namespace %s because "
                   "it is being terminated",
                   resource_title(ad->a, ad->kind->group, ad->kind->plural), str_or(m->name, ""),
                   m->namespace);
}

/* ---- Namespace: what the API machinery adds to one ---- */

static int namespace_defaults(struct admission *ad) {
    struct core_v1_namespace *n = (void *)ad->object;
    str_map_set(ad->a, &n->metadata.labels, "kubernetes.io/metadata.name", n->metadata.name);
    if (ad->old) {
        /* Only /finalize changes them. */
        if (!str_eq(ad->subresource, "finalize"))
            n->spec.finalizers = ((const struct core_v1_namespace *)ad->old)->spec.finalizers;
        return 0;
    }
    bool has = false;
    for (size_t i = 0; i < n->spec.finalizers.n; i++)
        if (str_eq(n->spec.finalizers.v[i], "kubernetes")) has = true;
    if (!has) *ARENA_PUSH(ad->a, &n->spec.finalizers) = "kubernetes";
    n->status.phase = "Active";
    return 0;
}

static const struct admission_plugin lifecycle = {.name = "NamespaceLifecycle",
                                                  .order = ORDER_NAMESPACE_LIFECYCLE,
                                                  .operations = ADMIT_CREATE,
                                                  .mutate = namespace_lifecycle};
ADMISSION_PLUGIN(lifecycle);

static const struct admission_plugin defaults = {.name = "NamespaceDefaults",
                                                 .order = ORDER_NAMESPACE_LIFECYCLE,
                                                 .operations = ADMIT_CREATE | ADMIT_UPDATE,
                                                 .group = "",
                                                 .plural = "namespaces",
                                                 .subresources = true,
                                                 .mutate = namespace_defaults};
ADMISSION_PLUGIN(defaults);
