/* DefaultTolerationSeconds: how long a pod stays on a node that is not ready. Elsewhere 300 seconds
 * (docs/decisions/0049-nodes-that-do-not-answer.md). */
#include "base/own.h"
#include "server/admission/plugin.h"

static bool tolerates(const struct core_v1_pod_spec *spec, const char *key) {
    for (size_t i = 0; i < spec->tolerations.n; i++) {
        const struct core_v1_toleration *t = &spec->tolerations.v[i];
        bool effect = str_empty(t->effect) || str_eq(t->effect, "NoExecute");
        if (effect && (str_empty(t->key) || str_eq(t->key, key))) return true;
    }
    return false;
}

static int pod_default_tolerations(struct admission *ad) {
    static const char *const keys[] = {"node.kubernetes.io/not-ready",
                                       "node.kubernetes.io/unreachable"};
    struct core_v1_pod_spec *spec = &((struct core_v1_pod *)(void *)ad->object)->spec;
    int64_t seconds = 30;
    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        if (tolerates(spec, keys[i])) continue;
        *ARENA_PUSH(ad->a, &spec->tolerations) = (struct core_v1_toleration){
            .key = keys[i],
            .operator= "Exists",
            .effect = "NoExecute",
            .toleration_seconds = arena_copy(ad->a, &seconds, sizeof seconds)};
    }
    return 0;
}

static const struct admission_plugin default_toleration_seconds = {
    .name = "DefaultTolerationSeconds",
    .order = ORDER_DEFAULT_TOLERATION_SECONDS,
    .operations = ADMIT_CREATE,
    .group = "",
    .plural = "pods",
    .mutate = pod_default_tolerations};
ADMISSION_PLUGIN(default_toleration_seconds);
