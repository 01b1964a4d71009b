/*
 * metrics.k8s.io/v1beta1 (`kubectl top`): what nodes and pods use now, from the node's own figures.
 * Read only, never stored. An APIService of this name that names a Service takes its place.
 */
#pragma once

#include "api/openapi/part.h"
#include "server/api.h"

#define METRICS_GROUP "metrics.k8s.io"
#define METRICS_VERSION "v1beta1"
extern const char metrics_api_resources[]; /* the APIResourceList */

void metrics_api_serve(struct call *c);
/* metrics_table.c: objects, with commas between them, as a Table of meta.k8s.io. */
void metrics_table(struct buf *b, const char *version, struct slice items);
/* metrics_openapi.c: its OpenAPI document, version 3. */
void metrics_api_openapi(struct buf *b);
/* What /openapi/v2 says of it. */
struct openapi_part metrics_api_openapi_v2(void);
