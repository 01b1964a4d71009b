#include "network/links.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/own.h"
#include "network/netlink.h"

static void remember(struct links *l, const char *uid, const char *name, uint32_t ip) {
    struct link_entry *e = calloc(1, sizeof *e);
    if (!e) abort();
    snprintf(e->uid, sizeof e->uid, "%s", uid);
    snprintf(e->name, sizeof e->name, "%s", name);
    e->ip = ip;
    free(map_put(&l->by_uid, slice_of(uid), e));
}

static void adopt(void *user, const char *name, unsigned index, const char *alias) {
    struct links *l = user;
    char uid[64], ip_text[IPV4_TEXT_MAX];
    uint32_t ip;
    (void)index;
    if (sscanf(alias, "atoll %63s %15s", uid, ip_text) != 2 || ipv4_parse(ip_text, &ip) < 0) return;
    ipam_take_this(&l->ipam, ip);
    remember(l, uid, name, ip);
}

/* The address decides the MAC: a reused address never meets a stale ARP entry with another MAC. */
static void mac_of(uint8_t mac[6], uint32_t ip) {
    const uint8_t all[6] = {
        0x0a, 0x58, (uint8_t)(ip >> 24), (uint8_t)(ip >> 16), (uint8_t)(ip >> 8), (uint8_t)ip};
    memcpy(mac, all, sizeof all);
}

/* A bridge without a MAC of its own takes the lowest of its ports: when that one comes or goes, no
 * pod's answer arrives until the pod has asked anew who its gateway is. */
static int bridge_make(struct links *l, const char *bridge, struct err *err) {
    uint8_t mac[6];
    int r = netlink_bridge_add(l->netlink, bridge, err);
    if (r < 0) return r;
    l->bridge_index = netlink_link_index(l->netlink, bridge);
    if (!l->bridge_index) return err_set(err, ERR_INTERNAL, "bridge %s vanished", bridge);
    mac_of(mac, l->gateway);
    return netlink_set_mac(l->netlink, l->bridge_index, mac, err);
}

int links_init(struct links *l, const char *instance, const char *pod_cidr,
               const char *service_cidr, struct err *err) {
    *l = (struct links){.netlink = -1};
    char bridge[16];
    uint32_t service_base;
    unsigned service_prefix;
    int r = ipam_init(&l->ipam, pod_cidr, err);
    if (r < 0) return r;
    r = ipv4_parse_cidr(service_cidr, &service_base, &service_prefix, err);
    if (r < 0) return r;
    r = netlink_open(&l->netlink, err);
    if (r < 0) return r;
    l->gateway = l->ipam.base + 1;
    snprintf(bridge, sizeof bridge, "at%.8s", instance);
    r = bridge_make(l, bridge, err);
    if (r < 0) return r;
    r = netlink_address_add(l->netlink, l->bridge_index, l->gateway, l->ipam.prefix, err);
    if (r < 0) return err_wrap(err, "bridge %s", bridge);
    r = netlink_link_up(l->netlink, l->bridge_index, err);
    if (r < 0) return r;
    /* Local programs reach Services through the output hook only if some route covers the range. */
    r = netlink_route_add(l->netlink, l->bridge_index, service_base, service_prefix, 0, err);
    if (r < 0) return err_wrap(err, "service range %s", service_cidr);
    return netlink_ports(l->netlink, l->bridge_index, adopt, l, err);
}

void links_done(struct links *l) {
    size_t at = 0;
    struct map_entry *e;
    while ((e = map_next(&l->by_uid, &at))) free(e->value);
    map_done(&l->by_uid);
    ipam_done(&l->ipam);
    if (l->netlink >= 0) close(l->netlink);
    l->netlink = -1;
}

/* FNV-1a, 48 bits: a stable interface name for a pod. */
static void link_name(char out[16], const char *uid) {
    uint64_t h = 0xcbf29ce484222325u;
    for (const char *p = uid; *p; p++) h = (h ^ (unsigned char)*p) * 0x100000001b3u;
    snprintf(out, 16, "v%012llx", (unsigned long long)(h & 0xffffffffffffu));
}

static int configure_pod(const struct links *l, int pod_netlink, uint32_t ip, struct err *err) {
    unsigned eth = netlink_link_index(pod_netlink, "eth0");
    if (!eth) return err_set(err, ERR_INTERNAL, "eth0 is not in the pod's network namespace");
    int r = netlink_address_add(pod_netlink, eth, ip, l->ipam.prefix, err);
    if (r == 0) r = netlink_link_up(pod_netlink, eth, err);
    if (r == 0) r = netlink_route_add(pod_netlink, eth, 0, 0, l->gateway, err);
    return r;
}

static int make_link(struct links *l, const char *name, const char *uid, uint32_t ip, int netns_fd,
                     int pod_netlink, struct err *err) {
    uint8_t mac[6];
    mac_of(mac, ip);
    struct netlink_veth v = {.name = name,
                             .peer_name = "eth0",
                             .netns_fd = netns_fd,
                             .bridge_index = l->bridge_index,
                             .peer_mac = mac};
    char alias[96], ip_text[IPV4_TEXT_MAX];
    int r = netlink_veth_add(l->netlink, &v, err);
    if (r < 0) return r;
    unsigned index = netlink_link_index(l->netlink, name);
    ipv4_format(ip_text, ip);
    snprintf(alias, sizeof alias, "atoll %s %s", uid, ip_text);
    r = netlink_set_alias(l->netlink, index, alias, err);
    if (r == 0) r = netlink_port_hairpin(l->netlink, index, err);
    if (r == 0) r = netlink_link_up(l->netlink, index, err);
    if (r == 0) r = configure_pod(l, pod_netlink, ip, err);
    return r;
}

int links_add(struct links *l, const char *uid, const char *want_ip, int netns_fd, int pod_netlink,
              char ret_ip[IPV4_TEXT_MAX], struct err *err) {
    char name[16];
    link_name(name, uid);
    struct link_entry *known = map_gets(&l->by_uid, uid);
    uint32_t ip = 0, want;
    if (known) {
        ip = known->ip;
        if (netlink_link_index(l->netlink, known->name) &&
            netlink_link_index(pod_netlink, "eth0")) {
            ipv4_format(ret_ip, ip);
            return configure_pod(l, pod_netlink, ip, err);
        }
        /* The pod's namespace is a new one: the old pair went with it or hangs loose. */
        netlink_link_del(l->netlink, known->name, NULL);
    } else if (*want_ip && ipv4_parse(want_ip, &want) == 0 && ipam_take_this(&l->ipam, want)) {
        ip = want;
    } else {
        ip = ipam_take(&l->ipam);
    }
    if (!ip) return err_set(err, ERR_UNAVAILABLE, "no pod address is left on this node");
    int r = make_link(l, name, uid, ip, netns_fd, pod_netlink, err);
    if (r < 0) {
        netlink_link_del(l->netlink, name, NULL);
        if (!known) ipam_give_back(&l->ipam, ip);
        return r;
    }
    if (!known) remember(l, uid, name, ip);
    ipv4_format(ret_ip, ip);
    return 0;
}

int links_del(struct links *l, const char *uid, struct err *err) {
    struct link_entry *e = map_gets(&l->by_uid, uid);
    if (!e) return 0;
    int r = netlink_link_del(l->netlink, e->name, err);
    if (r < 0) return r;
    ipam_give_back(&l->ipam, e->ip);
    map_del(&l->by_uid, slice_of(uid));
    free(e);
    return 0;
}
