/*
 * Custom kinds as a client sees them: found by discovery, again whenever a definition changes.
 * Their objects are known by their metadata alone. Kinds that are found are in the registry
 * (api_kind_by_name …) from the moment they are added until they are gone; the memory of a kind
 * stays for the life of the process, so that pointers to it never dangle.
 */
#pragma once

#include "api/registry.h"
#include "client/client.h"

struct dynamic_kinds;

/* found: once for each kind that can be listed and watched (in one of its versions) and was not
 * there before; lost: it is there no more; complete: after each round that succeeded. */
struct dynamic_events {
    void (*found)(void *user, const struct api_kind *k);
    void (*lost)(void *user, const struct api_kind *k);
    void (*complete)(void *user);
    void *user;
};
/* Looks at once. */
struct dynamic_kinds *dynamic_kinds_new(struct api_client *c, const struct dynamic_events *ev);
void dynamic_kinds_free(struct dynamic_kinds *d); /* NULL is allowed */
/* A definition has changed: looks again soon. */
void dynamic_kinds_refresh(struct dynamic_kinds *d);
