/*
 * x-kubernetes-validations of a custom kind: CEL rules, compiled once when the definition is
 * written and run on each write of an object.
 */
#pragma once

#include "api/custom/custom.h"

/* One cause for each rule that does not compile; path is that of the schema. */
void custom_rules_check(const struct schema *s, const char *path, struct api_causes *causes);
/* Sets v->rules. ERR_INVALID names the rule that does not compile. */
int custom_rules_compile(struct arena *a, struct custom_version *v, struct err *err);
