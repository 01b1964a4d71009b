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
/* What a PATCH's content type says its body is. ERR_UNSUPPORTED_MEDIA_TYPE. */
enum patch_kind { PATCH_JSON, PATCH_MERGE, PATCH_STRATEGIC, PATCH_APPLY };
int body_patch_kind(struct call *c, enum patch_kind *ret, struct err *err);
bool patch_is_apply(struct call *c);
/* dryRun, fieldValidation, fieldManager, force from the query. */
int body_options(struct call *c, struct err *err);
/* New names: `base` cut to fit and five random characters. */
const char *body_generate_name(struct call *c, const char *base);
/* A random (version 4) UUID, RFC 9562. */
const char *uuid_new(struct arena *a);
const char *time_now(struct call *c); /* seconds, as metadata writes it */
