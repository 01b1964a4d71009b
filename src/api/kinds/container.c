/* Containers: names, ports, mounts, probes and hooks. */
#include <string.h>

#include "api/kinds/kinds.h"
#include "api/rules/pods.h"

/* exec, httpGet, tcpSocket, grpc or sleep: exactly one. */
static void handler_validate(size_t n, const char *path, struct api_causes *causes) {
    if (n == 0) cause_required(causes, path, "must specify a handler type");
    if (n > 1) cause_forbidden(causes, path, "may not specify more than 1 handler type");
}

static void headers_validate(const struct core_v1_http_get_action *get, const char *path,
                             struct api_causes *causes) {
    for (size_t i = 0; get && i < get->http_headers.n; i++)
        name_validate(causes, path_of(causes, "%s.httpGet.httpHeaders", path), NAME_HTTP_HEADER,
                      get->http_headers.v[i].name);
}

static void probe_validate(const struct core_v1_probe *p, bool once, const char *path,
                           struct api_causes *causes) {
    if (!p) return;
    handler_validate((size_t) !!p->exec + !!p->http_get + !!p->tcp_socket + !!p->grpc, path,
                     causes);
    if (once && p->success_threshold != 1)
        cause_invalid_int(causes, path_of(causes, "%s.successThreshold", path),
                          p->success_threshold, "must be 1");
    headers_validate(p->http_get, path, causes);
}

static void hook_validate(const struct core_v1_lifecycle_handler *h, const char *path,
                          struct api_causes *causes) {
    if (!h) return;
    handler_validate((size_t) !!h->exec + !!h->http_get + !!h->tcp_socket + !!h->sleep, path,
                     causes);
    headers_validate(h->http_get, path, causes);
}

static void probes_validate(const struct core_v1_container *c, const char *path,
                            struct api_causes *causes) {
    const char *readiness = path_of(causes, "%s.readinessProbe", path);
    probe_validate(c->liveness_probe, true, path_of(causes, "%s.livenessProbe", path), causes);
    probe_validate(c->readiness_probe, false, readiness, causes);
    probe_validate(c->startup_probe, true, path_of(causes, "%s.startupProbe", path), causes);
    if (c->readiness_probe && c->readiness_probe->termination_grace_period_seconds)
        cause_invalid_int(causes, path_of(causes, "%s.terminationGracePeriodSeconds", readiness),
                          *c->readiness_probe->termination_grace_period_seconds,
                          "must not be set for readinessProbes");
    if (!c->lifecycle) return;
    hook_validate(c->lifecycle->post_start, path_of(causes, "%s.lifecycle.postStart", path),
                  causes);
    hook_validate(c->lifecycle->pre_stop, path_of(causes, "%s.lifecycle.preStop", path), causes);
}

/* What an init container that runs to its end may not have. */
static void init_validate(const struct core_v1_container *c, const char *path,
                          struct api_causes *causes) {
    static const char *const policies[] = {"Always"};
    const struct {
        const char *field;
        bool set;
    } fields[] = {
        {"lifecycle", c->lifecycle != NULL},
        {"livenessProbe", c->liveness_probe != NULL},
        {"readinessProbe", c->readiness_probe != NULL},
        {"startupProbe", c->startup_probe != NULL},
    };
    if (container_is_sidecar(c)) return;
    if (!str_empty(c->restart_policy))
        cause_not_supported(causes, path_of(causes, "%s.restartPolicy", path), c->restart_policy,
                            policies, 1);
    for (size_t i = 0; i < ARRAY_LEN(fields); i++)
        if (fields[i].set)
            cause_forbidden(causes, path_of(causes, "%s.%s", path, fields[i].field),
                            "may not be set for init containers without restartPolicy=Always");
}

static void ports_validate(const struct core_v1_container *c, bool host_network, const char *path,
                           struct api_causes *causes) {
    OWN(map_done) struct map names = {0};
    for (size_t i = 0; i < c->ports.n; i++) {
        const struct core_v1_container_port *p = &c->ports.v[i];
        const char *at = path_of(causes, "%s.ports[%zu]", path, i);
        if (!str_empty(p->name) && map_seen(&names, slice_of(p->name)))
            cause_duplicate(causes, path_of(causes, "%s.name", at), p->name);
        /* Absent in templates only: pods have got it by default. */
        if (host_network && p->host_port && p->host_port != p->container_port)
            cause_invalid_int(causes, path_of(causes, "%s.containerPort", at), p->container_port,
                              "must match `hostPort` when `hostNetwork` is true");
        if (!str_empty(p->host_ip) && !ip_valid(p->host_ip))
            cause_invalid(causes, path_of(causes, "%s.hostIP", at), p->host_ip, CAUSE_IP);
    }
}

static void sub_path_validate(const struct core_v1_volume_mount *m, const char *path,
                              struct api_causes *causes) {
    if (!str_empty(m->sub_path) && !str_empty(m->sub_path_expr))
        cause_invalid(causes, path_of(causes, "%s.subPathExpr", path), m->sub_path_expr,
                      "subPathExpr and subPath are mutually exclusive");
    const char *sub = str_or(m->sub_path, m->sub_path_expr);
    if (str_empty(sub)) return;
    const char *field =
        path_of(causes, "%s.%s", path, str_empty(m->sub_path) ? "subPathExpr" : "subPath");
    if (*sub == '/') cause_invalid(causes, field, sub, "must be a relative path");
    steps_validate(causes, field, sub);
}

static void mounts_validate(const struct core_v1_container *c, const struct map *volumes,
                            const char *path, struct api_causes *causes) {
    OWN(map_done) struct map targets = {0};
    bool privileged =
        c->security_context && c->security_context->privileged && *c->security_context->privileged;
    for (size_t i = 0; i < c->volume_mounts.n; i++) {
        const struct core_v1_volume_mount *m = &c->volume_mounts.v[i];
        const char *at = path_of(causes, "%s.volumeMounts[%zu]", path, i);
        if (!str_empty(m->name) && !map_gets(volumes, m->name))
            cause_not_found(causes, path_of(causes, "%s.name", at), m->name);
        if (!str_empty(m->mount_path) && map_seen(&targets, slice_of(m->mount_path)))
            cause_invalid(causes, path_of(causes, "%s.mountPath", at), m->mount_path,
                          "must be unique");
        if (str_eq(m->mount_propagation, "Bidirectional") && !privileged)
            cause_forbidden(causes, path_of(causes, "%s.mountPropagation", at),
                            "Bidirectional mount propagation is available only to privileged "
                            "containers");
        sub_path_validate(m, at, causes);
    }
}

/* Raw block devices are volumes of claims. */
static void devices_validate(const struct core_v1_container *c, const struct map *volumes,
                             const char *path, struct api_causes *causes) {
    for (size_t i = 0; i < c->volume_devices.n; i++) {
        const char *name = c->volume_devices.v[i].name;
        const char *at = path_of(causes, "%s.volumeDevices[%zu].name", path, i);
        if (str_empty(name)) continue;
        const struct core_v1_volume *v = map_gets(volumes, name);
        if (!v)
            cause_not_found(causes, at, name);
        else if (!v->persistent_volume_claim && !v->ephemeral)
            cause_invalid(causes, at, name,
                          "can only use volume source type of PersistentVolumeClaim or Ephemeral "
                          "for block mode");
    }
}

static void container_validate(const struct core_v1_container *c,
                               const struct core_v1_pod_spec *spec, const struct map *volumes,
                               const char *path, struct api_causes *causes) {
    const char *image = str_or(c->image, "");
    if (slice_trim(slice_of(image)).n != strlen(image))
        cause_invalid(causes, path_of(causes, "%s.image", path), image,
                      "must not have leading or trailing whitespace");
    ports_validate(c, spec->host_network, path, causes);
    env_validate(c, path, causes);
    mounts_validate(c, volumes, path, causes);
    devices_validate(c, volumes, path, causes);
    probes_validate(c, path, causes);
    resources_validate(&c->resources, path_of(causes, "%s.resources", path), causes);
}

/* Ports of the machine itself: one container each, over all long-running containers. */
static void host_ports_validate(const struct core_v1_container_list *list, struct map *used,
                                const char *path, struct api_causes *causes) {
    for (size_t i = 0; i < list->n; i++)
        for (size_t j = 0; j < list->v[i].ports.n; j++) {
            const struct core_v1_container_port *p = &list->v[i].ports.v[j];
            if (p->host_port == 0) continue;
            const char *key = path_of(causes, "%s/%s/%d", str_or(p->protocol, ""),
                                      str_or(p->host_ip, ""), p->host_port);
            if (map_seen(used, slice_of(key)))
                cause_duplicate(causes, path_of(causes, "%s[%zu].ports[%zu].hostPort", path, i, j),
                                key);
        }
}

/* Names of resources in all of them: whoever counts looks for each among those of others. */
static size_t amounts_count(const struct core_v1_container_list *list) {
    size_t n = 0;
    for (size_t i = 0; i < list->n; i++)
        n += list->v[i].resources.limits.n + list->v[i].resources.requests.n;
    return n;
}

void containers_validate(const struct core_v1_pod_spec *spec, const char *path,
                         struct api_causes *causes) {
    OWN(map_done) struct map volumes = {0};
    OWN(map_done) struct map names = {0};
    OWN(map_done) struct map ports = {0};
    for (size_t i = 0; i < spec->volumes.n; i++)
        if (!str_empty(spec->volumes.v[i].name))
            map_put(&volumes, slice_of(spec->volumes.v[i].name), &spec->volumes.v[i]);
    for (size_t i = 0; i < spec->containers.n; i++) {
        const struct core_v1_container *c = &spec->containers.v[i];
        const char *at = path_of(causes, "%s.containers[%zu]", path, i);
        if (!str_empty(c->name)) map_seen(&names, slice_of(c->name));
        container_validate(c, spec, &volumes, at, causes);
        if (!str_empty(c->restart_policy))
            cause_forbidden(causes, path_of(causes, "%s.restartPolicy", at),
                            "may not be set for non-init containers");
    }
    for (size_t i = 0; i < spec->init_containers.n; i++) {
        const struct core_v1_container *c = &spec->init_containers.v[i];
        const char *at = path_of(causes, "%s.initContainers[%zu]", path, i);
        if (!str_empty(c->name) && map_gets(&names, c->name))
            cause_duplicate(causes, path_of(causes, "%s.name", at), c->name);
        container_validate(c, spec, &volumes, at, causes);
        init_validate(c, at, causes);
    }
    size_t amounts = amounts_count(&spec->containers) + amounts_count(&spec->init_containers);
    if (amounts > LIMIT_POD_RESOURCES)
        cause_too_many(causes, path_of(causes, "%s.containers", path), amounts,
                       LIMIT_POD_RESOURCES);
    host_ports_validate(&spec->containers, &ports, path_of(causes, "%s.containers", path), causes);
}
