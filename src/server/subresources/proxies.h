/*
 * services/NAME/proxy, pods/NAME/proxy and nodes/NAME/proxy: the request goes to a port of what is
 * named, by way of the egress service, and its answer comes back as it is. NAME may be NAME:PORT or
 * SCHEME:NAME:PORT.
 */
#pragma once

#include "server/api.h"

/* "https:web:443", "web:http", "web"; false when it is none of them. Parts that are not there are
 * "". */
struct proxied_name {
    const char *scheme, *name, *port;
};
bool proxied_name_parse(struct arena *a, const char *text, struct proxied_name *ret);

/* The subresource `proxy` of c->kind. */
void proxy_subresource(struct call *c);

/* The client's path behind the first `skip` segments, undecoded, with its query; "" when nothing
 * follows. target as sent. */
const char *proxied_rest(const char *target, size_t skip);
