/* Priority: the number and the policy behind a pod's class; at most one class is the default. */
#include "base/own.h"
#include "server/admission/plugin.h"

/* Decoded, or made up for the two that are always there. */
struct class {
    const char *name;
    int32_t value;
    const char *policy;
};

static const struct class builtin[] = {
    {"system-node-critical", 2000001000, "PreemptLowerPriority"},
    {"system-cluster-critical", 2000000000, "PreemptLowerPriority"}};

/* The default class, until one changes. */
static struct {
    struct arena *arena;
    const struct scheduling_v1_priority_class *class;
    uint64_t as_of;
} known = {.as_of = UINT64_MAX};

static const struct scheduling_v1_priority_class *global_default(const struct admission *ad) {
    static const struct api_kind *k;
    if (!k) k = api_kind_by_plural("scheduling.k8s.io", "v1", "priorityclasses");
    const struct resource *res = k ? cache_of_kind(&ad->api->cache, k) : NULL;
    if (!res) return NULL;
    if (res->changed == known.as_of) return known.class;
    arena_free(known.arena);
    known.arena = arena_new();
    known.class = NULL;
    known.as_of = res->changed;
    struct key_cursor at = key_index_seek(&res->index, SLICE(""), false);
    for (struct object *o; (o = key_index_next(&res->index, &at));) {
        struct api_object *decoded;
        if (api_object_decode(known.arena, k, object_json(o), &decoded, NULL) < 0) continue;
        const struct scheduling_v1_priority_class *c = (const void *)decoded;
        /* Two can only come from a race: the lower one counts. */
        if (c->global_default && (!known.class || c->value < known.class->value)) known.class = c;
    }
    return known.class;
}

static bool find(struct admission *ad, const char *name, struct class *ret) {
    const struct api_kind *k = api_kind_by_plural("scheduling.k8s.io", "v1", "priorityclasses");
    struct object *o = admission_find(ad, "scheduling.k8s.io", "priorityclasses", "", name);
    struct api_object *decoded;
    if (k && o && api_object_decode(ad->a, k, object_json(o), &decoded, NULL) == 0) {
        const struct scheduling_v1_priority_class *c = (const void *)decoded;
        *ret = (struct class){name, c->value, c->preemption_policy};
        return true;
    }
    for (size_t i = 0; i < ARRAY_LEN(builtin); i++) {
        if (!str_eq(name, builtin[i].name)) continue;
        *ret = builtin[i];
        return true;
    }
    return false;
}

/* What was decided when the pod was created stays, and need not be sent back. */
static int keep_priority(struct admission *ad, struct core_v1_pod_spec *spec) {
    const struct core_v1_pod_spec *was = &((const struct core_v1_pod *)(const void *)ad->old)->spec;
    if (!spec->priority) spec->priority = was->priority;
    if (str_empty(spec->preemption_policy)) spec->preemption_policy = was->preemption_policy;
    return 0;
}

static int pod_priority(struct admission *ad) {
    struct core_v1_pod_spec *spec = &((struct core_v1_pod *)(void *)ad->object)->spec;
    if (ad->old) return keep_priority(ad, spec);
    struct class class = {.policy = "PreemptLowerPriority"};
    if (str_empty(spec->priority_class_name)) {
        const struct scheduling_v1_priority_class *d = global_default(ad);
        if (d) {
            class = (struct class){arena_str(ad->a, d->metadata.name), d->value,
                                   arena_str(ad->a, d->preemption_policy)};
            spec->priority_class_name = class.name;
        }
    } else if (!find(ad, spec->priority_class_name, &class)) {
        return admission_forbid(ad, arena_printf(ad->a, "no PriorityClass with name %s was found",
                                                 spec->priority_class_name));
    }
    if (spec->priority && *spec->priority != class.value)
        return admission_forbid(
            ad, arena_printf(ad->a,
                             "the integer value of priority (%d) must not be provided in pod spec; "
                             "priority admission controller computed %d from the given "
                             "PriorityClass name",
                             *spec->priority, class.value));
    const char *policy = str_or(class.policy, "PreemptLowerPriority");
    if (!str_empty(spec->preemption_policy) && !str_eq(spec->preemption_policy, policy))
        return admission_forbid(
            ad, arena_printf(ad->a,
                             "the string value of PreemptionPolicy (%s) must not be provided in "
                             "pod spec; priority admission controller computed %s from the given "
                             "PriorityClass name",
                             spec->preemption_policy, policy));
    spec->priority = arena_copy(ad->a, &class.value, sizeof class.value);
    spec->preemption_policy = policy;
    return 0;
}

static int single_default(struct admission *ad) {
    const struct scheduling_v1_priority_class *c = (const void *)ad->object;
    const struct scheduling_v1_priority_class *d = c->global_default ? global_default(ad) : NULL;
    if (!d || (ad->old && str_eq(d->metadata.name, c->metadata.name))) return 0;
    return admission_forbid(ad,
                            arena_printf(ad->a,
                                         "PriorityClass %s is already marked as default. Only one "
                                         "default can exist",
                                         d->metadata.name));
}

static const struct admission_plugin pods = {.name = "Priority",
                                             .order = ORDER_PRIORITY,
                                             .operations = ADMIT_CREATE | ADMIT_UPDATE,
                                             .group = "",
                                             .plural = "pods",
                                             .mutate = pod_priority};
ADMISSION_PLUGIN(pods);

static const struct admission_plugin classes = {.name = "Priority",
                                                .order = ORDER_PRIORITY,
                                                .operations = ADMIT_CREATE | ADMIT_UPDATE,
                                                .group = "scheduling.k8s.io",
                                                .plural = "priorityclasses",
                                                .validate = single_default};
ADMISSION_PLUGIN(classes);
