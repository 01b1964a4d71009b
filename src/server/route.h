/*
 * From method, path and query to what is asked for (apiserver RequestInfo): the one place that
 * knows how API paths are built.
 */
#pragma once

#include "server/transport/request.h"

struct route {
    bool is_resource;
    /* Resource requests; "" where the path names none. */
    const char *group, *version, *plural, *ns, *name, *subresource;
    const char *rest; /* what follows the subresource, with its '/'; "" */
    const char *verb; /* get list watch create update patch delete deletecollection; others: the
                         method in lower case; NULL when the method is not known */
};

void route_parse(const struct request *r, struct route *ret);
/* A query parameter that says yes: "1", "true" (any case), or present and empty. */
bool route_flag(const struct request *r, const char *key);
