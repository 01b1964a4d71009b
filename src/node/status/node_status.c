/* The status of the Node object. Pure. */
#include <inttypes.h>

#include "api/values/quantity.h"
#include "base/own.h"
#include "base/times.h"
#include "node/status/registration.h"

static void resources(struct arena *a, const struct host_info *h, struct str_map *m) {
    str_map_set(a, m, "cpu", quantity_from_milli(a, h->cpu_milli));
    str_map_set(a, m, "ephemeral-storage",
                arena_printf(a, "%" PRId64 "Ki", h->storage_bytes / 1024));
    str_map_set(a, m, "hugepages-1Gi", "0");
    str_map_set(a, m, "hugepages-2Mi", "0");
    str_map_set(a, m, "memory", arena_printf(a, "%" PRId64 "Ki", h->memory_bytes / 1024));
    str_map_set(a, m, "pods", arena_printf(a, "%d", LIMIT_PODS_PER_NODE));
}

static bool is_own(const char *name) {
    static const char *const own[] = {
        "cpu", "ephemeral-storage", "hugepages-1Gi", "hugepages-2Mi", "memory", "pods"};
    for (size_t i = 0; i < ARRAY_LEN(own); i++)
        if (str_eq(own[i], name)) return true;
    return false;
}

static void put_amount(struct buf *patch, const char *name, const char *value) {
    buf_str(patch, patch->n ? "," : "{\"status\":{\"allocatable\":{");
    buf_json_str(patch, slice_of(name));
    buf_char(patch, ':');
    if (value)
        buf_json_str(patch, slice_of(value));
    else
        buf_str(patch, "null");
}

bool registration_extended(struct buf *patch, const struct core_v1_node *n) {
    const struct str_map *capacity = &n->status.capacity, *allocatable = &n->status.allocatable;
    for (size_t i = 0; i < capacity->n; i++) {
        const struct str_pair *c = &capacity->v[i];
        if (!is_own(c->key) && !str_eq(str_map_get(allocatable, c->key), c->value))
            put_amount(patch, c->key, str_or(c->value, "0"));
    }
    for (size_t i = 0; i < allocatable->n; i++)
        if (!is_own(allocatable->v[i].key) && !str_map_get(capacity, allocatable->v[i].key))
            put_amount(patch, allocatable->v[i].key, NULL);
    if (!patch->n) return false;
    buf_str(patch, "}}}");
    return true;
}

static void condition(struct arena *a, const struct node_view *v,
                      const struct core_v1_node_condition_list *old, const char *type, bool value,
                      const char *reason, const char *message,
                      struct core_v1_node_condition_list *l) {
    char now[TIME_TEXT_MAX];
    time_format(now, v->now_ns);
    struct core_v1_node_condition *c = ARENA_PUSH(a, l);
    c->type = type;
    c->status = value ? "True" : "False";
    c->reason = reason;
    c->message = message;
    c->last_heartbeat_time = arena_str(a, now);
    c->last_transition_time = c->last_heartbeat_time;
    for (size_t i = 0; old && i < old->n; i++)
        if (str_eq(old->v[i].type, type) && str_eq(old->v[i].status, c->status) &&
            old->v[i].last_transition_time)
            c->last_transition_time = arena_str(a, old->v[i].last_transition_time);
}

static void conditions(struct arena *a, const struct node_view *v,
                       const struct core_v1_node_condition_list *old,
                       struct core_v1_node_condition_list *l) {
    condition(a, v, old, "MemoryPressure", v->memory_pressure,
              v->memory_pressure ? "KubeletHasInsufficientMemory" : "KubeletHasSufficientMemory",
              v->memory_pressure ? "kubelet has insufficient memory available"
                                 : "kubelet has sufficient memory available",
              l);
    condition(a, v, old, "DiskPressure", v->disk_pressure,
              v->disk_pressure ? "KubeletHasDiskPressure" : "KubeletHasNoDiskPressure",
              v->disk_pressure ? "kubelet has disk pressure" : "kubelet has no disk pressure", l);
    condition(a, v, old, "PIDPressure", false, "KubeletHasSufficientPID",
              "kubelet has sufficient PID available", l);
    condition(a, v, old, "Ready", v->ready, v->ready ? "KubeletReady" : "KubeletNotReady",
              v->ready ? "kubelet is posting ready status" : str_or(v->not_ready_why, "starting"),
              l);
}

void registration_status(struct arena *a, const struct node_view *v,
                         const struct core_v1_node_condition_list *old,
                         struct core_v1_node_status *ret) {
    const struct host_info *h = v->host;
    resources(a, h, &ret->capacity);
    resources(a, h, &ret->allocatable);
    conditions(a, v, old, &ret->conditions);
    *ARENA_PUSH(a, &ret->addresses) =
        (struct core_v1_node_address){.type = "InternalIP", .address = h->ip};
    *ARENA_PUSH(a, &ret->addresses) =
        (struct core_v1_node_address){.type = "Hostname", .address = v->node_name};
    ret->node_info = (struct core_v1_node_system_info){
        .machine_id = h->machine_id,
        .system_uuid = h->machine_id,
        .boot_id = h->boot_id,
        .kernel_version = h->kernel,
        .os_image = h->os_image,
        .container_runtime_version = arena_printf(a, "%s://%s", h->runtime, h->runtime_version),
        .kubelet_version = "v1.32.0+atoll",
        .kube_proxy_version = "v1.32.0+atoll",
        .operating_system = "linux",
        .architecture = h->architecture,
    };
    for (size_t i = 0; i < v->n_images; i++) *ARENA_PUSH(a, &ret->images) = v->images[i];
}
