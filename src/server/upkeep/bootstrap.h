/*
 * What every cluster has from the first moment: namespaces, the Services of the API and of DNS with
 * their endpoints, default roles and bindings. Missing objects are made at each start; endpoints
 * and default roles are brought back to what they should be.
 */
#pragma once

#include "server/api.h"

/* done once, when all of it is stored. */
void bootstrap(struct api *api, void (*done)(void *user, const struct err *err), void *user);
