/* The admission plugins that controllers can tell: namespaces that end, default tolerations,
 * priorities, quotas of objects, addresses of services. */
#include "api/rules/node_match.h"
#include "api/rules/pods.h"
#include "base/own.h"
#include "sim/api.h"

static int namespace_lives(struct sim_admission *ad, struct err *err) {
    const char *ns = ad->object->metadata.namespace;
    if (ad->old || !(ad->kind->flags & API_NAMESPACED)) return 0;
    struct sim_object *o = store_get(store_resource_of(ad->s, "", "Namespace"), NULL, ns);
    if (!o) return err_set(err, ERR_NOT_FOUND, "namespaces \"%s\" not found", str_or(ns, ""));
    if (str_empty(store_decode(ad->a, o)->metadata.deletion_timestamp)) return 0;
    return err_set(err, ERR_FORBIDDEN,
                   "%s \"%s\" is forbidden: unable to create new content in namespace %s because "
                   "it is being terminated",
                   ad->kind->plural, ad->object->metadata.name, ns);
}

static int pod_priority(struct sim_admission *ad, struct err *err) {
    struct core_v1_pod_spec *spec = &((struct core_v1_pod *)(void *)ad->object)->spec;
    int32_t value = 0;
    if (!str_empty(spec->priority_class_name)) {
        struct sim_object *o =
            store_get(store_resource_of(ad->s, "scheduling.k8s.io", "PriorityClass"), NULL,
                      spec->priority_class_name);
        if (!o)
            return err_set(err, ERR_FORBIDDEN,
                           "pods \"%s\" is forbidden: no PriorityClass with name %s was found",
                           ad->object->metadata.name, spec->priority_class_name);
        const struct scheduling_v1_priority_class *c = (const void *)store_decode(ad->a, o);
        value = c->value;
        spec->preemption_policy = c->preemption_policy;
    }
    spec->priority = arena_copy(ad->a, &value, sizeof value);
    if (str_empty(spec->preemption_policy)) spec->preemption_policy = "PreemptLowerPriority";
    return 0;
}

static void service_address(struct sim_admission *ad) {
    struct core_v1_service *v = (void *)ad->object;
    if (!str_empty(v->spec.cluster_ip) || str_eq(v->spec.type, "ExternalName")) return;
    uint64_t n = ad->s->store->revision;
    v->spec.cluster_ip =
        arena_printf(ad->a, "10.96.%u.%u", (unsigned)(n >> 8) & 255, (unsigned)n & 255);
    v->spec.cluster_ips = (struct str_list){0};
    *ARENA_PUSH(ad->a, &v->spec.cluster_ips) = v->spec.cluster_ip;
}

int admit_mutate(struct sim_admission *ad, struct err *err) {
    int r = namespace_lives(ad, err);
    if (r < 0) return r;
    bool core = !*ad->kind->group;
    if (core && str_eq(ad->kind->kind, "Service")) service_address(ad);
    if (!core || ad->old || !str_eq(ad->kind->kind, "Pod")) return 0;
    pod_default_tolerations(ad->a, &((struct core_v1_pod *)(void *)ad->object)->spec);
    return pod_priority(ad, err);
}

/* ---- quotas: of pods, by number ---- */

static size_t pods_in(struct sim_admission *ad, const char *ns) {
    size_t n, count = 0;
    OWN(free_p) struct sim_object **list = store_list(store_resource_of(ad->s, "", "Pod"), &n);
    for (size_t i = 0; i < n; i++)
        if (str_eq(list[i]->ns, ns))
            count += !pod_is_terminal((const void *)store_decode(ad->a, list[i]));
    return count;
}

int admit_validate(struct sim_admission *ad, struct err *err) {
    if (ad->old || *ad->kind->group || !str_eq(ad->kind->kind, "Pod")) return 0;
    struct sim_resource *r = store_resource_of(ad->s, "", "ResourceQuota");
    const char *ns = ad->object->metadata.namespace;
    size_t n;
    if (!r || !r->objects.n) return 0;
    OWN(free_p) struct sim_object **list = store_list(r, &n);
    for (size_t i = 0; i < n; i++) {
        if (!str_eq(list[i]->ns, ns)) continue;
        const struct core_v1_resource_quota *q = (const void *)store_decode(ad->a, list[i]);
        uint64_t hard;
        const char *text = str_map_get(&q->spec.hard, "pods");
        if (!text || slice_u64(slice_of(text), &hard) < 0) continue;
        size_t used = pods_in(ad, ns);
        if (used + 1 > hard)
            return err_set(err, ERR_FORBIDDEN,
                           "pods \"%s\" is forbidden: exceeded quota: %s, requested: pods=1, used: "
                           "pods=%zu, limited: pods=%s",
                           ad->object->metadata.name, q->metadata.name, used, text);
    }
    return 0;
}
