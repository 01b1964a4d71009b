/*
 * One question of the gRPC health protocol (grpc.health.v1.Health/Check) over plain HTTP/2, for
 * probes (grpc/doc/health-checking.md). The words of failures are those of the kubelet.
 */
#pragma once

#include "base/buf.h"
#include "node/checks/net_check.h"

struct grpc_check;

struct grpc_target {
    const char *ip;
    uint16_t port;
    const char *service; /* NULL = the whole server */
    uint64_t timeout_ms;
};

/* Calls fn once, later, then frees itself. */
struct grpc_check *grpc_check_start(struct loop *l, const struct grpc_target *t, net_check_fn *fn,
                                    void *user);
void grpc_check_cancel(struct grpc_check *c); /* no callback; NULL is allowed */

/* ---- pure: messages ---- */
enum { GRPC_PREFIX_BYTES = 5 };
/* The framed HealthCheckRequest. */
void grpc_health_request(struct buf *out, const char *service);
/* The status of a framed HealthCheckResponse: 0 UNKNOWN, 1 SERVING, 2 NOT_SERVING; -EBADMSG. */
int grpc_health_status(struct slice message);
