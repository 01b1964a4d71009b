/* What the files about Topology share. Private to src/api/kinds. */
#pragma once

#include "api/kinds/kinds.h"

enum { EDGES_MAX = 256, FILTERS_MAX = 1024, ENTRIES_MAX = 256, TOPOLOGY_NAME_BYTES_MAX = 63 };

struct topology_pattern {
    const char *name;
    const char *roles[2]; /* where there are two, the one that sends or asks is first */
    size_t n_roles;
    const char *policy;  /* of queues, when none is declared */
    bool conflates;      /* a newer message may stand for an older one */
    const char *exports; /* the role of this side in exports; in imports it is the other */
};
/* NULL: no such pattern. */
const struct topology_pattern *topology_pattern(const char *name);
bool topology_has_role(const struct topology_pattern *p, const char *role);
const char *topology_import_role(const struct topology_pattern *p);

/* A file beside the configuration: no path. */
void topology_file_validate(const char *name, const char *path, struct api_causes *causes);
/* A text with %XX for bytes. */
void topology_prefix_validate(const char *prefix, const char *path, struct api_causes *causes);
void topology_too_many(const char *field, size_t n, size_t max, struct api_causes *causes);
/* topology_edges.c: edges, exports, imports. */
void topology_edges_validate(const struct sp_v1_topology_spec *s, const struct topology_pattern *p,
                             struct api_causes *causes);
