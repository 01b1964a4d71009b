/* Between openapi.c (schemas of types) and openapi_paths.c (operations of kinds). */
#pragma once

#include "api/registry.h"
#include "base/buf.h"

enum openapi_version { OPENAPI_V2, OPENAPI_V3 };

#define OPENAPI_META "io.k8s.apimachinery.pkg.apis.meta.v1."

/* "$ref":"#/components/schemas/NAME" (v3) or "#/definitions/NAME" (v2), without braces */
void openapi_ref(struct buf *b, enum openapi_version v, const char *name);
/* {"group":…,"kind":…,"version":…} */
void openapi_gvk(struct buf *b, const struct api_kind *k, const char *kind);
/* Name of the schema: io.k8s.api.core.v1.Pod */
void openapi_kind_name(struct buf *b, const struct api_kind *k);
/* Name of the list schema: io.k8s.api.core.v1.PodList */
void openapi_list_name(struct buf *b, const struct api_kind *k);

/* The members of "paths" for one kind; *first says whether a comma is due. */
void openapi_kind_paths(struct buf *b, enum openapi_version v, const struct api_kind *k,
                        bool *first);
