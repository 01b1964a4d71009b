/*
 * Service load balancing as nftables text: a pure function from the wanted services to a set of
 * named pieces (chains and map elements), and from two such sets to the smallest transaction that
 * turns one into the other.
 *
 * One table per Atoll. A packet's (destination, protocol, port) is looked up once in the verdict
 * map `services` — or `nodeports` for local addresses — and jumps to the chain of that port, which
 * picks a backend at random and rewrites the destination. The cost does not depend on the number of
 * services. With ClientIP affinity every backend has a chain and a set of its own: the set holds
 * the addresses that connected to it and forgets each `affinity_s` after its last connection; the
 * chain of the port asks these sets first.
 */
#pragma once

#include <stdint.h>

#include "base/buf.h"
#include "base/map.h"

struct rules_backend {
    uint32_t ip; /* host byte order */
    uint16_t port;
};

struct rules_port {       /* one port of one service */
    const char *id;       /* unique and stable: namespace/name/port name */
    const char *protocol; /* tcp, udp, sctp */
    uint32_t cluster_ip;
    const uint32_t *external_ips;
    size_t n_external_ips;
    uint16_t port;
    uint16_t node_port;  /* 0 = none */
    uint32_t affinity_s; /* a client stays so long after its last connection; 0: no affinity */
    bool local_only;     /* externalTrafficPolicy Local: keep the client's address */
    const struct rules_backend *backends;
    size_t n_backends;
};

struct rules {
    struct map pieces; /* "chain NAME" → rules, one per line; "set NAME" → what it is;
                        * "element MAP { KEY" → verdict; values malloc'd */
};

void rules_add(struct rules *r, const struct rules_port *p);
void rules_done(struct rules *r);

/* The empty table: names, hooks, static rules. table: "atoll_<instance>"; bridge: interface name.
 * Replaces one that exists. Connections within 127.0.0.0/8 to api_port are not tracked. */
void rules_base(struct buf *out, const char *table, const char *bridge, const char *pod_cidr,
                unsigned api_port);
/* Commands that turn `from` into `to`; empty when they are equal. */
void rules_diff(struct buf *out, const char *table, const struct rules *from,
                const struct rules *to);
