/*
 * One look at a network address from the machine: TCP connect, or an HTTP GET whose status decides.
 * Used by probes and by hooks. The words of failures are those of the kubelet.
 */
#pragma once

#include "api/types.h"
#include "base/err.h"
#include "proc/loop.h"

struct net_check;
typedef void net_check_fn(void *user, bool ok, const char *text); /* text: why not, or a body */

struct net_target {
    const char *ip; /* IPv4 or IPv6 text */
    uint16_t port;
    uint64_t timeout_ms;
    /* HTTP; path NULL = TCP only */
    const char *path;
    bool https; /* the certificate is not verified, as upstream's probes do */
    const struct core_v1_http_header_list *headers;
};

/* Calls fn once, later, then frees itself. */
struct net_check *net_check_start(struct loop *l, const struct net_target *t, net_check_fn *fn,
                                  void *user);
void net_check_cancel(struct net_check *c); /* no callback; NULL is allowed */
