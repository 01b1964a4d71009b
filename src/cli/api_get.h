/* The API of the Atoll under a root, as root: requests on api.sock that block. */
#pragma once

#include "api/registry.h"
#include "base/buf.h"
#include "base/err.h"

/* The body of a 200 answer, in a. Others are errors: ERR_NOT_FOUND and so on, with what the API
 * says. */
int cli_api_get(const char *root, struct arena *a, const char *path, struct slice *ret,
                struct err *err);
/* The same with a method and a JSON body. */
int cli_api_send(const char *root, struct arena *a, const char *method, const char *path,
                 struct slice body, struct slice *ret, struct err *err);
/* Calls fn with each object of a kind, page by page; stops when fn returns non-zero, which it
 * returns. namespace and field_selector may be NULL. Objects live until fn returns. */
int cli_api_list(const char *root, const struct api_kind *k, const char *namespace,
                 const char *field_selector, int (*fn)(void *user, const struct api_object *o),
                 void *user, struct err *err);
