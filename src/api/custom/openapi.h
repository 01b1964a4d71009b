/* OpenAPI schemas of custom kinds. */
#pragma once

#include "api/custom/custom.h"
#include "api/openapi/schema.h"

/* "com.example.v1.Widget" for group example.com. */
void custom_openapi_name(struct buf *b, const struct api_kind *k, const char *kind);
/* "NAME":{schema}: as the definition gives it, with apiVersion, kind and metadata. Version 2 leaves
 * out what it cannot say (alternatives, nullable). */
void custom_openapi_schema(struct buf *b, enum openapi_version v, const struct api_kind *k);
