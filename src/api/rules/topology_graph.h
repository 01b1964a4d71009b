/*
 * What several Topologies declare together: who dials what another one listens on, and whether
 * messages could go round in a circle. Pure; used when a Topology is admitted and when a directory
 * of them is read.
 */
#pragma once

#include "api/types.h"
#include "base/arena.h"

/* NULL, or what is wrong ("closes a cycle: quotes → copies → quotes") with *ret_field, the edge of
 * t that closes it ("spec.edges[0].dial"). Others of the name of t are left out: it replaces them.
 */
const char *topology_cycle(struct arena *a, const struct sp_v1_topology *t,
                           const struct sp_v1_topology *const *others, size_t n_others,
                           const char **ret_field);

/* The file of a filter is sub@ and this: its name, or its prefix percent-encoded. */
const char *topology_filter_name(struct arena *a, const struct sp_v1_topology_filter *f);

/* Filters that were added to a Topology of a directory stand in a file of their own there,
 * NAME.filters. -EINVAL: no name of a Topology. */
enum { TOPOLOGY_FILTERS_FILE_BYTES = 96 };
int topology_filters_file(const char *topology, char ret[TOPOLOGY_FILTERS_FILE_BYTES]);
