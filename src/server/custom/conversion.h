/*
 * Objects of custom kinds between versions by a webhook (ConversionReview, apiextensions.k8s.io/v1
 * and v1beta1). Without a webhook (strategy None) versions differ in nothing but apiVersion, which
 * custom_form sees to.
 */
#pragma once

#include "api/custom/custom.h"
#include "server/api.h"

/* Whether this object has to be asked about before it can be shown, or stored, as k. */
bool conversion_needed(const struct api_kind *k, struct slice json);

/* converted: n objects in the order of the question, in the arena; NULL with err, an internal error
 * that names the webhook's failing. */
typedef void conversion_fn(void *user, const struct slice *converted, const struct err *err);
/* Answers later, never before this returns. The kind and the arena must live so long; objects are
 * borrowed for the call only. Objects that are in the wanted version already come back as they are.
 */
void conversion_run(struct api *api, struct arena *a, const struct api_kind *to,
                    const struct slice *objects, size_t n, conversion_fn *fn, void *user);
/* reply_object of a stored object in the form of c->kind, now or later. */
void conversion_reply(struct call *c, int status, struct slice stored);
