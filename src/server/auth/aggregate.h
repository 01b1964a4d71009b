/*
 * Aggregated ClusterRoles: after any change of a ClusterRole, the rules of those with an
 * aggregationRule are put together again from the roles that its selectors match, and stored.
 */
#pragma once

#include "server/api.h"

void aggregate_start(struct api *api); /* after the first objects are stored */
