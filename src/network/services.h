/* From Services and EndpointSlices (as the informers hold them) to the wanted rules. */
#pragma once

#include "client/client.h"
#include "network/rules.h"

/* Adds every port of every Service to `out`. Ready endpoints are used; when none is ready, those
 * that still serve while they terminate (KEP-1669). */
void services_to_rules(const struct informer *services, const struct informer *slices,
                       struct rules *out);

/* Whether the pod publishes a port on its node (containers[].ports[].hostPort), other than by
 * living in the host's network. */
bool pod_has_host_ports(const struct core_v1_pod *pod);
/* Adds the host ports of every running pod: from the node's addresses (or hostIP) to the pod, the
 * client's address is kept. */
void host_ports_to_rules(const struct informer *pods, struct rules *out);
