/* Pod: the kind as a whole and its Table columns; the spec has files of its own. */
#include <inttypes.h>
#include <string.h>

#include "api/kinds/kinds.h"
#include "api/rules/pods.h"
#include "base/times.h"

/* Requests that are absent are those of limits: Pod only, not templates. */
static void requests_from_limits(struct arena *a, struct core_v1_container_list *list) {
    for (size_t i = 0; i < list->n; i++) {
        struct core_v1_resource_requirements *r = &list->v[i].resources;
        if (r->limits.n) str_map_fill(a, &r->requests, &r->limits);
    }
}

static void host_ports(struct core_v1_container_list *list) {
    for (size_t i = 0; i < list->n; i++)
        for (size_t j = 0; j < list->v[i].ports.n; j++) {
            struct core_v1_container_port *p = &list->v[i].ports.v[j];
            if (p->host_port == 0) p->host_port = p->container_port;
        }
}

static void pod_defaults(struct arena *a, void *obj) {
    struct core_v1_pod *pod = obj;
    const bool links = true; /* Pod only: templates stay as they were written */
    if (!pod->spec.enable_service_links)
        pod->spec.enable_service_links = arena_copy(a, &links, sizeof links);
    pod_spec_defaults(a, &pod->spec);
    requests_from_limits(a, &pod->spec.init_containers);
    requests_from_limits(a, &pod->spec.containers);
    if (!pod->spec.host_network) return;
    host_ports(&pod->spec.init_containers);
    host_ports(&pod->spec.containers);
}

static void pod_prepare(struct arena *a, void *obj, const void *old) {
    struct core_v1_pod *pod = obj;
    if (old) return;
    pod->status = (struct core_v1_pod_status){0};
    pod->status.phase = "Pending";
    pod->status.qos_class = pod_qos_class(&pod->spec);
    if (pod->spec.scheduling_gates.n > 0)
        pod_condition_set(a, pod, "PodScheduled", "False", "SchedulingGated",
                          "Scheduling is blocked due to non-empty scheduling gates", NULL);
}

static void pod_validate(const void *obj, const void *old, const char *subresource,
                         struct api_causes *causes) {
    const struct core_v1_pod *pod = obj;
    if (!str_empty(subresource)) {
        pod_subresource_validate(pod, old, subresource, causes);
        return;
    }
    if (old) {
        pod_update_validate(pod, old, causes);
        return;
    }
    pod_spec_validate(&pod->spec, "spec", causes);
    if (pod->spec.ephemeral_containers.n > 0)
        cause_forbidden(causes, "spec.ephemeralContainers", "cannot be set on create");
}

static const struct api_column columns[] = {
    COLUMN_NAME,
    COLUMN("Ready", "The aggregate readiness state of this pod for accepting traffic."),
    COLUMN("Status", "The aggregate status of the containers in this pod."),
    COLUMN("Restarts", "How often the containers in this pod have been restarted and when the "
                       "last container restarted."),
    COLUMN_AGE,
    COLUMN_WIDE("IP", "Primary IP address of the pod."),
    COLUMN_WIDE("Node", "Name of the node that the pod was scheduled to."),
    COLUMN_WIDE("Nominated Node", "Node where lower-priority pods are preempted for this one."),
    COLUMN_WIDE("Readiness Gates", "Readiness gates that hold, of all."),
};

static const char *gates_text(struct arena *a, const struct core_v1_pod *pod) {
    size_t n = pod->spec.readiness_gates.n, hold = 0;
    if (n == 0) return NONE_TEXT;
    for (size_t i = 0; i < n; i++)
        hold += pod_condition_is_true(pod, pod->spec.readiness_gates.v[i].condition_type);
    return arena_printf(a, "%zu/%zu", hold, n);
}

static void pod_row(struct arena *a, const void *obj, int64_t now_ns, struct api_cell *cells) {
    const struct core_v1_pod *pod = obj;
    struct pod_summary s = pod_summarize(a, pod);
    const char *restarts = arena_printf(a, "%d", s.restarts);
    if (s.restarts && s.last_restart_ns)
        restarts = arena_printf(a, "%d (%s ago)", s.restarts,
                                human_duration(a, now_ns - s.last_restart_ns));
    cells[0] = cell_text(pod->metadata.name);
    cells[1] = cell_text(arena_printf(a, "%d/%d", s.ready, s.total));
    cells[2] = cell_text(s.status);
    cells[3] = cell_text(restarts);
    cells[4] = cell_age(a, &pod->metadata, now_ns);
    cells[5] = cell_or_none(pod->status.pod_ip);
    cells[6] = cell_or_none(pod->spec.node_name);
    cells[7] = cell_or_none(pod->status.nominated_node_name);
    cells[8] = cell_text(gates_text(a, pod));
}

static const char *const fields[] = {"spec.nodeName",
                                     "spec.restartPolicy",
                                     "spec.schedulerName",
                                     "spec.serviceAccountName",
                                     "spec.hostNetwork",
                                     "status.phase",
                                     "status.podIP",
                                     "status.podIPs",
                                     "status.nominatedNodeName",
                                     NULL};

static const char *pod_field(struct arena *a, const void *obj, const char *path) {
    const struct core_v1_pod *pod = obj;
    const struct {
        const char *path, *value;
    } values[] = {
        {"spec.nodeName", pod->spec.node_name},
        {"spec.restartPolicy", pod->spec.restart_policy},
        {"spec.schedulerName", pod->spec.scheduler_name},
        {"spec.serviceAccountName", pod->spec.service_account_name},
        {"spec.hostNetwork", pod->spec.host_network ? "true" : "false"},
        {"status.phase", pod->status.phase},
        {"status.podIP", pod->status.pod_ip},
        {"status.podIPs", pod->status.pod_ip},
        {"status.nominatedNodeName", pod->status.nominated_node_name},
    };
    for (size_t i = 0; i < ARRAY_LEN(values); i++)
        if (str_eq(path, values[i].path)) return str_or(values[i].value, "");
    return NULL;
}

static const struct api_behavior pod_behavior = {
    .group = "",
    .kind = "Pod",
    .defaults = pod_defaults,
    .prepare = pod_prepare,
    .prepare_subresource = pod_subresource_prepare,
    .validate = pod_validate,
    .columns = columns,
    .n_columns = ARRAY_LEN(columns),
    .row = pod_row,
    .field = pod_field,
    .fields = fields,
};
API_BEHAVIOR(pod_behavior);
