/*
 * Secrets leave no trace in logs: fields that the schema marks `secret` (API_SECRET) are taken out
 * of a document before it is written down, whatever wrote it: an object, a list, a table that
 * carries objects, or a patch of any of those that has their shape.
 */
#pragma once

#include <jansson.h>

#include "api/registry.h"

#define API_REDACTED "redacted"

/* Replaces the values of secret fields of doc by API_REDACTED (of a map: each value, so the keys
 * stay readable), and the copy of the object that kubectl keeps in its annotation of the last
 * applied configuration. The kind is what doc says of itself, or kind (may be NULL: then a document
 * of no known kind stays as it is). */
void api_redact(json_t *doc, const struct api_kind *kind);
