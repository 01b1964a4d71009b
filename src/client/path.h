/* Request targets of the API: /api/v1/namespaces/NS/pods/NAME/status?… */
#pragma once

#include "api/registry.h"

/* ns and name may be NULL or ""; subresource too. Everything is percent-encoded as needed. */
void api_path(struct buf *b, const struct api_kind *k, const char *ns, const char *name,
              const char *subresource);
/* One segment or value, percent-encoded as needed. */
void api_path_encode(struct buf *b, const char *s);
/* Appends ?key=value or &key=value; value NULL or "" appends nothing. */
void api_path_query(struct buf *b, const char *key, const char *value);
