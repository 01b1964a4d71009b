/*
 * The protocol of `network` (network.sock): links of pods. Caller: node. Service load balancing
 * needs no message: the service watches Services and EndpointSlices through the API.
 */
#pragma once

#include <stdint.h>

#include "base/err.h"
#include "base/pack.h"

enum network_msg {
    NETWORK_LINK_ADD =
        1, /* network_link + 2 fds: pod network namespace, a NETLINK_ROUTE socket opened inside it
              → NETWORK_LINK_OK. Idempotent per pod_uid: the same uid gets its address back. */
    NETWORK_LINK_OK = 2,  /* str ip */
    NETWORK_LINK_DEL = 3, /* str pod_uid → NETWORK_LINK_DEL_OK (also when it was not there) */
    NETWORK_LINK_DEL_OK = 4,
    NETWORK_LINKS =
        5, /* → NETWORK_LINKS_OK: u32 count, (str pod_uid, str ip)…: what is allocated now */
    NETWORK_LINKS_OK = 6,
};

struct network_link {
    const char *pod_uid;
    const char *pod_namespace;
    const char *pod_name;
    const char *want_ip; /* "" = any; a restarted agent asks for what the pod has */
};

void network_link_pack(struct buf *b, const struct network_link *l);
int network_link_unpack(struct slice s, struct arena *a, struct network_link *ret);
