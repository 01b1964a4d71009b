/* Ports of the machine that pods want for themselves: of hostPort, or of hostNetwork. Pure. */
#pragma once

#include "api/types.h"
#include "base/arena.h"

struct host_port {
    int32_t port;
    char protocol[8];
    char ip[46]; /* "" = all addresses */
};

/* Of the containers that run all the time, sidecars among them; in the arena. */
size_t pod_host_ports(struct arena *a, const struct core_v1_pod *pod, struct host_port **ret);
bool host_ports_clash(const struct host_port *x, const struct host_port *y);
