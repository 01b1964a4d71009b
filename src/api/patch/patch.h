/*
 * Patches on JSON documents: JSON patch (RFC 6902) and merge patch (RFC 7386). The document is
 * never changed: the result is a new one that the caller owns. Hostile patches are bounded in
 * operations, in depth and in what `copy` may multiply.
 */
#pragma once

#include <jansson.h>

#include "base/err.h"
#include "base/slice.h"

/* Text of a patch → JSON; for every kind of patch. 400 when it is none, too deep or has a duplicate
 * key. */
int patch_parse(struct slice text, json_t **ret, struct err *err);

/* 400 malformed, 413 too many operations, 422 when an operation or test does not apply. */
int patch_json(json_t *doc, struct slice patch, json_t **ret, struct err *err);
/* The result may share values with doc: it is for reading. */
int patch_merge(json_t *doc, struct slice patch, json_t **ret, struct err *err);

/* Levels of nesting; more than max gives max + 1. */
int json_depth(const json_t *v, int max);
void json_decref_p(json_t **v); /* for OWN(json_decref_p) */
