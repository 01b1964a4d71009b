/*
 * CustomResourceDefinitions at work: watches them in the cache, grants their names, registers the
 * kinds they make, writes their status, and at their end deletes the objects first.
 */
#pragma once

#include "api/custom/custom.h"
#include "server/api.h"

/* Once the cache holds the first snapshot. */
void definitions_start(struct api *api);
/* A request for a custom kind: keeps the kind alive until the request ends. False: answered. */
bool custom_call_begin(struct call *c);

/* names.c: the names that a definition gets beside those that others of its group have, and the
 * conditions that say so. Changes d->status; true when something changed. now as the API writes
 * times. */
bool definition_grant(struct arena *a, struct apiextensions_v1_custom_resource_definition *d,
                      const struct apiextensions_v1_custom_resource_definition_names *const *names,
                      size_t n_names, const char *now);
void definition_set_condition(struct arena *a,
                              struct apiextensions_v1_custom_resource_definition *d,
                              const char *type, const char *status, const char *reason,
                              const char *message, const char *now);

#define DEFINITION_FINALIZER "customresourcecleanup.apiextensions.k8s.io"
