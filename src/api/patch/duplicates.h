/*
 * Keys that an object of a JSON text has twice, for documents that are read as trees (patches,
 * applied configurations); api_decode() finds its own.
 */
#pragma once

#include <jansson.h>

#include "api/type.h"

/* The tree of a text, of equal keys the last one. Appends `duplicate field "spec.replicas"` for
 * each to findings, at most 100. 400 when it is no JSON or nested too deeply. */
int json_parse_lenient(struct arena *a, struct slice text, json_t **ret, struct str_list *findings,
                       struct err *err);
