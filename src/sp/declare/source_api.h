/*
 * What the service writes into the status of a Topology of the API. Private to source_api*.c;
 * here because it is tested without an API.
 */
#pragma once

#include "api/types.h"
#include "sp/declare/topology.h"

/* What is remembered of a Topology between two writes. */
struct source_api_memory {
    int64_t generation;    /* that the service works by */
    const char *error;     /* why it could not be declared; NULL: it was */
    bool ready, connected; /* of the last write, since when: */
    char ready_since[40], connected_since[40];
};

/* t NULL: it could not be declared. In a. Moves the times of conditions that have changed to `now`
 * (RFC 3339). */
struct sp_v1_topology_status *source_api_status(struct arena *a, const struct sp_topology *t,
                                                const char *node_name, const char *now,
                                                struct source_api_memory *m);
