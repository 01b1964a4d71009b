/*
 * API aggregation: APIServices (apiregistration.k8s.io/v1). Those of the groups that this server
 * serves itself are kept by it; the others name a Service, to which requests for their group and
 * version are handed over with the identity of who asked (request headers that the front-proxy
 * certificate vouches for). Each such server is looked at from time to time; while it does not
 * answer, its clients get 503.
 */
#pragma once

#include "api/openapi/part.h"
#include "server/egress/call.h"

struct aggregated_openapi;

/* Group and version of an aggregated API. */
struct aggregated {
    struct arena *a;
    const char *name; /* v1beta1.metrics.k8s.io */
    const char *group, *version;
    int32_t group_priority, version_priority;
    const char *service_ns, *service_name;
    int32_t service_port;
    const char *ca_pem;
    bool insecure;
    bool available;
    struct slice resources;             /* its APIResourceList, as last heard; malloc'd */
    void (*serve)(struct call *c);      /* this server answers itself; NULL: the Service does */
    struct aggregated_openapi *openapi; /* openapi.c's; NULL: not asked for yet */
    /* The rest is probe.c's. */
    struct egress_call *probe;
    struct api *probe_api;
    char probe_url[512];
    uint64_t next_ms;
};

/* When the cache holds everything and the first objects are made. */
void aggregation_start(struct api *api);
/* By group and version; NULL: not aggregated. */
struct aggregated *aggregation_find(const char *group, const char *version);
/* In no order; borrowed until the loop runs. */
struct aggregated *const *aggregation_list(size_t *ret_n);
/* The server of the aggregated API, by its Service. */
int aggregation_target(struct api *api, struct arena *a, const struct aggregated *g,
                       const char *path, struct egress_target *ret, struct err *err);

/* ---- serve.c ---- */
/* A request for an aggregated API, its discovery or its OpenAPI document: handed over, or answered
 * with 503. False: it is for none. */
bool aggregation_handle(struct call *c);
/* The versions of an aggregated group in the aggregated form of discovery (apidiscovery.k8s.io):
 * {"version":…,"resources":[…],"freshness":…} */
void aggregation_put_version(struct buf *b, const struct aggregated *g);
/* Members for "paths" of /openapi/v3, each after a comma: those that are available. */
void aggregation_put_openapi_paths(struct buf *b);

/* ---- probe.c ---- */
void aggregation_probe(struct api *api, struct aggregated *g);
/* Writes the condition Available when it has changed. */
void aggregation_condition(struct api *api, const char *name, bool available, const char *reason,
                           const char *message);

/* ---- openapi.c ---- */
/* Asks an available server for its document, unless that was not long ago. */
void aggregation_openapi_ask(struct api *api, struct aggregated *g);
void aggregation_openapi_forget(struct aggregated *g);
/* What the aggregated APIs that are available add to /openapi/v2; borrowed until the loop runs. */
size_t aggregation_openapi_parts(struct arena *a, struct openapi_part **ret);

/* ---- local.c ---- */
/* APIServices of what this server serves itself: makes those that are missing, removes those of
 * custom groups that are gone. Cheap when nothing is to be done. */
void aggregation_keep_local(struct api *api);
/* Places in discovery, the highest first; what a remote APIService says counts. */
int32_t aggregation_group_priority(const char *group);
int32_t aggregation_version_priority(const char *group, const char *version);
