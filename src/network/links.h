/*
 * Links of pods: one veth pair each, host side on the node's bridge, peer eth0 in the pod. The
 * kernel is the only memory: the host side's alias holds "atoll UID IP", so that a restarted
 * service knows what it gave out.
 */
#pragma once

#include "base/arena.h"
#include "base/err.h"
#include "base/map.h"
#include "network/ipam.h"

struct links {
    int netlink;
    unsigned bridge_index;
    uint32_t gateway;
    struct ipam ipam;
    struct map by_uid; /* pod uid → struct link_entry */
};

struct link_entry {
    char uid[64];
    char name[16];
    uint32_t ip;
};

/* Makes the bridge (instance: 8 hex digits), gives it the gateway address and the route of the
 * service range, and reads back the links that exist. Bridge name: "at" + instance. */
int links_init(struct links *l, const char *instance, const char *pod_cidr,
               const char *service_cidr, struct err *err);
void links_done(struct links *l);
/* Idempotent per uid. netns_fd and pod_netlink (a rtnetlink socket opened inside that namespace)
 * are borrowed. want_ip may be "". */
int links_add(struct links *l, const char *uid, const char *want_ip, int netns_fd, int pod_netlink,
              char ret_ip[IPV4_TEXT_MAX], struct err *err);
int links_del(struct links *l, const char *uid, struct err *err);
