/* DefaultTolerationSeconds: how long a pod stays on a node that is not ready. */
#include "api/rules/node_match.h"
#include "server/admission/plugin.h"

static int mutate(struct admission *ad) {
    pod_default_tolerations(ad->a, &((struct core_v1_pod *)(void *)ad->object)->spec);
    return 0;
}

static const struct admission_plugin default_toleration_seconds = {
    .name = "DefaultTolerationSeconds",
    .order = ORDER_DEFAULT_TOLERATION_SECONDS,
    .operations = ADMIT_CREATE,
    .group = "",
    .plural = "pods",
    .mutate = mutate};
ADMISSION_PLUGIN(default_toleration_seconds);
