/* Which groups and versions there are, of the kinds and of aggregated APIs, in the order in which
 * clients prefer them. */
#pragma once

#include "server/api.h"

bool discovery_knows(const char *group);
/* Without the core group, "". */
struct str_list discovery_groups(struct arena *a);
/* The preferred one first. */
struct str_list discovery_versions(struct arena *a, const char *group);
/* "v1" or "apps/v1" */
const char *discovery_group_version(struct arena *a, const char *group, const char *version);
