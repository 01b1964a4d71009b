/*
 * What a pod asks for in its annotation sp.atoll.dev/topologies ("quotes:sub,orders:push"; one item
 * per topology and role) and whether a Topology grants it. The API admits by it, the node mounts by
 * it: the same reading for both.
 */
#pragma once

#include "api/types.h"
#include "base/arena.h"
#include "base/err.h"

#define TOPOLOGY_ANNOTATION "sp.atoll.dev/topologies"
enum { TOPOLOGY_GRANTS_MAX = 32 };

struct topology_grant {
    const char *topology;
    const char *roles; /* those of one topology joined by '+' in the order of its pattern, which is
                          the name of the directory that is mounted: "pub", "pub+sub" */
};
struct topology_grants {
    struct topology_grant v[TOPOLOGY_GRANTS_MAX];
    size_t n;
};

/* NULL and "" ask for nothing. -EINVAL: err says what is wrong with the text. */
int topology_grants_parse(struct arena *a, const char *annotation, struct topology_grants *ret,
                          struct err *err);
/* Whether pods of this service account may take all roles of g. -EACCES: err says which not. */
int topology_granted(const struct sp_v1_topology *t, const struct topology_grant *g, const char *ns,
                     const char *service_account, struct err *err);
