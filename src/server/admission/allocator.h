/*
 * Addresses (ClusterIP) and node ports of Services: bitmaps of what the cached Services use, kept
 * current by events, and short reservations for what was given out but is not stored yet.
 */
#pragma once

#include "server/api.h"

enum { NODE_PORT_FIRST = 30000, NODE_PORT_LAST = 32767 };

int allocator_start(struct api *api, struct err *err); /* from settings->service_cidr */
void allocator_stop(struct api *api);
void allocator_fill(struct api *api); /* once, after the first snapshot */

enum allocation { ALLOCATED, ALLOCATION_TAKEN, ALLOCATION_OUT_OF_RANGE, ALLOCATION_FULL };
/* wanted NULL or "": any. The number is kept for ten seconds for owner, the namespace and name of a
 * Service, who may ask for it again: its write may have been refused, or has to be made once more.
 * Owner "" has no name yet; NULL is a dry run, and the next caller may get the same. *ret_ip is in
 * the arena. */
enum allocation allocator_address(struct api *api, struct arena *a, const char *wanted,
                                  const char *owner, const char **ret_ip);
/* wanted 0: any; owner as above. */
enum allocation allocator_port(struct api *api, int32_t wanted, const char *owner,
                               int32_t *ret_port);
const char *allocator_range(struct api *api); /* the service CIDR as text */
