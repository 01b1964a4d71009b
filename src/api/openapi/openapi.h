/*
 * OpenAPI documents made from the tables: what kubectl explain, kubectl apply (patch metadata,
 * support of fieldValidation) and code generators read. Pure functions; the caller caches.
 */
#pragma once

#include <stdint.h>

#include "api/openapi/part.h"

/* The answer to GET /openapi/v3: {"paths":{"api/v1":{"serverRelativeURL":
 * "/openapi/v3/api/v1?hash=…"},"apis/apps/v1":…}}. */
void openapi_v3_index(struct buf *out);
/* The answer to GET /openapi/v3/api/VERSION and /openapi/v3/apis/GROUP/VERSION (group "" = core).
 * -ENOENT when there is no such group version. */
int openapi_v3_document(const char *group, const char *version, struct buf *out);
/* The answer to GET /openapi/v2 (Swagger 2.0 as JSON), with the parts of other servers. Where
 * several define the same name, this server's counts, then the first part's. */
void openapi_v2_document(const struct openapi_part *parts, size_t n, struct buf *out);
/* The same as protobuf (gnostic openapi.v2.Document), media type
 * application/com.github.proto-openapi.spec.v2.v1.0+protobuf. */
void openapi_v2_protobuf(const struct openapi_part *parts, size_t n, struct buf *out);
/* The hash in the index' addresses, FNV-1a: only to let clients cache. */
uint64_t openapi_hash(struct slice document);
