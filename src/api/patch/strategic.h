/*
 * Strategic merge patch: merge patch that knows from the schema which lists are merged by which key
 * (design proposal "strategic merge patch" of Kubernetes). Understands $patch
 * (replace, merge, delete), $retainKeys, $setElementOrder/FIELD and $deleteFromPrimitiveList/FIELD.
 */
#pragma once

#include <jansson.h>

#include "api/type.h"
#include "base/err.h"

/* The document is not changed; the result is a new one that the caller owns. patch comes from
 * patch_parse(). 400 for a malformed patch, 422 when it does not fit the document. */
int patch_strategic(const struct api_type *type, json_t *doc, const json_t *patch, json_t **ret,
                    struct err *err);
