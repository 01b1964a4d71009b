/*
 * What pods belong to: Services, ReplicaSets, StatefulSets and ReplicationControllers, as far as
 * their selectors say which pods should stand apart by default (KEP-1258). Pure.
 */
#pragma once

#include "api/registry.h"
#include "base/map.h"

struct owners {
    struct map services;    /* namespace → list of owners.c */
    struct map controllers; /* kind/namespace/name → struct owner of owners.c */
    uint64_t version;
};

void owners_done(struct owners *o);
/* False when its selector has not changed. */
bool owners_put_service(struct owners *o, const struct core_v1_service *s);
void owners_remove_service(struct owners *o, const char *namespace, const char *name);
/* match: labels for a ReplicationController; selector for the others. */
bool owners_put_controller(struct owners *o, const char *kind, const struct meta_v1_object_meta *m,
                           const struct str_map *match,
                           const struct meta_v1_label_selector *selector);
void owners_remove_controller(struct owners *o, const char *kind, const char *namespace,
                              const char *name);

/* The pods that are like this one to all it belongs to; NULL: it belongs to nothing. In a, with
 * strings of o. */
const struct meta_v1_label_selector *owners_selector(struct arena *a, const struct owners *o,
                                                     const struct core_v1_pod *pod);
