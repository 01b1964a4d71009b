/*
 * The few rtnetlink requests that pod links need (RFC 3549; linux/rtnetlink.h). Each call sends one
 * request on a NETLINK_ROUTE socket and waits for its acknowledgement, which the kernel gives
 * before it returns from the send.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

int netlink_open(int *ret_fd, struct err *err);

/* Interface index, or 0 when there is none. */
unsigned netlink_link_index(int fd, const char *name);
int netlink_bridge_add(int fd, const char *name, struct err *err); /* also when it exists already */
int netlink_set_mac(int fd, unsigned index, const uint8_t mac[6], struct err *err);
int netlink_link_up(int fd, unsigned index, struct err *err);
int netlink_link_del(int fd, const char *name, struct err *err); /* 0 when it is gone already */
/* ip in host byte order. Replaces: no error when it is there already. */
int netlink_address_add(int fd, unsigned index, uint32_t ip, unsigned prefix, struct err *err);
/* dst 0/0 = default route via `gateway`; gateway 0 = on the link. */
int netlink_route_add(int fd, unsigned index, uint32_t dst, unsigned prefix, uint32_t gateway,
                      struct err *err);

struct netlink_veth {
    const char *name;      /* this side */
    const char *peer_name; /* the side in netns_fd */
    int netns_fd;
    unsigned bridge_index;
    const uint8_t *peer_mac; /* six bytes */
    unsigned mtu;            /* 0 = default */
};
int netlink_veth_add(int fd, const struct netlink_veth *v, struct err *err);
int netlink_set_alias(int fd, unsigned index, const char *alias, struct err *err);
/* Bridge port: hairpin on, so that a pod reaches itself through a Service. */
int netlink_port_hairpin(int fd, unsigned index, struct err *err);

/* Calls fn for every link that is a port of the bridge. */
typedef void netlink_port_fn(void *user, const char *name, unsigned index, const char *alias);
int netlink_ports(int fd, unsigned bridge_index, netlink_port_fn *fn, void *user, struct err *err);
