/* Which pods stand behind a Service, grouped by the port numbers they serve on: the common part of
 * Endpoints and EndpointSlice. Pure. */
#pragma once

#include "controllers/common.h"

struct endpoint {
    const struct core_v1_pod *pod;
    bool ready, serving, terminating;
};

struct endpoint_port {
    const char *name, *protocol, *app_protocol;
    int32_t port;
};

struct endpoint_group { /* pods whose named ports resolve to the same numbers */
    struct endpoint_port *ports;
    size_t n_ports;
    struct endpoint *v; /* sorted by pod name */
    size_t n;
};

struct endpoint_set {
    struct endpoint_group *v;
    size_t n;
};

/* A Service without selector or of type ExternalName has no set: false. */
bool endpoint_set_of(const struct world *w, const struct core_v1_service *s, struct arena *a,
                     struct endpoint_set *ret);
/* Keys of the Services that select this pod, before or after the change. */
void map_pod_to_services(const struct world *w, const struct api_object *now,
                         const struct api_object *old, struct keys *out);
/* Hostname under which a headless Service publishes the pod, or NULL. */
const char *endpoint_hostname(const struct core_v1_service *s, const struct core_v1_pod *pod);
