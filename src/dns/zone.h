/*
 * The cluster's names (Kubernetes DNS-based service discovery 1.1.0): SERVICE.NAMESPACE.svc.DOMAIN,
 * its SRV records, endpoints of headless services, A-B-C-D.NAMESPACE.pod.DOMAIN, reverse names.
 * Pure over a small view of the objects.
 */
#pragma once

#include "base/map.h"
#include "client/client.h"
#include "proto/dns.h"

enum { ZONE_TTL_S = 5 };

struct zone {
    const char *domain; /* cluster.local */
    const struct informer *services, *slices;
    struct map slices_of; /* "ns/service" → struct slice_names, kept by zone_slice_changed */
};

void zone_done(struct zone *z);
/* The informer's callback for EndpointSlices calls this. */
void zone_slice_changed(struct zone *z, const struct api_object *now, const struct api_object *old);

/* False: the name is not the cluster's; forward it. True: the answer is in `out`. max_bytes as
 * dns_end. */
/* True when the name's address is to be asked outside: an ExternalName; ret is the name to ask. */
bool zone_alias(const struct zone *z, const struct dns_query *q, char ret[DNS_NAME_MAX]);
bool zone_answer(const struct zone *z, const struct dns_query *q, size_t max_bytes,
                 struct buf *out);
