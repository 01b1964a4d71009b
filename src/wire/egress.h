/*
 * The protocol of `egress` (egress.sock): api's only way out of the machine. A connection carries
 * one frame each way, then it is a byte pipe to the address that was asked for (decrypted, when TLS
 * was). Only `api` (and root) may connect. Frame: u32 length, body.
 */
#pragma once

#include <stdint.h>

#include "base/err.h"
#include "base/pack.h"

enum { EGRESS_FRAME_MAX_BYTES = 1024 * 1024, EGRESS_TIMEOUT_MAX_MS = 120 * 1000 };

/* Who chose the address, so where it may lead. */
enum egress_policy {
    EGRESS_BY_ADMINISTRATOR = 1, /* a URL in cluster-scoped configuration: any unicast address */
    EGRESS_BY_TENANT = 2,        /* pods, endpoints: never this machine itself, never link-local */
};

/* What proves to the peer who calls. */
enum egress_identity {
    EGRESS_ANONYMOUS = 1,
    EGRESS_FRONT_PROXY = 2, /* the front-proxy certificate; its key stays in `keys` */
};

struct egress_prelude {
    uint8_t policy, identity;
    bool tls;
    bool insecure;           /* the peer's certificate is not verified */
    uint16_t port;           /* > 0 */
    uint32_t timeout_ms;     /* to connect and shake hands; 1 … EGRESS_TIMEOUT_MAX_MS */
    const char *host;        /* an address, or a name for the machine's resolvers */
    const char *server_name; /* what the certificate must be for; "" = host */
    const char *ca_pem;      /* whom to trust; "" = the machine's own list */
};

enum egress_status {
    EGRESS_OK,
    EGRESS_MALFORMED,
    EGRESS_FORBIDDEN, /* the policy does not let it go there */
    EGRESS_UNRESOLVED,
    EGRESS_UNREACHABLE,
    EGRESS_TIMED_OUT,
    EGRESS_TLS_FAILED,
    EGRESS_STATUS_COUNT
};

struct egress_answer {
    uint8_t status;
    const char *text; /* "dial tcp 10.0.0.1:443: connect: connection refused"; "" for EGRESS_OK */
};

/* With the frame's length in front. */
void egress_prelude_pack(struct buf *b, const struct egress_prelude *p);
void egress_answer_pack(struct buf *b, const struct egress_answer *a);

/* 1: the whole frame has come, *ret_body is its body and *ret_used what it took; 0: more is needed;
 * -EBADMSG: too long. */
int egress_frame(struct slice bytes, struct slice *ret_body, size_t *ret_used);
/* Of a body. Checks every field's range; -EBADMSG. */
int egress_prelude_unpack(struct slice body, struct arena *a, struct egress_prelude *ret);
int egress_answer_unpack(struct slice body, struct arena *a, struct egress_answer *ret);
