/* Request bodies: by content type to JSON, and to objects. */
#pragma once

#include <jansson.h>

#include "server/api.h"

/* The body as JSON text (YAML is converted). ERR_UNSUPPORTED_MEDIA_TYPE, ERR_BAD_REQUEST. */
int body_json(struct call *c, struct slice *ret, struct err *err);
/* As an object of the kind, unknown fields treated as the client asked (fieldValidation). Checks
 * apiVersion and kind, and sets them. */
int body_object(struct call *c, const struct api_kind *k, struct slice json,
                struct api_object **ret, struct err *err);
/* A tree of the text, of equal keys the last one; they are told as the client asked. */
int body_duplicates(struct call *c, struct slice json, json_t **ret, struct err *err);
/* dryRun, fieldValidation, fieldManager, force from the query. */
int body_options(struct call *c, struct err *err);
/* New names: `base` cut to fit and five random characters. */
const char *body_generate_name(struct call *c, const char *base);
/* A random (version 4) UUID, RFC 9562. */
const char *uuid_new(struct arena *a);
const char *time_now(struct call *c); /* seconds, as metadata writes it */
