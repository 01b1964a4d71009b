/* What may change in a pod once it exists. */
#include <string.h>

#include "api/kinds/kinds.h"

#define MAY_NOT_CHANGE                                                                             \
    "pod updates may not change fields other than `spec.containers[*].image`,"                     \
    "`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only "        \
    "additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set " \
    "to 1 if it was previously negative)"

static bool lists_pair(const struct core_v1_container_list *x,
                       const struct core_v1_container_list *y, const char *path,
                       struct api_causes *causes) {
    if (x->n == y->n) return true;
    cause_forbidden(causes, path, "pod updates may not add or remove containers");
    return false;
}

static void keep_images(struct core_v1_container_list *to,
                        const struct core_v1_container_list *from) {
    for (size_t i = 0; i < to->n; i++) to->v[i].image = from->v[i].image;
}

static void images_validate(const struct core_v1_container_list *list, const char *path,
                            struct api_causes *causes) {
    for (size_t i = 0; i < list->n; i++)
        if (str_empty(list->v[i].image))
            cause_required(causes, path_of(causes, "%s[%zu].image", path, i), NULL);
}

static void deadline_validate(const int64_t *now, const int64_t *before,
                              struct api_causes *causes) {
    const char *path = "spec.activeDeadlineSeconds";
    if (!before) return;
    if (!now)
        cause_invalid_raw(causes, path, "null",
                          "must not update from a positive integer to nil value");
    else if (*now > *before)
        cause_invalid_int(causes, path, *now, "must be less than or equal to previous value");
}

/* A toleration without its tolerationSeconds, as a key. */
static const char *toleration_key(struct arena *a, const struct core_v1_toleration *t) {
    OWN(buf_done) struct buf b = {0};
    struct core_v1_toleration rest = *t;
    rest.toleration_seconds = NULL;
    api_encode(&b, &core_v1_toleration_type, &rest);
    return arena_strn(a, buf_view(&b));
}

/* Existing tolerations stay as they are; a tolerationSeconds may change. */
static void tolerations_validate(const struct core_v1_pod_spec *spec,
                                 const struct core_v1_pod_spec *old, struct api_causes *causes) {
    OWN(map_done) struct map now = {0};
    for (size_t i = 0; i < spec->tolerations.n; i++)
        map_put(&now, slice_of(toleration_key(causes->a, &spec->tolerations.v[i])), (void *)spec);
    for (size_t i = 0; i < old->tolerations.n; i++)
        if (!map_gets(&now, toleration_key(causes->a, &old->tolerations.v[i]))) {
            cause_forbidden(causes, "spec.tolerations",
                            "existing toleration can not be modified except its tolerationSeconds");
            return;
        }
}

static void gates_validate(const struct core_v1_pod_spec *spec, const struct core_v1_pod_spec *old,
                           struct api_causes *causes) {
    OWN(map_done) struct map before = {0};
    for (size_t i = 0; i < old->scheduling_gates.n; i++)
        map_put(&before, slice_of(str_or(old->scheduling_gates.v[i].name, "")), (void *)old);
    for (size_t i = 0; i < spec->scheduling_gates.n; i++) {
        const char *name = str_or(spec->scheduling_gates.v[i].name, "");
        if (map_gets(&before, name)) continue;
        cause_forbidden(
            causes, path_of(causes, "spec.schedulingGates[%zu].name", i),
            path_of(causes, "only deletion is allowed, but found new scheduling gate '%s'", name));
    }
}

void pod_update_validate(const struct core_v1_pod *pod, const struct core_v1_pod *old,
                         struct api_causes *causes) {
    const struct core_v1_pod_spec *spec = &pod->spec, *before = &old->spec;
    bool same_shape = lists_pair(&spec->containers, &before->containers, "spec.containers", causes);
    same_shape &=
        lists_pair(&spec->init_containers, &before->init_containers, "spec.initContainers", causes);
    if (!same_shape) return;
    images_validate(&spec->containers, "spec.containers", causes);
    images_validate(&spec->init_containers, "spec.initContainers", causes);
    deadline_validate(spec->active_deadline_seconds, before->active_deadline_seconds, causes);
    tolerations_validate(spec, before, causes);
    gates_validate(spec, before, causes);

    /* With all that may change taken back, nothing may be left. */
    struct core_v1_pod_spec *rest = api_copy(causes->a, &core_v1_pod_spec_type, spec);
    keep_images(&rest->containers, &before->containers);
    keep_images(&rest->init_containers, &before->init_containers);
    rest->active_deadline_seconds = before->active_deadline_seconds;
    rest->tolerations = before->tolerations;
    if (before->termination_grace_period_seconds && *before->termination_grace_period_seconds < 0 &&
        spec->termination_grace_period_seconds && *spec->termination_grace_period_seconds == 1)
        rest->termination_grace_period_seconds = before->termination_grace_period_seconds;
    if (before->scheduling_gates.n > 0) { /* a gated pod may still be steered */
        rest->scheduling_gates = before->scheduling_gates;
        rest->node_selector = before->node_selector;
        rest->affinity = before->affinity;
    }
    if (!api_equal(&core_v1_pod_spec_type, rest, before))
        cause_forbidden(causes, "spec", MAY_NOT_CHANGE);
}
