/*
 * A call out of the cluster: one HTTP/1.1 request over the egress service, answered later. For
 * webhooks, token review, OIDC keys and the discovery of aggregated APIs. Connections are kept for
 * the next call to the same place.
 *
 *   struct egress_target t;
 *   egress_target_url(a, "https://hooks.example.com/review", false, &t, err);
 *   t.ca_pem = …;
 *   egress_call(api, &(struct egress_request){.target = &t, .method = "POST", .body = json,
 *                                             .timeout_ms = 10000}, done, user);
 */
#pragma once

#include "server/egress/target.h"

enum {
    EGRESS_BODY_MAX_BYTES = 3 * 1024 * 1024, /* of an answer, unless the request says less */
};

struct egress_request {
    const struct egress_target *target;
    const char *local_socket; /* a service of this machine instead of the world: NULL, "node.sock";
                                 of the target, authority and path count */
    const char *method;
    const char *content_type; /* of the body; NULL: application/json when there is one */
    struct slice body;
    const struct http_headers *headers; /* further ones; may be NULL */
    uint32_t timeout_ms;                /* for all of it; > 0 */
    size_t max_body_bytes;              /* 0: EGRESS_BODY_MAX_BYTES */
};

/* err.reason ERR_NONE: an answer came, whatever its status. Else why not, as Go words it:
 * `Post "https://x/y": dial tcp 10.0.0.1:443: connect: connection refused`; ERR_TIMEOUT when time
 * ran out. Everything is borrowed until the callback returns. */
struct egress_result {
    struct err err;
    int status;
    struct http_headers headers;
    struct slice body;
};
typedef void egress_done_fn(void *user, const struct egress_result *r);

/* fn is called once, from the loop, never before this returns. Nothing of the request is kept. */
struct egress_call;
struct egress_call *egress_call(struct api *api, const struct egress_request *q, egress_done_fn *fn,
                                void *user);
void egress_call_cancel(struct egress_call *c); /* no callback any more; NULL is allowed */
