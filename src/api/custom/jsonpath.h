/*
 * JSONPath as kubectl's printer columns use it: .a.b, ['a.b'], .a\.b, [0], [-1], [1:3], [*], .*,
 * ..name, filters [?(@.type=="Ready")] with == != < <= > >= and plain existence, "$" and "@".
 */
#pragma once

#include "api/custom/value.h"

struct jsonpath;

/* text without the outer braces. ERR_INVALID says what is wrong. */
int jsonpath_parse(struct arena *a, const char *text, struct jsonpath **ret, struct err *err);
/* The first result; NULL when there is none. */
const struct value *jsonpath_first(const struct jsonpath *p, const struct value *root);
/* Member names and nothing else, such as .spec.replicas: scale paths, selectable fields. */
bool jsonpath_is_simple(const char *text);
