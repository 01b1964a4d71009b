/*
 * The files that give a pod its names: resolv.conf by dnsPolicy and dnsConfig (Kubernetes "DNS for
 * Services and Pods"), /etc/hosts with hostAliases, and the pod's hostname. Pure.
 */
#pragma once

#include "api/types.h"
#include "base/buf.h"

struct dns_settings {
    const char *dns_ip;         /* cluster DNS service */
    const char *cluster_domain; /* cluster.local */
    const char *host_resolv;    /* contents of the host's resolv.conf; "" when it has none */
};

void dns_resolv_conf(struct buf *out, const struct core_v1_pod *p, const struct dns_settings *s);
/* ip may be NULL while the pod has no address yet; host_hosts is used with hostNetwork. */
void dns_etc_hosts(struct buf *out, const struct core_v1_pod *p, const struct dns_settings *s,
                   const char *ip, const char *host_hosts);
/* spec.hostname, else the pod's name cut to 63 bytes. */
const char *dns_hostname(struct arena *a, const struct core_v1_pod *p);
