/*
 * YAML input (libyaml) as JSON text, so that everything behind it reads one form. Plain scalars
 * mean what they mean to kubectl (YAML 1.1 as sigs.k8s.io/yaml resolves it: yes/no/on/off are
 * booleans, 0o17 and 017 octal, dates strings); `<<` merges; keys become strings. Duplicate keys
 * are passed on for the JSON decoder to judge. Hostile input is bounded: LIMIT_JSON_DEPTH,
 * LIMIT_YAML_ALIASES and LIMIT_YAML_REPEATED for what they stand for, LIMIT_YAML_NODES.
 */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

/* Appends the one document of the text; 400 when there is none, or more than one. */
int yaml_to_json(struct slice text, struct buf *out, struct err *err);

/* Calls fn with the JSON of each document that is not empty, in order; stops at its first non-zero
 * answer and returns it. */
int yaml_each_document(struct slice text, int (*fn)(void *user, struct slice json), void *user,
                       struct err *err);
