/* metrics.k8s.io of the simulated cluster: pods use what their annotation says. */
#include "api/rules/pods.h"
#include "base/own.h"
#include "sim/api.h"

void api_metrics_of_pods(struct sim *s, struct buf *out) {
    OWN(arena_free_p) struct arena *a = arena_new();
    size_t n;
    OWN(free_p) struct sim_object **list = store_list(store_resource_of(s, "", "Pod"), &n);
    bool first = true;
    buf_str(out, "{\"kind\":\"PodMetricsList\",\"apiVersion\":\"metrics.k8s.io/v1beta1\","
                 "\"metadata\":{},\"items\":[");
    for (size_t i = 0; i < n; i++) {
        const struct core_v1_pod *pod = (const void *)store_decode(a, list[i]);
        const char *milli = str_map_get(&pod->metadata.annotations, SIM_USES_MILLI);
        if (!milli || !str_eq(pod->status.phase, "Running")) continue;
        buf_printf(out,
                   "%s{\"metadata\":{\"name\":\"%s\",\"namespace\":\"%s\"},\"timestamp\":\"%s\","
                   "\"window\":\"10s\",\"containers\":[{\"name\":\"%s\",\"usage\":{\"cpu\":\"%sm\"}"
                   "}]}",
                   first ? "" : ",", list[i]->name, list[i]->ns, api_now(s, a),
                   pod->spec.containers.v[0].name, milli);
        first = false;
    }
    buf_str(out, "]}");
}
