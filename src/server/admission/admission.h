/*
 * Admission: what the cluster adds to an object, or refuses, between defaults and validation.
 * Each plugin is a row: which kinds and verbs it looks at, and one function. Names and order follow
 * upstream's default plugins.
 */
#pragma once

#include "server/api.h"

struct admission {
    struct call *c;
    struct api *api;
    struct arena *a;
    const struct api_kind *kind; /* storage kind */
    struct api_object *object;
    const struct api_object *old; /* NULL on create */
    const char *subresource;
    struct err *err;
};

/* Runs every plugin that applies. < 0: refused, err says why (403, 404, …). */
int admission_run(struct admission *ad);
/* After validation: gives out addresses and ports that are taken at once. Causes for a 422. */
void admission_allocate(struct admission *ad, struct api_causes *causes);
