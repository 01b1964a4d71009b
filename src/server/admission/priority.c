/* Priority: the number behind a pod's class. */
#include "base/own.h"
#include "server/admission/plugin.h"
#include "server/raw.h"

static int32_t class_value(struct slice number) {
    bool negative = slice_starts(number, "-");
    uint64_t v = 0;
    if (negative) number = slice_from(number.p + 1, number.n - 1);
    if (slice_u64(number, &v) < 0 || v > INT32_MAX) return 0;
    return negative ? -(int32_t)v : (int32_t)v;
}

static int pod_priority(struct admission *ad) {
    static const struct {
        const char *name;
        int32_t value;
    } builtin[] = {{"system-node-critical", 2000001000}, {"system-cluster-critical", 2000000000}};
    struct core_v1_pod_spec *spec = &((struct core_v1_pod *)(void *)ad->object)->spec;
    int32_t value = 0;
    if (!str_empty(spec->priority_class_name)) {
        bool found = false;
        for (size_t i = 0; i < ARRAY_LEN(builtin); i++) {
            if (!str_eq(spec->priority_class_name, builtin[i].name)) continue;
            value = builtin[i].value;
            found = true;
        }
        struct object *o = admission_find(ad, "scheduling.k8s.io", "priorityclasses", "",
                                          spec->priority_class_name);
        struct slice number;
        if (o && raw_get(object_json(o), "value", &number)) value = class_value(number);
        if (!found && !o)
            return err_set(&ad->err, ERR_FORBIDDEN,
                           "pods \"%s\" is forbidden: no PriorityClass with name %s was found",
                           ad->object->metadata.name, spec->priority_class_name);
    }
    if (spec->priority && *spec->priority != value)
        return err_set(&ad->err, ERR_FORBIDDEN,
                       "pods \"%s\" is forbidden: the integer value of priority (%d) must not be "
                       "provided in pod spec; priority admission controller computed %d from the "
                       "given PriorityClass name",
                       ad->object->metadata.name, *spec->priority, value);
    spec->priority = arena_copy(ad->a, &value, sizeof value);
    if (str_empty(spec->preemption_policy)) spec->preemption_policy = "PreemptLowerPriority";
    return 0;
}

static const struct admission_plugin priority = {.name = "Priority",
                                                 .order = ORDER_PRIORITY,
                                                 .operations = ADMIT_CREATE,
                                                 .group = "",
                                                 .plural = "pods",
                                                 .mutate = pod_priority};
ADMISSION_PLUGIN(priority);
