#include "network/netlink.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/if_bridge.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/own.h"

enum { BUFFER = 4096, DUMP_BUFFER = 32768 };

int netlink_open(int *ret_fd, struct err *err) {
    OWN(close_p) int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    struct sockaddr_nl self = {.nl_family = AF_NETLINK};
    if (fd < 0 || bind(fd, (struct sockaddr *)&self, sizeof self) < 0)
        return err_errno(err, errno, "opening a netlink socket");
    *ret_fd = TAKE_FD(fd);
    return 0;
}

static uint32_t sequence;

static struct nlmsghdr *request(char *buf, uint16_t type, uint16_t flags) {
    memset(buf, 0, BUFFER);
    struct nlmsghdr *n = mnl_nlmsg_put_header(buf);
    n->nlmsg_type = type;
    n->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | flags;
    n->nlmsg_seq = ++sequence;
    return n;
}

/* Sends and waits for the acknowledgement. Returns 0 or -errno as the kernel gave it; no text. */
static int transact(int fd, struct nlmsghdr *n) {
    struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
    char answer[8192];
    if (sendto(fd, n, n->nlmsg_len, 0, (struct sockaddr *)&kernel, sizeof kernel) < 0)
        return -errno;
    for (;;) {
        ssize_t got = recv(fd, answer, sizeof answer, 0);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return -errno;
        int left = (int)got;
        for (struct nlmsghdr *h = (struct nlmsghdr *)answer; mnl_nlmsg_ok(h, left);
             h = mnl_nlmsg_next(h, &left)) {
            if (h->nlmsg_seq != n->nlmsg_seq) continue; /* a late answer to something else */
            if (h->nlmsg_type == NLMSG_ERROR)
                return ((struct nlmsgerr *)mnl_nlmsg_get_payload(h))->error;
        }
    }
}

static struct ifinfomsg *put_link(struct nlmsghdr *n, unsigned char family, unsigned index) {
    struct ifinfomsg *i = mnl_nlmsg_put_extra_header(n, sizeof *i);
    i->ifi_family = family;
    i->ifi_index = (int)index;
    return i;
}

unsigned netlink_link_index(int fd, const char *name) {
    char buf[BUFFER], answer[DUMP_BUFFER];
    struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
    struct nlmsghdr *n = request(buf, RTM_GETLINK, 0);
    n->nlmsg_flags = NLM_F_REQUEST;
    put_link(n, AF_UNSPEC, 0);
    mnl_attr_put_strz(n, IFLA_IFNAME, name);
    if (sendto(fd, n, n->nlmsg_len, 0, (struct sockaddr *)&kernel, sizeof kernel) < 0) return 0;
    ssize_t got = recv(fd, answer, sizeof answer, 0);
    struct nlmsghdr *h = (struct nlmsghdr *)answer;
    if (got <= 0 || !mnl_nlmsg_ok(h, (int)got) || h->nlmsg_type != RTM_NEWLINK) return 0;
    return (unsigned)((struct ifinfomsg *)mnl_nlmsg_get_payload(h))->ifi_index;
}

int netlink_bridge_add(int fd, const char *name, struct err *err) {
    char buf[BUFFER];
    struct nlmsghdr *n = request(buf, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL);
    put_link(n, AF_UNSPEC, 0);
    mnl_attr_put_strz(n, IFLA_IFNAME, name);
    struct nlattr *info = mnl_attr_nest_start(n, IFLA_LINKINFO);
    mnl_attr_put_strz(n, IFLA_INFO_KIND, "bridge");
    mnl_attr_nest_end(n, info);
    int r = transact(fd, n);
    return r == 0 || r == -EEXIST ? 0 : err_errno(err, -r, "making bridge %s", name);
}

int netlink_set_mac(int fd, unsigned index, const uint8_t mac[6], struct err *err) {
    char buf[BUFFER];
    struct nlmsghdr *n = request(buf, RTM_SETLINK, 0);
    put_link(n, AF_UNSPEC, index);
    mnl_attr_put(n, IFLA_ADDRESS, 6, mac);
    int r = transact(fd, n);
    return r == 0 ? 0 : err_errno(err, -r, "setting the hardware address of link %u", index);
}

int netlink_link_up(int fd, unsigned index, struct err *err) {
    char buf[BUFFER];
    struct nlmsghdr *n = request(buf, RTM_NEWLINK, 0);
    struct ifinfomsg *i = put_link(n, AF_UNSPEC, index);
    i->ifi_flags = i->ifi_change = IFF_UP;
    int r = transact(fd, n);
    return r == 0 ? 0 : err_errno(err, -r, "bringing link %u up", index);
}

int netlink_link_del(int fd, const char *name, struct err *err) {
    char buf[BUFFER];
    struct nlmsghdr *n = request(buf, RTM_DELLINK, 0);
    put_link(n, AF_UNSPEC, 0);
    mnl_attr_put_strz(n, IFLA_IFNAME, name);
    int r = transact(fd, n);
    return r == 0 || r == -ENODEV ? 0 : err_errno(err, -r, "removing link %s", name);
}

int netlink_address_add(int fd, unsigned index, uint32_t ip, unsigned prefix, struct err *err) {
    char buf[BUFFER];
    struct nlmsghdr *n = request(buf, RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE);
    struct ifaddrmsg *a = mnl_nlmsg_put_extra_header(n, sizeof *a);
    a->ifa_family = AF_INET;
    a->ifa_prefixlen = (uint8_t)prefix;
    a->ifa_index = index;
    mnl_attr_put_u32(n, IFA_LOCAL, htonl(ip));
    mnl_attr_put_u32(n, IFA_ADDRESS, htonl(ip));
    int r = transact(fd, n);
    return r == 0 || r == -EEXIST ? 0 : err_errno(err, -r, "setting an address");
}

int netlink_route_add(int fd, unsigned index, uint32_t dst, unsigned prefix, uint32_t gateway,
                      struct err *err) {
    char buf[BUFFER];
    struct nlmsghdr *n = request(buf, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE);
    struct rtmsg *r = mnl_nlmsg_put_extra_header(n, sizeof *r);
    r->rtm_family = AF_INET;
    r->rtm_dst_len = (uint8_t)prefix;
    r->rtm_table = RT_TABLE_MAIN;
    r->rtm_protocol = RTPROT_STATIC;
    r->rtm_scope = gateway ? RT_SCOPE_UNIVERSE : RT_SCOPE_LINK;
    r->rtm_type = RTN_UNICAST;
    if (prefix) mnl_attr_put_u32(n, RTA_DST, htonl(dst));
    if (gateway) mnl_attr_put_u32(n, RTA_GATEWAY, htonl(gateway));
    mnl_attr_put_u32(n, RTA_OIF, index);
    int e = transact(fd, n);
    return e == 0 ? 0 : err_errno(err, -e, "adding a route");
}

int netlink_veth_add(int fd, const struct netlink_veth *v, struct err *err) {
    char buf[BUFFER];
    struct nlmsghdr *n = request(buf, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL);
    put_link(n, AF_UNSPEC, 0);
    mnl_attr_put_strz(n, IFLA_IFNAME, v->name);
    mnl_attr_put_u32(n, IFLA_MASTER, v->bridge_index);
    if (v->mtu) mnl_attr_put_u32(n, IFLA_MTU, v->mtu);
    struct nlattr *info = mnl_attr_nest_start(n, IFLA_LINKINFO);
    mnl_attr_put_strz(n, IFLA_INFO_KIND, "veth");
    struct nlattr *data = mnl_attr_nest_start(n, IFLA_INFO_DATA);
    struct nlattr *peer = mnl_attr_nest_start(n, VETH_INFO_PEER);
    mnl_nlmsg_put_extra_header(n, sizeof(struct ifinfomsg));
    mnl_attr_put_strz(n, IFLA_IFNAME, v->peer_name);
    mnl_attr_put_u32(n, IFLA_NET_NS_FD, (uint32_t)v->netns_fd);
    mnl_attr_put(n, IFLA_ADDRESS, 6, v->peer_mac);
    if (v->mtu) mnl_attr_put_u32(n, IFLA_MTU, v->mtu);
    mnl_attr_nest_end(n, peer);
    mnl_attr_nest_end(n, data);
    mnl_attr_nest_end(n, info);
    int r = transact(fd, n);
    return r == 0 ? 0 : err_errno(err, -r, "making veth %s", v->name);
}

int netlink_set_alias(int fd, unsigned index, const char *alias, struct err *err) {
    char buf[BUFFER];
    struct nlmsghdr *n = request(buf, RTM_SETLINK, 0);
    put_link(n, AF_UNSPEC, index);
    mnl_attr_put(n, IFLA_IFALIAS, strlen(alias), alias);
    int r = transact(fd, n);
    return r == 0 ? 0 : err_errno(err, -r, "naming link %u", index);
}

int netlink_port_hairpin(int fd, unsigned index, struct err *err) {
    char buf[BUFFER];
    struct nlmsghdr *n = request(buf, RTM_SETLINK, 0);
    put_link(n, AF_BRIDGE, index);
    struct nlattr *info = mnl_attr_nest_start(n, IFLA_PROTINFO);
    mnl_attr_put_u8(n, IFLA_BRPORT_MODE, 1);
    mnl_attr_nest_end(n, info);
    int r = transact(fd, n);
    return r == 0 ? 0 : err_errno(err, -r, "setting hairpin on link %u", index);
}

struct port_walk {
    unsigned bridge_index;
    netlink_port_fn *fn;
    void *user;
};

static int one_port(const struct nlmsghdr *h, void *user) {
    struct port_walk *w = user;
    const struct ifinfomsg *i = mnl_nlmsg_get_payload(h);
    const char *name = "", *alias = "";
    unsigned master = 0;
    struct nlattr *at;
    mnl_attr_for_each(at, h, sizeof *i) {
        uint16_t type = mnl_attr_get_type(at);
        if (type == IFLA_IFNAME) name = mnl_attr_get_str(at);
        if (type == IFLA_IFALIAS) alias = mnl_attr_get_str(at);
        if (type == IFLA_MASTER) master = mnl_attr_get_u32(at);
    }
    if (master == w->bridge_index) w->fn(w->user, name, (unsigned)i->ifi_index, alias);
    return MNL_CB_OK;
}

int netlink_ports(int fd, unsigned bridge_index, netlink_port_fn *fn, void *user, struct err *err) {
    char buf[BUFFER], answer[DUMP_BUFFER];
    struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
    struct port_walk walk = {bridge_index, fn, user};
    struct nlmsghdr *n = request(buf, RTM_GETLINK, NLM_F_DUMP);
    put_link(n, AF_UNSPEC, 0);
    if (sendto(fd, n, n->nlmsg_len, 0, (struct sockaddr *)&kernel, sizeof kernel) < 0)
        return err_errno(err, errno, "listing links");
    for (;;) {
        ssize_t got = recv(fd, answer, sizeof answer, 0);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return err_errno(err, errno, "listing links");
        int r = mnl_cb_run(answer, (size_t)got, n->nlmsg_seq, 0, one_port, &walk);
        if (r < 0) return err_errno(err, errno, "listing links");
        if (r == MNL_CB_STOP) return 0;
    }
}
