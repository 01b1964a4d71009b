/*
 * Where a call out of the cluster goes: a URL that an administrator wrote, or a Service, whose
 * ready endpoints are taken in turn from the watch cache.
 */
#pragma once

#include "server/api.h"
#include "wire/egress.h"

struct egress_target {
    enum egress_policy policy;
    enum egress_identity identity;
    bool tls, insecure;
    uint16_t port;
    const char *host;        /* address or name to connect to */
    const char *server_name; /* what the certificate must be for; "" = host */
    const char *ca_pem;      /* "" = the machine's list */
    const char *authority;   /* the Host header */
    const char *path;        /* with the query; begins with '/' */
};

/* https://host:port/path?query (http too, when `plain`); ERR_INVALID with Go's words. */
int egress_target_url(struct arena *a, const char *url, bool plain, struct egress_target *ret,
                      struct err *err);
/* The Service's port number → `https://NAME.NAMESPACE.svc:PORT/path` at one of its endpoints.
 * ERR_UNAVAILABLE when there is none, ERR_NOT_FOUND without the Service. path may be NULL. */
int egress_target_service(struct api *api, struct arena *a, const char *ns, const char *name,
                          int32_t port, const char *path, struct egress_target *ret,
                          struct err *err);
/* The same for proxying: port is a name or a number, "" = the only one; no TLS is set up. */
int egress_target_endpoint(struct api *api, struct arena *a, const char *ns, const char *name,
                           const char *port, struct egress_target *ret, struct err *err);

/* What the egress service is told. */
struct egress_prelude egress_target_prelude(const struct egress_target *t, uint32_t timeout_ms);
/* "https://authority/path", for messages. */
const char *egress_target_text(struct arena *a, const struct egress_target *t);
